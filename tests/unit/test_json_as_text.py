"""Input and output are returned unchanged, key by key and number by number, on every database."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone

from cronium_admin.core.json_text import JsonText, format_compact
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api import handlers
from cronium_admin.runtime_api import output as outputs
from cronium_admin.workers.run_spec import build_spec
from tests.conftest import Api
from tests.users import get_admin

TEXTS = [
    '{"z":1.0,"a":{"b":1,"":2,"aa":3},"10":0,"9":0}',
    "[1,1.0,-0.0,1e+22,1e+300,5e-324,0.1,100.0,12345678901234567890123456789]",
    '{"é":"\\\\u0000 \\n \\" / 🚀","a":[[],{},null,true,false,""]}',
    "1.0",
    '"text"',
]


def columns(model: type[Any], *names: str) -> tuple[Any, ...]:
    """The stored values of columns, read without the models."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM {model._meta.db_table}")
        return tuple(cursor.fetchone())


def part(body: bytes, name: str) -> str:
    return format_compact(json.loads(body)[name])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.django_db
def test_a_jobs_input_reaches_the_script_as_it_was_sent(editor: Api, text: str) -> None:
    body = f'{{"name":"A","language":"bash","script":"true","input":{text}}}'.encode()
    made = editor.post("/jobs", raw=body)
    assert (made.status_code, part(made.content, "input")) == (201, text)
    assert columns(Job, "input") == (text,)
    assert part(editor.get("/jobs/a").content, "input") == text
    run = launch(Job.objects.get(), get_admin())
    again = rerun(Run.objects.get(), get_admin())
    for each in (run, again):
        stored = Run.objects.get(pk=each.pk)
        assert format_compact(build_spec(stored, "instance", "here").input) == text
        assert part(editor.get(f"/runs/{each.pk}").content, "input") == text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.django_db
def test_an_input_of_one_launch_too(editor: Api, job: Job, text: str) -> None:
    made = editor.post(f"/jobs/{job.slug}/runs", raw=f'{{"input":{text}}}'.encode())
    assert (made.status_code, part(made.content, "input")) == (202, text)
    assert columns(Run, "differs") == (f'{{"input":{text}}}',)


@pytest.mark.parametrize("text", [*TEXTS, "null"])
@pytest.mark.django_db
def test_an_output_is_checked_once_and_served_as_it_is_kept(
    editor: Api, run: Run, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Run.objects.update(status=Status.RUNNING, started_at=timezone.now())
    checked: list[str] = []
    check = outputs.validate_json

    def count(*args: Any) -> JsonText:
        checked.append(check(*args))
        monkeypatch.setattr(
            "cronium_admin.core.json_text.format_compact", None
        )  # nothing writes the value a second time
        return JsonText(checked[-1])

    monkeypatch.setattr(outputs, "validate_json", count)
    assert handlers.handle_request(run.pk, "output", {"key": "k", "output": json.loads(text)}).status == 200
    monkeypatch.undo()
    assert checked == [text]
    assert columns(Run, "output") == (text,)
    assert editor.get(f"/runs/{run.pk}/output").content.decode() == text
    assert part(editor.get(f"/runs/{run.pk}").content, "output") == text


@pytest.mark.parametrize(
    ("before", "after"),
    [("1", "1.0"), ("1", "true"), ("0", "false"), ('{"a":1,"b":2}', '{"b":2,"a":1}'), ("[1]", "[true]")],
)
@pytest.mark.django_db
def test_another_number_or_order_is_a_change(editor: Api, job: Job, before: str, after: str) -> None:
    Job.objects.update(input=JsonText(before), revision=1)
    for revision in (2, 2):
        saved = editor.call("PATCH", f"/jobs/{job.slug}", raw=f'{{"input":{after}}}'.encode())
        assert (saved.json()["revision"], part(saved.content, "input")) == (revision, after)


@pytest.mark.django_db
def test_no_input_is_null_in_the_database(make_job: Callable[..., Job]) -> None:
    run = launch(make_job(input=None), get_admin())
    assert columns(Job, "input") == (None,)
    assert columns(Run, "differs", "output") == (None, None)
    assert Run.objects.get(pk=run.pk).input is None


@pytest.mark.django_db
def test_damaged_texts_are_shown_and_break_nothing(editor: Api, run: Run, client: Client) -> None:
    client.force_login(editor.user)  # type: ignore[arg-type]
    Job.objects.update(input=JsonText('{"a":'))
    made = launch(Job.objects.get(), get_admin())
    Run.objects.update(output=JsonText("[1,"), output_at=timezone.now())
    assert client.get(f"/runs/{made.pk}/").status_code == 200
    answer = editor.get(f"/runs/{made.pk}").json()
    assert (answer["input"], answer["output"]) == ('{"a":', "[1,")


OLD = {"jobs": "0009_updated_by", "runs": "0015_drop_own_texts"}


@pytest.fixture
def old_schema(transactional_db: None) -> Iterator[Callable[[], None]]:
    """The tables before the change; call it to upgrade."""

    def migrate(to: dict[str, str]) -> None:
        MigrationExecutor(connection).migrate(list(to.items()))

    def upgrade() -> None:
        """Migrates all tables, which later tests need."""
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    migrate(OLD)
    yield upgrade
    upgrade()


STORED = ['{"b": 1.0, "a": [1e22, "é \\u00fc"]}', "1.50", '"null"', "null", None]


@pytest.mark.chaos
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_upgrade_keeps_what_the_database_has(old_schema: Callable[[], None]) -> None:
    apps = MigrationExecutor(connection).loader.project_state(list(OLD.items())).apps
    profile = apps.get_model("profiles", "Profile").objects.get(name="small")
    script = apps.get_model("runs", "ScriptText").objects.create(digest="0" * 64, text="true")
    common = {"language": "bash", "image": "x", "image_rule": "default", "profile_name": "small", "cpu": 1}
    common |= {"memory_mb": 64, "pids": 10, "timeout_seconds": 9, "network": "isolated", "job_revision": 1}
    kind = "::jsonb" if connection.vendor == "postgresql" else ""
    for number, stored in enumerate(STORED, 1):
        names = {"name": f"Job {number}", "slug": str(number)}
        job = apps.get_model("jobs", "Job").objects.create(**names, language="bash", profile=profile)
        apps.get_model("runs", "Run").objects.create(job=job, number=number, script_text=script, **common)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE jobs_job SET input = %s{kind} WHERE slug = %s", [stored, str(number)])
            change = f"UPDATE runs_run SET input = %s{kind}, output = %s{kind} WHERE number = %s"
            cursor.execute(change, [stored, stored, number])
    before = texts("CAST(input AS text)", "CAST(output AS text)")
    assert [text is None for text, *_ in before] == [stored is None for stored in STORED]

    old_schema()

    assert texts("input", "output") == before
    values = [None if stored is None else json.loads(stored) for stored in STORED]
    assert [job.input for job in Job.objects.order_by("slug")] == values
    assert [(run.input, run.output) for run in Run.objects.order_by("number")] == [(value, value) for value in values]
    with connection.cursor() as cursor:  # any text goes in: it is a column of text now
        cursor.execute("UPDATE runs_run SET output = 'no json'")


def texts(given: str, made: str) -> list[tuple[str | None, ...]]:
    """The stored input of each job, and the stored output of its run."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {given} FROM jobs_job ORDER BY slug")
        jobs = cursor.fetchall()
        cursor.execute(f"SELECT {made} FROM runs_run ORDER BY number")
        return [(*job, *run) for job, run in zip(jobs, cursor.fetchall(), strict=True)]
