"""The log of a run that nobody could read to its end is sealed by any process, with a gap at its end."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.logs import read, seal_orphans
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.logs.verify import verify_log
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.workers import abandoned
from tests.unit.test_logs_gaps import text_batch
from tests.unit.test_recovery import PAST, put
from tests.users import get_admin

pytestmark = pytest.mark.django_db


def write(run: Run, text: bytes) -> None:
    run.refresh_from_db()
    commit_writes([RunLog.resume(run.pk, run.lease_epoch).prepare_write(text_batch(text))])


@pytest.mark.parametrize("text", [b"", b"one\ntwo\n"])
def test_a_lost_run_says_where_its_log_breaks_off(run: Run, text: bytes) -> None:
    put(run, Status.RUNNING, started_at=timezone.now(), lease_expires_at=timezone.now() + PAST)
    if text:
        write(run, text)
    assert abandoned.settle_abandoned_runs() == 1
    assert seal_orphans.seal_orphaned_logs() == 1
    run.refresh_from_db()
    lines = text.count(b"\n")
    assert (run.status, run.log_lines, run.log_bytes, run.log_gaps) == (Status.LOST, lines, len(text), 1)
    state = read.read_state(run.pk)
    assert state is not None
    assert [(gap["after"], gap["cause"]) for gap in state.gaps] == [(lines, "unread")]
    assert verify_log(run).problems == []
    assert seal_orphans.seal_orphaned_logs() == 0


@pytest.mark.parametrize("reason", ["secret_unavailable", "log_damaged"])
def test_so_does_one_that_could_not_be_adopted(run: Run, reason: str) -> None:
    put(run, Status.RUNNING, started_at=timezone.now())
    write(run, b"one\n")
    Run.objects.filter(pk=run.pk).update(status=Status.ERRORED, reason=reason, finished_at=timezone.now())
    assert seal_orphans.seal_orphaned_logs() == 1
    run.refresh_from_db()
    assert (run.log_lines, run.log_gaps, verify_log(run).problems) == (1, 1, [])


def test_a_live_one_one_with_a_seal_and_one_that_never_began_are_left_alone(run: Run) -> None:
    put(run, Status.RUNNING, started_at=timezone.now())
    write(run, b"one\n")
    assert seal_orphans.seal_orphaned_logs() == 0
    Run.objects.filter(pk=run.pk).update(status=Status.LOST, log_digest="00")
    assert seal_orphans.seal_orphaned_logs() == 0
    Run.objects.filter(pk=run.pk).update(
        status=Status.ERRORED, reason="secret_unavailable", started_at=None, log_digest=""
    )
    assert seal_orphans.seal_orphaned_logs() == 0
    assert LogHead.objects.get().sealed is False


def test_who_comes_second_changes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    put(run, Status.RUNNING, started_at=timezone.now() - timedelta(hours=1))
    write(run, b"one\n")
    Run.objects.filter(pk=run.pk).update(status=Status.LOST, finished_at=timezone.now())
    resume = RunLog.resume

    def slow(*given: object) -> RunLog:
        monkeypatch.undo()
        log: RunLog = resume(*given)  # type: ignore[arg-type]
        Run.objects.update(log_seal_after=None)  # the claim is over
        assert seal_orphans.seal_orphaned_logs() == 1  # another process, meanwhile
        return log

    monkeypatch.setattr(RunLog, "resume", slow)
    assert seal_orphans.seal_orphaned_logs() == 0
    run.refresh_from_db()
    assert (run.log_gaps, verify_log(run).problems) == (1, [])


def test_a_damaged_one_holds_up_no_other(run: Run, make_job: Callable[..., Job]) -> None:
    other = launch(make_job(), get_admin())
    for one in (run, other):
        put(one, Status.RUNNING, started_at=timezone.now())
        write(one, b"one\n")
        Run.objects.filter(pk=one.pk).update(status=Status.LOST, finished_at=timezone.now())
    LogChunk.objects.filter(run=run).update(data=b"\x01no zstd frame")
    assert seal_orphans.seal_orphaned_logs() == 1
    other.refresh_from_db()
    run.refresh_from_db()
    assert (bool(other.log_digest), run.log_digest) == (True, "")


def lost(job: Job, *, damaged: bool) -> Run:
    run = launch(job, get_admin())
    put(run, Status.RUNNING, started_at=timezone.now())
    write(run, b"one\n")
    Run.objects.filter(pk=run.pk).update(status=Status.LOST, finished_at=timezone.now())
    if damaged:
        LogChunk.objects.filter(run=run).update(data=b"\x01no zstd frame")
    return run


@pytest.mark.parametrize("error", [None, ValueError("unforeseen")])
def test_many_damaged_ones_starve_no_other(job: Job, monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    monkeypatch.setattr(seal_orphans, "BATCH_SIZE", 3)
    for _ in range(7):
        lost(job, damaged=True)
    whole = lost(job, damaged=False)
    if error:
        resume = RunLog.resume

        def fail(run_id: object, epoch: int) -> RunLog:
            if run_id != whole.pk:
                raise error
            return resume(run_id, epoch)  # type: ignore[arg-type]

        monkeypatch.setattr(RunLog, "resume", fail)
    assert [seal_orphans.seal_orphaned_logs() for _ in range(3)] == [0, 0, 1]
    whole.refresh_from_db()
    assert whole.log_digest


def test_a_damaged_one_is_read_later_and_later_whichever_process_asks(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reads, resume = lost(job, damaged=True), [], RunLog.resume
    monkeypatch.setattr(RunLog, "resume", lambda *given: reads.append(1) or resume(*given))
    for _ in range(5):
        seal_orphans.seal_orphaned_logs()
    assert len(reads) == 1
    pauses = []
    for _ in range(13):
        run.refresh_from_db()
        assert run.log_seal_after is not None
        pauses.append(round((run.log_seal_after - timezone.now()).total_seconds() / 60))
        Run.objects.update(log_seal_after=timezone.now() - timedelta(seconds=1))
        seal_orphans.seal_orphaned_logs()
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 24 * 60
    assert len(reads) == 14
    LogChunk.objects.all().delete()
    LogHead.objects.all().delete()
    Run.objects.update(log_seal_after=timezone.now() - timedelta(seconds=1))
    assert seal_orphans.seal_orphaned_logs() == 1, "it was mended"


def test_a_process_that_ends_begins_with_no_other_log(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        lost(job, damaged=False)
    sealer, seal = seal_orphans.OrphanSealer(), seal_orphans._seal_log

    def last(*given: object) -> bool:
        sealer.stop_event.set()
        return seal(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(seal_orphans, "_seal_log", last)
    sealer.run_once()
    assert Run.objects.exclude(log_digest="").count() == 1


def test_one_process_reads_a_log_at_a_time(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    lost(job, damaged=False)
    resume = RunLog.resume

    def slow(*given: object) -> RunLog:
        assert seal_orphans.seal_orphaned_logs() == 0, "another process, meanwhile"
        log: RunLog = resume(*given)  # type: ignore[arg-type]
        return log

    monkeypatch.setattr(RunLog, "resume", slow)
    assert seal_orphans.seal_orphaned_logs() == 1
