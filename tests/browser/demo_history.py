"""The past of the demo data: people, projects, jobs, and the runs of the last days. Runs inside `manage.py shell`."""

import random
from datetime import timedelta
from typing import Any

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
    for name in ("Nightly invoice import", "Rebuild search index", "Customer report"):
        JobPin.objects.create(user=admin, job=Job.objects.get(name=name))
    JobView.objects.create(name="Billing", owner=admin, query={"tag": ["billing"]})
    of_team = Project.objects.get(slug="finance")
    JobView.objects.create(name="Nightly", project=of_team, query={"tag": ["nightly"]})


def _fill_job(job: Job, author: User, rng: random.Random) -> None:
    if not job.enabled:
        return
    if job.name == "Nightly invoice import":
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
        began = now - timedelta(hours=hours * (count - number) + 1, seconds=rng.randrange(900))
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
    """The planned times of the last days of two schedules, and a downtime."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    states = {3: ("overlapped", "The run #22 was running"), 9: ("merged", "Run with the next time")}
    for slug, step in (("export-ledger-to-warehouse", 1), ("nightly-invoice-import", 24)):
        schedule = Schedule.objects.get(job__slug=slug)
        runs = list(Run.objects.filter(job=schedule.job, occurrence=None, trigger="schedule").order_by("-number"))
        for number in range(1, 14):
            at = hour - timedelta(hours=step * number)
            state, reason = states.get(number, ("ran", ""))
            row = {"state": state, "reason": reason, "rule_number": 1, "nominal_at": at, "last_nominal_at": at}
            if state == "ran":
                row |= {"run": runs.pop(0) if runs else None, "late_by_seconds": number % 3}
            if number == 6:
                row |= {"state": "missed", "reason": "Cronium did not run", "run": None, "count": 4}
            Occurrence.objects.create(schedule=schedule, **row)
    now = timezone.now()
    Heartbeat.objects.filter(pk=1).update(down_from=now - timedelta(hours=9), down_until=now - timedelta(hours=5))
