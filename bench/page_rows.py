"""Fills the database of this process with jobs, runs and logs, for `bench.pages`. Rare values are those of the oldest
runs, so that a list that reads all runs is slow."""

from datetime import timedelta
from importlib import import_module

from django.apps import apps
from django.db import connection
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import create_job
from cronium_admin.logs.codec import IndexEntry, pack_index, pack_text
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import JobHealth, Run, RunInput, Status
from cronium_admin.schedules.models import Schedule

SCRIPT = "set -eu\nfor name in *.csv; do echo reading $name; done\n" * 20
FAILING, RARE = 30, 10  # jobs whose last run failed; runs with each rare value
SQLITE = connection.vendor == "sqlite"
SERIES = (
    "WITH RECURSIVE series(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM series WHERE n < {last})"
    if SQLITE
    else "WITH series(n) AS (SELECT generate_series(0, {last}))"
)
ID = (
    "printf('%08x00004000800000%010x', n * 2654435761 % 4294967296, n)"
    if SQLITE
    else "(lpad(to_hex(n * 2654435761 % 4294967296), 8, '0') || '-0000-4000-8000-00' || lpad(to_hex(n), 10, '0'))::uuid"
)
OF_COPIES = "FROM runs_run WHERE log_digest = 'x'"
AT = (
    "strftime('%Y-%m-%d %H:%M:%f000', 'now', '-' || (n * {step}) || ' seconds')"
    if SQLITE
    else "now() - n * {step} * interval '1 second'"
)


def fill_rows(jobs: int, runs: int) -> dict[str, str]:
    """A few rows that each installation has, then `jobs` and `runs` more. Returns names for addresses."""
    admin = User.objects.create(username="bench", role="admin", is_superuser=True)
    other = User.objects.create(username="other", role="operator")
    member = User.objects.create(username="member", role="")
    south = Project.objects.create(name="South", slug="south")
    Membership.objects.create(user=member, project=south, role="viewer")
    of_two = User.objects.create(username="of-two", role="")
    quiet = [Project.objects.create(name=name, slug=name.lower()) for name in ("East", "West")]  # with a few old runs
    for project in quiet:
        Membership.objects.create(user=of_two, project=project, role="viewer")
    real = [create_job({"name": f"Real {place}", "language": "bash", "script": SCRIPT}, admin) for place in range(3)]
    queued = [launch(job, admin) for job in real]
    Run.objects.filter(pk=queued[0].pk).update(status=Status.RUNNING, started_at=timezone.now(), host="local")
    if runs:
        first = _make_jobs(real[0], jobs, south)
        _copy_run(queued[1], first, jobs, runs, other, south)
        _move_old_runs(runs, quiet)
        _make_logs()
        _make_inputs(runs)
        _make_schedules(first, jobs, admin)
    JobHealth.objects.all().delete()
    import_module("cronium_admin.runs.migrations.0038_fill_job_health").fill(apps, None)
    import_module("cronium_admin.runs.migrations.0042_last_seconds").fill(apps, connection.schema_editor())
    if not SQLITE:  # where nobody analyzes
        _run_sql("VACUUM ANALYZE")
    job = Job.objects.latest("pk")
    return {"job": job.slug, "run": str((job.runs.first() or queued[2]).pk), "id": str(job.pk)}  # type: ignore[attr-defined,unused-ignore]


def _make_jobs(model: Job, number: int, south: Project) -> int:
    rows = []
    for place in range(number):
        job = Job(name=f"Job {place}", slug=f"job-{place}", language="bash", script=SCRIPT, description="Reads files.")
        job.profile, job.project_id, job.created_by = model.profile, model.project_id, model.created_by
        job.last_run_number = 10
        if place % 100 == 5:
            job.project = south
        if place >= number - RARE:
            job.language, job.tags, job.enabled = "node", ["rare"], place % 2 == 0
        elif place % 3 == 0:
            job.tags = ["nightly"]
        job.set_derived()
        rows.append(job)
    Job.objects.bulk_create(rows, batch_size=500)
    _run_sql(
        "INSERT INTO jobs_foldedscript (job_id, text) SELECT j.id, LOWER(j.script) FROM jobs_job j "
        "WHERE NOT EXISTS (SELECT 1 FROM jobs_foldedscript f WHERE f.job_id = j.id)"
    )
    return rows[0].pk or Job.objects.get(slug="job-0").pk


def _copy_run(model: Run, first: int, jobs: int, runs: int, other: User, south: Project) -> None:
    # Row n is the n-th newest run; each job has `last_run_number` runs of 30 days
    each = runs // jobs
    columns = {field.column: f'm."{field.column}"' for field in Run._meta.concrete_fields}
    at = AT.format(step=30 * 86400 // runs)
    columns |= dict.fromkeys(("created_at", "claimed_at", "started_at", "finished_at", "cleaned_at"), at)
    columns |= {
        "id": ID,
        "job_id": f"{first} + n % {jobs}",
        "job_name": f"'Job ' || (n % {jobs})",
        "job_slug": f"'job-' || (n % {jobs})",
        "number": f"{each} - n / {jobs}",
        "project_id": f"CASE WHEN n % {jobs} % 100 = 5 THEN {south.pk} ELSE {model.project_id} END",
        "log_digest": "'x'",
        "log_lines": "2",
        "trigger": _choose_rare(runs, 1, "'webhook'", "'schedule'"),
        "host": _choose_rare(runs, 2, "'rare'", "'local'"),
        "language": _choose_rare(runs, 3, "'node'", "'bash'"),
        "created_by_id": _choose_rare(runs, 4, str(other.pk), "m.created_by_id"),
        "status": f"CASE WHEN n < {FAILING} OR n >= {runs - 6 * RARE} AND n < {runs - 4 * RARE} "
        f"OR n >= {jobs} AND n * 7919 % 1000 < 25 THEN 'failed' ELSE 'succeeded' END",
    }
    reason = _choose_rare(runs, 5, "'oom'", "'exit_code'")
    columns["reason"] = f"CASE WHEN {columns['status']} = 'failed' THEN {reason} ELSE '' END"
    columns["exit_code"] = f"CASE WHEN {columns['status']} = 'failed' THEN 1 ELSE 0 END"
    names, series = ", ".join(f'"{name}"' for name in columns), SERIES.format(last=runs - 1)
    _run_sql(f"INSERT INTO runs_run ({names}) {series} SELECT {', '.join(columns.values())} FROM series, runs_run m "
             f"WHERE m.job_slug = '{model.job_slug}'")  # fmt: skip
    Job.objects.filter(pk__gte=first).update(last_run_number=each)


def _move_old_runs(runs: int, projects: list[Project]) -> None:
    copies = Run.objects.filter(log_digest="x").order_by("created_at", "pk")
    old = list(copies.values_list("pk", flat=True)[5 * RARE : (5 + len(projects)) * RARE])
    for place, project in enumerate(projects):
        Run.objects.filter(pk__in=old[place :: len(projects)]).update(project=project)


def _choose_rare(runs: int, place: int, rare: str, common: str) -> str:
    last = runs - (place - 1) * RARE
    return f"CASE WHEN n >= {last - RARE} AND n < {last} THEN {rare} ELSE {common} END"


def _make_logs() -> None:
    """The same two lines for each run."""
    text = b"reading day.csv\nread 12 rows\n"
    index, data = pack_index([IndexEntry(1, 2, 1)]), pack_text(text)
    binary = (lambda value: f"x'{value.hex()}'") if SQLITE else (lambda value: f"'\\x{value.hex()}'::bytea")
    size, empty = len(text), binary(b"")
    _run_sql(
        "INSERT INTO logs_loghead (run_id, lines, bytes, stdout_lines, stdout_bytes, stderr_lines, stderr_bytes, "
        "stdout_tail, stderr_tail, sealed, gaps, dropped_lines, dropped_bytes, pruning) "
        f"SELECT id, 2, {size}, 2, {size}, 0, 0, {empty}, {empty}, true, 0, 0, 0, false {OF_COPIES}"
    )
    _run_sql(
        'INSERT INTO logs_logchunk (run_id, first_seq, lines, byte_offset, bytes, first_ns, last_ns, "index", data) '
        f"SELECT id, 1, 2, 0, {size}, 1, 1, {binary(index)}, {binary(data)} {OF_COPIES}"
    )


def _make_inputs(runs: int) -> None:
    ids = Run.objects.filter(log_digest="x").order_by("created_at").values_list("pk", flat=True)
    rare, common = list(ids[:RARE]), ids[RARE : runs // 2]
    rows = [RunInput(run_id=pk, name="region", value="rare") for pk in rare]
    rows += [RunInput(run_id=pk, name="region", value="eu") for pk in common]
    RunInput.objects.bulk_create(rows, batch_size=300)
    import_module("cronium_admin.runs.migrations.0043_newest_input_values").fill(apps, connection.schema_editor())


def _make_schedules(first: int, jobs: int, owner: User) -> None:
    rows = []
    for place in range(0, jobs, 10):
        at = timezone.now() + timedelta(minutes=place)
        rows.append(
            Schedule(job_id=first + place, name="Nightly", rule="0 2 * * *", owner=owner, next_at=at, due_at=at)
        )
    Schedule.objects.bulk_create(rows, batch_size=300)


def _run_sql(text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)
