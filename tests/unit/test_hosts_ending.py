"""A worker whose database is away or whose engine hangs: it stops in time, and its heartbeat continues."""

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from django.db import OperationalError
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.web.management.commands import serve
from cronium_admin.web.management.commands import worker as command
from cronium_admin.workers import status
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.runner import Runner
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
FOREVER = "echo up; while :; do sleep 0.05; done"


class Hanging(FakeEngine):
    """Accepts every request, and does not answer while `hangs`."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()
        self.answers.set()

    def _enter(self, method: str) -> None:
        self.answers.wait(60)
        super()._enter(method)


@pytest.fixture
def engine() -> Iterator[Hanging]:
    made = Hanging()
    yield made
    made.answers.set()
    made.close()


@pytest.fixture
def runner(engine: Hanging, transactional_db: None) -> Iterator[Runner]:
    made = Runner("east", engine)
    made.context.leadership.is_leader = made.context.leadership.acquire()
    yield made
    engine.answers.set()
    made.close(1)


def seconds_of(call: Callable[[], object]) -> float:
    """The duration of the call; 15 if it does not return."""
    began = time.monotonic()
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(15)
    return time.monotonic() - began


class TestDatabaseAway:
    @pytest.fixture
    def away(self, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
        over = threading.Event()

        def make(how: str) -> None:
            def call(*_: Any) -> None:
                if how == "hangs":
                    over.wait(60)
                raise OperationalError("no route to host")

            monkeypatch.setattr("cronium_admin.workers.runner.release_runs", call)
            monkeypatch.setattr(runner.context.leadership, "release", call)

        yield make
        over.set()

    @pytest.mark.parametrize("how", ["refuses", "hangs"])
    def test_a_hand_over_ends_in_its_time_all_the_same(
        self, runner: Runner, engine: Hanging, away: Callable[[str], None], how: str
    ) -> None:
        told = Remembering()
        runner.context.supervisor.start(make_spec(script=FOREVER), told)
        told.wait_for_text(b"up")
        away(how)
        done: list[bool] = []
        assert seconds_of(lambda: done.append(runner.hand_over(1.5))) < 3
        assert done == [False]
        assert (told.result, len(engine.containers)) == (None, 2)
        assert runner.context.database._closed.is_set()

    @pytest.mark.parametrize("how", ["refuses", "hangs"])
    def test_a_stop_does_too(
        self, runner: Runner, away: Callable[[str], None], how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        away(how)
        monkeypatch.setattr("cronium_admin.workers.runner.LEAVE_SECONDS", 1.0)
        assert seconds_of(lambda: runner.close(0.5)) < 3


def test_a_run_whose_thread_cannot_be_started_waits_again(
    runner: Runner, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a system that allows no more threads."""
    run, start = launch(job, get_admin()), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("slot-"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    free = runner.context.supervisor.count_free()
    with pytest.raises(RuntimeError, match="new thread"):
        runner.dispatch()
    assert (runner.context.supervisor.count_free(), runner.context.supervisor.list_active()) == (free, frozenset())
    monkeypatch.undo()
    runner.takeover.schedule_sweep()
    runner.takeover.sweep()
    run.refresh_from_db()
    assert run.status == "queued"


class TestSignals:
    def test_what_a_stop_has_not_ended_yet_is_handed_over_at_the_next_signal(
        self, runner: Runner, engine: Hanging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec, told = make_spec(script=FOREVER), Remembering()
        runner.context.supervisor.start(spec, told)
        told.wait_for_text(b"up")
        monkeypatch.setattr(
            told, "record_stopping", lambda why: bool(runner.context.database._closed.wait(60))
        )  # hangs
        given = queue.SimpleQueue[int]()
        given.put(signal.SIGINT)
        stopping = threading.Event()
        monkeypatch.setattr(command, "schedule_forced_exit", lambda seconds: stopping.set())

        class Alone:
            hand_over_now = staticmethod(runner.hand_over_now)

            @staticmethod
            def stop(*, hand_over: bool) -> None:
                assert not hand_over
                runner.close(2)

        thread = threading.Thread(target=command._wait_and_stop, args=(Alone, given), daemon=True)
        thread.start()
        assert stopping.wait(5)
        time.sleep(0.2)
        given.put(signal.SIGTERM)
        time.sleep(0.2)
        assert runner.context.supervisor._is_releasing
        thread.join(15)
        assert told.result is None

    def test_serve_hands_over_at_the_second_one_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hurried = threading.Event()
        monkeypatch.setattr(serve, "received_signals", [])
        monkeypatch.setattr(serve, "get_current_worker", lambda: SimpleNamespace(hand_over_now=hurried.set))
        server = serve._Server(uvicorn.Config("cronium_admin.web.asgi:application", log_config=None))
        server.handle_exit(signal.SIGINT, None)
        assert not hurried.wait(0.1)
        server.handle_exit(signal.SIGINT, None)
        assert hurried.wait(5)
        assert serve.received_signals == [signal.SIGINT, signal.SIGINT]

    def test_a_process_ends_whatever_hangs(self) -> None:
        words = (
            "import threading, time\n"
            "from cronium_admin.workers.shutdown import schedule_forced_exit\n"
            "end_by(0.3)\n"
            "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        )
        done = subprocess.run([sys.executable, "-c", words], timeout=20, check=False)
        assert done.returncode == 1


class TestEngineHangs:
    def test_the_heartbeat_does_not_wait_for_it(self, runner: Runner, engine: Hanging) -> None:
        runner.status.run_once()
        assert seconds_of(runner.heartbeat.beat) < 2
        known = Host.objects.get()
        assert (known.cpus, known.engine_error) == (8.0, "")
        engine.answers.clear()
        Host.objects.update(lease_expires_at=timezone.now() + timedelta(seconds=1))
        runner.status.start()
        assert seconds_of(runner.heartbeat.beat) < 2
        row = Host.objects.get()
        assert row.lease_expires_at is not None
        assert row.lease_expires_at > timezone.now() + timedelta(seconds=10)
        assert row.cpus == 8.0

    def test_the_hosts_row_says_so_after_a_while(
        self, runner: Runner, engine: Hanging, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.answers.clear()
        monkeypatch.setattr(status, "SILENT_SECONDS", 0.2)
        runner.status.start()
        time.sleep(0.4)
        runner.heartbeat.beat()
        assert "has not answered" in Host.objects.get().engine_error
        engine.answers.set()
        assert runner.status.is_known.wait(5)
        runner.heartbeat.beat()
        assert Host.objects.get().engine_error == ""

    def test_a_start_keeps_its_lease_while_it_clears_up(self, engine: Hanging, transactional_db: None) -> None:
        runner = Runner("east", engine)
        engine.answers.clear()
        try:
            thread = threading.Thread(target=runner.start, daemon=True)
            thread.start()
            end = time.monotonic() + 10
            while time.monotonic() < end and not runner.heartbeat_thread.is_alive():
                time.sleep(0.05)
            assert thread.is_alive()
            Host.objects.update(heartbeat_at=None)
            time.sleep(2.5)
            assert Host.objects.get().heartbeat_at is not None
        finally:
            engine.answers.set()
            thread.join(10)
            runner.close(1)
