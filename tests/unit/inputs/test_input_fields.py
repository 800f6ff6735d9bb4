"""The fields of an input while it is edited: from its JSON, back to JSON, with the problems of the schema."""

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.variables.models import Variable
from tests.users import get_admin

pytestmark = pytest.mark.django_db
URL = "/runs/input-fields/"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["region"],
    "properties": {
        "region": {"type": "string", "enum": ["eu", "us"]},
        "city": {
            "type": "string",
            "x-cronium": {"choices": {"depends_on": "region", "cases": {"eu": ["Oslo"], "us": ["Boston"]}}},
        },
        "batch": {"type": "integer", "maximum": 500, "default": 50},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "orders": {"type": "object", "x-cronium": {"file": {"as": "text", "max_kb": 1}}},
        "host": {"type": "string", "x-cronium": {"choices": {"variable": "hosts"}}},
    },
}


@pytest.fixture
def typed(make_job: Callable[..., Job]) -> Job:
    return make_job(slug="typed", input={"region": "eu"}, input_schema=SCHEMA)


@pytest.fixture
def editor(client: Client, people: dict[str, User]) -> Client:
    client.force_login(people["editor"])
    return client


def _read_result(answer: HttpResponse) -> Any:
    assert answer.status_code == 200
    found = re.search(r"data-typed-result>\n(.*?)</textarea>", answer.content.decode(), re.S)
    return found and unescape(found[1])


def _list_problems(answer: HttpResponse) -> list[tuple[str, str]]:
    return [
        (path, unescape(text))
        for path, text in re.findall(r'<li data-path="([^"]*)">(.*?)</li>', answer.content.decode())
    ]


def test_the_job_s_input_fills_the_fields_of_a_schedule_without_one(editor: Client, typed: Job) -> None:
    text = editor.post(URL, {"job": "typed", "input_text": ""}).content.decode()
    assert '<option value="eu" selected>' in text
    assert '<option value="Oslo">' in text
    assert 'name="in-batch" value="50"' in text
    assert "data-typed-result" not in text


def test_edited_fields_become_json_and_what_is_unknown_stays(editor: Client, typed: Job) -> None:
    sent = {"job": "typed", "as": "fields", "input_text": '{"other": [1]}', "in-region": "us", "in-batch": "50"}
    answer = editor.post(URL, sent)
    assert json.loads(_read_result(answer) or "") == {"other": [1], "region": "us"}, "defaults are added at the launch"
    text = answer.content.decode()
    assert '<option value="Boston">' in text
    assert "Also in the JSON, kept as it is" in text
    answer = editor.post(URL, {**sent, "input_text": '{"batch": 50}', "in-tags": ["a", "b"]})
    assert json.loads(_read_result(answer) or "") == {"batch": 50, "region": "us", "tags": ["a", "b"]}


def test_what_can_t_be_read_stays_in_the_json(editor: Client, typed: Job) -> None:
    answer = editor.post(URL, {"job": "typed", "as": "fields", "input_text": "", "in-region": "eu", "in-batch": "many"})
    assert json.loads(_read_result(answer) or "")["batch"] == "many"
    text = unescape(answer.content.decode())
    assert text.count("Must be a whole number, not 'many'.") == 1
    assert 'name="in-batch" value="many"' in text


def test_a_file_is_kept(editor: Client, typed: Job) -> None:
    sent: dict[str, Any] = {"job": "typed", "as": "fields", "input_text": "", "in-region": "eu", "in-batch": "50"}
    answer = editor.post(URL, {**sent, "in-orders": SimpleUploadedFile("a.csv", b"1;2")})
    assert json.loads(_read_result(answer) or "")["orders"] == {"name": "a.csv", "text": "1;2"}
    answer = editor.post(URL, {**sent, "in-orders": SimpleUploadedFile("a.csv", b"1" * 2000)})
    assert "at most 1,024 are allowed" in answer.content.decode()
    assert "orders" not in json.loads(_read_result(answer) or "")


def test_problems_of_a_schedule_s_input(editor: Client, typed: Job) -> None:
    text = unescape(editor.post(URL, {"job": "typed", "input_text": '{"host": "gone"}'}).content.decode())
    assert "Required: one of eu, us." in text
    assert "the variable hosts has no value" in text


@pytest.mark.parametrize(
    ("text", "words"), [("{", "This is not valid JSON"), ("[1]", "Only an object"), ('"x"', "Only an object")]
)
def test_what_can_t_be_shown_as_fields(editor: Client, typed: Job, text: str, words: str) -> None:
    answer = editor.post(URL, {"job": "typed", "input_text": text})
    assert answer.status_code == 200
    assert words in answer.content.decode()


ODD = ("\0", '"\\ud800"', '{"region": "\\ud800"}', "[" * 2000, '{"region": 1e999}', "9" * 5000, '{"a":1,"a":2}', "%")


@pytest.mark.parametrize(
    "name", ["job", "input_text", "input_schema_text", "in-region", "in-batch", "kept-orders", "start_zone", "secrets"]
)
def test_odd_values_are_answered(editor: Client, typed: Job, name: str) -> None:
    for odd in ODD:
        for more in ({}, {"input_schema_text": json.dumps(SCHEMA)}):
            sent = {"job": "typed", "as": "fields", "input_text": '{"city": "x"}', **more, name: odd}
            assert editor.post(URL, sent).status_code in (200, 404)


class TestInTheEditor:
    def test_the_schema_is_that_of_the_editor_and_required_fields_may_be_missing(
        self, editor: Client, typed: Job
    ) -> None:
        schema = {
            "type": "object",
            "required": ["day"],
            "properties": {"day": {"type": "string"}, "key": {"type": "string", "x-cronium": {"secret": True}}},
        }
        sent = {"job": "typed", "input_schema_text": json.dumps(schema), "input_text": "", "secrets": ["TOKEN"]}
        text = editor.post(URL, sent).content.decode()
        assert 'name="in-day"' in text
        assert '<option value="TOKEN">' in text
        assert "Required:" not in text
        typed.refresh_from_db()
        assert typed.input_schema == SCHEMA

    @pytest.mark.parametrize(
        ("schema", "path", "words"),
        [
            ("{", "", "not valid JSON"),
            (
                '{"type": "object", "properties": {"a": {"type": "string", "minLength": "x"}}}',
                "properties.a.minLength",
                "",
            ),
            ('{"type": "object", "properties": {"my field": {"type": "string"}}}', "properties.my field", "Use a name"),
            ('{"type": "object", "properties": {"a": {"$ref": "#"}}}', "properties.a.type", "Must be one of"),
        ],
    )
    def test_problems_of_the_schema_have_their_path(
        self, editor: Client, typed: Job, schema: str, path: str, words: str
    ) -> None:
        problems = _list_problems(editor.post(URL, {"job": "typed", "input_schema_text": schema, "input_text": ""}))
        assert problems[0][0] == path
        assert words in problems[0][1]

    def test_a_new_job_reads_no_variable_of_another_project(self, editor: Client, typed: Job) -> None:
        south = Project.objects.create(name="South", slug="south")
        Variable.objects.create(project=south, name="hosts", text='["secret-host"]')
        sent = {"input_schema_text": json.dumps(SCHEMA), "input_text": ""}
        text = editor.post(URL, sent).content.decode()
        assert "the variable hosts has no value" in text
        assert "secret-host" not in text

    def test_without_a_schema(self, editor: Client, typed: Job) -> None:
        answer = editor.post(URL, {"job": "typed", "input_schema_text": " ", "input_text": "1"})
        assert "any JSON is allowed" in answer.content.decode()


def _launch(job: Job, value: Any) -> Run:
    return launch(job, get_admin(), Overrides(input=value))


class TestFillingFromARun:
    def test_the_input_of_the_run_and_what_differs(self, editor: Client, typed: Job) -> None:
        _launch(typed, {"region": "us", "city": "Boston"})
        answer = editor.post(URL, {"job": "typed", "fill": "#1", "input_text": '{"region": "eu"}'})
        assert json.loads(_read_result(answer)) == {"region": "us", "city": "Boston", "batch": 50}
        page = unescape(answer.content.decode())
        assert "Filled from run #1. 2 values marked as different." in page
        assert "Default: eu" in page
        assert editor.post(URL, {"job": "typed", "fill": "last"}).content.decode() == answer.content.decode()

    def test_later_edits_are_compared_with_the_run(self, editor: Client, typed: Job) -> None:
        _launch(typed, {"region": "us", "city": "Boston"})
        sent = {"job": "typed", "filled_from": "1", "input_text": '{"region": "us", "batch": 9}'}
        page = unescape(editor.post(URL, sent).content.decode())
        assert "Run #1 had: Boston" in page
        assert "Run #1 had: 50" in page
        assert "data-filled" not in page

    def test_in_the_editor_the_saved_input_is_compared(self, editor: Client, typed: Job) -> None:
        _launch(typed, {"region": "us"})
        sent = {"job": "typed", "fill": "1", "input_text": '{"region": "us"}', "input_schema_text": json.dumps(SCHEMA)}
        assert "Default: eu" in unescape(editor.post(URL, sent).content.decode())

    def test_without_a_schema_or_with_a_bad_one_the_json_is_filled(self, editor: Client, make_job: Any) -> None:
        _launch(make_job(slug="plain"), [1, {"a": "</textarea>"}])
        for schema in ({}, {"input_schema_text": ""}, {"input_schema_text": "{"}):
            answer = editor.post(URL, {"job": "plain", "fill": "1", **schema})
            assert json.loads(_read_result(answer)) == [1, {"a": "</textarea>"}], schema
        _launch(Job.objects.get(slug="plain"), None)
        assert _read_result(editor.post(URL, {"job": "plain", "fill": "2"})) == ""

    @pytest.mark.parametrize("number", ["7", "x", "\x00", "9" * 40, "-1"])
    def test_there_is_no_such_run(self, editor: Client, typed: Job, number: str) -> None:
        answer = editor.post(URL, {"job": "typed", "fill": number, "input_text": '{"region": "us"}'})
        assert _read_result(answer) is None
        assert "This job has no run " in answer.content.decode()

    def test_a_run_of_another_job_is_not_read(self, editor: Client, typed: Job, make_job: Any) -> None:
        _launch(make_job(slug="other"), {"region": "secret-place"})
        assert "secret-place" not in editor.post(URL, {"job": "typed", "fill": "1"}).content.decode()
        assert "secret-place" not in editor.post(URL, {"job": "", "fill": "1"}).content.decode()

    def test_the_forms_offer_it_if_the_job_has_run(self, editor: Client, typed: Job) -> None:
        pages = ("/jobs/typed/edit/", "/jobs/typed/schedules/new/")
        for path in pages:
            assert "data-run-fill" not in editor.get(path).content.decode()
        _launch(typed, {"region": "us"})
        for path in pages:
            assert '<option value="1">Queued</option>' in editor.get(path).content.decode()
        assert "data-run-fill" not in editor.get("/jobs/new/").content.decode()


def test_who_may(typed: Job, people: dict[str, User], client: Client) -> None:
    sent = {"job": "typed", "input_text": ""}
    assert client.post(URL, sent).status_code == 302
    for role in ("viewer", "operator"):
        client.force_login(people[role])
        assert client.post(URL, sent).status_code == 403
    member = User.objects.create(username="member", role="")
    south = Project.objects.create(name="South", slug="south")
    Membership.objects.create(user=member, project=south, role="editor")
    client.force_login(member)
    assert client.post(URL, sent).status_code == 404
    assert not Run.objects.exists()
