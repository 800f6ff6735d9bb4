"""A job's retention of logs: by API, in the editor, and within bounds."""

from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.config import Config, load_config
from cronium_admin.jobs.models import Job
from tests.conftest import Api
from tests.unit.test_pages_editor import GOOD


def test_a_job_says_nothing_at_first_and_then_what_it_is_told(editor: Api, job: Job) -> None:
    asked = editor.get("/jobs/report").json()
    assert (asked["log_keep_days"], asked["log_keep_runs"]) == (None, None)
    told = editor.patch("/jobs/report", {"log_keep_days": 7, "log_keep_runs": 0}).json()
    assert (told["log_keep_days"], told["log_keep_runs"]) == (7, 0)
    assert told["revision"] == asked["revision"] + 1
    back = editor.patch("/jobs/report", {"log_keep_days": None}).json()
    assert (back["log_keep_days"], back["log_keep_runs"]) == (None, 0)


@pytest.mark.parametrize("field", ["log_keep_days", "log_keep_runs"])
@pytest.mark.parametrize("value", [-1, 1_000_001, 2**70, 1.5, "7", True])
def test_what_is_out_of_bounds_is_refused_by_its_field(editor: Api, job: Job, field: str, value: Any) -> None:
    answer = editor.patch("/jobs/report", {field: value})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    assert getattr(Job.objects.get(), field) is None


def test_the_refusal_names_the_ceiling(editor: Api, job: Job) -> None:
    assert "36,500 days at most" in editor.patch("/jobs/report", {"log_keep_days": 36_501}).json()["detail"]


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def test_the_editor_saves_both_and_shows_them_again(client: Client) -> None:
    client.post("/jobs/new/", {**GOOD, "log_keep_days": "14", "log_keep_runs": ""})
    job = Job.objects.get()
    assert (job.log_keep_days, job.log_keep_runs) == (14, None)
    shown = client.get(f"/jobs/{job.slug}/edit/").content.decode()
    assert 'name="log_keep_days" inputmode="numeric" value="14"' in shown
    assert "90 days, all runs" in shown, "and what holds where nothing is said"


@pytest.mark.parametrize(("value", "says"), [("-1", "0 days or more"), ("99999", "36,500 days"), ("x", "whole number")])
def test_a_mistake_in_the_editor_stands_by_its_field(client: Client, value: str, says: str) -> None:
    answer = client.post("/jobs/new/", {**GOOD, "log_keep_days": value})
    assert answer.status_code == 422
    text = answer.content.decode()
    assert says in text
    assert 'id="log_keep_days-error"' in text
    assert not Job.objects.exists()


@pytest.mark.parametrize(("name", "value"), [("DAYS", "-1"), ("DAYS", "36501"), ("RUNS", "many"), ("RUNS", "1000001")])
def test_a_bad_setting_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"CRONIUM_LOG_KEEP_{name}", value)
    load_config.cache_clear()
    try:
        with pytest.raises(SystemExit):
            load_config()
    finally:
        monkeypatch.undo()
        load_config.cache_clear()
    said = capsys.readouterr().err
    assert f"CRONIUM_LOG_KEEP_{name}" in said
    assert value in said


def test_without_a_setting_logs_are_kept_for_ninety_days_whatever_their_number() -> None:
    assert (Config().log_keep_days, Config().log_keep_runs) == (90, 0)


@pytest.mark.parametrize(
    ("values", "shown"),
    [((14, None), "14 days"), ((1, 20), "1 day, last 20 runs"), ((0, 0), "for ever, all runs"), ((None, None), None)],
)
def test_the_jobs_page_says_what_it_keeps_of_its_own(
    client: Client, job: Job, values: tuple[int | None, int | None], shown: str | None
) -> None:
    Job.objects.update(log_keep_days=values[0], log_keep_runs=values[1])
    text = client.get("/jobs/report/settings/").content.decode()
    assert (f'<dt>Logs kept</dt><dd class="num">{shown}</dd>' in text) == (shown is not None)
