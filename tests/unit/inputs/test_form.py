"""*Run with…*: fields from the schema, errors beside them, filling from a run, JSON beside the fields."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.forms import JobForm
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.secrets.service import save_secret
from cronium_admin.variables.service import VariableRef, set_variable
from tests.unit.inputs.test_job_schema import SCHEMA
from tests.unit.inputs.test_schema_check import EVERYTHING, of

pytestmark = pytest.mark.django_db
SENT = {"with": "yes", "as": "fields"}


@pytest.fixture
def page(client: Client, people: dict[str, User]) -> Client:
    client.force_login(people["operator"])
    return client


@pytest.fixture
def typed(make_job: Callable[..., Job]) -> Job:
    return make_job(slug="typed", input_schema=SCHEMA)


def read(page: Client, address: str = "/runs/launch/typed/") -> str:
    answer = page.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def find_field(text: str, name: str) -> str:
    """The HTML of one field."""
    return text.split(f'id="field-{name}"')[1].split('<div class="field')[0]


class TestFields:
    def test_a_form_of_all_kinds_makes_the_input(
        self, page: Client, make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        save_secret("API_KEY", "a-long-value", "", people["admin"])
        job = make_job(slug="typed", input_schema=EVERYTHING, secrets=["API_KEY"])
        set_variable(VariableRef(job, "tables"), ["orders", "items"], people["editor"])
        schema = json.loads(json.dumps(EVERYTHING))
        del schema["properties"]["host"]
        Job.objects.filter(pk=job.pk).update(input_schema=schema)
        sent = {
            **{
                "in-region": "eu",
                "in-city": "Rome",
                "in-table": ["items"],
                "in-days": ["mon", "tue"],
                "in-ratio": "2.5",
            },
            **{"in-names": "Ann\r\n\r\nBob", "in-note": "a\r\nb", "in-day": "2027-03-01", "in-at": "2027-03-28T09:00"},
            **{"in-code": "AB1", "in-count": "4", "in-key": "API_KEY", "start_zone": "Europe/Oslo"},
            "in-data": SimpleUploadedFile("a.csv", "x;ü".encode()),
        }
        answer = page.post("/runs/launch/typed/", SENT | sent)
        assert answer.status_code == 302, re.findall(r'class="err".*?<span>(.*?)</span>', answer.content.decode())
        assert Run.objects.get().input == {
            **{"count": 4, "region": "eu", "city": "Rome", "table": ["items"], "days": ["mon", "tue"]},
            **{"names": ["Ann", "Bob"], "note": "a\nb", "day": "2027-03-01", "at": "2027-03-28T07:00:00Z"},
            **{"code": "AB1", "ratio": 2.5, "dry_run": False, "key": "API_KEY"},
            "data": {"name": "a.csv", "text": "x;ü"},
        }

    def test_the_form_has_the_defaults_and_needs_no_script(self, page: Client, typed: Job) -> None:
        text = read(page)
        assert '<option value="eu">eu</option>' in find_field(text, "region")
        assert "required" in find_field(text, "region")
        assert re.search(r'name="in-dry_run" value="on" checked', find_field(text, "dry_run"))
        assert "Filled with the job's input and the defaults of its schema." in text

    def test_errors_are_beside_the_fields_and_nothing_is_lost(self, page: Client, make_job: Callable[..., Job]) -> None:
        make_job(slug="typed", input_schema=EVERYTHING)
        sent = {"in-count": "many", "in-note": "kept", "in-code": "x", "in-data": SimpleUploadedFile("a.csv", b"1;2")}
        answer = page.post("/runs/launch/typed/", SENT | sent)
        assert answer.status_code == 422
        text = answer.content.decode()
        assert "Must be a whole number, not &#x27;many&#x27;." in find_field(text, "count")
        assert 'value="many"' in find_field(text, "count")
        assert "kept" in find_field(text, "note")
        kept = re.search(r'name="kept-data" value="(.*?)"', text)
        assert kept is not None, "a file that was sent is kept"
        answer = page.post(
            "/runs/launch/typed/",
            SENT | sent | {"in-count": "3", "in-data": "", "kept-data": '{"name":"a.csv","text":"1;2"}'},
        )
        text = answer.content.decode()
        assert "Required: one of eu, us." in find_field(text, "region")
        assert "does not match the pattern" in find_field(text, "code")
        assert not Run.objects.exists()

    def test_a_file_that_is_too_large_or_no_text_is_refused(self, page: Client, make_job: Callable[..., Job]) -> None:
        make_job(
            slug="typed", input_schema=of(a={"type": "object", "x-cronium": {"file": {"max_kb": 1, "as": "text"}}})
        )
        for content, says in ((b"x" * 2000, "at most 1,024"), (b"\xff\xfe", "not text in UTF-8"), (b"a\0b", "NUL")):
            answer = page.post("/runs/launch/typed/", SENT | {"in-a": SimpleUploadedFile("a", content)})
            assert says in answer.content.decode()

    def test_run_without_the_form_asks_for_what_is_required(self, page: Client, typed: Job) -> None:
        answer = page.post("/runs/launch/typed/", {})
        assert answer.status_code == 422
        assert "Required: one of eu, us." in find_field(answer.content.decode(), "region")
        Job.objects.filter(pk=typed.pk).update(input={"region": "us"})
        assert page.post("/runs/launch/typed/", {}).status_code == 302
        assert Run.objects.get().input == {"region": "us", "dry_run": True}


class TestDialog:
    def test_it_answers_a_fragment_and_then_the_run(self, page: Client, typed: Job) -> None:
        address = "/runs/launch/typed/form/"
        assert "<html" not in read(page, address)
        answer = page.post(address, SENT)
        assert answer.status_code == 200
        assert "Required: one of eu, us." in find_field(answer.content.decode(), "region")
        answer = page.post(address, SENT | {"in-region": "eu"})
        assert answer["HX-Redirect"] == f"/runs/{Run.objects.get().pk}/"

    def test_a_disabled_job_says_so_in_the_form(self, page: Client, typed: Job) -> None:
        Job.objects.update(enabled=False)
        answer = page.post("/runs/launch/typed/form/", SENT | {"in-region": "eu"})
        assert "is disabled" in answer.content.decode()
        assert 'value="eu" selected' in answer.content.decode()


class TestFilledFrom:
    def test_a_run_fills_the_form_and_differences_are_marked(
        self, page: Client, typed: Job, people: dict[str, User]
    ) -> None:
        launch(typed, people["operator"], Overrides(input={"region": "us", "dry_run": False}, profile="medium"))
        Job.objects.update(input={"region": "eu"})
        for address in ("?from=1", "?from=last", "?from=%231"):
            text = read(page, f"/runs/launch/typed/{address}")
            assert "Filled from" in text
            assert "2 values marked as different" in text
            assert 'value="us" selected' in find_field(text, "region")
            assert "Default: eu" in find_field(text, "region")
            assert "Default: yes" in find_field(text, "dry_run")
            assert '<option value="medium" selected>' in text
        answer = page.post("/runs/launch/typed/", SENT | {"in-region": "", "filled_from": "1", "in-dry_run": "on"})
        text = answer.content.decode()
        assert "Run #1 had: us" in find_field(text, "region")
        assert "Run #1 had: no" in find_field(text, "dry_run")

    def test_other_values_are_no_defaults(self, page: Client, typed: Job, people: dict[str, User]) -> None:
        for schema, given in ((SCHEMA, {"region": "eu"}), (SCHEMA | {"additionalProperties": True}, {"more": 1})):
            Job.objects.update(input_schema=schema, input={"region": "eu"})
            launch(Job.objects.get(), people["operator"], Overrides(input={"region": "eu", "dry_run": True} | given))
        assert "equal to the defaults" in read(page, "/runs/launch/typed/?from=1")
        text = read(page, "/runs/launch/typed/?from=2")
        assert "it has other values, see below" in text
        assert "equal to the defaults" not in text

    def test_buttons_fill_it_without_script(self, page: Client, typed: Job, people: dict[str, User]) -> None:
        launch(typed, people["operator"], Overrides(input={"region": "us"}))
        for show, value in (("fill", "us"), ("last", "us"), ("default", "")):
            answer = page.post("/runs/launch/typed/", SENT | {"show": show, "from": "1", "in-region": "eu"})
            assert answer.status_code == 200
            chosen = re.findall(r'value="(\w*)" selected', find_field(answer.content.decode(), "region"))
            assert chosen == ([value] if value else [])
        assert Run.objects.count() == 1

    def test_an_unknown_button_launches_nothing(self, page: Client, typed: Job) -> None:
        for path in ("/runs/launch/typed/", "/runs/launch/typed/form/"):
            answer = page.post(path, SENT | {"show": "more", "in-region": "eu"})
            assert 'value="eu" selected' in find_field(answer.content.decode(), "region")
        assert not Run.objects.exists()

    @pytest.mark.parametrize("number", ["9", "x", "-1", "999999999999999999999", "%00"])
    def test_an_unknown_run_is_named(self, page: Client, typed: Job, number: str) -> None:
        assert "This job has no run" in read(page, f"/runs/launch/typed/?from={number}")

    def test_a_value_that_is_no_choice_any_more_stays_visible(
        self, page: Client, typed: Job, people: dict[str, User]
    ) -> None:
        launch(typed, people["operator"], Overrides(input={"region": "us"}))
        Job.objects.update(input_schema=of(region={"type": "string", "enum": ["eu"]}))
        assert '<option value="us" selected>us (not a choice)' in read(page, "/runs/launch/typed/?from=1")

    def test_a_job_without_schema_is_filled_too(self, page: Client, job: Job, people: dict[str, User]) -> None:
        launch(job, people["operator"], Overrides(input={"day": 7}))
        text = read(page, f"/runs/launch/{job.slug}/?from=1")
        assert "&quot;day&quot;: 7" in text


class TestJson:
    def test_the_values_are_shown_as_json_and_back(self, page: Client, typed: Job) -> None:
        answer = page.post("/runs/launch/typed/", SENT | {"show": "json", "in-region": "us"})
        text = answer.content.decode()
        assert "&quot;region&quot;: &quot;us&quot;" in text
        sent = {"with": "yes", "as": "json", "input": '{"region": "eu", "dry_run": false}'}
        back = page.post("/runs/launch/typed/", sent | {"show": "fields"}).content.decode()
        assert 'value="eu" selected' in find_field(back, "region")
        assert "checked" not in find_field(back, "dry_run")
        wrong = page.post("/runs/launch/typed/", {"with": "yes", "as": "json", "input": '{"region": 5}'})
        assert wrong.status_code == 422
        assert "region: Must be a text, not 5." in wrong.content.decode()
        assert page.post("/runs/launch/typed/", sent).status_code == 302
        assert Run.objects.get().input == {"region": "eu", "dry_run": False}

    @pytest.mark.parametrize("text", ["[1]", "{", "5"])
    def test_json_that_is_no_object_stays_json(self, page: Client, typed: Job, text: str) -> None:
        sent = {"with": "yes", "as": "json", "input": text, "show": "fields"}
        answer = page.post("/runs/launch/typed/", sent)
        assert 'name="input"' in answer.content.decode()

    def test_values_without_a_field_are_kept(self, page: Client, make_job: Callable[..., Job]) -> None:
        make_job(slug="typed", input_schema=of(a={"type": "string"}), input={"a": "x", "more": [1]})
        text = read(page)
        assert "&quot;more&quot;" in text
        page.post("/runs/launch/typed/", SENT | {"in-a": "y", "other": '{"more": [1]}'})
        assert Run.objects.get().input == {"more": [1], "a": "y"}


class TestChoices:
    def test_dependent_choices_follow_the_other_field(self, page: Client, make_job: Callable[..., Job]) -> None:
        make_job(slug="typed", input_schema=EVERYTHING)
        text = find_field(read(page), "city")
        assert "choose region first" in text
        assert 'hx-trigger="change from:#in-region"' in text
        answer = page.post("/runs/launch/typed/form/", SENT | {"show": "choices", "in-region": "us"})
        text = find_field(answer.content.decode(), "city")
        assert '<option value="Boston">' in text
        assert "Oslo" not in text

    def test_data_have_their_time_and_errors_are_beside_the_field(
        self, page: Client, make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        schema: dict[str, Any] = of(
            a={"type": "string", "x-cronium": {"choices": {"variable": "hosts"}}},
            b={"type": "string", "x-cronium": {"choices": {"job": "none"}}},
        )
        job = make_job(slug="typed", input_schema=schema)
        set_variable(VariableRef(job, "hosts"), [{"value": "x", "title": "The <x>"}], people["editor"])
        text = read(page)
        assert "The &lt;x&gt;" in find_field(text, "a")
        assert re.search(r"Choices from the variable hosts, <time datetime=", find_field(text, "a"))
        assert "No choices: this project has no job none." in find_field(text, "b")
        assert not Run.objects.exists(), "opening a form starts no run"


def test_the_editor_names_the_field_that_does_not_fit() -> None:
    form = JobForm(QueryDict("name=x"))
    form.is_valid()
    form.add_service_errors(ValidationError({"input.region": ["Required: one of eu, us."]}))
    assert form.errors["input_text"] == ["region: Required: one of eu, us."]
