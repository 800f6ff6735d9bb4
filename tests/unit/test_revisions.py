"""Each save that changes something is a revision, which never changes; a run names the one that it ran."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.db.models import ProtectedError
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import User
from cronium_admin.jobs.job_fields import DEFAULTS, JOB_FIELDS
from cronium_admin.jobs.models import Job, JobRevision
from cronium_admin.jobs.service import create_job, delete_job, save_job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.run_spec import build_spec
from tests.conftest import Api
from tests.users import get_admin

VALUES = {
    "name": "Report", "language": "bash", "script": "echo 1", "env": {"B": "2", "A": "1"}, "cpu": "0.5",
    "input": {"z": 1.0, "a": 1}, "network": "egress", "egress": ["a.com:443"], "tags": ["x"],
}  # fmt: skip


@pytest.fixture
def saved(people: dict[str, User]) -> Job:
    return create_job(VALUES, people["editor"])


def newest() -> JobRevision:
    return JobRevision.objects.select_related("script", "by").order_by("-pk")[0]


def test_the_first_has_all_settings(saved: Job, people: dict[str, User]) -> None:
    row = newest()
    assert (row.job, row.number, row.by, row.by_name) == (saved, 1, people["editor"], "editor")
    assert (row.script.text, row.changed, row.restored_from, row.is_partial) == ("echo 1", [], None, False)
    assert set(row.values) == JOB_FIELDS - {"script"}
    assert (row.values["cpu"], row.values["profile"], row.values["slug"]) == (0.5, "small", "report")
    assert '"env":{"A":"1","B":"2"}' in row.settings
    assert '"input":{"z":1.0,"a":1}' in row.settings
    # Younger settings that the job does not use leave the text, and so the digest, as it was.
    assert list(json.loads(row.settings)) == sorted(row.values.keys() - DEFAULTS.keys())


def test_only_a_save_that_changes_something_adds_one(saved: Job, people: dict[str, User]) -> None:
    first = newest()
    same = save_job(saved, {"name": "Report", "env": {"A": "1", "B": "2"}, "cpu": "0.50"}, people["admin"])
    assert (same.revision, JobRevision.objects.count()) == (1, 1)
    assert save_job(saved, {"script": "echo 2", "input": {"z": 1, "a": 1}}, people["admin"]).revision == 2
    row = newest()
    assert (row.number, row.by_name, row.changed, row.script.text) == (2, "admin", ["input", "script"], "echo 2")
    assert row.digest != first.digest
    save_job(saved, {"script": "echo 1", "input": {"z": 1.0, "a": 1}}, people["admin"])
    assert (newest().digest, newest().script_id) == (first.digest, first.script_id)


def test_a_save_that_fails_adds_none(saved: Job, editor: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert editor.patch("/jobs/report", {"script": "", "name": "B"}).status_code == 422
    assert editor.patch("/jobs/report", {"name": "B", "revision": 7}).status_code == 409
    monkeypatch.setattr("cronium_admin.jobs.service.create_revision", None)
    with pytest.raises(TypeError):
        save_job(saved, {"name": "B"}, get_admin())
    assert (Job.objects.get().name, Job.objects.get().revision, JobRevision.objects.count()) == ("Report", 1, 1)


def test_a_row_is_never_changed(saved: Job) -> None:
    row = newest()
    row.number = 9
    with pytest.raises(TypeError, match="never changed"):
        row.save()


def test_it_outlives_its_author(saved: Job, people: dict[str, User]) -> None:
    people["editor"].delete()
    assert (newest().by, newest().by_name) == (None, "editor")


def test_it_outlives_its_job_while_a_run_has_it(saved: Job) -> None:
    run = launch(saved, get_admin())
    Run.objects.update(status="failed", finished_at=run.created_at)
    delete_job(saved)
    assert (newest().job, Run.objects.get().script, Run.objects.get().input) == (None, "echo 1", {"z": 1.0, "a": 1})
    with pytest.raises(ProtectedError):
        JobRevision.objects.all().delete()


def test_a_job_of_the_same_slug_goes_on_with_the_numbers(saved: Job, people: dict[str, User]) -> None:
    save_job(saved, {"tags": []}, people["editor"])
    delete_job(saved)
    job = create_job(VALUES, people["editor"])
    assert (job.revision, newest().number, job.revisions.count()) == (3, 3, 1)


def test_a_job_that_takes_the_slug_of_a_deleted_job_has_the_number_of_its_revision(
    saved: Job, people: dict[str, User]
) -> None:
    for number in range(3):
        saved = save_job(saved, {"script": f"echo {number}"}, people["editor"])
    delete_job(saved)
    job = save_job(create_job(VALUES | {"slug": "other"}, people["editor"]), {"slug": "report"}, people["editor"])
    stored = Job.objects.get()
    assert (job.revision, stored.revision, newest().number) == (5, 5, 5)
    for number in range(6, 9):
        stored = save_job(stored, {"script": f"echo {number}"}, people["editor"])
        assert (stored.revision, newest().number, launch(stored, get_admin()).revision) == (number, number, newest())


class TestRuns:
    def test_a_run_keeps_only_what_differs(self, saved: Job) -> None:
        assert Run.objects.get(pk=launch(saved, get_admin()).pk).differs is None
        other = {"env": {"A": "other"}, "input": None}
        run = Run.objects.get(pk=launch(saved, get_admin(), Overrides(**other)).pk)
        assert run.differs == {"env": {"A": "other", "B": "2"}, "input": None}
        assert (run.env, run.input, run.egress) == ({"A": "other", "B": "2"}, None, ["a.com:443"])
        again = Run.objects.get(pk=rerun(run, get_admin()).pk)
        assert (again.differs, again.revision_id) == (run.differs, run.revision_id)

    def test_a_run_that_was_just_created_reads_like_a_stored_run(self, saved: Job) -> None:
        run = launch(saved, get_admin(), Overrides(env={"A": '"script"'}))
        for each in (run, rerun(run, get_admin())):
            stored = Run.objects.get(pk=each.pk)
            assert (each.script, each.env, each.differs) == (stored.script, stored.env, stored.differs)

    @pytest.mark.parametrize("given", [{"z": 1, "a": 1}, {"a": 1, "z": 1.0}, {"z": True, "a": 1}, 0, False, "", []])
    def test_another_number_or_order_differs(self, saved: Job, given: Any) -> None:
        run = Run.objects.get(pk=launch(saved, get_admin(), Overrides(input=given)).pk)
        assert json.dumps(run.input) == json.dumps(given)
        assert json.dumps(run.differs) == json.dumps({"input": given})

    def test_hosts_of_another_network_are_not_the_runs(self, saved: Job, people: dict[str, User]) -> None:
        job = save_job(saved, {"network": "isolated"}, people["editor"])
        run = Run.objects.get(pk=launch(job, get_admin()).pk)
        assert (run.egress, run.differs, job.egress) == ([], None, ["a.com:443"])

    def test_it_is_the_revision_of_the_job_that_was_loaded(self, saved: Job, people: dict[str, User]) -> None:
        """Another save comes between loading the job and launching it."""
        save_job(saved, {"script": "echo 2", "env": {}}, people["admin"])
        run = Run.objects.get(pk=launch(saved, get_admin()).pk)
        assert (run.job_revision, run.revision.number, run.script, run.env) == (1, 1, "echo 1", {"B": "2", "A": "1"})

    def test_a_job_changed_past_the_service_runs_as_it_is(self, saved: Job) -> None:
        Job.objects.update(script="echo by SQL", secrets=["KEY"], env={"A": "1", "B": "2"})
        run = Run.objects.get(pk=launch(Job.objects.get(), get_admin()).pk)
        assert (run.script, run.secrets, run.revision.number) == ("echo by SQL", ["KEY"], 1)
        assert run.differs == {"script": "echo by SQL", "secrets": ["KEY"]}
        again = Run.objects.get(pk=rerun(run, get_admin()).pk)
        assert (again.script, again.secrets, JobRevision.objects.count()) == ("echo by SQL", ["KEY"], 1)

    def test_a_job_stored_past_the_service_gets_its_revision(self, make_job: Callable[..., Job]) -> None:
        runs = [launch(make_job(revision=4), get_admin()), launch(Job.objects.get(), get_admin())]
        assert [run.revision_id for run in runs] == [newest().pk] * 2
        assert (newest().number, runs[0].differs, newest().changed) == (4, None, None)

    def test_claim_and_spec_take_no_query_more(self, saved: Job) -> None:
        launch(saved, get_admin())
        run = state_machine.claim_next("here", "here:1")
        assert run is not None
        with CaptureQueriesContext(connection) as captured:
            spec = build_spec(run, "instance", "here")
        assert (spec.script, spec.env, spec.egress, spec.input) == ("echo 1", run.env, ("a.com:443",), run.input)
        assert captured.captured_queries == []

    def test_lists_read_no_settings(self, saved: Job, admin: Api) -> None:
        run = launch(saved, get_admin(), Overrides(input="long"))
        page = Client()
        page.force_login(admin.user)  # type: ignore[arg-type]
        with CaptureQueriesContext(connection) as captured:
            assert admin.get("/runs").json()["items"][0]["job_revision"] == 1
            for path in ("/runs/", "/runs/rows/", "/jobs/", "/jobs/report/"):
                assert page.get(path).status_code in (200, 404), path
        seen = [query["sql"] for query in captured.captured_queries if "jobs_jobrevision" in query["sql"]]
        assert seen == []
        assert not [query["sql"] for query in captured.captured_queries if '"runs_run"."differs"' in query["sql"]]
        with CaptureQueriesContext(connection) as captured:
            assert page.get(f"/runs/{run.pk}/").status_code == 200
        assert len([query for query in captured.captured_queries if "jobs_jobrevision" in query["sql"]]) == 1
