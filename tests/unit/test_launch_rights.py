"""The permission for launch overrides that decide which code runs with a job's secrets: image and environment."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Role
from cronium_admin.jobs.models import Job, Network
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from tests.conftest import Api
from tests.users import get_admin

CODE = [
    {"env": {"PYTHONWARNINGS": "all:0:antigravity.x:0:0", "BROWSER": "/bin/sh -c id #%s"}},
    {"env": {"PS4": "$(id)"}},
    {"env": {"REGION": "south"}},
    {"env": {"REGION": "north", "NEW": ""}},
    {"image": "mine/bash:1"},
    {"image": "mine/bash:1", "env": {"REGION": "north"}},
]
SAME: list[dict[str, Any]] = [
    {"env": {"REGION": "north"}},
    {"env": {}, "image": ""},
    {"env": None, "image": None},
    {"env": {"REGION": "north"}, "image": "own/bash:1"},
    {"profile": "large", "cpu": 1, "memory_mb": 600, "pids": 99, "timeout_seconds": 5, "log_limit_mb": 1, "input": 7},
]


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job(name="Report", slug="report", env={"REGION": "north"}, image="own/bash:1")


@pytest.mark.parametrize("body", CODE)
def test_an_operator_changes_neither_image_nor_environment(operator: Api, job: Job, body: dict[str, Any]) -> None:
    answer = operator.post("/jobs/report/runs", body)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "Editor" in answer.json()["detail"]
    assert set(answer.json()["fields"]) <= {"env", "image"}
    assert not Run.objects.exists()


@pytest.mark.parametrize("body", CODE)
@pytest.mark.parametrize("role", ["editor", "admin"])
def test_who_may_edit_the_job_changes_both(people: dict[str, User], job: Job, role: str, body: dict[str, Any]) -> None:
    assert Api(people[role]).post("/jobs/report/runs", body).status_code == 202


@pytest.mark.parametrize("body", SAME)
def test_what_the_job_says_anyway_is_no_change(operator: Api, job: Job, body: dict[str, Any]) -> None:
    answer = operator.post("/jobs/report/runs", body)
    assert (answer.status_code, answer.json().get("overridden")) == (202, []), answer.content


def test_by_session_the_same_holds(people: dict[str, User], job: Job) -> None:
    browser = Api(None)
    browser.client.force_login(people["operator"])
    assert browser.post("/jobs/report/runs", CODE[0]).status_code == 403
    assert browser.post("/jobs/report/runs").status_code == 202


def test_a_form_changes_neither_whatever_it_sends(people: dict[str, User], job: Job) -> None:
    page = Client()
    page.force_login(people["operator"])
    form = {"with": "yes", "env": "PS4=x", "env_name": "PS4", "env_value": "x", "image": "mine/bash:1"}
    assert page.post("/runs/launch/report/", form).status_code == 302
    run = Run.objects.get()
    assert (run.env, run.image) == ({"REGION": "north"}, "own/bash:1")


def test_a_listed_variable_may_be_set_by_who_may_run(operator: Api, job: Job) -> None:
    Job.objects.update(launch_env=["DAY", "REGION"])
    answer = operator.post("/jobs/report/runs", {"env": {"DAY": "1", "REGION": "south"}})
    assert (answer.status_code, answer.json()["overridden"]) == (202, ["env.DAY", "env.REGION"])
    assert Run.objects.get().env == {"DAY": "1", "REGION": "south"}
    answer = operator.post("/jobs/report/runs", {"env": {"DAY": "1", "PS4": "x"}})
    assert answer.status_code == 403
    assert "PS4" in answer.json()["detail"]
    assert "DAY" not in answer.json()["detail"]
    assert operator.post("/jobs/report/runs", {"env": {"DAY": "1"}, "image": "a:1"}).status_code == 403


def test_a_listed_variable_of_an_open_network_takes_no_administrator(operator: Api, editor: Api, job: Job) -> None:
    Job.objects.update(launch_env=["DAY"], network=Network.OPEN)
    assert operator.post("/jobs/report/runs", {"env": {"DAY": "1"}}).status_code == 202
    assert editor.post("/jobs/report/runs", {"env": {"PS4": "1"}}).status_code == 403
    # Listing a name decides what runs with the open network.
    assert editor.patch("/jobs/report", {"launch_env": ["DAY", "PS4"]}).status_code == 403


@pytest.mark.parametrize("names", [["PATH"], ["A B"], ["A", "A"], [f"N{n}" for n in range(51)], ["CRONIUM_X"]])
def test_the_list_holds_variable_names(editor: Api, job: Job, names: list[str], nothing_stored: None) -> None:
    answer = editor.patch("/jobs/report", {"launch_env": names})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["launch_env"])


def test_the_list_is_edited_and_shown(editor: Api, operator: Api, job: Job) -> None:
    assert editor.patch("/jobs/report", {"launch_env": ["DAY"]}).json()["revision"] == 2
    assert operator.get("/jobs/report").json()["launch_env"] == ["DAY"]
    assert operator.patch("/jobs/report", {"launch_env": ["PS4"]}).status_code == 403


class TestRerun:
    @pytest.fixture
    def altered(self, job: Job, people: dict[str, User]) -> Run:
        return launch(job, people["editor"], Overrides(env={"PS4": "$(id)"}, image="mine/bash:1"))

    def test_an_operator_does_not_repeat_what_an_editor_changed(self, operator: Api, altered: Run) -> None:
        answer = operator.post(f"/runs/{altered.pk}/rerun")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert Run.objects.count() == 1

    def test_the_pages_button_refuses_it_too(self, people: dict[str, User], altered: Run) -> None:
        page = Client()
        page.force_login(people["operator"])
        page.post(f"/runs/{altered.pk}/rerun/", {"env": "", "image": ""})
        assert list(Run.objects.values_list("pk", flat=True)) == [altered.pk]

    def test_an_editor_does_and_the_new_run_says_so_too(self, operator: Api, editor: Api, altered: Run) -> None:
        again = editor.post(f"/runs/{altered.pk}/rerun").json()
        assert again["overridden"] == ["env.PS4", "image"]
        assert operator.post(f"/runs/{again['id']}/rerun").status_code == 403

    def test_rights_are_those_of_today(self, editor: Api, altered: Run, people: dict[str, User]) -> None:
        User.objects.filter(pk=people["editor"].pk).update(role=Role.OPERATOR)
        assert editor.post(f"/runs/{altered.pk}/rerun").status_code == 403

    def test_a_plain_run_of_an_older_revision_is_repeated_by_who_may_run(self, operator: Api, job: Job) -> None:
        run = launch(job, get_admin())
        Job.objects.update(env={"REGION": "south"}, image="other:1")
        assert operator.post(f"/runs/{run.pk}/rerun").status_code == 202

    @pytest.mark.parametrize(
        ("changes", "status"),
        [({}, 202), ({"differs": {"env": {"REGION": "x"}}}, 403), ({"image": "a:1", "image_rule": "run"}, 403)],
    )
    def test_a_run_that_recorded_nothing_is_compared_with_its_job(
        self, operator: Api, job: Job, changes: dict[str, Any], status: int
    ) -> None:
        run = launch(job, get_admin())
        Run.objects.update(overridden=None, **changes)
        assert operator.post(f"/runs/{run.pk}/rerun").status_code == status


class TestRuntime:
    """The runtime isolates the script: a profile with another runtime needs the permission to edit."""

    @pytest.fixture(autouse=True)
    def _isolated(self, job: Job) -> None:
        Profile.objects.filter(name="large").update(runtime="runsc")
        Job.objects.update(profile=Profile.objects.get(name="large"))

    @pytest.mark.parametrize("network", ["isolated", "open"])
    def test_an_operator_changes_it_neither_way(self, operator: Api, network: str) -> None:
        Job.objects.update(network=network)
        for own, other in (("large", "small"), ("small", "large")):
            Job.objects.update(profile=Profile.objects.get(name=own))
            answer = operator.post("/jobs/report/runs", {"profile": other})
            assert (answer.status_code, list(answer.json()["fields"])) == (403, ["profile"])
            assert network == "open" or "choose a profile with the same runtime" in answer.json()["detail"]
        assert not Run.objects.exists()

    def test_a_profile_with_the_same_one_is_chosen_by_who_may_run(self, operator: Api) -> None:
        Profile.objects.filter(name="medium").update(runtime="runsc")
        for name in ("medium", "large"):
            answer = operator.post("/jobs/report/runs", {"profile": name}).json()
            assert (answer["runtime"], answer["overridden"]) == ("runsc", [])

    def test_the_page_offers_those_alone(self, people: dict[str, User]) -> None:
        page = Client()
        for role, offered in (("operator", False), ("editor", True)):
            page.force_login(people[role])
            form = {"with": "yes", "timeout_seconds": "x"}
            for html in (page.get("/runs/launch/report/form/"), page.post("/runs/launch/report/", form)):
                assert ('<option value="small"' in html.content.decode()) == offered
        page.force_login(people["operator"])
        html = page.post("/runs/launch/report/", {"with": "yes", "profile": "small"}, follow=True).content.decode()
        assert "needs the role Editor" in html
        assert not Run.objects.exists()

    def test_an_editor_changes_it_and_the_run_says_so(self, operator: Api, editor: Api) -> None:
        run = editor.post("/jobs/report/runs", {"profile": "small"}).json()
        assert (run["runtime"], run["overridden"]) == ("", ["runtime"])
        assert operator.post(f"/runs/{run['id']}/rerun").status_code == 403
        assert editor.post(f"/runs/{run['id']}/rerun").json()["runtime"] == ""

    def test_an_old_run_gets_the_runtime_that_its_job_has_now(self, operator: Api, job: Job) -> None:
        Job.objects.update(profile=Profile.objects.get(name="small"))
        run = launch(Job.objects.get(), get_admin())
        Job.objects.update(profile=Profile.objects.get(name="large"))
        again = operator.post(f"/runs/{run.pk}/rerun").json()
        assert (run.runtime, again["runtime"], again["profile"]) == ("", "runsc", "small")
        Job.objects.update(profile=Profile.objects.get(name="small"))
        assert operator.post(f"/runs/{launch_isolated(job).pk}/rerun").json()["runtime"] == "runsc"


def launch_isolated(job: Job) -> Run:
    """A run from the time when the job had the profile with a runtime."""
    run = launch(Job.objects.get(pk=job.pk), get_admin())
    Run.objects.filter(pk=run.pk).update(profile_name="large", runtime="runsc")
    return run


def test_a_repeated_key_asks_for_the_right_of_today(editor: Api, job: Job, people: dict[str, User]) -> None:
    body = {"env": {"PS4": "x"}}
    assert editor.post("/jobs/report/runs", body, Idempotency_Key="k").status_code == 202
    User.objects.filter(pk=people["editor"].pk).update(role=Role.OPERATOR)
    assert editor.post("/jobs/report/runs", body, Idempotency_Key="k").status_code == 403


def test_a_key_of_an_editor_gives_an_operator_nothing(editor: Api, operator: Api, job: Job) -> None:
    body = {"env": {"PS4": "x"}}
    assert editor.post("/jobs/report/runs", body, Idempotency_Key="k").status_code == 202
    assert operator.post("/jobs/report/runs", body, Idempotency_Key="k").status_code == 403
