"""The past of the demo data: people, projects, jobs, and the runs of the last days. Runs inside `manage.py shell`."""

import random
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.list_models import JobPin, JobView
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job, save_job
from cronium_admin.runs.job_health import record_end
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Heartbeat, Occurrence, Schedule
from tests.browser import demo_scripts
from tests.browser.visitor import PASSWORD

PROJECTS = {"finance": "Finance", "data-platform": "Data platform"}
PEOPLE = {"ana": "editor", "bo": "operator", "chandra": "viewer"}
DAYS = 6
NIGHTLY = "Nightly invoice import"


def fill() -> None:
    rng = random.Random(18)
    admin = User.objects.get(username="admin")
    projects = {slug: Project.objects.create(name=name, slug=slug) for slug, name in PROJECTS.items()}
    people = {name: User.objects.create_user(name, password=PASSWORD, role=role) for name, role in PEOPLE.items()}
    Job.objects.all().delete()
    for slug, rows in demo_scripts.JOBS.items():
        author = admin
        if slug in projects:
            author = User.objects.create_user(f"{slug}-lead", password=PASSWORD, role="")
            Membership.objects.create(user=author, project=projects[slug], role="editor")
        for row in rows:
            _fill_job(create_job(row, author), author, rng)
    Membership.objects.create(user=people["chandra"], project=projects["finance"], role="operator")
    _fill_lists(admin)


def _fill_lists(admin: User) -> None:
    for name in (NIGHTLY, "Rebuild search index", "Customer report"):
        JobPin.objects.create(user=admin, job=Job.objects.get(name=name))
    JobView.objects.create(name="Billing", owner=admin, query={"tag": "billing"})
    of_team = Project.objects.get(slug="finance")
    JobView.objects.create(name="Nightly", project=of_team, query={"tag": "nightly"})


def _fill_job(job: Job, author: User, rng: random.Random) -> None:
    if not job.enabled:
        return
    if job.name == NIGHTLY:
        job = save_job(job, {"timeout_seconds": 1200}, author)
    template = launch(job, author, trigger="schedule") if job.input_schema is None else launch(job, author)
    fields: dict[str, Any] = {f.attname: getattr(template, f.attname) for f in Run._meta.concrete_fields}
    del fields["id"]
    template.delete()
    hours = rng.choice([3, 6, 6, 12])
    count, now = DAYS * 24 // hours, timezone.now()
    typical = demo_scripts.SECONDS.get(job.name, demo_scripts.TYPICAL)
    failing = rng.choice([3, 4]) if job.name in demo_scripts.FAILURES else 0
    runs = []
    for number in range(1, count + 1):
        late = timedelta(seconds=rng.randrange(900))
        began = now - timedelta(hours=hours * (count - number) + 1) - late
        if job.name == NIGHTLY:
            began = _find_night(count - number) + late / 900
        took = timedelta(seconds=typical * rng.uniform(0.8, 1.35))
        outcome = _choose_outcome(job.name, number > count - failing, rng)
        times = {"created_at": began, "claimed_at": began, "started_at": began, "finished_at": began + took}
        more = {"cleaned_at": now, "number": number, "host": "build-1", "log_lines": 0, "log_pruned_at": now}
        peak = {"peak_memory_bytes": int(rng.uniform(30, 60) * 1e6), "cpu_seconds": took.total_seconds() / 3}
        runs.append(Run(**{**fields, **times, **more, **peak, **outcome}))
    Run.objects.bulk_create(runs)
    for run in runs:
        record_end(run.pk, run.status)
    Job.objects.filter(pk=job.pk).update(last_run_number=count)


def _find_night(days_ago: int) -> datetime:
    """The planned time of the nightly job, 02:30 in Berlin: the last one, or that of an earlier day."""
    now = timezone.now().astimezone(ZoneInfo("Europe/Berlin"))
    last = now.replace(hour=2, minute=30, second=0, microsecond=0)
    return last - timedelta(days=days_ago if last < now else days_ago + 1)


def _choose_outcome(name: str, is_failing: bool, rng: random.Random) -> dict[str, Any]:
    if is_failing or rng.random() < 0.04:
        text = demo_scripts.FAILURES.get(name, "ConnectionResetError: [Errno 104] Connection reset by peer")
        error = {"text": text, "line": 7, "script_line": 4, "file": "script"}
        message = "The script ended with exit code 1."
        return {"status": "failed", "reason": "exit_code", "exit_code": 1, "message": message, "error": error}
    if rng.random() < 0.02:
        return {"status": "timed_out", "reason": "timeout", "message": "Stopped after its time limit."}
    return {
        "status": "succeeded",
        "reason": "exit_code",
        "exit_code": 0,
        "message": "The script ended with exit code 0.",
    }


def clear() -> None:
    Job.objects.all().delete()


def fill_ledger() -> None:
    """The planned times of the last days of two schedules, and a downtime of four hours."""
    _copy_digests()
    now = timezone.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    hourly = Schedule.objects.get(job__slug="export-ledger-to-warehouse")
    runs = list(_list_runs_of(hourly))
    others = {
        3: ("overlapped", f"The run #{runs[2].number} was running"),
        5: ("missed", "Cronium did not run"),
        10: ("merged", "Run with the next time"),
    }
    for number in (1, 2, 3, 4, 5, 9, 10, 11, 12, 13):
        at = hour - timedelta(hours=number)
        state, reason = others.get(number, ("ran", ""))
        row = {"state": state, "reason": reason, "nominal_at": at, "last_nominal_at": at}
        if state == "ran":
            row |= {"run": runs.pop(0), "late_by_seconds": number % 3}
        elif state == "missed":
            row |= {"nominal_at": at - timedelta(hours=3), "count": 4}
        Occurrence.objects.create(schedule=hourly, rule_number=1, **row)
    _fill_nightly(Schedule.objects.get(job__name=NIGHTLY))
    Heartbeat.objects.filter(pk=1).update(down_from=now - timedelta(hours=9), down_until=now - timedelta(hours=5))


def _list_runs_of(schedule: Schedule) -> QuerySet[Run]:
    return Run.objects.filter(job=schedule.job, occurrence=None, trigger="schedule").order_by("-number")


def _fill_nightly(schedule: Schedule) -> None:
    for days_ago, run in enumerate(_list_runs_of(schedule)[:13]):
        at = _find_night(days_ago)
        row = {"state": "ran", "run": run, "late_by_seconds": days_ago % 3}
        if days_ago == 9:
            row = {"state": "missed", "reason": "Cronium did not run"}
            run.delete()
        Occurrence.objects.create(schedule=schedule, rule_number=1, nominal_at=at, last_nominal_at=at, **row)


def _copy_digests() -> None:
    """The past runs had the images of the present ones, so that comparisons show no change."""
    for run in Run.objects.exclude(image_digest=""):
        past = Run.objects.filter(image=run.image, image_digest="")
        past.update(image_digest=run.image_digest, image_resolved=run.image_resolved)
