"""The setting `input_schema` of a job, and the check of every launch against it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.restore import restore_revision
from cronium_admin.jobs.service import save_job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.overrides import Overrides
from cronium_admin.secrets.service import save_secret
from cronium_admin.variables.service import VariableRef, set_variable
from tests.conftest import Api
from tests.unit.inputs.test_schema_check import of

pytestmark = pytest.mark.django_db
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["region"],
    "properties": {
        "region": {"type": "string", "enum": ["eu", "us"]},
        "dry_run": {"type": "boolean", "default": True},
    },
    "additionalProperties": False,
}


@pytest.fixture
def typed(make_job: Callable[..., Job]) -> Job:
    return make_job(input_schema=SCHEMA)


class TestSetting:
    def test_it_is_stored_in_its_order_and_in_the_revision(
        self, editor: Api, job: Job, people: dict[str, User]
    ) -> None:
        before = save_job(job, {"tags": ["x"], "input": None}, people["editor"]).revisions.first()
        assert before is not None
        assert "input_schema" not in json.loads(before.settings), "digests of jobs without a schema stay the same"
        answer = editor.patch(f"/jobs/{job.slug}", {"input_schema": SCHEMA})
        assert answer.status_code == 200, answer.content
        assert list(answer.json()["input_schema"]["properties"]) == ["region", "dry_run"]
        assert editor.get(f"/jobs/{job.slug}").json()["input_schema"] == SCHEMA
        turned = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}
        assert editor.patch(f"/jobs/{job.slug}", {"input_schema": turned}).json()["revision"] == before.number + 2
        job.refresh_from_db()
        restored = restore_revision(job, before.number + 1, people["editor"])
        assert list(restored.input_schema["properties"]) == ["region", "dry_run"]
        assert editor.patch(f"/jobs/{job.slug}", {"input_schema": None}).json()["input_schema"] is None

    def test_a_bad_schema_is_refused_by_path(self, editor: Api, job: Job) -> None:
        bad = of(a={"type": "integer", "minimun": 1}, b={"type": "text"})
        answer = editor.patch(f"/jobs/{job.slug}", {"input_schema": bad})
        assert answer.status_code == 422
        first, second = answer.json()["fields"]["input_schema"]
        assert first.startswith("properties.a.minimun: Not a keyword")
        assert second.startswith("properties.b.type: Must be one of")
        assert Job.objects.get().input_schema is None

    def test_the_jobs_own_input_fits_it_but_may_lack_fields(self, editor: Api, job: Job) -> None:
        answer = editor.patch(f"/jobs/{job.slug}", {"input_schema": SCHEMA, "input": {"region": "asia"}})
        [text] = answer.json()["fields"]["input"]
        assert text.startswith("Does not fit the schema of the input: region: 'asia' is not one of the choices.")
        assert (
            editor.patch(f"/jobs/{job.slug}", {"input_schema": SCHEMA, "input": {"dry_run": False}}).status_code == 200
        )
        assert editor.patch(f"/jobs/{job.slug}", {"input": {"region": 1}}).status_code == 422

    def test_a_secret_that_the_schema_names_must_be_the_jobs(
        self, editor: Api, job: Job, people: dict[str, User]
    ) -> None:
        save_secret("DB_EU", "a-long-value", "", people["admin"])
        schema = of(db={"type": "string", "enum": ["DB_EU"], "x-cronium": {"secret": True}})
        answer = editor.patch(f"/jobs/{job.slug}", {"input_schema": schema})
        assert "does not have the secret DB_EU" in answer.json()["fields"]["input_schema"][0]
        assert editor.patch(f"/jobs/{job.slug}", {"input_schema": schema, "secrets": ["DB_EU"]}).status_code == 200
        assert "secrets" in editor.patch(f"/jobs/{job.slug}", {"secrets": []}).json()["fields"]

    def test_schedules_that_would_fail_are_named(self, editor: Api, typed: Job) -> None:
        every = {"kind": "interval", "every_seconds": 3600, "timezone": "UTC"}
        answer = editor.post(f"/jobs/{typed.slug}/schedules", {"name": "bad", "input": {"region": "asia"}, **every})
        assert answer.json()["fields"]["input"][0].startswith("region: 'asia' is not one of the choices")
        for name, value in (("european", {"region": "eu"}), ("american", {"region": "us"}), ("none", None)):
            answer = editor.post(f"/jobs/{typed.slug}/schedules", {"name": name, "input": value, **every})
            assert answer.status_code == 201, answer.content
        fewer = of(region={"type": "string", "enum": ["eu"]}) | {"required": ["region"]}
        answer = editor.patch(f"/jobs/{typed.slug}", {"input_schema": fewer})
        american, none = answer.json()["input_problems"]
        assert american == "american: region: 'us' is not one of the choices. Allowed: eu."
        assert none == "none: region: Required: one of eu."
        assert editor.patch(f"/jobs/{typed.slug}", {"input_schema": None}).json()["input_problems"] == []


class TestLaunch:
    def test_defaults_are_filled_in(self, operator: Api, typed: Job) -> None:
        answer = operator.post(f"/jobs/{typed.slug}/runs", {"input": {"region": "eu"}})
        assert answer.status_code == 202, answer.content
        assert answer.json()["input"] == {"region": "eu", "dry_run": True}

    @pytest.mark.parametrize(
        ("body", "field", "says"),
        [
            (None, "input.region", "Required: one of eu, us."),
            ({"input": {"region": "asia"}}, "input.region", "'asia' is not one of the choices. Allowed: eu, us."),
            ({"input": {"region": "eu", "dry_run": 1}}, "input.dry_run", "Must be true or false, not 1."),
            ({"input": {"region": "eu", "x": 1}}, "input.x", "There is no such field."),
            ({"input": [1]}, "input", "Must be an object"),
        ],
    )
    def test_a_bad_input_is_refused_by_path(self, operator: Api, typed: Job, body: Any, field: str, says: str) -> None:
        answer = operator.post(f"/jobs/{typed.slug}/runs", body)
        assert answer.status_code == 422
        assert says in answer.json()["fields"][field][0]
        assert not Run.objects.exists()

    def test_a_rerun_is_checked_against_todays_schema(self, operator: Api, typed: Job, people: dict[str, User]) -> None:
        run = launch(typed, people["operator"], Overrides(input={"region": "us"}))
        assert operator.post(f"/runs/{run.pk}/rerun").status_code == 202
        save_job(typed, {"input_schema": of(region={"type": "string", "enum": ["eu"]})}, people["editor"])
        answer = operator.post(f"/runs/{run.pk}/rerun")
        assert answer.status_code == 422
        assert "Run it again with changes" in answer.json()["fields"]["input.region"][0]


class TestData:
    def make_typed(self, make_job: Callable[..., Job], **choices: Any) -> Job:
        fields = of(
            country={"type": "string"},
            host={"type": "string", "x-cronium": {"choices": choices}},
        )
        return make_job(input_schema=fields)

    def refuse(self, job: Job, by: User, **value: Any) -> str:
        with pytest.raises(ValidationError) as refused:
            launch(job, by, Overrides(input=value))
        return str(refused.value.message_dict["input.host"][0])

    def test_a_variable_gives_the_choices(self, make_job: Callable[..., Job], people: dict[str, User]) -> None:
        job, by = self.make_typed(make_job, variable="hosts"), people["operator"]
        assert "the variable hosts has no value" in self.refuse(job, by, host="a")
        set_variable(VariableRef(job, "hosts"), ["a", {"value": "b", "title": "Second"}], people["editor"])
        assert launch(job, by, Overrides(input={"host": "b"})).input == {"host": "b"}
        text = self.refuse(job, by, host="c")
        assert text == "'c' is not one of the choices (from the variable hosts). Allowed: a, b."
        set_variable(VariableRef(job, "hosts"), {"a": 1}, people["editor"])
        assert "is not a list" in self.refuse(job, by, host="a")
        set_variable(VariableRef(job, "hosts"), ["a", 5], people["editor"])
        assert "'5', which is not a string" in self.refuse(job, by, host="a")

    def test_a_shared_variable_by_the_value_of_another_field(
        self, make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        job, by = self.make_typed(make_job, variable="shared/hosts", depends_on="country"), people["operator"]
        set_variable(VariableRef(None, "hosts"), {"no": ["oslo-1"], "it": ["rome-1"]}, people["editor"])
        assert launch(job, by, Overrides(input={"host": "oslo-1", "country": "no"})).number == 1
        assert "Allowed: rome-1." in self.refuse(job, by, host="oslo-1", country="it")
        assert "choose country first" in self.refuse(job, by, host="oslo-1")
        assert "No value is allowed" in self.refuse(job, by, host="oslo-1", country="fr")

    def test_the_last_good_output_of_another_job(self, make_job: Callable[..., Job], people: dict[str, User]) -> None:
        lister = make_job(slug="list-hosts")
        job, by = self.make_typed(make_job, job="list-hosts", path="data.hosts"), people["operator"]
        assert "has succeeded with an output yet" in self.refuse(job, by, host="a")
        run = launch(lister, by)
        Run.objects.filter(pk=run.pk).update(
            status=Status.SUCCEEDED,
            output={"data": {"hosts": ["a"]}},
            output_at=timezone.now(),
            finished_at=timezone.now(),
        )
        failed = launch(lister, by)
        Run.objects.filter(pk=failed.pk).update(status=Status.FAILED, output={"data": {"hosts": ["z"]}})
        assert launch(job, by, Overrides(input={"host": "a"})).number == 1
        assert "(from list-hosts #1). Allowed: a." in self.refuse(job, by, host="z")
        Run.objects.filter(pk=run.pk).update(output={"data": []})
        assert "has no data.hosts" in self.refuse(job, by, host="a")

    def test_a_job_of_another_project_is_not_read(self, make_job: Callable[..., Job], people: dict[str, User]) -> None:
        from cronium_admin.accounts.models import Project

        make_job(slug="elsewhere", project=Project.objects.create(name="Other", slug="other"))
        job = self.make_typed(make_job, job="elsewhere")
        assert "this project has no job elsewhere" in self.refuse(job, people["admin"], host="a")

    def test_a_secret_is_named_and_its_value_is_not_in_the_input(
        self, make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        save_secret("DB_EU", "a-long-value", "", people["admin"])
        save_secret("DB_US", "b-long-value", "", people["admin"])
        job = make_job(input_schema=of(host={"type": "string", "x-cronium": {"secret": True}}), secrets=["DB_EU"])
        run = launch(job, people["operator"], Overrides(input={"host": "DB_EU"}))
        assert run.input == {"host": "DB_EU"}
        assert run.secrets == ["DB_EU"]
        assert "Allowed: DB_EU." in self.refuse(job, people["operator"], host="DB_US")
