"""The archive: a log is the same before, during and after its move, after a crash at any step.

These tests use a folder; test_logs_s3 uses a bucket.
"""

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.jobs.models import Job
from cronium_admin.logs import maintenance, read, search
from cronium_admin.logs.archive import archiver, objects, upload
from cronium_admin.logs.archive.block_cache import BlockCache, ObjectRef, block_cache
from cronium_admin.logs.failures import MAX_CONSECUTIVE_FAILURES, LogsSkipped
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.retention import prune
from cronium_admin.logs.storage import base
from cronium_admin.logs.storage.base import ObjectMissing, StorageUnavailable
from cronium_admin.logs.storage.file import FileBackend
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.log_storage import FOREVER, Killed, dying_at, files, give_log, text_of, whole
from tests.unit.test_logs_whole import body_of
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
TEXT = text_of(120)
BLOCK = 16 * 1024  # where the size of a block matters: small, so that a small log has many


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and few chunks per transaction."""
    monkeypatch.setattr("cronium_admin.logs.throttle.MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr("cronium_admin.logs.throttle.PAUSE_FACTOR", 0)
    monkeypatch.setattr(archiver, "BATCH_SIZE", 3)
    monkeypatch.setattr(upload, "BATCH_SIZE", 3)
    block_cache.clear()


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    """The archive, from the settings; nothing is removed automatically."""
    place = tmp_path / "archive"
    changes = {**FOREVER, "log_storage": f"file://{place}", "log_archive_after": 24}
    settings.CONFIG = settings.CONFIG.model_copy(update=changes)
    return place


@pytest.fixture
def ended(job: Job) -> Callable[..., Run]:
    def make(text: bytes = TEXT, hours: float = 25) -> Run:
        return give_log(launch(job, get_admin()), text, 10, timedelta(hours=hours))

    return make


def move() -> list[str]:
    return [one.name for one in archiver.archive_due_logs(Throttle())]


def in_database(run: Run) -> int:
    return LogChunk.objects.filter(run=run, object_offset=None).count()


def test_a_log_moves_and_reads_the_same(folder: Path, ended: Any, viewer: Api) -> None:
    run = ended()
    before = viewer.get(f"/runs/{run.pk}/logs?limit=5000").json()
    assert move() == ["report #1"]
    assert in_database(run) == 0
    assert not any(bytes(data) for data in LogChunk.objects.values_list("data", flat=True))
    (stored,) = LogObject.objects.all()
    (file,) = files(folder)
    assert (stored.state, stored.bytes, stored.sha256) == (
        "stored",
        file.stat().st_size,
        hashlib.sha256(file.read_bytes()).hexdigest(),
    )
    assert file.stat().st_mode & 0o077 == 0, "logs are for their owner alone"
    assert whole(run) == TEXT
    assert hashlib.sha256(whole(run)).hexdigest() == run.log_digest
    assert viewer.get(f"/runs/{run.pk}/logs?limit=5000").json() == before
    assert body_of(viewer.get(f"/runs/{run.pk}/logs.txt")) == TEXT
    assert LogHead.objects.get().archived_at is not None
    assert move() == []


def test_parts_and_search_read_it_too(folder: Path, ended: Any, viewer: Api) -> None:
    run = ended()
    find = f"/runs/{run.pk}/logs/find?q=1&stream=stderr"
    found, lines = viewer.get(find).json(), viewer.get(f"/runs/{run.pk}/logs?q=11").json()
    move()
    assert viewer.get(find).json() == found
    assert found["count"] > 5
    assert viewer.get(f"/runs/{run.pk}/logs?q=11").json() == lines
    for start, stop in ((0, 1), (7, 900), (len(TEXT) // 2, len(TEXT)), (len(TEXT) - 1, len(TEXT))):
        part = viewer.call("GET", f"/runs/{run.pk}/logs.txt", Range=f"bytes={start}-{stop - 1}")
        assert (part.status_code, body_of(part)) == (206, TEXT[start:stop])


def test_only_what_ended_long_enough_ago_moves(folder: Path, ended: Any, job: Job, settings: Any) -> None:
    ended(hours=23), ended(hours=25), ended(b"")
    Run.objects.filter(pk=ended().pk).update(status="running", finished_at=None)
    assert [one.name for one in archiver.find_archivable_logs()] == ["report #2"]
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_archive_after": 0})
    assert move() == ["report #2", "report #1"]
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": ""})
    ended()
    assert move() == [], "without an archive logs stay where they are"


def test_a_log_that_lies_in_another_archive_is_read_from_there(
    folder: Path, ended: Any, settings: Any, tmp_path: Path
) -> None:
    first = ended()
    move()
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": f"file://{tmp_path / 'other'}"})
    second = ended()
    assert move() == ["report #2"]
    assert len(files(tmp_path / "other")) == 1
    assert whole(first) == whole(second) == TEXT


# Death at any step.


@pytest.mark.parametrize("after", [0, 1])
def test_a_log_is_whole_after_a_death_at_any_step_and_then_moves(
    folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """`after`: how many further attempts crash at the same step; the next one finds their leftovers."""
    monkeypatch.setattr(objects, "CLAIM_DURATION", timedelta(seconds=-1))  # a dead process counts as dead at once
    step, died = 0, True
    while died:
        step, died = step + 1, False
        run = give_log(launch(job, get_admin()), TEXT, 20)
        for _ in range(1 + after):
            with dying_at(step, monkeypatch):
                try:
                    move()
                except Killed:
                    died = True
            assert whole(run) == TEXT
        move()
        objects.delete_unwanted(Throttle())
        assert in_database(run) == 0
        assert hashlib.sha256(whole(run)).hexdigest() == run.log_digest
        assert LogObject.objects.filter(run=run, state="stored").count() == 1
        assert len(files(folder)) == LogObject.objects.count() == step, "nothing is left over of the tries"
    assert step > 20


def test_a_process_that_dies_in_the_middle_of_a_file_leaves_nothing(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "CLAIM_DURATION", timedelta(seconds=-1))
    run = ended(text_of(5000))
    for reads in (1, 2):
        with dying_at(10_000, monkeypatch) as done, monkeypatch.context() as patched:
            give = upload.PackedLog.read

            def die_later(self: Any, size: int = -1, left: list[int] = [reads], give: Any = give) -> bytes:  # noqa: B006
                left[0] -= 1
                if left[0] < 0:
                    done[0] = 10_000
                    raise Killed
                return bytes(give(self, size))

            patched.setattr(upload.PackedLog, "read", die_later)
            with pytest.raises(Killed):
                move()
        assert LogObject.objects.filter(state="writing").count() == 1
    assert len(files(folder)) == 2, "two beginnings, each under a name of its own"
    assert move() == ["report #1"]
    assert objects.delete_unwanted(Throttle()) == (2, set())
    assert len(files(folder)) == 1
    assert whole(run) == text_of(5000)


def test_the_removal_of_an_archived_log_survives_a_death_at_any_step(
    folder: Path, job: Job, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "BATCH_SIZE", 5)
    step, died = 0, True
    while died:
        step, died = step + 1, False
        settings.CONFIG = settings.CONFIG.model_copy(update=FOREVER)
        run = give_log(launch(job, get_admin()), TEXT, 10, timedelta(days=3))
        move()
        settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
        with dying_at(step, monkeypatch):
            try:
                list(prune.prune_due_logs(Throttle()))
                objects.delete_unwanted(Throttle())
            except Killed:
                died = True
        state = read.read_state(run.pk)
        assert state is not None
        assert state.pruned or whole(run) == TEXT
        list(prune.prune_due_logs(Throttle()))
        objects.delete_unwanted(Throttle())
        assert (LogChunk.objects.count(), LogHead.objects.count(), LogObject.objects.count()) == (0, 0, 0)
        assert files(folder) == []
    assert step > 12


# Others at the same time.


def test_while_one_process_uploads_another_leaves_the_log_alone(folder: Path, ended: Any) -> None:
    run = ended()
    claimed = objects.claim_object(run.pk, f"file://{folder}")
    assert claimed is not None
    assert objects.claim_object(run.pk, f"file://{folder}") is None
    assert move() == []
    assert objects.extend_claim(claimed)
    objects.abandon_claim(claimed)
    assert move() == ["report #1"]


def test_who_was_taken_for_dead_and_wakes_up_spoils_nothing(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During its upload another process uploads and moves the log, and removes its text from the rows."""
    run = ended()
    monkeypatch.setattr(objects, "CLAIM_DURATION", timedelta(seconds=-1))
    put, slept = FileBackend.write_object, []

    def sleep_once(self: FileBackend, name: str, content: Any) -> None:
        put(self, name, content)
        if not slept:
            slept.append(name)
            assert move() == ["report #1"]

    monkeypatch.setattr(FileBackend, "write_object", sleep_once)
    assert move() == [], "it finds that the object is not its own any more"
    assert whole(run) == TEXT
    (file,) = files(folder)
    assert not str(file).endswith(slept[0]), "and takes its own away"
    assert objects.delete_unwanted(Throttle()) == (1, set())


def test_two_that_point_the_rows_at_once_write_the_same(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process stops within a batch; another completes the work; the first continues with the rows that it had
    read."""
    run = ended()
    give_up, once = archiver._replace_text_by_offset, []

    def overtaken(places: dict[int, int]) -> None:
        if len(once) < 2:
            once.append(1)
            if len(once) == 2:
                (stored,) = LogObject.objects.all()
                archiver._point_chunks_to_object(stored, Throttle())
        give_up(places)

    monkeypatch.setattr(archiver, "_replace_text_by_offset", overtaken)
    move()
    rows = list(LogChunk.objects.filter(run=run).order_by("first_seq").values_list("object_offset", "object_length"))
    assert [at for at, _ in rows] == [sum(size for _, size in rows[:number]) for number in range(len(rows))]
    assert whole(run) == TEXT


def test_a_log_that_is_removed_while_it_is_uploaded_leaves_no_object(
    folder: Path, ended: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(hours=50)
    put = FileBackend.write_object

    def removed_meanwhile(self: FileBackend, name: str, content: Any) -> None:
        put(self, name, content)
        settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
        list(prune.prune_due_logs(Throttle()))

    monkeypatch.setattr(FileBackend, "write_object", removed_meanwhile)
    assert move() == []
    objects.delete_unwanted(Throttle())
    assert files(folder) == []
    assert not LogObject.objects.exists()


def test_the_object_of_a_run_that_was_deleted_goes(folder: Path, ended: Any) -> None:
    run = ended()
    move()
    Run.objects.filter(pk=run.pk).delete()
    assert len(files(folder)) == 1
    assert objects.delete_unwanted(Throttle()) == (1, set())
    assert files(folder) == []


def test_an_object_that_was_stored_while_its_log_was_removed_goes(folder: Path, ended: Any) -> None:
    """The removal searched for the object a moment before it was stored."""
    run, other = ended(), ended()
    move()
    stored = LogObject.objects.get(run=run)
    prune.hide_logs([run.pk], "it is old")
    prune.delete_hidden_logs([run.pk], Throttle())
    LogObject.objects.filter(pk=stored.pk).update(state=LogObject.State.STORED)
    assert objects.delete_unwanted(Throttle()) == (1, set())
    assert list(LogObject.objects.values_list("run", flat=True)) == [other.pk]
    assert [path.name.startswith(str(other.pk)) for path in files(folder)] == [True]
    assert whole(other) == TEXT


def test_a_store_that_is_gone_for_good_holds_nothing_else_back(
    folder: Path, ended: Any, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = ended(), move()
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_storage": f"file://{tmp_path / 'other'}"})
    second, _ = ended(), move()
    Run.objects.filter(pk__in=[first.pk, second.pk]).delete()
    delete = FileBackend.delete_object

    def fail_in_the_first(self: FileBackend, name: str) -> None:
        if str(first.pk) in name:
            raise StorageUnavailable from OSError("no such place")
        delete(self, name)

    monkeypatch.setattr(FileBackend, "delete_object", fail_in_the_first)
    assert objects.delete_unwanted(Throttle()) == (1, {f"file://{folder}"})
    assert LogObject.objects.count() == 1


def test_while_the_storage_is_away_tries_do_not_pile_up(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended()

    def fail(*_: Any) -> None:
        raise StorageUnavailable from OSError("no route to it")

    with monkeypatch.context() as patched:
        patched.setattr(FileBackend, "write_object", fail)
        patched.setattr(FileBackend, "delete_object", fail)
        for _ in range(5):
            assert maintenance.LogMaintenance().run_once() is False
        assert LogObject.objects.count() == MAX_CONSECUTIVE_FAILURES
    assert maintenance.LogMaintenance().run_once() is True
    assert LogObject.objects.get().state == "stored"


def refuse(monkeypatch: pytest.MonkeyPatch, method: str, *runs: Run) -> list[str]:
    """Makes the storage fail for the objects of these runs; returns the requested names."""
    real, asked = getattr(FileBackend, method), []

    def call(self: FileBackend, name: str, *more: Any) -> Any:
        asked.append(name)
        if any(str(run.pk) in name for run in runs):
            raise StorageUnavailable from OSError("refused")
        return real(self, name, *more)

    monkeypatch.setattr(FileBackend, method, call)
    return asked


def archived() -> set[Any]:
    return set(LogHead.objects.filter(archived_at__isnull=False).values_list("pk", flat=True))


def test_an_object_that_the_storage_refuses_holds_up_no_other_log(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [ended(hours=50 - number) for number in range(4)]
    refuse(monkeypatch, "write_object", runs[0], runs[2])
    assert maintenance.LogMaintenance().run_once() is False, "it comes again soon"
    assert archived() == {runs[1].pk, runs[3].pk}


def test_a_storage_that_fails_at_several_logs_in_a_row_is_asked_no_more(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [ended() for _ in range(6)]
    asked = refuse(monkeypatch, "write_object", *runs)
    with pytest.raises(StorageUnavailable):
        move()
    assert len(asked) == MAX_CONSECUTIVE_FAILURES


def test_an_unforeseen_error_at_one_log_holds_up_no_other(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During its upload, or while its rows are updated."""
    begun, point, look = ended(hours=50), archiver._point_chunks_to_object, archiver._has_all_lines
    with monkeypatch.context() as patched:
        patched.setattr(archiver, "_point_chunks_to_object", lambda *_: None)  # as a process that dies there
        move()
    due, last = ended(hours=40), ended(hours=30)

    def fail_to_point(stored: LogObject, pace: Throttle) -> None:
        if stored.run_id == begun.pk:
            raise ValueError("unforeseen")
        point(stored, pace)

    def fail_to_look(one: Any) -> bool:
        if one.run_id == due.pk:
            raise ValueError("unforeseen")
        return look(one)

    monkeypatch.setattr(archiver, "_point_chunks_to_object", fail_to_point)
    monkeypatch.setattr(archiver, "_has_all_lines", fail_to_look)
    with pytest.raises(LogsSkipped):
        move()
    assert archived() == {last.pk}


def test_an_object_that_can_not_be_deleted_holds_up_neither_others_nor_the_archiving(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [ended(), ended()]
    move()
    Run.objects.filter(pk__in=[run.pk for run in gone]).delete()
    fresh = ended()
    refuse(monkeypatch, "delete_object", gone[0])
    maintenance.run_maintenance(Throttle())
    assert archived() == {fresh.pk}
    assert LogObject.objects.filter(run=None).count() == 1


# A database or storage that is not as it should be.


def test_a_log_with_a_hole_stays_in_the_database(folder: Path, ended: Any) -> None:
    run = ended()
    LogChunk.objects.filter(run=run, first_seq=31).delete()
    assert move() == []
    assert in_database(run) == 11
    objects.delete_unwanted(Throttle())
    assert files(folder) == []
    LogChunk.objects.filter(run=run, first_seq__gt=20).delete()
    assert move() == [], "nor one that lacks its end"
    assert not LogObject.objects.exists(), "and nothing was uploaded for it"


def test_a_storage_that_gives_back_other_bytes_gets_no_log(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended()
    put = FileBackend.write_object

    def spoil(self: FileBackend, name: str, content: Any) -> None:
        put(self, name, content)
        (folder / name).write_bytes((folder / name).read_bytes()[:-1] + b"!")

    monkeypatch.setattr(FileBackend, "write_object", spoil)
    with pytest.raises(StorageUnavailable):
        move()
    assert in_database(run) == 12
    monkeypatch.undo()
    objects.delete_unwanted(Throttle())
    assert files(folder) == []


@pytest.fixture
def away(folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose log is in an archive that no longer answers."""
    run = ended()
    move()

    def fail(*_: Any) -> bytes:
        raise StorageUnavailable from OSError("no route to it")

    monkeypatch.setattr(FileBackend, "read_range", fail)
    monkeypatch.setattr(base, "OPEN_SECONDS", 0.0)
    return run


@pytest.mark.parametrize("path", ["logs", "logs.txt", "logs/find?q=a", "logs?q=a"])
def test_an_archive_that_is_away_is_said_in_words(away: Run, viewer: Api, path: str) -> None:
    answer = viewer.get(f"/runs/{away.pk}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (503, "log_storage_unavailable")
    assert "does not answer" in answer.json()["detail"]
    assert "Content-Disposition" not in answer


def test_a_stream_says_it_as_its_last_word(away: Run, viewer: Api) -> None:
    assert b'{"failed":{"code":"log_storage_unavailable"' in body_of(viewer.get(f"/runs/{away.pk}/logs/follow"))
    events = body_of(viewer.call("GET", f"/runs/{away.pk}/logs/follow", Accept="text/event-stream"))
    assert b"event: failed\ndata: {" in events


def test_an_object_that_is_gone_or_short_is_said_too(folder: Path, ended: Any, viewer: Api) -> None:
    run = ended()
    move()
    (file,) = files(folder)
    data = file.read_bytes()
    for change in (lambda: file.write_bytes(data[:-10]), file.unlink):
        change()
        block_cache.clear()
        answer = viewer.get(f"/runs/{run.pk}/logs.txt")
        assert (answer.status_code, answer.json()["code"]) == (502, "log_storage_unavailable")
    file.write_bytes(b"\1" + b"x" * (len(data) - 1))
    block_cache.clear()
    answer = viewer.get(f"/runs/{run.pk}/logs.txt")
    assert (answer.status_code, answer.json()["code"]) == (502, "log_damaged")


def test_what_fails_once_is_left_alone_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Away(FileBackend):
        def read_range(self, name: str, start: int, length: int) -> bytes:
            asked.append(name)
            raise StorageUnavailable

    store = base.CircuitBreaker(Away("/nowhere"))
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            store.read_range("a", 0, 1)
    assert asked == ["a"]
    monkeypatch.setattr(base.time, "monotonic", lambda: 10**9)
    with pytest.raises(StorageUnavailable):
        store.read_range("a", 0, 1)
    assert asked == ["a", "a"]


def test_a_storage_that_can_not_be_written_to_leaves_all_as_it_is(ended: Any, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    changes = {"log_storage": f"file://{tmp_path / 'file'}", **FOREVER}
    settings.CONFIG = settings.CONFIG.model_copy(update=changes)
    run = ended()
    with pytest.raises(CommandError, match=r"The storage file://.* fails: .*(File exists|Not a directory)"):
        call_command("logs", "archive", stdout=StringIO())
    assert (in_database(run), whole(run)) == (12, TEXT)


# How little is read.


class Counted:
    """The reads of a storage, as (start, length)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[tuple[int, int]] = []
        real = FileBackend.read_range

        def counted(folder: FileBackend, name: str, start: int, length: int) -> bytes:
            self.reads.append((start, length))
            return real(folder, name, start, length)

        monkeypatch.setattr(FileBackend, "read_range", counted)


def test_who_scrolls_through_a_log_asks_the_archive_seldom(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.logs.archive.block_cache.BLOCK_BYTES", BLOCK)
    run = ended(text_of(4000))
    move()
    size = LogObject.objects.get().bytes
    counted, seq, windows = Counted(monkeypatch), 0, 0
    while found := read.read_lines(run.pk, seq, 40):
        seq, windows = found[-1].seq, windows + 1
    assert windows == 100
    assert len(counted.reads) <= 1 + size / (2 * BLOCK)
    counted.reads.clear()
    assert b"".join(read.read_text(run.pk)) == text_of(4000)
    assert counted.reads == [], "it was all read a moment ago"
    block_cache.clear()
    assert len(b"".join(read.read_text(run.pk))) == run.log_bytes
    assert len(counted.reads) == 1 + size // (8 * BLOCK), "who reads on gets more at a time"


def test_a_window_reads_no_more_than_what_lies_around_it(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.logs.archive.block_cache.BLOCK_BYTES", BLOCK)
    run = ended(text_of(4000))
    move()
    counted = Counted(monkeypatch)
    read.read_lines(run.pk, 3000, 20)
    assert sum(length for _, length in counted.reads) <= 3 * BLOCK


def test_lines_of_one_stream_are_found_without_the_text_of_the_other(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended()
    LogChunk.objects.filter(run=run, first_seq__gt=1).update(index=LogChunk.objects.get(run=run, first_seq=1).index)
    move()
    counted = Counted(monkeypatch)
    assert search.find_ranges(run.pk, search.Query("x", stream=2), 0, 10).ranges == []
    assert counted.reads == []


@pytest.mark.parametrize("lines", [120, 1200])
def test_a_window_of_an_archived_log_costs_one_query_more(
    folder: Path, ended: Any, lines: int, django_assert_num_queries: Any
) -> None:
    run = ended(text_of(lines))
    with django_assert_num_queries(2):
        read.read_lines(run.pk, 50, 20)
    move()
    with django_assert_num_queries(3):
        read.read_lines(run.pk, 50, 20)


def test_blocks_keep_within_their_room_and_give_exactly_what_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.logs.archive.block_cache.BLOCK_BYTES", BLOCK)
    data = bytes(range(256)) * 256  # four blocks
    (tmp_path / "a").write_bytes(data)
    place = ObjectRef(f"file://{tmp_path}", "a", len(data))
    kept = BlockCache(room=2)
    for start, length in ((0, 1), (BLOCK - 1, 2), (0, len(data)), (len(data) - 1, 1), (BLOCK, BLOCK), (5, 0)):
        for ahead in (0, 1, 9):
            assert kept.read_range(place, start, length, ahead) == data[start : start + length]
            assert len(kept._blocks) <= 2
    with pytest.raises(ObjectMissing):
        kept.read_range(place, len(data) - 1, 2)


def test_a_large_log_moves_in_short_transactions(
    folder: Path, job: Job, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr(archiver, "BATCH_SIZE", 200)
    run = give_log(launch(job, get_admin()), text_of(4000), 2)
    with CaptureQueriesContext(connection) as captured:
        move()
    told = [one["sql"] for one in captured.captured_queries]
    updates = [sql for sql in told if sql.startswith("UPDATE") and "logchunk" in sql]
    assert len(updates) == 10
    assert not any(sql.startswith("BEGIN") for sql in told[told.index(updates[0]) :]), (
        "each is a transaction of its own"
    )
    assert whole(run) == text_of(4000)


# The thread and the commands.


def test_a_round_removes_first_and_moves_what_is_left(folder: Path, ended: Any, settings: Any) -> None:
    old, new = ended(hours=100), ended(hours=30)
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 3})
    maintenance.run_maintenance(Throttle())
    assert list(LogHead.objects.filter(archived_at__isnull=False).values_list("pk", flat=True)) == [new.pk]
    assert Run.objects.get(pk=old.pk).log_pruned_at is not None
    assert len(files(folder)) == 1


def test_the_thread_does_its_round_soon_after_the_start_and_ends_when_told(
    folder: Path, ended: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended()
    monkeypatch.setattr(maintenance, "DELAY", 0.01)
    done, once = threading.Event(), maintenance.run_maintenance

    def told(pace: Throttle) -> None:
        once(pace)
        done.set()

    monkeypatch.setattr(maintenance, "run_maintenance", told)
    made = maintenance.LogMaintenance()
    made.start()
    assert done.wait(10)
    made.stop()
    assert not made.thread.is_alive()
    assert len(files(folder)) == 1


@pytest.mark.parametrize("error", [StorageUnavailable(), RuntimeError("anything")])
def test_a_round_that_fails_comes_again_soon(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pace: Throttle) -> None:
        raise error

    monkeypatch.setattr(maintenance, "run_maintenance", fail)
    assert maintenance.LogMaintenance().run_once() is False


def run_command(*words: str) -> str:
    out = StringIO()
    call_command("logs", *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_would_move_and_then_moves_it(folder: Path, ended: Any) -> None:
    run = ended()
    assert "would move report #1: 120 lines" in run_command("archive", "--dry-run")
    assert in_database(run) == 12
    assert "Moved 1 log: 120 lines" in run_command("archive")
    assert in_database(run) == 0


def test_the_command_says_so_where_there_is_no_archive(db: None) -> None:
    assert "CRONIUM_LOG_STORAGE is not set" in run_command("archive")
