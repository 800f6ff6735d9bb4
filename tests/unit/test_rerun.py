# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""Reruns: the same snapshot, within what the job still has and the caller may do today."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.jobs.egress_rules import intersect_patterns
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import delete_job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run, RunEvent, Status
from cronium_admin.secrets.service import save_secret
from cronium_admin.workers.run_spec import build_spec
from tests.conftest import Api
from tests.unit.test_launch import _at_once, stored_job  # noqa: F401 - a fixture
from tests.users import get_admin

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def ended(run: Run) -> Run:
    Run.objects.update(status=Status.SUCCEEDED, image_digest=DIGEST, finished_at=run.created_at)
    run.refresh_from_db()
    return run


def _again(api: Api, run: Run) -> dict[str, Any]:
    answer = api.post(f"/runs/{run.pk}/rerun")
    assert answer.status_code == 202, answer.content
    return dict(answer.json())


def _said(run_id: str) -> str:
    return RunEvent.objects.get(run=run_id, kind="queued").message


def test_it_takes_the_digest_that_ran_and_not_the_tag(operator: Api, ended: Run) -> None:
    again = _again(operator, ended)
    assert (again["image"]["reference"], again["image"]["digest"]) == (ended.image, DIGEST)
    assert build_spec(Run.objects.get(pk=again["id"]), "instance", "host").image_digest == DIGEST
    assert build_spec(launch(Job.objects.get(), get_admin()), "instance", "host").image_digest == ""


def test_a_run_that_never_had_an_image_takes_the_reference(operator: Api, run: Run) -> None:
    assert _again(operator, run)["image"]["digest"] == ""


class TestSecrets:
    @pytest.fixture(autouse=True)
    def _with_secrets(self, ended: Run, people: dict[str, User]) -> None:
        for name in ("KEPT", "LOST"):
            save_secret(name, "some value", None, people["admin"])
        Job.objects.update(secrets=["KEPT", "LOST"])
        Run.objects.update(differs={"secrets": ["KEPT", "LOST"]})

    def test_all_stay_that_the_job_has(self, operator: Api, ended: Run) -> None:
        again = _again(operator, ended)
        assert again["secrets"] == ["KEPT", "LOST"]
        said = "With the image that run #1 had, even if cronium/runner:bash-alpine names another one today."
        assert _said(again["id"]) == f"Queued by operator. {said}"

    def test_what_the_job_lost_is_cut_and_told(self, operator: Api, ended: Run) -> None:
        Job.objects.update(secrets=["KEPT"])
        again = _again(operator, ended)
        assert again["secrets"] == ["KEPT"]
        assert "LOST" in _said(again["id"])

    def test_what_the_job_gained_is_not_given(self, operator: Api, ended: Run) -> None:
        Run.objects.update(differs={"secrets": ["KEPT"]})
        assert _again(operator, ended)["secrets"] == ["KEPT"]

    def test_of_a_deleted_job_those_are_left_that_are_stored(self, editor: Api, admin: Api, ended: Run) -> None:
        Job.objects.get().delete()
        assert admin.delete("/secrets/LOST").status_code == 204
        assert _again(editor, ended)["secrets"] == ["KEPT"]


class TestNetwork:
    @pytest.mark.parametrize(
        ("ran", "hosts", "now", "now_hosts", "gets", "gets_hosts"),
        [
            ("open", [], "open", [], "open", []),
            ("open", [], "isolated", [], "isolated", []),
            ("open", [], "egress", ["a.com:443"], "egress", ["a.com:443"]),
            ("open", [], "none", [], "none", []),
            ("egress", ["a.com:443", "b.com:80"], "egress", ["*.com:443", "a.com:443"], "egress", ["a.com:443"]),
            ("egress", ["a.com:443"], "egress", ["b.com:443"], "isolated", []),
            ("egress", ["a.com:443"], "isolated", ["a.com:443"], "isolated", []),
            ("egress", ["a.com:443"], "open", [], "egress", ["a.com:443"]),
            ("isolated", [], "open", [], "isolated", []),
            ("none", [], "open", [], "none", []),
            ("isolated", [], "none", [], "none", []),
        ],
    )
    def test_it_is_cut_to_what_the_job_has(
        self, *, operator: Api, ended: Run, ran: str, hosts: Any, now: str, now_hosts: Any, gets: str, gets_hosts: Any
    ) -> None:
        Run.objects.update(network=ran, differs={"egress": hosts})
        Job.objects.update(network=now, egress=now_hosts)
        again = _again(operator, ended)
        assert (again["network"], again["egress"]) == (gets, gets_hosts)
        assert (gets in _said(again["id"])) == (gets != ran)

    @pytest.mark.parametrize(
        ("one", "other", "both"),
        [
            ("a.com:443", "a.com:443", ["a.com:443"]),
            ("a.com:443", "a.com:80", []),
            ("a.com:*", "a.com:80", ["a.com:80"]),
            ("*.a.com:*", "x.a.com:80", ["x.a.com:80"]),
            ("x.a.com:80", "*.a.com:*", ["x.a.com:80"]),
            ("*.x.a.com:80", "*.a.com:80", ["*.x.a.com:80"]),
            ("*.a.com:80", "a.com:80", []),
            ("*.a.com:80", "xa.com:80", []),
            ("[2606:4700::1111]:443", "[2606:4700::1111]:*", ["[2606:4700::1111]:443"]),
        ],
    )
    def test_two_lists_share_what_both_let_through(self, one: str, other: str, both: list[str]) -> None:
        assert intersect_patterns([one], [other]) == intersect_patterns([other], [one]) == both

    @pytest.mark.parametrize(("role", "gets"), [("editor", "isolated"), ("admin", "open")])
    def test_of_a_deleted_job_the_open_one_takes_an_administrator(
        self, people: dict[str, User], ended: Run, role: str, gets: str
    ) -> None:
        Run.objects.update(network="open")
        Job.objects.get().delete()
        assert _again(Api(people[role]), ended)["network"] == gets


class TestIdempotencyKey:
    @pytest.fixture(params=["live", "deleted"])
    def stored(self, request: pytest.FixtureRequest, ended: Run) -> Run:
        if request.param == "deleted":
            Job.objects.all().delete()
        return Run.objects.get()

    def _post(self, api: Api, run: Run, key: str) -> Any:
        return api.post(f"/runs/{run.pk}/rerun", Idempotency_Key=key)

    def test_the_same_key_gives_the_same_run(self, editor: Api, stored: Run) -> None:
        first, again, other = (self._post(editor, stored, key) for key in ("a", "a", "b"))
        assert [answer.status_code for answer in (first, again, other)] == [202, 202, 202]
        assert first.json()["id"] == again.json()["id"] != other.json()["id"]
        assert RunEvent.objects.filter(kind="queued").count() == Run.objects.count() == 3

    def test_of_another_run_it_is_refused(self, editor: Api, stored: Run) -> None:
        second = _again(editor, stored)
        self._post(editor, stored, "a")
        answer = self._post(editor, Run.objects.get(pk=second["id"]), "a")
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
        assert Run.objects.count() == 3

    def test_a_launch_and_a_rerun_share_the_keys_of_a_job(self, editor: Api, ended: Run) -> None:
        assert editor.post("/jobs/report/runs", Idempotency_Key="a").status_code == 202
        assert self._post(editor, ended, "a").status_code == 409
        assert self._post(editor, ended, "b").status_code == 202
        assert editor.post("/jobs/report/runs", Idempotency_Key="b").status_code == 409

    def test_each_person_has_their_own(self, editor: Api, admin: Api, stored: Run) -> None:
        ids = {self._post(api, stored, "a").json()["id"] for api in (editor, admin, editor)}
        assert len(ids) == 2

    def test_a_run_that_is_not_there_takes_no_key(self, editor: Api, run: Run) -> None:
        assert editor.post(f"/runs/{uuid4()}/rerun", Idempotency_Key="a").status_code == 404
        for key in ("", "a b", "x" * 201, "ä"):
            assert self._post(editor, run, key).status_code == 422, key
        assert Run.objects.count() == 1

    def test_the_right_is_asked_before_the_key(self, editor: Api, operator: Api, ended: Run) -> None:
        assert self._post(operator, ended, "a").status_code == 202
        Job.objects.all().delete()
        assert self._post(operator, ended, "a").status_code == 403


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.parametrize("is_deleted", [True, False])
def test_one_key_at_once_makes_one_run(stored_job: Job, is_deleted: bool) -> None:
    run = launch(stored_job, get_admin())
    Run.objects.update(status=Status.SUCCEEDED, finished_at=run.created_at)
    if is_deleted:
        delete_job(stored_job)
    runs = _at_once(4, lambda: rerun(Run.objects.get(pk=run.pk), get_admin(), idempotency_key="k").pk)
    assert len(set(runs)) == 1, runs
    assert Run.objects.count() == 2


def test_of_a_disabled_job_it_runs(operator: Api, ended: Run) -> None:
    Job.objects.update(enabled=False)
    assert _again(operator, ended)["number"] == 2


class TestDeletedJob:
    @pytest.fixture(autouse=True)
    def _deleted(self, ended: Run) -> None:
        Job.objects.get().delete()

    def test_an_operator_is_refused(self, operator: Api, ended: Run) -> None:
        answer = operator.post(f"/runs/{ended.pk}/rerun")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert Run.objects.count() == 1

    def test_an_editor_runs_it_and_its_page_is_shown(self, editor: Api, ended: Run, people: dict[str, User]) -> None:
        again = _again(editor, ended)
        assert (again["job"], again["number"], again["parent"]) == (None, 2, str(ended.pk))
        assert _again(editor, ended)["number"] == 3
        page = Client()
        page.force_login(people["editor"])
        for run_id in (ended.pk, again["id"]):
            assert page.get(f"/runs/{run_id}/").status_code == 200
        spec = build_spec(Run.objects.get(pk=again["id"]), "instance", "host")
        assert spec.context["job"]["slug"] == "report"


class TestToday:
    def test_limits_are_cut_to_todays_ceilings(self, run: Run, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"max_memory_mb": 256})
        again = rerun(run, get_admin())
        assert again.memory_mb == 256
        assert "256" in _said(str(again.pk))

    def test_the_runtime_is_the_profiles(self, run: Run) -> None:
        Profile.objects.filter(name="small").update(runtime="runsc")
        assert rerun(run, get_admin()).runtime == "runsc"

    def test_a_variable_that_was_reserved_since_is_named(
        self, operator: Api, run: Run, people: dict[str, User]
    ) -> None:
        Run.objects.update(differs={"env": {"CRONIUM_OLD": "x"}})
        Job.objects.update(env={"CRONIUM_OLD": "x"})
        answer = operator.post(f"/runs/{run.pk}/rerun")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["env"])
        page = Client()
        page.force_login(people["operator"])
        assert b"CRONIUM_OLD is reserved" in page.post(f"/runs/{run.pk}/rerun/", follow=True).content


class TestButtons:
    @pytest.fixture
    def page(self, people: dict[str, User]) -> Callable[..., str]:
        def get(run: Run, role: str = "operator") -> str:
            client = Client()
            client.force_login(people[role])
            return client.get(f"/runs/{run.pk}/").content.decode().split('id="run-reason"')[0]

        return get

    def test_of_the_jobs_revision_it_says_run_again(self, page: Callable[..., str], ended: Run) -> None:
        html = page(ended)
        assert "Run again" in html
        assert "Run the job as it is now" in html
        assert "old-revision" not in html

    def test_of_an_old_revision_the_newest_comes_first(self, page: Callable[..., str], ended: Run) -> None:
        Job.objects.update(revision=3)
        html = page(ended)
        assert html.index("Run newest (rev 3)") < html.index("Repeat exactly (rev 1)")
        assert "<span>Run again</span>" not in html
        assert "This run used revision 1" in html

    def test_of_a_disabled_job_only_the_same_is_left(self, page: Callable[..., str], ended: Run) -> None:
        Job.objects.update(revision=3, enabled=False)
        html = page(ended)
        assert "Repeat exactly (rev 1)" in html
        assert "newest" not in html
        assert "The job is disabled" in html

    def test_while_it_runs_cancel_is_the_only_button(self, page: Callable[..., str], run: Run) -> None:
        html = page(run)
        assert html.count('<button class="btn main-act"') == 0
        assert html.index("Cancel") < html.index('<details class="menu"', html.index("run-acts"))
        assert "Run again" in html

    def test_of_a_deleted_job_only_an_editor_has_it(self, page: Callable[..., str], ended: Run) -> None:
        Job.objects.get().delete()
        assert "Run again" not in page(ended)
        assert "Run again" in page(ended, "editor")


def test_a_stored_value_that_is_refused_today_is_told_on_the_page(people: dict[str, User], job: Job) -> None:
    Job.objects.update(env={"CRONIUM_OLD": "x"})
    page = Client()
    page.force_login(people["operator"])
    answer = page.post(f"/runs/launch/{job.slug}/", follow=True)
    assert answer.status_code == 200
    assert b"CRONIUM_OLD is reserved" in answer.content
    assert not Run.objects.exists()
