"""The upgrade to revisions loses nothing: each run keeps every value that it had, and each job gets its revision."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project, RetiredVersion
from cronium_admin.accounts.retired_versions import first_version
from cronium_admin.core.json_text import format_exact
from cronium_admin.jobs.models import Job, JobRevision, RetiredSlug
from cronium_admin.jobs.revisions import canonicalize_job
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.secrets.models import Secret
from cronium_admin.variables.models import Variable
from tests.conftest import Api
from tests.users import get_admin

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True, serialized_rollback=True)]
OLD = {"jobs": "0015_retired_slugs", "runs": "0022_outbox"}
fill_module = import_module("cronium_admin.runs.migrations.0024_fill_revisions")
JOBS: list[dict[str, Any]] = [
    {"slug": "plain", "script": "echo plain", "revision": 1},
    {
        "slug": "edited", "script": "echo new", "revision": 4, "env": {"B": "2", "A": "1"}, "secrets": ["KEY", "OTHER"],
        "network": "egress", "egress": ["a.com:443"], "input": {"z": 1.0, "a": [1e22, 1]}, "cpu": "0.50", "tags": ["x"],
    },
    {"slug": "hosts", "script": "echo hosts", "revision": 2, "network": "isolated", "egress": ["kept.com:1"]},
]  # fmt: skip
CURRENT = {"env": {"A": "1", "B": "2"}, "secrets": ["KEY", "OTHER"], "network": "egress", "egress": ["a.com:443"]}
OLDER = {"job": "edited", "revision": 3, "script": "echo old", "overridden": []}
GONE = {"job": None, "slug": "gone", "revision": 7, "overridden": []}
RUNS: list[dict[str, Any]] = [
    {"job": "plain"},
    {"job": "plain", "overridden": None},
    {"job": "plain", "input": 0},
    {"job": "plain", "env": {"MORE": "1"}, "overridden": ["env.MORE"]},
    {"job": "edited", **CURRENT, "input": {"z": 1.0, "a": [1e22, 1]}},
    {"job": "edited", **CURRENT, "input": None},  # overridden with null
    {"job": "edited", **CURRENT, "input": {"a": [1e22, 1], "z": 1.0}},  # another order
    {"job": "edited", **CURRENT, "input": {"z": 1, "a": [1e22, True]}},  # other numbers
    {"job": "edited", **CURRENT, "input": "\ud800 \\u0000 é"},
    {"job": "edited", **CURRENT, "secrets": ["OTHER"], "network": "isolated", "egress": [], "trigger": "rerun"},
    {"job": "edited", **CURRENT, "script": "echo changed past the service"},
    {**OLDER, "trigger": "rerun", "secrets": []},
    {**OLDER, "secrets": ["KEY"], "network": "egress", "egress": ["b.com:1"], "image_rule": "job", "image": "own:1"},
    {**OLDER, "secrets": ["KEY"], "network": "egress", "egress": ["b.com:1"], "input": [1.0, 1, "1.0"]},
    {**OLDER, "secrets": ["KEY"], "env": {"A": "x"}, "overridden": ["env.A", "image"], "image_rule": "run"},
    {"job": "edited", "revision": 2, "script": "echo older", "trigger": "rerun", "overridden": None, "env": {"Z": "9"}},
    {"job": "hosts", "revision": 0, "env": {"A": "other", "B": "2"}, "overridden": ["env.A"]},
    {**GONE, "script": "echo first"},
    {**GONE, "script": "echo first", "env": {"A": "\udfff"}, "streams": "merged", "on_log_limit": "drop"},
    {**GONE, "script": "echo another job of that slug", "read_only_root": False},
    {"job": "hosts", "revision": 2},
    {"job": "hosts", "revision": 1, "network": "none"},
]


@pytest.fixture
def upgrade(transactional_db: None) -> Iterator[Callable[[], None]]:
    """The tables before the change, with the rows; call it to upgrade."""

    def migrate() -> None:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    MigrationExecutor(connection).migrate(list(OLD.items()))
    make_old_rows()
    yield migrate
    migrate()


@functools.cache
def load_models(*nodes: tuple[str, str]) -> Any:
    """The models as of these migrations. Cached: each load takes seconds of CPU."""
    return MigrationExecutor(connection).loader.project_state(list(nodes)).apps


def old_model(app: str, name: str) -> Any:
    return load_models(*OLD.items()).get_model(app, name)


def old_model_of(app: str, migration: str, name: str) -> Any:
    return load_models((app, migration), *OLD.items()).get_model(app, name)


def has_surrogate(env: dict[str, str]) -> bool:
    return "\\ud" in json.dumps(env)


def make_old_rows() -> None:
    Run, Job, Profile = old_model("runs", "Run"), old_model("jobs", "Job"), old_model("profiles", "Profile")
    ScriptText, by_slug = old_model("runs", "ScriptText"), {}
    small = Profile.objects.get(name="small")
    for values in JOBS:
        by_slug[values["slug"]] = Job.objects.create(
            name=values["slug"], language="bash", profile_id=small.pk, last_run_number=99, **values
        )
    for number, values in enumerate(RUNS, 1):
        if connection.vendor == "postgresql" and has_surrogate(values.get("env", {})):
            continue  # refused there
        row = {"image": "x", "image_rule": "default", "overridden": [], "network": "isolated", **values}
        job = by_slug.get(row.pop("job") or "")
        text = row.pop("script", job.script if job else "")
        digest = hashlib.sha256(text.encode()).hexdigest()
        row |= {"script_text_id": ScriptText.objects.get_or_create(digest=digest, defaults={"text": text})[0].pk}
        slug = row.pop("slug", job.slug if job else "")
        row |= {"job_id": job and job.pk, "job_slug": slug, "job_name": slug, "number": number, "language": "bash"}
        row["job_revision"] = row.pop("revision", job.revision if job else 1)
        given = row.pop("input", None)
        row |= {"profile_name": "small", "cpu": 1, "memory_mb": 64, "pids": 10, "timeout_seconds": 9}
        run = Run.objects.create(**row)
        if given is not None:
            with connection.cursor() as cursor:  # as an older version stored it
                text = json.dumps(given, separators=(", ", ": "))
                cursor.execute("UPDATE runs_run SET input = %s WHERE id = %s", [text, stored_id(run)])


def stored_id(run: Any) -> Any:
    return run.pk if connection.vendor == "postgresql" else run.pk.hex


def collect(run: Any, script: str) -> dict[str, Any]:
    """Every value of the run. As text, so that 1, 1.0 and True differ, and so does the order of keys in the input."""
    own = ("env", "secrets", "egress")
    columns = {field.attname for field in old_model("runs", "Run")._meta.concrete_fields} - {"script_text_id", *own}
    values = {name: getattr(run, name) for name in sorted(columns)} | {"input": format_exact(run.input)}
    return values | {name: format_exact(getattr(run, name), sort_keys=True) for name in own} | {"script": script}


def collect_all() -> list[dict[str, Any]]:
    rows = Run.objects.select_related("revision__script").order_by("number")
    return [collect(run, run.script) for run in rows]


def collect_old() -> list[dict[str, Any]]:
    rows = old_model("runs", "Run").objects.select_related("script_text").order_by("number")
    return [collect(run, run.script_text.text) for run in rows]


@pytest.mark.chaos  # on SQLite; `make test` runs it on PostgreSQL
def test_every_value_of_every_run_stays(upgrade: Callable[[], None]) -> None:
    before = collect_old()
    assert len(before) >= len(RUNS) - 1
    upgrade()
    assert collect_all() == before
    for run in Run.objects.select_related("revision"):
        assert (run.revision.number, run.revision.job_id) == (run.job_revision, run.job_id)
    MigrationExecutor(connection).migrate(list(OLD.items()))
    assert collect_old() == before


def test_revisions_after_the_upgrade(upgrade: Callable[[], None], admin: Api) -> None:
    """One upgrade for the three checks: it takes seconds of CPU."""
    upgrade()
    check_older_revisions()
    check_revisions_of_jobs()
    check_runs_of_the_api(admin)


def check_older_revisions() -> None:
    """They have only what is certain."""
    older = JobRevision.objects.get(job__slug="edited", number=3)
    assert older.is_partial
    assert older.values == {
        "name": "edited", "slug": "edited", "language": "bash", "image": "own:1", "env": {}, "secrets": ["KEY"],
        "network": "egress", "egress": ["b.com:1"], "on_log_limit": "stop", "streams": "separate", "queue": "default",
        "read_only_root": True,
    }  # fmt: skip
    assert older.script.text == "echo old"
    from_rerun = JobRevision.objects.get(job__slug="edited", number=2)
    assert not {"secrets", "network", "egress", "env", "input"} & set(from_rerun.values)
    of_override = JobRevision.objects.get(job__slug="hosts", number=0)
    assert "env" not in of_override.values, "the job may have had another value of A"
    gone = JobRevision.objects.filter(job=None)
    assert sorted(row.script.text for row in gone) == ["echo another job of that slug", "echo first"]


def check_revisions_of_jobs() -> None:
    """Each job has its revision as a launch expects it."""
    for job in Job.objects.select_related("profile"):
        row = JobRevision.objects.get(job=job, number=job.revision)
        canonical = canonicalize_job(job)
        assert (row.settings, row.digest, row.is_partial) == (canonical.text, canonical.digest, False)
        assert Run.objects.get(pk=launch(job, get_admin()).pk).differs is None


def check_runs_of_the_api(admin: Api) -> None:
    """The API gives all runs, and each can be repeated."""
    for run in Run.objects.select_related("revision__script"):
        answer = admin.get(f"/runs/{run.pk}").json()
        assert (answer["script"], answer["env"], answer["secrets"]) == (run.script, sorted(run.env), run.secrets)
        if not has_surrogate(run.env):  # such a value is refused today
            again = Run.objects.get(pk=rerun(run, get_admin()).pk)
            assert (again.revision_id, again.script, again.env) == (run.revision_id, run.script, run.env)
            assert format_exact(again.input) == format_exact(run.input)


@pytest.mark.chaos  # each upgrade takes 15 s of CPU, and its migrations do not change
def test_an_interrupted_upgrade_goes_on(upgrade: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """After every batch of one run."""
    before = collect_old()
    monkeypatch.setattr(fill_module, "BATCH", 1)
    find, calls = fill_module._find_differences, list[int]()

    def die(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt
        return find(*arguments)

    monkeypatch.setattr(fill_module, "_find_differences", die)
    for _ in RUNS:
        try:
            upgrade()
            break
        except KeyboardInterrupt:
            continue
    assert len(calls) > len(before)
    assert collect_all() == before
    assert JobRevision.objects.filter(is_partial=True).count() == 6


@pytest.mark.chaos  # each upgrade takes 15 s of CPU, and its migrations do not change
def test_all_rows_go_to_the_default_project(upgrade: Callable[[], None]) -> None:
    encrypted = {"encrypted": "x"}
    MigrationExecutor(connection).migrate([("access", "0007_retired_versions")])
    old_model_of("secrets", "0004_database_clock", "Secret").objects.create(name="API_KEY", **encrypted)
    old_model_of("runtime", "0003_database_clock", "Variable").objects.create(name="day", text="1", changed_by="pat")
    old_model_of("access", "0007_retired_versions", "RetiredVersion").objects.create(kind="job", name="x", version=3)
    old_model("jobs", "RetiredSlug").objects.create(slug="x", last_run_number=7)
    upgrade()
    project = Project.objects.get()
    assert (project.pk, project.slug, project.name) == (DEFAULT_PROJECT_ID, "default", "Default")
    for model in (Job, Run, Secret, Variable, RetiredSlug, RetiredVersion):
        rows: Any = model._base_manager
        assert set(rows.values_list("project", flat=True)) == {DEFAULT_PROJECT_ID}, model
    assert first_version("job", "x") == 4
    assert Project.objects.create(name="Next", slug="next").pk != DEFAULT_PROJECT_ID
