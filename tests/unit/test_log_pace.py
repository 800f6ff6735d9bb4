"""Small writes of many logs share commits; a first line, a large batch and the end of a log do not wait."""

import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest
from channels.layers import InMemoryChannelLayer, get_channel_layer

from cronium_admin.core import notify
from cronium_admin.logs import store
from cronium_admin.logs.store import SMALL_BYTES, LogWriter, PendingWrite, RunLog
from tests.unit.test_logs_store import batch

FOREVER = 1000.0


class Commits:
    """The committed groups, instead of the database."""

    def __init__(self) -> None:
        self.groups: list[list[PendingWrite]] = []
        self.changed = threading.Condition()

    def __call__(self, writes: list[PendingWrite]) -> set[PendingWrite]:
        with self.changed:
            self.groups.append(list(writes))
            self.changed.notify_all()
        return set()


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    made = Commits()
    monkeypatch.setattr(store, "commit_writes", made)
    monkeypatch.setattr(store, "PACE_SECONDS", FOREVER)
    return made


@pytest.fixture
def writer(commits: Commits) -> Iterator[LogWriter]:
    made = LogWriter()
    yield made
    made.close()


@pytest.fixture
def start(writer: LogWriter) -> Callable[[PendingWrite], threading.Thread]:
    def start_one(write: PendingWrite) -> threading.Thread:
        thread = threading.Thread(target=writer.write, args=(write,), daemon=True)
        thread.start()
        return thread

    return start_one


def make_write(log: RunLog, text: bytes = b"line\n") -> PendingWrite:
    return log.prepare_write(batch((1, text)))


def make_log() -> RunLog:
    log = RunLog(uuid4(), 1)
    assert not make_write(log).may_wait, "the first line of a run is awaited"
    return log


def test_what_may_wait() -> None:
    log = make_log()
    assert make_write(log).may_wait
    assert log.prepare_write(batch(tail=b"Name: ")).may_wait
    assert not make_write(log, b"x" * SMALL_BYTES + b"\n").may_wait
    assert not log.prepare_seal().may_wait


def test_small_writes_of_many_runs_share_a_commit(
    commits: Commits, writer: LogWriter, start: Callable[[PendingWrite], threading.Thread]
) -> None:
    writer.write(make_write(RunLog(uuid4(), 1)))
    threads = [start(make_write(make_log())) for _ in range(5)]
    while len(writer_waiting := [thread for thread in threads if thread.is_alive()]) != 5:
        time.sleep(0.01)
    assert len(commits.groups) == 1
    writer.write(make_write(RunLog(uuid4(), 1)))  # does not wait, and takes the others along
    for thread in writer_waiting:
        thread.join(20)
    assert sum(len(group) for group in commits.groups) == 7
    assert len(commits.groups) <= 3


def test_after_a_pause_a_line_does_not_wait(
    commits: Commits, writer: LogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PACE_SECONDS", 0.0)
    log = make_log()
    for _ in range(3):
        writer.write(make_write(log))
    assert [len(group) for group in commits.groups] == [1, 1, 1]


def test_the_writer_s_end_waits_for_nothing(commits: Commits, start: Callable[[PendingWrite], threading.Thread],
                                           writer: LogWriter) -> None:  # fmt: skip
    writer.write(make_write(RunLog(uuid4(), 1)))
    thread = start(make_write(make_log()))
    while writer._queue.qsize():
        time.sleep(0.01)
    writer.close()
    thread.join(20)
    assert not thread.is_alive()
    assert sum(len(group) for group in commits.groups) == 2


def test_a_change_without_a_reader_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, sent = get_channel_layer(), list[str]()
    assert isinstance(layer, InMemoryChannelLayer)

    class Recorder:
        def enqueue(self, names: list[str]) -> None:
            sent.extend(names)

    monkeypatch.setattr(notify, "_get_sender", Recorder)
    read, unread = UUID(int=1), UUID(int=2)
    notify.publish_changed([read, unread])
    assert sent == []
    monkeypatch.setitem(layer.groups, notify.make_group_name(read), {"channel": 1.0})
    notify.publish_changed([read, unread])
    assert sent == [notify.make_group_name(read)]
