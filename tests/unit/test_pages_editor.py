"""The job editor: stored values, errors, and that no input is lost."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.users import get_admin

GOOD: dict[str, Any] = {
    "name": "Nightly report",
    "language": "python",
    "script": "print('one')\r\nprint('two')\r\n",
    "profile": "medium",
    "cpu": "",
    "memory_mb": "",
    "pids": "",
    "image": "",
    "timeout_seconds": "60",
    "read_only_root": "on",
    "enabled": "on",
    "env_name": ["REGION", "MULTI", ""],
    "env_value": ["north", "a\r\nb", ""],
    "input_text": '{"day": 1}',
    "tags_text": "nightly, billing nightly",
    "then": "save",
}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def test_a_new_job_is_saved_as_typed(client: Client, people: dict[str, User]) -> None:
    answer = client.post("/jobs/new/", GOOD)
    assert (answer.status_code, answer["Location"]) == (302, "/jobs/nightly-report/edit/")
    job = Job.objects.get()
    assert job.script == "print('one')\nprint('two')\n"  # browsers send CRLF, shells choke on it
    assert job.env == {"REGION": "north", "MULTI": "a\nb"}
    assert job.tags == ["nightly", "billing"]
    assert job.input == {"day": 1}
    assert (job.profile.name, job.timeout_seconds, job.cpu, job.created_by) == ("medium", 60, None, people["editor"])


def test_the_blank_editor_begins_with_a_starter_and_the_defaults(client: Client) -> None:
    text = client.get("/jobs/new/").content.decode()
    assert "Hello from Python" in text
    assert 'name="profile" value="small" checked' in text
    assert "cronium/runner:python-alpine" in text
    assert 'id="starters"' in text


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "", "Give the job a name."),
        ("script", " \n", "The script is empty"),
        ("language", "perl", "is not one of the choices"),
        ("profile", "huge", "There is no profile"),
        ("cpu", "3", "2 CPU at most"),
        ("cpu", "fast", "Must be a number."),
        ("memory_mb", "4096", "2,048 MB at most"),
        ("pids", "1", "10 processes or more"),
        ("log_limit_mb", "1001", "1,000 MB of log at most"),
        ("log_limit_mb", "some", "Must be a whole number."),
        ("on_log_limit", "keep", "is not one of the choices"),
        ("timeout_seconds", "-5", "1 second or more"),
        ("timeout_seconds", "", "Enter the timeout in seconds"),
        ("image", "two words", "Not an image name"),
        ("input_text", '{"day": ', "not valid JSON"),
        ("tags_text", "Ünï", "is not a valid tag"),
        ("env_name", ["PATH", "MULTI", ""], "PATH is reserved"),
        ("env_name", ["A", "A", ""], "A is listed twice"),
        ("env_name", ["", "MULTI", ""], "A variable has no name"),
    ],
)
def test_a_mistake_stands_by_its_field_and_nothing_typed_is_lost(
    client: Client, field: str, value: Any, says: str
) -> None:
    typed = {**GOOD, field: value}
    answer = client.post("/jobs/new/", typed)
    text = answer.content.decode()
    assert answer.status_code == 422
    assert text.count(says) >= 2, "in the summary and beside the field"
    assert not Job.objects.exists()
    kept = ["Nightly report", "print(&#x27;one&#x27;)", "{&quot;day&quot;: ", "nightly, billing", "north", "a\nb"]
    changed = {"name": 0, "script": 1, "tags_text": 3}.get(field)
    for number, fragment in enumerate(kept):
        assert fragment in text or number == changed, fragment


def test_all_mistakes_show_at_once(client: Client) -> None:
    answer = client.post("/jobs/new/", {**GOOD, "cpu": "9", "image": "A B", "script": ""})
    text = answer.content.decode()
    assert "Not saved. Fix 3 fields:" in text
    for target in ("#id_cpu", "#id_image", "#id_script"):
        assert f'href="{target}"' in text


def test_editing_keeps_what_the_form_shows(client: Client, job: Job) -> None:
    text = client.get("/jobs/report/edit/").content.decode()
    for shown in ("echo hello", "REGION", "north", "&quot;day&quot;: 1"):
        assert shown in text
    answer = client.post("/jobs/report/edit/", {**GOOD, "name": "Renamed", "memory_mb": "700"})
    job.refresh_from_db()
    assert answer["Location"] == "/jobs/report/edit/"  # a new name moves no address
    assert (job.name, job.slug, job.memory_mb, job.revision) == ("Renamed", "report", 700, 2)
    unticked = {name: value for name, value in GOOD.items() if name not in ("enabled", "read_only_root")}
    client.post("/jobs/report/edit/", {**unticked, "env_name": [], "env_value": [], "input_text": " "})
    job.refresh_from_db()
    assert (job.enabled, job.read_only_root, job.env, job.input, job.memory_mb) == (False, False, {}, None, None)


def test_what_a_full_log_does_is_chosen_and_stays_where_nothing_is_sent(client: Client, job: Job) -> None:
    def stored() -> tuple[int | None, str]:
        job.refresh_from_db()
        return job.log_limit_mb, job.on_log_limit

    text = client.get("/jobs/report/edit/").content.decode()
    assert 'value="stop" id="id_on_log_limit" checked' in text
    assert '<details class="group"><summary><b>Limits</b>' in text
    client.post("/jobs/report/edit/", {**GOOD, "log_limit_mb": "20", "on_log_limit": "drop"})
    assert stored() == (20, "drop")
    client.post("/jobs/report/edit/", GOOD)
    assert stored() == (None, "drop")
    text = client.get("/jobs/report/edit/").content.decode()
    assert 'value="drop" id="id_on_log_limit_drop" checked' in text


def test_a_cap_of_the_installation_is_said_beside_the_field(client: Client, settings: Any) -> None:
    assert "CRONIUM_LOG_LIMIT_MB" not in client.get("/jobs/new/").content.decode()
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_limit_mb": 10})
    text = client.get("/jobs/new/").content.decode()
    assert "CRONIUM_LOG_LIMIT_MB allows 10 at most." in text
    data = re.search(r'<script id="limits" type="application/json">(.*?)</script>', text)
    assert data
    profiles = json.loads(data[1])["profiles"].values()
    assert [limits["log_limit_mb"] for limits in profiles] == [10, 10, 10], "each profile says what a run really gets"


def test_save_and_run_goes_to_the_run(client: Client) -> None:
    answer = client.post("/jobs/new/", {**GOOD, "then": "run"}, follow=True)
    run = Run.objects.get()
    assert answer.redirect_chain[-1] == (f"/runs/{run.pk}/", 302)
    assert (run.script, run.trigger) == ("print('one')\nprint('two')\n", "manual")


def test_delete_is_refused_while_a_run_lives(client: Client, job: Job) -> None:
    run = launch(job, get_admin())
    text = client.post("/jobs/report/delete/", follow=True).content.decode()
    assert "Cancel them or wait for their end" in text
    Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=run.created_at)
    text = client.post("/jobs/report/delete/", follow=True).content.decode()
    assert "is deleted" in text
    assert not Job.objects.exists()
    page = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Report (deleted)" in page


def test_a_huge_script_is_refused_beside_its_field(client: Client) -> None:
    answer = client.post("/jobs/new/", {**GOOD, "script": "#" * (2 * 1024 * 1024)})
    assert answer.status_code == 422
    assert "bytes; at most" in answer.content.decode()


def test_a_nul_byte_is_refused(client: Client) -> None:
    for field in ("script", "name", "image", "input_text", "tags_text"):
        answer = client.post("/jobs/new/", {**GOOD, field: "a\x00b"})
        assert answer.status_code == 422, field
    assert client.post("/jobs/new/", {**GOOD, "env_value": ["a\x00b", "", ""]}).status_code == 422
    assert not Job.objects.exists()


def test_a_queue_is_kept_checked_and_default_when_emptied(client: Client, job: Job) -> None:
    sent = {"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"}
    wrong = client.post("/jobs/report/edit/", sent | {"queue": "GPU 1"})
    assert wrong.status_code == 422
    assert "is not a valid queue name" in wrong.content.decode()
    typed: list[tuple[dict[str, str], str]] = [({"queue": "gpu"}, "gpu"), ({}, "gpu"), ({"queue": ""}, "default")]
    for more, stored in typed:
        assert client.post("/jobs/report/edit/", sent | more).status_code == 302
        job.refresh_from_db()
        assert job.queue == stored


def test_complaints_of_built_in_validators_are_in_our_words(client: Client, editor: Api, job: Job) -> None:
    """On the page and in the API."""
    long = client.post("/jobs/report/edit/", {"name": "x" * 121, "language": "bash", "script": "true"}).content.decode()
    assert "120 characters at most; this has 121." in long
    empty = editor.patch("/jobs/report", {"script": "", "name": ""}).json()
    assert empty["fields"] == {"script": ["Write a script."], "name": ["Give it a name."]}
    for text in (long, str(empty)):
        assert "Ensure this" not in text
        assert "cannot be" not in text
