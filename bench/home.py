"""The home page with 10,000 jobs and 100,000 runs, against an almost empty database: python -m bench.home

Uses a new SQLite file, or the empty PostgreSQL database of CRONIUM_DATABASE_URL. Prints milliseconds and ratios.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

JOBS, RUNS, REQUESTS = 10_000, 100_000, 15


def _set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cronium_admin.settings")
    os.environ.setdefault("CRONIUM_DATA_DIR", tempfile.mkdtemp(prefix="cronium-bench-"))
    os.environ.setdefault("CRONIUM_SECRET_KEY", "k" * 50)
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)


def _make_jobs(template: Any, number: int) -> None:
    from cronium_admin.jobs.models import Job

    rows = []
    for place in range(number):
        job = Job(name=f"Job {place}", slug=f"job-{place}", language="bash", script="echo hello\n" * 40)
        job.profile, job.last_run_number, job.project_id = template.profile, RUNS // number, template.project_id
        job.set_derived()
        rows.append(job)
    Job.objects.bulk_create(rows, batch_size=1000)


def _make_runs(template: Any, number: int) -> None:
    """Spread over 30 days and all jobs; one of 40 fails, and the last runs of 30 jobs do."""
    from django.utils import timezone

    from cronium_admin.jobs.models import Job
    from cronium_admin.runs.models import Run

    names = [field.attname for field in Run._meta.concrete_fields if field.attname != "id"]
    values = {name: getattr(template, name) for name in names}
    jobs = list(Job.objects.filter(slug__startswith="job-").values_list("pk", "name", "slug"))
    random.seed(1)
    now = timezone.now()
    rows, each = [], number // len(jobs)
    for place in range(number):
        job_id, name, slug = jobs[place % len(jobs)]
        step = place // len(jobs) + 1
        at = now - timedelta(days=30) * (1 - place / number)
        is_bad = random.random() < 0.025 or (step == each and place % len(jobs) < 30)
        ends = {"status": "failed" if is_bad else "succeeded", "reason": "exit_code" if is_bad else ""}
        times = {"created_at": at, "claimed_at": at, "started_at": at, "finished_at": at + timedelta(seconds=9)}
        own = {"job_id": job_id, "job_name": name, "job_slug": slug, "number": step, **ends, **times}
        rows.append(Run(**values | own | {"cleaned_at": at, "log_digest": "x"}))
    Run.objects.bulk_create(rows, batch_size=500)


def _fill() -> None:
    from importlib import import_module

    from django.apps import apps
    from django.db import connection

    from cronium_admin.runs.models import JobHealth, Run

    template = Run.objects.select_related("job__profile").earliest("created_at")
    _make_jobs(template.job, JOBS)
    _make_runs(template, RUNS)
    JobHealth.objects.all().delete()
    import_module("cronium_admin.runs.migrations.0038_fill_job_health").fill(apps, None)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _measure(get: Callable[[], Any], forget: Callable[[], None] | None = None) -> float:
    """The fastest request in milliseconds, so that other load counts little. `forget` is called before each one."""
    times = []
    for place in range(REQUESTS + 2):
        if forget:
            forget()
        began = time.perf_counter()
        answer = get()
        assert answer.status_code == 200, answer.status_code
        if place > 1:
            times.append(1000 * (time.perf_counter() - began))
    return min(times)


def _measure_all(client: Any) -> dict[str, float]:
    from cronium_admin.home.tallies import clear_tallies

    client.get("/home/figures/part/")
    return {
        "page": _measure(lambda: client.get("/")),
        "refresh": _measure(lambda: client.get("/home/now/")),
        "page, nothing kept": _measure(lambda: client.get("/"), clear_tallies),
        "figures, nothing kept": _measure(lambda: client.get("/home/figures/part/"), clear_tallies),
        "/jobs/": _measure(lambda: client.get("/jobs/")),
    }


def main() -> None:
    _set_up()
    from django.db import connection
    from django.test import Client

    from cronium_admin.accounts.models import User
    from cronium_admin.jobs.service import create_job
    from cronium_admin.runs.launch import launch

    user, _ = User.objects.get_or_create(username="bench", role="admin", is_superuser=True)
    for number in range(3):
        launch(create_job({"name": f"Real {number}", "language": "bash", "script": "true"}, user), user)
    client = Client()
    client.force_login(user)
    empty = _measure_all(client)
    began = time.monotonic()
    _fill()
    print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    full = _measure_all(client)
    table = {name: [round(empty[name], 1), round(full[name], 1), round(full[name] / empty[name], 1)] for name in empty}
    print(json.dumps({"database": connection.vendor, "ms empty, ms full, ratio": table}, indent=1))


if __name__ == "__main__":
    main()
