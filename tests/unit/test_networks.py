"""A job's network by API and service: valid combinations, and the permission for the open network."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import RUN_FIELDS, create_job, save_job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from tests.conftest import ROLES, Api
from tests.users import get_admin

NEW = {"name": "New", "language": "bash", "script": "true"}
# A value of each field that decides a run, other than the open job's own.
OTHER: dict[str, Any] = {
    **{"language": "python", "script": "echo other", "image": "my/image:1", "profile": "large", "cpu": 1},
    **{"memory_mb": 100, "pids": 50, "env": {"A": "1"}, "secrets": ["API_KEY"], "timeout_seconds": 5},
    **{"network": "isolated", "egress": ["example.com:443"], "read_only_root": False, "input": 2},
    **{"pull_policy": "never", "retry": {"max": 1}},
    "input_schema": {"type": "object", "properties": {"region": {"type": "string"}}},
    **{"queue": "other", "log_limit_mb": 5, "on_log_limit": "drop", "streams": "merged", "launch_env": ["DAY"]},
}


@pytest.fixture
def open_job(make_job: Callable[..., Job]) -> Job:
    from cronium_admin.secrets.models import Secret

    Secret.objects.create(name="API_KEY")
    return make_job(name="Open", slug="open", network="open")


def _refused(answer: HttpResponse, *fields: str) -> None:
    error = answer.json()
    assert (answer.status_code, error["code"], sorted(error["fields"])) == (
        *(403, "open_network_forbidden"),
        sorted(fields),
    )
    assert "Administrator" in error["detail"]


class TestEgress:
    def test_needs_a_pattern(self, editor: Api, job: Job, nothing_stored: None) -> None:
        for answer in (
            editor.post("/jobs", {**NEW, "network": "egress"}),
            editor.patch("/jobs/report", {"network": "egress"}),
            editor.patch("/jobs/report", {"network": "egress", "egress": []}),
        ):
            assert (answer.status_code, list(answer.json()["fields"])) == (422, ["egress"])
            assert "api.example.com:443" in answer.json()["detail"]

    def test_comes_back_in_one_spelling_and_counts_as_a_revision(self, editor: Api, job: Job) -> None:
        change = {"network": "egress", "egress": ["API.example.com:443", "*.example.org:*"]}
        made = editor.patch("/jobs/report", change).json()
        assert (made["network"], made["egress"]) == ("egress", ["api.example.com:443", "*.example.org:*"])
        assert made["revision"] == 2
        same = editor.patch("/jobs/report", {"egress": ["api.EXAMPLE.com:443", "*.example.org:*"]}).json()
        assert same["revision"] == 2

    def test_a_mistake_names_the_field_and_the_pattern(self, editor: Api, job: Job, nothing_stored: None) -> None:
        body = {"network": "egress", "egress": ["ok.example:443", "10.0.0.1:80"]}
        error = editor.patch("/jobs/report", body).json()
        assert list(error["fields"]) == ["egress"]
        assert "'10.0.0.1:80'" in error["detail"]

    def test_the_list_outlives_a_change_of_network_but_no_run_carries_it(self, editor: Api, job: Job) -> None:
        editor.patch("/jobs/report", {"network": "egress", "egress": ["example.com:443"]})
        first = editor.post("/jobs/report/runs").json()
        editor.patch("/jobs/report", {"network": "isolated"})
        assert editor.get("/jobs/report").json()["egress"] == ["example.com:443"]
        second = editor.post("/jobs/report/runs").json()
        assert (first["network"], first["egress"]) == ("egress", ["example.com:443"])
        assert (second["network"], second["egress"]) == ("isolated", [])
        again = editor.get(f"/runs/{first['id']}").json()
        assert again["egress"] == ["example.com:443"]


def test_the_right_is_the_administrators(people: dict[str, User]) -> None:
    assert [role for role in ROLES if people[role].has_permission(Permission.OPEN_NETWORK)] == ["admin"]


class TestOpening:
    @pytest.mark.parametrize("before", ["isolated", "none", "egress"])
    def test_an_editor_may_not(
        self, editor: Api, admin: Api, make_job: Callable[..., Job], before: str, nothing_stored: None
    ) -> None:
        make_job(slug="mine", network=before, egress=["example.com:443"])
        answer = editor.patch("/jobs/mine", {"network": "open"})
        _refused(answer, "network")
        assert Job.objects.get().network == before
        assert admin.patch("/jobs/mine", {"network": "open"}).json()["network"] == "open"
        Job.objects.all().delete()

    def test_nor_make_one_that_is(self, editor: Api, admin: Api, db: None) -> None:
        _refused(editor.post("/jobs", {**NEW, "network": "open"}), "network")
        assert not Job.objects.exists()
        assert admin.post("/jobs", {**NEW, "network": "open"}).status_code == 201

    def test_lower_roles_may_not_change_jobs_at_all(self, viewer: Api, operator: Api, job: Job) -> None:
        for who in (viewer, operator):
            assert who.patch("/jobs/report", {"network": "open"}).json()["code"] == "forbidden"

    def test_the_service_refuses_and_the_system_may(self, people: dict[str, User], job: Job) -> None:
        for role in ("viewer", "operator", "editor"):
            with pytest.raises(ApiError) as caught:
                create_job({**NEW, "network": "open"}, people[role])
            assert caught.value.status == 403
            with pytest.raises(ApiError):
                save_job(job, {"network": "open"}, people[role])
        assert create_job({**NEW, "network": "open"}, get_admin()).network == "open"


class TestAnOpenJob:
    def test_the_table_below_is_whole(self) -> None:
        assert set(OTHER) == RUN_FIELDS

    @pytest.mark.parametrize("field", sorted(RUN_FIELDS - {"network"}))
    def test_an_editor_may_not_decide_what_it_runs(self, editor: Api, admin: Api, open_job: Job, field: str) -> None:
        before = editor.get("/jobs/open").json()
        _refused(editor.patch("/jobs/open", {field: OTHER[field]}), field)
        assert editor.get("/jobs/open").json() == before
        assert admin.patch("/jobs/open", {field: OTHER[field]}).status_code == 200

    def test_an_editor_may_do_the_rest(self, editor: Api, open_job: Job) -> None:
        same = {"script": open_job.script, "network": "open"}
        answer = editor.patch("/jobs/open", {"enabled": False, "name": "Shut", "tags": ["old"], **same})
        assert answer.status_code == 200
        assert (answer.json()["enabled"], answer.json()["network"], answer.json()["revision"]) == (False, "open", 2)
        assert editor.delete("/jobs/open").status_code == 204

    def test_an_editor_may_close_it_and_is_free_then(self, editor: Api, open_job: Job) -> None:
        answer = editor.patch("/jobs/open", {"network": "isolated", "script": "echo mine"})
        assert (answer.status_code, answer.json()["script"]) == (200, "echo mine")
        _refused(editor.patch("/jobs/open", {"network": "open"}), "network")

    def test_a_change_that_saw_the_job_closed_is_refused_once_it_is_open(
        self, people: dict[str, User], job: Job
    ) -> None:
        stale = Job.objects.get(pk=job.pk)
        save_job(job, {"network": "open"}, people["admin"])
        with pytest.raises(ApiError):
            save_job(stale, {"script": "echo mine"}, people["editor"])


class TestLaunch:
    def test_an_operator_runs_it_as_it_is(self, operator: Api, open_job: Job) -> None:
        body = {"input": {"day": 2}, "timeout_seconds": 9, "profile": "large", "pids": 20}
        for answer in (operator.post("/jobs/open/runs"), operator.post("/jobs/open/runs", body)):
            assert (answer.status_code, answer.json()["network"]) == (202, "open")

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"image": "mine:1"}, ["image"]),
            ({"env": {"A": "1"}}, ["env"]),
            ({"image": "mine:1", "env": {"A": "1"}}, ["image", "env"]),
        ],
    )
    @pytest.mark.parametrize("role", ["operator", "editor"])
    def test_only_an_administrator_gives_it_other_code(
        self, people: dict[str, User], open_job: Job, role: str, body: dict[str, Any], fields: list[str]
    ) -> None:
        _refused(Api(people[role]).post("/jobs/open/runs", body), *fields)
        assert not Run.objects.exists()
        with pytest.raises(ApiError):
            launch(open_job, people[role], Overrides(**body))
        assert Api(people["admin"]).post("/jobs/open/runs", body).status_code == 202
        assert Api(people[role]).post("/jobs/open/runs", {"image": "", "env": {}}).status_code == 202

    def test_other_networks_take_any_override_of_an_editor(self, editor: Api, job: Job) -> None:
        assert editor.post("/jobs/report/runs", {"image": "mine:1", "env": {"A": "1"}}).status_code == 202

    def test_only_an_administrator_repeats_what_one_changed(self, people: dict[str, User], open_job: Job) -> None:
        first = launch(open_job, people["admin"], Overrides(image="theirs:1"))
        for role in ("operator", "editor"):
            with pytest.raises(ApiError):
                rerun(first, people[role])
        again = rerun(first, people["admin"])
        assert (again.network, again.image) == ("open", "theirs:1")
        assert rerun(launch(open_job, people["admin"]), people["operator"]).network == "open"


class TestRuntime:
    def test_a_run_asks_for_its_profiles(self, admin: Api, editor: Api, operator: Api, job: Job) -> None:
        assert operator.post("/jobs/report/runs").json()["runtime"] == ""
        changed = admin.patch("/profiles/small", {"runtime": "runsc"})
        assert changed.json()["runtime"] == "runsc"
        assert operator.post("/jobs/report/runs").json()["runtime"] == "runsc"
        other = editor.post("/jobs/report/runs", {"profile": "large"}).json()
        assert other["runtime"] == ""
        assert {run["runtime"] for run in operator.get("/runs").json()["items"]} == {"", "runsc"}

    def test_a_profile_takes_the_engines_names(self, admin: Api, db: None) -> None:
        body = {"name": "tiny", "cpu": 1, "memory_mb": 64, "pids": 20}
        assert admin.post("/profiles", body).json()["runtime"] == ""
        for name in ("io.containerd.runc.v2", "kata-qemu", "", "runc"):
            assert admin.patch("/profiles/tiny", {"runtime": name}).json()["runtime"] == name
        for name in ("--privileged", "a b", "a/b", "runc\n", "x" * 65, None, 1):
            answer = admin.patch("/profiles/tiny", {"runtime": name})
            assert (answer.status_code, list(answer.json()["fields"])) == (422, ["runtime"]), name
        assert Profile.objects.get(name="tiny").runtime == "runc"


def test_the_models_own_check_is_by_field(make_job: Callable[..., Job]) -> None:
    job = make_job()
    job.network, job.egress = "egress", []
    with pytest.raises(ValidationError) as caught:
        job.full_clean()
    assert list(caught.value.message_dict) == ["egress"]
