"""Runs of unsaved text: what runs, what stays unchanged, and who may start them. Saving in place."""

from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.recent_runs import fetch_recent_runs
from cronium_admin.runs.durations import measure_durations, measure_recent
from cronium_admin.runs.lookup import find_last_success
from cronium_admin.runs.models import Run
from cronium_admin.runs.state_machine import Ending, end_queued
from tests.conftest import Api

pytestmark = pytest.mark.django_db
IN_PLACE = {"X-Cronium-In-Place": "1"}


def sign_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_form(job: Job, **fields: Any) -> dict[str, Any]:
    form = {"name": job.name, "language": job.language, "script": job.script, "profile": job.profile.name}
    form |= {"timeout_seconds": str(job.timeout_seconds), "enabled": "on", "read_only_root": "on"}
    return {**form, "revision": str(job.revision), **fields}


def try_text(user: User, job: Job, **fields: Any) -> Any:
    return sign_in(user).post(f"/runs/try/{job.slug}/", make_form(job, **fields), headers=IN_PLACE)


def test_runs_what_was_sent_and_changes_nothing(job: Job, people: dict[str, User]) -> None:
    before = Job.objects.filter(pk=job.pk).values().get()
    sent = {
        "name": "Another name",
        "timeout_seconds": "77",
        "env_name": ["DAY"],
        "env_value": ["one"],
        "tags_text": "x",
    }
    answer = try_text(people["editor"], job, script="echo unsaved", retry_max="3", retry_on="failed", **sent)
    run = Run.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/runs/{run.pk}/pane/")
    assert (run.script, run.timeout_seconds, run.env, run.trigger) == ("echo unsaved", 77, {"DAY": "one"}, "try")
    assert (run.job_name, run.job_revision, run.retry, run.created_by) == (job.name, 1, None, people["editor"])
    after = Job.objects.filter(pk=job.pk).values().get()
    assert {**after, "last_run_number": 0} == {**before, "last_run_number": 0}
    assert job.revisions.count() == 1
    assert job.revisions.get().script.text == job.script


def test_counts_nowhere(job: Job, people: dict[str, User]) -> None:
    try_text(people["editor"], job, script="echo unsaved")
    end_queued(Run.objects.get().pk, Ending("failed", "exit_code", "The script exited with code 1."), "")
    job.refresh_from_db()
    assert fetch_recent_runs([job]) == {job.pk: []}
    assert measure_durations([job.pk]) == {}
    assert not hasattr(job, "health")
    page = sign_in(people["viewer"]).get(f"/runs/{Run.objects.get().pk}/").content.decode()
    assert "text and settings that were not saved" in page


def test_errors_are_those_of_the_editor(job: Job, people: dict[str, User]) -> None:
    answer = try_text(people["editor"], job, timeout_seconds="0", env_name=["PATH"], env_value=["/mine"])
    text = answer.content.decode()
    assert answer.status_code == 422
    assert 'id="timeout_seconds-error"' in text
    assert 'id="env-error"' in text
    assert try_text(people["editor"], job, enabled="").status_code == 409
    assert not Run.objects.exists()


def test_the_open_network_needs_its_right(job: Job, people: dict[str, User]) -> None:
    assert try_text(people["editor"], job, network="open").status_code == 403
    assert try_text(people["admin"], job, network="open").status_code == 302
    Job.objects.filter(pk=job.pk).update(network="open")
    assert try_text(people["editor"], job, script="echo other").status_code == 403


def test_a_rerun_needs_the_right_to_edit(job: Job, people: dict[str, User]) -> None:
    try_text(people["editor"], job, script="echo unsaved")
    run = Run.objects.get()
    refused = Api(people["operator"]).post(f"/runs/{run.pk}/rerun")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "the script and the settings" in refused.json()["detail"]
    again = Run.objects.get(pk=Api(people["editor"]).post(f"/runs/{run.pk}/rerun").json()["id"])
    assert (again.script, again.trigger) == ("echo unsaved", "try")


def test_waits_for_a_full_limit_instead_of_cancelling(job: Job, people: dict[str, User]) -> None:
    job.concurrency = {"limit": 1, "key": "", "when_full": "cancel_oldest"}
    Job.objects.filter(pk=job.pk).update(concurrency=job.concurrency, concurrency_limit=1)
    Api(people["operator"]).post(f"/jobs/{job.slug}/runs")
    try_text(people["editor"], job, script="echo unsaved")
    assert list(Run.objects.order_by("number").values_list("status", "cancel_requested_at")) == [("queued", None)] * 2


def test_saves_in_place(job: Job, people: dict[str, User]) -> None:
    client = sign_in(people["editor"])
    answer = client.post(f"/jobs/{job.slug}/edit/", make_form(job, script="echo 2"), headers=IN_PLACE)
    assert answer.json() == {
        "name": job.name,
        "slug": job.slug,
        "revision": 2,
        "message": "Saved, revision 2.",
        "address": f"/jobs/{job.slug}/edit/",
    }
    same = client.post(f"/jobs/{job.slug}/edit/", make_form(job, script="echo 2", revision="2"), headers=IN_PLACE)
    assert same.json()["message"] == "Nothing has changed; this is revision 2."
    stale = client.post(f"/jobs/{job.slug}/edit/", make_form(job, script="echo 3"), headers=IN_PLACE)
    assert stale.status_code == 409


def test_without_script_saving_returns_to_the_editor(job: Job, people: dict[str, User]) -> None:
    answer = sign_in(people["editor"]).post(f"/jobs/{job.slug}/edit/", make_form(job, script="echo 2"), follow=True)
    assert answer.redirect_chain == [(f"/jobs/{job.slug}/edit/", 302)]
    assert "Saved, revision 2." in answer.content.decode()


def test_launches_in_the_editor(job: Job, people: dict[str, User]) -> None:
    client = sign_in(people["operator"])
    answer = client.post(f"/runs/launch/{job.slug}/in-editor/", headers=IN_PLACE)
    run = Run.objects.get()
    assert (answer["Location"], run.trigger) == (f"/runs/{run.pk}/pane/", "manual")
    pane = client.get(answer["Location"]).content.decode()
    assert f'data-run="{run.pk}"' in pane
    assert "revision 1" in pane
    state = client.get(f"/runs/{run.pk}/pane/state/").content.decode()
    assert 'data-live="true"' in state
    Job.objects.filter(pk=job.pk).update(enabled=False)
    refused = client.post(f"/runs/launch/{job.slug}/in-editor/", headers=IN_PLACE)
    assert (refused.status_code, "is disabled" in refused.json()["detail"]) == (409, True)


def test_is_no_earlier_success_of_other_runs(job: Job, people: dict[str, User]) -> None:
    try_text(people["editor"], job, script="echo unsaved")
    Run.objects.update(status="succeeded", finished_at="2026-11-29T12:00Z", started_at="2026-11-29T11:00Z")
    Api(people["operator"]).post(f"/jobs/{job.slug}/runs")
    job.refresh_from_db()
    assert find_last_success(Run.objects.get(trigger="api")) is None
    assert measure_recent([job]) == measure_durations([job.pk]) == {}
