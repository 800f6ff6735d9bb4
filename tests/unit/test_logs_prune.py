"""Retention of logs: the selected logs, no partial reads, and continuation by any process after a crash."""

import itertools
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.jobs.models import Job
from cronium_admin.logs import maintenance, read
from cronium_admin.logs.models import LogChunk, LogHead
from cronium_admin.logs.retention import due, prune
from cronium_admin.logs.store import RunLog, commit_writes
from cronium_admin.logs.throttle import Stopped, Throttle
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import LIVE, Run
from tests.conftest import Api
from tests.unit.log_storage import FOREVER, Killed, dying_at, give_log, text_of, whole
from tests.unit.test_logs_store import batch
from tests.users import get_admin

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)
OLD = timedelta(days=100)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.logs.throttle.MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr("cronium_admin.logs.throttle.PAUSE_FACTOR", 0)


@pytest.fixture
def keep(settings: Any) -> Callable[..., None]:
    """Sets retention settings; nothing is removed until then."""

    def say(**values: int) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={**FOREVER, **values})

    say()
    return say


@pytest.fixture
def ended(keep: Any) -> Callable[..., Run]:
    """A run of a job that ended this long ago, with ten lines."""

    def make(job: Job, days: float = 100, lines: int = 10) -> Run:
        return give_log(launch(job, get_admin()), text_of(lines), 5, timedelta(days=days))

    return make


def named() -> list[str]:
    return sorted({one.name for one in due.find_due_logs()})


# Whose.


def test_what_is_past_its_age_goes_and_the_rest_stays(keep: Any, ended: Any, make_job: Any) -> None:
    job = make_job(slug="a")
    ended(job, 91), ended(job, 89), ended(make_job(slug="b"), 90.01)
    assert named() == [], "0 keeps them for ever"
    keep(log_keep_days=90)
    assert named() == ["a #1", "b #1"]


def test_a_job_says_otherwise_for_its_own_runs(keep: Any, ended: Any, make_job: Any) -> None:
    keep(log_keep_days=90)
    for slug, days in (("default", None), ("week", 7), ("ever", 0), ("same", 90)):
        job = make_job(slug=slug, log_keep_days=days)
        ended(job, 100), ended(job, 8)
    assert named() == ["default #1", "same #1", "week #1", "week #2"]
    why = {one.name: one.why for one in due.find_due_logs()}
    assert why["default #1"] == "it ended more than 90 days ago (CRONIUM_LOG_KEEP_DAYS)"
    assert why["week #1"] == "it ended more than 7 days ago (a setting of its job)"


def test_only_the_last_runs_of_each_job_keep_theirs(keep: Any, ended: Any, make_job: Any) -> None:
    one, two, all_of_them = make_job(slug="one"), make_job(slug="two", log_keep_runs=1), make_job(slug="all")
    Job.objects.filter(pk=all_of_them.pk).update(log_keep_runs=0)
    for job in (one, two, all_of_them):
        for days in (5, 4, 3, 2):
            ended(job, days)
    keep(log_keep_runs=3)
    assert named() == ["one #1", "two #1", "two #2", "two #3"]
    why = {found.name: found.why for found in due.find_due_logs()}
    assert why["one #1"] == "it is not among the last 3 runs of its job (CRONIUM_LOG_KEEP_RUNS)"
    assert why["two #3"] == "it is not among the last 1 run of its job (a setting of its job)"


def test_the_last_are_those_that_ended_last_so_a_long_run_keeps_what_it_has_just_written(
    keep: Any, ended: Any, make_job: Any
) -> None:
    job = make_job(slug="long", log_keep_runs=1)
    ended(job, 0.001), ended(job, 1)
    assert named() == ["long #2"]


def test_a_run_without_lines_counts_among_the_last_and_has_nothing_to_remove(
    keep: Any, ended: Any, make_job: Any
) -> None:
    job = make_job(slug="quiet", log_keep_runs=1, log_keep_days=1)
    ended(job, 9), ended(job, 8, lines=0)
    assert named() == ["quiet #1"]


@pytest.mark.parametrize("status", LIVE)
def test_a_run_that_lives_keeps_its_log_however_old(keep: Any, ended: Any, job: Job, status: str) -> None:
    run = ended(job)
    keep(log_keep_days=1, log_keep_runs=1)
    Run.objects.filter(pk=run.pk).update(status=status, finished_at=None)
    assert named() == []
    assert not state_machine.prune_log(run.pk, "", 0, 0)


def test_the_logs_of_a_deleted_job_go_by_their_age(keep: Any, ended: Any, job: Job) -> None:
    ended(job), ended(job, 5)
    job.delete()
    keep(log_keep_days=90, log_keep_runs=1)
    assert named() == ["report #1"]


def test_more_than_a_page_of_them_all_come(keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "PAGE_SIZE", 3)
    runs = [ended(job) for _ in range(10)]
    Run.objects.update(finished_at=runs[0].finished_at)
    keep(log_keep_days=90)
    assert len(named()) == 10
    assert len(list(prune.prune_due_logs(Throttle()))) == 10
    assert named() == []


# The remaining data.


def test_the_run_stays_with_its_facts_and_says_when_and_why(keep: Any, ended: Any, job: Job, viewer: Api) -> None:
    run = ended(job)
    keep(log_keep_days=90)
    list(prune.prune_due_logs(Throttle()))
    assert not LogChunk.objects.exists()
    assert not LogHead.objects.exists()
    said = viewer.get(f"/runs/{run.pk}").json()
    assert (said["log_lines"], said["log_bytes"], said["log_digest"]) == (run.log_lines, run.log_bytes, run.log_digest)
    assert said["log_pruned_at"] is not None
    state = read.read_state(run.pk)
    assert state is not None
    assert (state.lines, state.bytes) == (run.log_lines, run.log_bytes)
    assert "it ended more than 90 days ago" in state.pruned


def test_a_lost_run_gets_the_numbers_that_nobody_had_written_down(keep: Any, ended: Any, job: Job) -> None:
    run = ended(job)
    Run.objects.filter(pk=run.pk).update(log_lines=0, log_bytes=0, log_digest="", status="lost")
    keep(log_keep_days=90)
    list(prune.prune_due_logs(Throttle()))
    run.refresh_from_db()
    assert (run.log_lines, run.log_bytes) == (10, len(text_of(10)))


@pytest.mark.parametrize("path", ["logs", "logs/find?q=a", "logs/follow", "logs.txt", "logs?q=a"])
def test_all_ways_to_the_log_answer_that_it_is_gone(keep: Any, ended: Any, job: Job, viewer: Api, path: str) -> None:
    run = ended(job)
    keep(log_keep_days=90)
    list(prune.prune_due_logs(Throttle()))
    answer = viewer.get(f"/runs/{run.pk}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (410, "log_pruned")
    assert "was removed on" in answer.json()["detail"]
    assert "CRONIUM_LOG_KEEP_DAYS" in answer.json()["detail"]


def test_nothing_is_written_to_a_log_that_was_removed(keep: Any, ended: Any, job: Job) -> None:
    run = ended(job)
    late = RunLog(run.pk, 0).prepare_write(batch((1, b"late\n")))
    keep(log_keep_days=90)
    list(prune.prune_due_logs(Throttle()))
    assert commit_writes([late]) == {late}
    assert not LogChunk.objects.exists()


# Crashes and concurrent readers.


@committed
def test_it_is_gone_on_with_after_a_death_at_any_step_and_nobody_reads_half_a_log(
    keep: Any, job: Job, viewer: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "BATCH_SIZE", 2)
    keep(log_keep_days=90)
    text = text_of(30)
    step, died = 0, True
    while died:
        step, died = step + 1, False
        run = give_log(launch(job, get_admin()), text, 5, OLD)
        with dying_at(step, monkeypatch):
            try:
                list(prune.prune_due_logs(Throttle()))
            except Killed:
                died = True
        state = read.read_state(run.pk)
        assert state is not None
        if state.pruned:
            assert viewer.get(f"/runs/{run.pk}/logs").status_code == 410
        else:
            assert whole(run) == text
        list(prune.prune_due_logs(Throttle()))
        assert not LogChunk.objects.exists()
        assert not LogHead.objects.exists()
        run.refresh_from_db()
        assert (run.log_lines, run.log_pruned_at is not None) == (30, True)
    assert step > 15


@committed
def test_a_reader_on_the_way_finds_a_hole_and_then_the_truth(keep: Any, ended: Any, job: Job, viewer: Api) -> None:
    """Between the mark and the last chunk: lines read before are correct, and later reads get an error, not missing
    lines."""
    run = ended(job, lines=40)
    state = read.read_state(run.pk)
    assert state is not None
    reading = read.read_text(run.pk, 0, state.bytes)
    first = next(reading)
    assert text_of(40).startswith(first)
    keep(log_keep_days=90)
    list(prune.prune_due_logs(Throttle()))
    with pytest.raises(read.LogPruned):
        list(reading)
    assert read.read_lines(run.pk, 0) == [], "a window asked for before the mark is empty, and `next` says: ask again"


def test_two_that_prune_at_once_do_no_harm(keep: Any, ended: Any, job: Job) -> None:
    first, second = ended(job), ended(job)
    keep(log_keep_days=90)
    mine = prune.prune_due_logs(Throttle())
    assert next(mine).run_id == first.pk
    assert [one.run_id for one in prune.prune_due_logs(Throttle())] == [second.pk]
    assert list(mine) == []


def test_it_stops_between_two_batches_when_the_process_ends(
    keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(job, lines=50)
    keep(log_keep_days=90)
    monkeypatch.setattr(prune, "BATCH_SIZE", 2)
    over = threading.Event()
    seen: list[int] = []

    def set_after_two(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("DELETE"):
            seen.append(1)
            if len(seen) == 2:
                over.set()
        return execute(sql, *args)

    with connection.execute_wrapper(set_after_two), pytest.raises(Stopped):
        list(prune.prune_due_logs(Throttle(over)))
    assert LogChunk.objects.count() == 6
    list(prune.prune_due_logs(Throttle()))
    assert not LogChunk.objects.exists()


@pytest.mark.parametrize("begun", [False, True])
def test_a_log_that_can_not_be_removed_holds_up_no_other(
    keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    """Neither in this round nor in the next, which begins with it."""
    bad, *others = (ended(job, days) for days in (120, 110, 100))
    if begun:
        prune.hide_logs([bad.pk], "it is old")
    remove = prune.delete_hidden_logs

    def fail(run_ids: Any, pace: Throttle) -> None:
        if bad.pk in run_ids:
            raise ValueError("unforeseen")
        remove(run_ids, pace)

    keep(log_keep_days=90)
    with monkeypatch.context() as patched:
        patched.setattr(prune, "delete_hidden_logs", fail)
        assert maintenance.LogMaintenance().run_once() is False
        assert set(LogHead.objects.values_list("pk", flat=True)) == {bad.pk}
        others.append(ended(job))
        with pytest.raises(CommandError, match="1 logs were not removed"):
            call_command("logs", "prune", stdout=StringIO())
        assert set(LogHead.objects.values_list("pk", flat=True)) == {bad.pk}
    assert maintenance.LogMaintenance().run_once() is True
    assert not LogHead.objects.exists()


def test_a_database_that_is_away_ends_the_round_at_once(
    keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        ended(job)
    keep(log_keep_days=90)
    asked: list[Any] = []

    def fail(run_ids: Any, pace: Throttle) -> None:
        asked.append(run_ids)
        raise OperationalError("no route to host")

    monkeypatch.setattr(prune, "delete_hidden_logs", fail)
    with pytest.raises(OperationalError):
        maintenance.run_maintenance(Throttle())
    assert len(asked) == 1


# The duration of its transactions.


@committed
def test_a_large_log_is_removed_in_short_transactions_and_writers_get_in_between(
    keep: Any, job: Job, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20,000 chunks: no transaction is longer than a batch, and a concurrent writer is delayed little."""
    monkeypatch.undo()  # with its pauses
    give_log(launch(job, get_admin()), text_of(40_000), 2, OLD)
    assert LogChunk.objects.count() == 20_000
    keep(log_keep_days=90)
    writing, over, waits = launch(make_job(), get_admin()), threading.Event(), []

    def write() -> None:
        log = RunLog(writing.pk, 0)
        while not over.is_set():
            began = time.monotonic()
            commit_writes([log.prepare_write(batch((1, b"a line\n")))])
            waits.append(time.monotonic() - began)
            over.wait(0.005)
        connection.close()

    thread = threading.Thread(target=write)
    thread.start()
    with CaptureQueriesContext(connection) as captured:
        list(prune.prune_due_logs(Throttle()))
    over.set()
    thread.join(10)
    deleted = [one for one in captured.captured_queries if one["sql"].startswith("DELETE") and "logchunk" in one["sql"]]
    assert len(deleted) == 100
    begun = [one["sql"] for one in captured.captured_queries if one["sql"].startswith(("BEGIN", "COMMIT", "DELETE"))]
    assert not any(a.startswith("DELETE") and b.startswith("DELETE") for a, b in itertools.pairwise(begun))
    assert len(waits) > 10
    assert max(waits) < 5, sorted(waits)[-5:]
    assert len(b"".join(read.read_text(writing.pk))) == 7 * len(waits)


# The command.


def run_command(*words: str) -> str:
    out = StringIO()
    call_command("logs", *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_it_would_remove_and_then_removes_it(keep: Any, ended: Any, job: Job) -> None:
    ended(job), ended(job)
    keep(log_keep_days=90, log_keep_runs=1)
    told = run_command("prune", "--dry-run")
    assert "would remove report #1: 10 lines" in told
    assert "Would remove 2 logs: 20 lines" in told
    assert LogHead.objects.count() == 2
    told = run_command("prune")
    assert "removed report #2: 10 lines" in told
    assert "Removed 2 logs" in told
    assert "Removed 0 logs" in run_command("prune")


@pytest.mark.parametrize("jobs", [1, 6])
def test_a_round_with_nothing_to_do_asks_as_much_for_many_runs_as_for_few(
    keep: Any, ended: Any, make_job: Any, jobs: int, django_assert_num_queries: Any
) -> None:
    job = make_job()
    for _ in range(jobs):
        ended(job, 5)
    keep(log_keep_days=90)
    # Begun, the days of jobs and of deleted jobs together, by age: of deleted jobs and of the job; by number.
    with django_assert_num_queries(5):
        assert list(prune.prune_due_logs(Throttle())) == []
