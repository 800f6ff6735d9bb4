"""Deletion of runs: by age, by number, by hand; with all their rows, and no others."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import MAX_RUNS, fetch_recent_runs
from cronium_admin.logs import maintenance
from cronium_admin.logs.archive import archiver, objects
from cronium_admin.logs.models import LogChunk, LogHead, LogObject
from cronium_admin.logs.retention import due as log_due
from cronium_admin.logs.retention import prune
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention import deletion, ends
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import LIVE, TERMINAL, Run, RunEvent
from cronium_admin.variables import service
from cronium_admin.workers.gc import runs as gc_runs
from tests.conftest import Api
from tests.unit.log_storage import FOREVER, Killed, dying_at, files, give_log, text_of
from tests.users import get_admin

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True, serialized_rollback=True)
ALL_RUNS = {"run_keep_days": 0, "run_keep_runs": 0}


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.logs.throttle.MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr("cronium_admin.logs.throttle.PAUSE_FACTOR", 0)


@pytest.fixture
def keep(settings: Any) -> Callable[..., None]:
    def say(**values: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={**FOREVER, **ALL_RUNS, **values})

    say()
    return say


@pytest.fixture
def ended(keep: Any) -> Callable[..., Run]:
    """A run of a job that ended this many days ago, with a log."""

    def make(job: Job, days: float = 400, lines: int = 10) -> Run:
        run = give_log(launch(job, get_admin()), text_of(lines), 5, timedelta(days=days))
        Run.objects.filter(pk=run.pk).update(created_at=run.finished_at)
        return run

    return make


def left() -> list[str]:
    return sorted(str(run) for run in Run.objects.all())


# By rule.


def test_runs_past_their_age_are_deleted_and_a_job_says_otherwise(keep: Any, ended: Any, make_job: Any) -> None:
    for slug, days in (("default", None), ("week", 7), ("ever", 0)):
        job = make_job(slug=slug, run_keep_days=days)
        ended(job, 400), ended(job, 8)
    gone = ended(make_job(slug="gone"), 400)
    assert gone.job is not None
    gone.job.delete()
    keep(run_keep_days=365)
    ends.apply_rules(Throttle())
    assert left() == ["default #2", "ever #1", "ever #2"]


def test_runs_of_a_deleted_job_and_their_logs_stay_as_long_as_the_job_said(
    keep: Any, ended: Any, make_job: Any, editor: Api
) -> None:
    for slug, days in (("default", None), ("week", 7), ("ever", 0), ("long", 3650)):
        job = make_job(slug=slug, run_keep_days=days, log_keep_days=days)
        ended(job, 400), ended(job, 8)
        assert editor.delete(f"/jobs/{slug}").status_code == 204
    repeated = rerun(Run.objects.get(job_slug="week", number=2), get_admin())
    assert (repeated.run_keep_days, repeated.log_keep_days) == (7, 7)
    repeated.delete()
    assert sorted({one.name for one in log_due.find_due_logs()}) == ["week #1", "week #2"]
    ends.apply_rules(Throttle())
    assert left() == ["default #1", "default #2", "ever #1", "ever #2", "long #1", "long #2"]
    keep(run_keep_days=365, log_keep_days=365)
    assert [one.name for one in log_due.find_due_logs()] == ["default #1"]
    ends.apply_rules(Throttle())
    assert left() == ["default #2", "ever #1", "ever #2", "long #1", "long #2"]


def test_only_the_last_runs_of_each_job_are_kept(keep: Any, ended: Any, make_job: Any) -> None:
    for slug, number in (("default", None), ("one", 1), ("all", 0)):
        job = make_job(slug=slug, run_keep_runs=number)
        for days in (5, 4, 3):
            ended(job, days)
    keep(run_keep_runs=2)
    ends.apply_rules(Throttle())
    assert left() == ["all #1", "all #2", "all #3", "default #2", "default #3", "one #3"]


def test_a_run_stays_as_long_as_its_idempotency_key(keep: Any, ended: Any, job: Job, operator: Api) -> None:
    made = operator.post("/jobs/report/runs", Idempotency_Key="a").json()["id"]
    run = give_log(Run.objects.get(pk=made), text_of(1), 5, timedelta(days=2))
    ended(job, 0.5)
    for rules in ({"run_keep_runs": 1}, {"run_keep_days": 1}):
        keep(**rules)
        ends.apply_rules(Throttle())
        assert operator.post("/jobs/report/runs", Idempotency_Key="a").json()["id"] == made
    Run.objects.filter(pk=run.pk).update(created_at=run.finished_at)
    keep(run_keep_runs=1, idempotency_keep_days=1)
    ends.apply_rules(Throttle())
    assert left() == ["report #2"]


def test_a_key_that_has_no_end_goes_with_its_run(keep: Any, ended: Any, job: Job) -> None:
    ended(job, 2), ended(job, 1)
    Run.objects.filter(number=1).update(idempotency_key="a", idempotency_by=0)
    keep(run_keep_runs=1, idempotency_keep_days=0)
    ends.apply_rules(Throttle())
    assert left() == ["report #2"]


def test_a_long_run_does_not_go_the_moment_it_ends(keep: Any, ended: Any, make_job: Any) -> None:
    job = make_job(slug="long", run_keep_runs=1)
    ended(job, 0.001), ended(job, 1)
    ends.apply_rules(Throttle())
    assert left() == ["long #1", "long #2"]
    ended(job, 0)
    ends.apply_rules(Throttle())
    assert left() == ["long #3"]


@pytest.mark.parametrize("status", LIVE)
def test_a_live_run_is_kept_however_old(keep: Any, ended: Any, job: Job, status: str, editor: Api) -> None:
    run = ended(job)
    Run.objects.filter(pk=run.pk).update(status=status, finished_at=None)
    ended(job, 0)
    keep(run_keep_days=1, run_keep_runs=1)
    ends.apply_rules(Throttle())
    assert left() == ["report #1", "report #2"]
    assert deletion.delete_runs([run.pk], Throttle()) == 0
    answer = editor.delete(f"/runs/{run.pk}")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_is_live")
    run.refresh_from_db()
    assert run.log_pruned_at is None
    assert LogHead.objects.get(pk=run.pk).pruning is False


def test_more_than_a_batch(keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletion, "BATCH_SIZE", 3)
    for _ in range(10):
        ended(job, lines=1)
    keep(run_keep_days=365)
    ends.apply_rules(Throttle())
    assert not Run.objects.exists()


def test_a_run_that_can_not_be_deleted_holds_up_no_other(
    keep: Any, ended: Any, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH_SIZE", 3)
    bad, job = ended(make_job(slug="bad"), 500), make_job(slug="good")
    for one in [bad.job] * 4 + [job] * 2:
        ended(one)
    remove = prune.delete_hidden_logs

    def fail(run_ids: Any, pace: Throttle) -> None:
        if bad.pk in run_ids:
            raise ValueError("unforeseen")
        remove(run_ids, pace)

    monkeypatch.setattr(prune, "delete_hidden_logs", fail)
    keep(run_keep_days=365)
    ends.apply_rules(Throttle())
    assert left() == ["bad #1"]


@committed
def test_the_round_of_the_keeper_deletes_before_it_archives(keep: Any, ended: Any, job: Job) -> None:
    ended(job)
    keep(run_keep_days=365)
    assert maintenance.LogMaintenance(ends.apply_rules).run_once()
    assert not Run.objects.exists()


def test_one_end_that_fails_holds_up_no_other(keep: Any, ended: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Throttle) -> Any:
        raise ValueError
        yield

    monkeypatch.setattr(ends, "RULES", (ends.RetentionRule("x", "", "", fail), *ends.RULES))
    ended(job)
    keep(run_keep_days=365)
    ends.apply_rules(Throttle())
    assert not Run.objects.exists()


# Deleted and remaining rows.


def test_all_that_belongs_to_a_run_goes_and_what_names_it_stays(keep: Any, ended: Any, job: Job, editor: Api) -> None:
    run, other = ended(job, 1), ended(job, 1)
    again = rerun(run, get_admin())
    place = service.VariableRef(job, "day")
    service.set_variable(place, 1, run)
    assert editor.delete(f"/runs/{run.pk}").status_code == 204
    assert left() == ["report #2", "report #3"]
    assert set(LogChunk.objects.values_list("run_id", flat=True)) == {other.pk}
    assert not LogHead.objects.filter(pk=run.pk).exists()
    assert not RunEvent.objects.filter(run_id=run.pk).exists()
    again.refresh_from_db()
    assert again.parent is None
    kept = service.find_variable(place)
    assert kept is not None
    assert (kept.changed_by, kept.changed_run) == ("report #1", None)
    assert editor.get(f"/runs/{run.pk}").status_code == 404
    assert editor.delete(f"/runs/{run.pk}").status_code == 404


def test_a_number_is_not_used_again(keep: Any, ended: Any, job: Job, editor: Api) -> None:
    run = ended(job, 1)
    assert editor.delete(f"/runs/{run.pk}").status_code == 204
    assert launch(job, get_admin()).number == 2


def test_the_archived_object_is_deleted_too(keep: Any, ended: Any, job: Job, editor: Api, tmp_path: Path) -> None:
    keep(log_storage=f"file://{tmp_path}/archive", log_archive_after=0)
    run = ended(job, 1)
    assert len(list(archiver.archive_due_logs(Throttle()))) == 1
    assert len(files(tmp_path / "archive")) == 1
    assert editor.delete(f"/runs/{run.pk}").status_code == 204
    objects.delete_unwanted(Throttle())
    assert files(tmp_path / "archive") == []
    assert not LogObject.objects.exists()


def test_the_list_of_jobs_still_shows_the_last_run_that_is_left(keep: Any, ended: Any, job: Job) -> None:
    runs = [ended(job, 1, lines=0) for _ in range(MAX_RUNS + 2)]
    deletion.delete_runs([run.pk for run in runs[1:]], Throttle())
    assert [run.number for run in fetch_recent_runs([job])[job.pk]] == [1]


@committed
def test_a_late_event_of_a_deleted_run_is_no_error_at_the_commit(run: Run) -> None:
    pk = run.pk
    Run.objects.all().delete()
    state_machine.record_note(pk, "egress", "late")
    assert not RunEvent.objects.exists()


def test_what_a_deleted_run_left_on_an_engine_is_removed(keep: Any, ended: Any, job: Job) -> None:
    run, live = ended(job, 1), launch(job, get_admin())
    deletion.delete_runs([run.pk], Throttle())
    things = {("gone", str(run.pk)), ("gone", str(live.pk)), ("canary@gone", str(run.pk)), ("gone", "no uuid")}
    assert gc_runs.find_orphaned_elsewhere(things) == {("gone", str(run.pk))}


@committed
def test_a_death_at_any_step_is_finished_by_the_next_round(
    keep: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "BATCH_SIZE", 2)
    step, died = 0, True
    while died:
        step += 1
        run = give_log(launch(job, get_admin()), text_of(20), 5, timedelta(days=400))
        Run.objects.filter(pk=run.pk).update(created_at=run.finished_at)
        keep(run_keep_days=365)
        died = False
        try:
            with dying_at(step, monkeypatch):
                ends.apply_rules(Throttle())
        except Killed:
            died = True
        connection.close()
        maintenance.run_maintenance(Throttle())
        ends.apply_rules(Throttle())
        assert not Run.objects.exists()
        assert not LogChunk.objects.exists()
        assert not LogHead.objects.exists()
    assert step > 8


# By hand.


def test_bulk_takes_what_matches_all_filters(keep: Any, ended: Any, make_job: Any, admin: Api) -> None:
    one, two = make_job(slug="one"), make_job(slug="two")
    for job in (one, two):
        for days in (9, 5, 1):
            ended(job, days)
    Run.objects.filter(number=2).update(status="failed")
    before = (timezone.now() - timedelta(days=3)).isoformat().replace("+00:00", "Z")
    assert admin.delete(f"/runs?job=one&status=failed&before={before}").json() == {"deleted": 1, "left": 0}
    assert left() == ["one #1", "one #3", "two #1", "two #2", "two #3"]
    assert admin.delete("/runs?job=two&status=succeeded&limit=1").json() == {"deleted": 1, "left": 1}
    assert left() == ["one #1", "one #3", "two #2", "two #3"]
    two.delete()
    assert admin.delete("/runs?job=two").json() == {"deleted": 2, "left": 0}
    assert left() == ["one #1", "one #3"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "job"),
        ("job=", "job"),
        ("job=nope", "job"),
        ("job=%00", "job"),
        ("status=running", "status"),
        ("status=nope", "status"),
        ("before=yesterday", "before"),
        ("before=2026-01-01T00:00:00", "before"),
        ("jobs=report", "jobs"),
        ("job=report&limit=0", "limit"),
    ],
)
def test_bulk_refuses_what_it_does_not_understand_and_deletes_nothing(
    keep: Any, ended: Any, job: Job, admin: Api, query: str, field: str
) -> None:
    ended(job)
    answer = admin.delete(f"/runs?{query}")
    assert answer.status_code == 422, answer.content
    assert field in answer.json()["fields"], answer.content
    assert left() == ["report #1"]


def test_the_servers_log_says_who_deleted_what_and_how_many(
    keep: Any, ended: Any, job: Job, admin: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cronium.retention")
    runs = [ended(job) for _ in range(4)]
    admin.delete(f"/runs/{runs[3].pk}")
    admin.delete("/runs?job=report&limit=2")
    keep(run_keep_days=365)
    ends.apply_rules(Throttle())
    assert admin.delete("/jobs/report").status_code == 204
    ends.apply_rules(Throttle())
    assert [one.getMessage() for one in caplog.records if one.name == "cronium.retention"] == [
        f"admin deleted the run report #4 ({runs[3].pk})",
        "admin deleted 2 runs (job report); 1 are left",
        "retention removed 1 runs of report: ended more than 365 days ago (CRONIUM_RUN_KEEP_DAYS)",
        "retention removed 1 revisions of deleted jobs without a run",
        "retention removed 1 scripts without a revision",
    ]


def test_a_deletion_that_fails_on_the_way_is_in_the_servers_log(
    keep: Any, ended: Any, job: Job, admin: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, delete_rows, calls = [ended(job) for _ in range(4)], deletion._delete_rows, list[int]()

    def fail_later(run_ids: Any) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OperationalError("the disk is full")
        return delete_rows(run_ids)

    monkeypatch.setattr(deletion, "BATCH_SIZE", 2)
    monkeypatch.setattr(deletion, "_delete_rows", fail_later)
    assert admin.delete("/runs?job=report").status_code >= 500
    assert admin.delete(f"/runs/{runs[3].pk}").status_code >= 500
    told = [one.getMessage() for one in caplog.records if one.name == "cronium.retention"]
    assert [words[:60] for words in told] == [
        "admin deleted 2 runs (job report), then an error stopped the",
        f"admin began to delete the run report #4 ({runs[3].pk})"[:60],
    ]
    assert left() == ["report #3", "report #4"]


def test_the_pages(keep: Any, ended: Any, job: Job, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["editor"])
    run, live = ended(job), launch(job, get_admin())
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Delete this run?" in page
    assert "/runs/delete/" not in client.get("/runs/").content.decode()
    assert client.post(f"/runs/{live.pk}/delete/")["Location"] == f"/runs/{live.pk}/"
    assert client.post(f"/runs/{run.pk}/delete/")["Location"] == "/jobs/report/"
    assert left() == ["report #2"]
    client.force_login(people["admin"])
    ended(job), ended(job)
    assert "/runs/delete/" in client.get("/runs/").content.decode()
    assert "2 runs" in client.get("/runs/delete/?job=report&status=&before=").content.decode()
    assert "Fill in at least one field" in client.get("/runs/delete/?job=&status=&before=").content.decode()
    assert left() == ["report #2", "report #3", "report #4"]
    assert client.post("/runs/delete/", {"job": "report", "status": "", "before": ""})["Location"] == "/runs/"
    assert left() == ["report #2"]
    assert client.post("/runs/delete/", {"job": "", "status": "", "before": "x"}).status_code == 422


def counted_at(client: Client) -> str:
    page = client.get("/runs/delete/?job=report").content.decode()
    found = re.search('name="counted_at" value="([^"]+)"', page)
    assert found, page
    return found[1]


def test_the_page_deletes_no_run_that_ended_after_it_counted(
    keep: Any, ended: Any, job: Job, people: dict[str, User]
) -> None:
    client = Client()
    client.force_login(people["admin"])
    ended(job, 1), ended(job, 1)
    form = {"job": "report", "counted_at": counted_at(client)}
    ended(job, -0.01)  # some minutes later
    assert client.post("/runs/delete/", form)["Location"] == "/runs/"
    assert left() == ["report #3"]
    for bad in ("x", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\0"):
        answer = client.post("/runs/delete/", {**form, "counted_at": bad})
        assert answer.status_code == 422, bad
        assert 'class="err"' in answer.content.decode()
    assert left() == ["report #3"]


def test_a_job_takes_and_shows_how_long_its_runs_stay(editor: Api, job: Job) -> None:
    said = editor.patch("/jobs/report", {"run_keep_days": 30, "run_keep_runs": 5}).json()
    assert (said["run_keep_days"], said["run_keep_runs"], said["revision"]) == (30, 5, 2)
    refused = editor.patch("/jobs/report", {"run_keep_days": 10**6})
    assert (refused.status_code, list(refused.json()["fields"])) == (422, ["run_keep_days"])


def test_the_command_deletes_now_and_lists_the_ends(keep: Any, ended: Any, job: Job, capsys: Any) -> None:
    ended(job)
    keep(run_keep_days=365)
    call_command("retention")
    assert "CRONIUM_RUN_KEEP_DAYS" in capsys.readouterr().out
    assert left() == ["report #1"]
    call_command("retention", "--now")
    assert "removed 1 runs of report" in capsys.readouterr().out
    assert left() == []


def test_terminal_and_live_are_all_there_is() -> None:
    assert len(TERMINAL) + len(LIVE) == len(Run._meta.get_field("status").choices)  # type: ignore[arg-type]
