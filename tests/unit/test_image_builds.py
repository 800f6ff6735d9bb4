"""Custom images without an engine: the service, the runs of builds, and how jobs get a version."""

from collections.abc import Callable
from ipaddress import IPv4Network
from unittest.mock import Mock

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.core.errors import ApiError
from cronium_admin.image_builds import retention, versions
from cronium_admin.image_builds.launch import start_build
from cronium_admin.images.models import CustomImage, ImageVersion
from cronium_admin.images.resolution import ImageChoice, resolve_custom
from cronium_admin.jobs.models import Job
from cronium_admin.registries.models import Registry
from cronium_admin.runs.cancel import cancel
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.workers.image_builds.completion import BuildCompletion, BuildHost
from cronium_admin.workers.run_spec import build_spec
from executor.checks.smoke import SmokeSettings
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunResult
from tests.conftest import Api
from tests.custom_images import RECIPE, make_ready_image, make_version
from tests.fakes.engine import FakeEngine
from tests.users import get_admin

pytestmark = pytest.mark.django_db
DOCKERFILE = {"base": "python", "dockerfile": "FROM debian:13\nRUN useradd app\n"}


class TestEditing:
    def test_an_image_is_created_changed_and_deleted(self, editor: Api) -> None:
        made = editor.post("/custom-images", {"name": "reports", "recipe": RECIPE}).json()
        assert (made["reference"], made["language"], made["newest"]) == ("cronium/custom/reports", "python", None)
        again = editor.post("/custom-images", {"name": "reports", "recipe": RECIPE})
        assert (again.status_code, again.json()["code"]) == (409, "name_taken")
        recipe = {"base": "python", "python": ["six"]}
        changed = editor.patch("/custom-images/reports", {"recipe": recipe, "version": 1}).json()
        assert (changed["recipe"], changed["version"]) == (recipe, 2)
        late = editor.patch("/custom-images/reports", {"description": "x", "version": 1})
        assert (late.status_code, late.json()["code"]) == (409, "changed_meanwhile")
        assert editor.delete("/custom-images/reports?version=1").status_code == 409
        assert editor.delete("/custom-images/reports?version=2").status_code == 204
        assert editor.post("/custom-images", {"name": "reports", "recipe": RECIPE}).json()["version"] == 3

    @pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a-", "a--b", "a/b", "a:1", "a" * 41, "é"])
    def test_a_bad_name_is_refused(self, editor: Api, name: str) -> None:
        answer = editor.post("/custom-images", {"name": name, "recipe": RECIPE})
        assert answer.status_code == 422
        assert answer.json()["fields"].keys() == {"name"}

    def test_the_base_stays(self, editor: Api) -> None:
        make_ready_image("reports")
        answer = editor.patch("/custom-images/reports", {"recipe": {"base": "node", "node": ["x"]}})
        assert answer.json()["fields"].keys() == {"recipe.base"}

    def test_an_image_that_a_job_names_stays(self, editor: Api, make_job: Callable[..., Job]) -> None:
        make_ready_image("reports")
        make_job(slug="weekly", image="cronium/custom/reports:1")
        assert editor.get("/custom-images/reports").json()["jobs"] == ["weekly"]
        answer = editor.delete("/custom-images/reports")
        assert (answer.status_code, "weekly" in answer.json()["detail"]) == (409, True)
        answer = editor.delete("/custom-images/reports/versions/1")
        assert (answer.status_code, "weekly" in answer.json()["detail"]) == (409, True)

    def test_a_removed_version_is_no_longer_chosen(self, editor: Api) -> None:
        make_ready_image("reports", (1, 2))
        assert editor.delete("/custom-images/reports/versions/2").status_code == 204
        assert editor.get("/custom-images/reports").json()["newest"] == 1
        assert editor.patch("/custom-images/reports/versions/2", {"pinned": True}).status_code == 409
        assert editor.patch("/custom-images/reports/versions/1", {"pinned": True}).json()["pinned"] is True
        assert editor.delete("/custom-images/reports/versions/1").status_code == 409
        assert editor.patch("/custom-images/reports/versions/9", {"pinned": True}).status_code == 404

    def test_a_recreated_image_continues_its_numbers(self, editor: Api) -> None:
        make_ready_image("reports", (1, 2))
        assert editor.delete("/custom-images/reports").status_code == 204
        editor.post("/custom-images", {"name": "reports", "recipe": RECIPE})
        editor.post("/custom-images/reports/builds")
        assert [item["number"] for item in editor.get("/custom-images/reports/versions").json()["items"]] == [3]

    def test_versions_are_paged_newest_first(self, editor: Api) -> None:
        make_ready_image("reports", (1, 2, 3, 4, 5))
        make_ready_image("other", (1, 2))
        numbers, after = list[list[int]](), ""
        while after is not None:
            page = editor.get(f"/custom-images/reports/versions?limit=2&after={after}").json()
            numbers.append([item["number"] for item in page["items"]])
            after = page["next"]
        assert numbers == [[5, 4], [3, 2], [1]]
        assert editor.get("/custom-images/reports/versions?limit=5").json()["next"] is None

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            *[("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("after=x", "after")],
            *[("after=WyJhIl0", "after"), ("after=WzEwMDAwMDAwMDAwMDAwMDAwMDAwMF0", "after")],
        ],
    )
    def test_a_bad_page_of_versions_is_refused(self, editor: Api, query: str, field: str) -> None:
        make_ready_image("reports", (1,))
        answer = editor.get(f"/custom-images/reports/versions?{query}")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])


class TestBuilds:
    def test_a_build_is_a_run_with_its_own_limits(self, editor: Api) -> None:
        make_ready_image("reports", ())
        run = editor.post("/custom-images/reports/builds").json()
        assert (run["trigger"], run["job"], run["network"], run["read_only_root"]) == ("build", None, "egress", False)
        assert (run["limits"]["cpu"], run["limits"]["memory_mb"], run["limits"]["pids"]) == (2, 2048, 512)
        assert run["timeout_seconds"] == 900
        stored = Run.objects.get(pk=run["id"])
        assert {"deb.debian.org:80", "pypi.org:443", "files.pythonhosted.org:443"} <= set(stored.egress)
        assert "'requests==2.*'" in stored.script
        version = ImageVersion.objects.get()
        assert (version.run_id, version.status, version.number) == (stored.pk, "building", 1)
        assert editor.get("/custom-images/reports").json()["building"] == run["id"]

    def test_one_build_of_an_image_at_a_time(self, editor: Api) -> None:
        make_ready_image("reports", ())
        editor.post("/custom-images/reports/builds")
        again = editor.post("/custom-images/reports/builds")
        assert (again.status_code, again.json()["code"]) == (409, "build_in_progress")
        assert editor.delete("/custom-images/reports").status_code == 409

    @pytest.mark.parametrize("end", ["cancelled", "deleted", "lost"])
    def test_a_version_fails_with_its_run(self, editor: Api, end: str) -> None:
        make_ready_image("reports", ())
        run = Run.objects.get(pk=editor.post("/custom-images/reports/builds").json()["id"])
        if end == "cancelled":
            cancel(run, get_admin())
        elif end == "deleted":
            Run.objects.all().delete()
        else:
            Run.objects.update(status="lost", reason="host_gone", message="Away.")
        item = editor.get("/custom-images/reports/versions").json()["items"][0]
        reason = {"cancelled": "cancelled", "deleted": "run_deleted", "lost": "host_gone"}[end]
        assert (item["status"], item["reason"]) == ("failed", reason)
        assert editor.post("/custom-images/reports/builds").status_code == 202

    def test_only_the_holder_of_the_lease_ends_a_version(self) -> None:
        image = make_ready_image("reports", ())
        version, run = start_build(image, get_admin())
        Run.objects.update(status="running", lease_epoch=4)
        built = versions.BuiltVersion(
            "here", "sha256:b", "sha256:c", "sha256:m", "sha256:c", 1, [["pypi", "a", "1"]], "{}"
        )
        assert not versions.mark_failed(run.pk, 3, "exit_code", "no")
        assert not versions.mark_ready(run.pk, 3, built)
        assert versions.mark_ready(run.pk, 4, built)
        assert not versions.mark_failed(run.pk, 4, "exit_code", "no")
        version.refresh_from_db()
        assert (version.status, version.host, version.packages) == ("ready", "here", [["pypi", "a", "1"]])

    def test_an_operator_builds_nothing(self, operator: Api) -> None:
        make_ready_image("reports", ())
        assert operator.post("/custom-images/reports/builds").status_code == 403
        assert not Run.objects.filter(trigger="build").exists()


class TestPrivileges:
    """Only a run that the build service created gets the privileges of a build."""

    def test_a_build_has_them(self) -> None:
        _, run = start_build(make_ready_image("reports", ()), get_admin())
        spec = build_spec(run, "instance", "host")
        assert spec.is_build
        assert not spec.read_only_root
        assert spec.disk_limit_bytes == 4096 * 1024 * 1024

    def test_a_jobs_run_does_not(self, run: Run) -> None:
        assert not build_spec(run, "instance", "host").is_build

    def test_not_by_its_trigger_alone(self, run: Run) -> None:
        Run.objects.update(trigger="build")
        run.refresh_from_db()
        assert not build_spec(run, "instance", "host").is_build
        Run.objects.update(job=None)
        run = Run.objects.get()
        assert not build_spec(run, "instance", "host").is_build

    def test_not_by_a_row_of_a_build_alone(self, run: Run) -> None:
        make_version(make_ready_image("reports", ()), 1, "building", run_id=run.pk)
        assert not build_spec(run, "instance", "host").is_build

    def test_a_launch_cannot_be_a_build(self, job: Job) -> None:
        with pytest.raises(ValueError, match="build"):
            launch(job, get_admin(), trigger="build")

    def test_a_build_is_not_rerun(self, admin: Api) -> None:
        _, run = start_build(make_ready_image("reports", ()), get_admin())
        Run.objects.update(status="succeeded")
        run.refresh_from_db()
        with pytest.raises(ApiError) as caught:
            rerun(run, get_admin())
        assert caught.value.code == "is_build"
        assert admin.post(f"/runs/{run.pk}/rerun").status_code == 409

    @pytest.mark.parametrize("field", ["trigger", "is_build", "privileges", "user", "cap_add"])
    def test_no_body_of_the_api_names_them(self, admin: Api, job: Job, field: str) -> None:
        assert admin.post(f"/jobs/{job.slug}/runs", {field: "build"}).status_code == 422
        assert admin.patch(f"/jobs/{job.slug}", {field: "build"}).status_code == 422
        assert admin.post("/custom-images", {"name": "x", "recipe": RECIPE, field: "build"}).status_code == 422


class TestResolution:
    @pytest.mark.parametrize(
        ("written", "number"),
        [
            *(("cronium/custom/reports", 3), ("cronium/custom/reports:2", 2), ("cronium/custom/reports:latest", 3)),
            *(("docker.io/cronium/custom/reports", 3), ("index.docker.io/cronium/custom/reports:1", 1)),
        ],
    )
    def test_a_job_gets_the_newest_or_the_named_version(
        self, make_job: Callable[..., Job], written: str, number: int
    ) -> None:
        image = make_ready_image("reports", (1, 2, 3))
        make_version(image, 4, "building")
        run = launch(make_job(image=written), get_admin())
        assert (run.image, run.image_rule) == (f"cronium/custom/{image.project_id}/reports:{number}", "job")
        assert run.image_digest == image.versions.get(number=number).image_id_on_host

    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ("cronium/custom/reports", "no version that is ready"),
            ("cronium/custom/reports:1", "is failed"),
            ("cronium/custom/reports:7", "is not there"),
            ("cronium/custom/other", "no custom image other"),
            ("cronium/custom/1/reports:1", "is no custom image"),
            ("docker.io/cronium/custom/1/reports:1", "is no custom image"),
            ("cronium/custom/reports:main", "is no custom image"),
            (f"cronium/custom/reports@sha256:{'0' * 64}", "is no custom image"),
        ],
    )
    def test_what_is_not_ready_is_told(self, admin: Api, make_job: Callable[..., Job], written: str, text: str) -> None:
        make_version(make_ready_image("reports", ()), 1, "failed")
        make_job(slug="weekly", image=written)
        answer = admin.post("/jobs/weekly/runs")
        assert answer.status_code == 422
        assert text in answer.json()["fields"]["image"][0]

    def test_another_projects_image_is_as_a_missing_one(self, make_job: Callable[..., Job]) -> None:
        south = Project.objects.create(name="South", slug="south")
        make_ready_image("reports", project_id=south.pk)
        with pytest.raises(ValidationError) as caught:
            launch(make_job(image="cronium/custom/reports"), get_admin())
        assert caught.value.message_dict == {"image": ["This project has no custom image reports."]}

    def test_a_launch_may_choose_one(self, job: Job) -> None:
        image = make_ready_image("reports", (1,))
        run = launch(job, get_admin(), Overrides(image="cronium/custom/reports"))
        assert (run.image, run.image_rule) == (f"cronium/custom/{image.project_id}/reports:1", "run")

    def test_other_images_cost_no_query(self) -> None:
        choice = ImageChoice("cronium/runner:python-debian", "default")
        with CaptureQueriesContext(connection) as captured:
            assert resolve_custom(choice, 1) is choice
        assert not captured

    def test_a_rerun_has_the_same_version(self, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", (1,))
        first = launch(make_job(image="cronium/custom/reports"), get_admin())
        Run.objects.update(status="succeeded")
        make_version(image, 2)
        again = rerun(Run.objects.get(pk=first.pk), get_admin())
        assert (again.image, again.image_digest) == (first.image, first.image_digest)


class TestKeeping:
    def test_what_may_go(self, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", tuple(range(1, 9)))
        make_version(image, 9, "failed")
        ImageVersion.objects.filter(number=1).update(pinned=True)
        make_job(slug="old", image="cronium/custom/reports:2")
        launch(make_job(slug="live", image="cronium/custom/reports:3"), get_admin())
        Job.objects.filter(slug="live").update(image="")
        assert [version.number for version in retention.list_unneeded(image)] == [4, 5]

    def test_what_a_dockerfile_begins_from_stays(self, admin: Api) -> None:
        base = make_ready_image("base", tuple(range(1, 9)))
        for text in ("FROM cronium/custom/base:2\n", "ARG N=4\nFROM cronium/custom/base:$N\n", "FROM debian:13\n"):
            make_ready_image(f"own-{len(text)}", (), recipe={"base": "python", "dockerfile": f"{text}RUN x\n"})
        assert [version.number for version in retention.list_unneeded(base)] == [1, 3, 5]
        answer = admin.delete("/custom-images/base/versions/4")
        assert (answer.status_code, "the Dockerfile of own-" in answer.json()["detail"]) == (409, True)
        assert admin.delete("/custom-images/base").status_code == 409
        CustomImage.objects.filter(name__startswith="own-").delete()
        assert admin.delete("/custom-images/base").status_code == 204

    def test_a_running_version_is_not_removed(self, editor: Api, make_job: Callable[..., Job]) -> None:
        make_ready_image("reports", (1,))
        launch(make_job(image="cronium/custom/reports"), get_admin())
        answer = editor.delete("/custom-images/reports/versions/1")
        assert (answer.status_code, answer.json()["code"]) == (409, "image_in_use")


def test_the_disk_is_measured_again_when_the_script_has_ended() -> None:
    version, run = start_build(make_ready_image("reports", ()), get_admin())
    Run.objects.filter(pk=run.pk).update(status="running", lease_epoch=run.lease_epoch)
    spec = build_spec(run, "instance", "host")
    engine, database = FakeEngine(), Mock()
    database.call = lambda function, *args: function(*args)
    engine.archives.written = spec.disk_limit_bytes + 1
    settings = SmokeSettings("instance", "host", "sidecar:latest", SubnetPool(IPv4Network("10.0.0.0/24")))
    completion = BuildCompletion(BuildHost(engine, database, settings), spec)
    result = completion.complete("main", RunResult("succeeded", "", "", 0), lambda: False)
    assert (result.status, result.reason) == ("failed", "disk_limit")
    version.refresh_from_db()
    assert (version.status, version.reason) == ("failed", "disk_limit")


def test_members_see_the_images_of_their_project_only(people: dict[str, User]) -> None:
    south = Project.objects.create(name="South", slug="south")
    make_ready_image("reports")
    make_ready_image("maps", project_id=south.pk)
    member = User.objects.create(username="sue", role="")
    Membership.objects.create(user=member, project=south, role="editor")
    api = Api(member)
    assert [item["name"] for item in api.get("/custom-images").json()["items"]] == ["maps"]
    assert api.get("/custom-images/reports").status_code == 404
    assert api.post("/custom-images/reports/builds").status_code == 404
    assert api.post("/custom-images/maps/builds").status_code == 202
    assert Run.objects.get(trigger="build").project_id == south.pk


class TestDockerfiles:
    """The right to save and to build a Dockerfile is one of its own."""

    @pytest.mark.parametrize("role", ["viewer", "operator", "editor", "admin"])
    def test_each_role(self, people: dict[str, User], role: str) -> None:
        caller = Api(people[role])
        made = caller.post("/custom-images", {"name": "reports", "recipe": DOCKERFILE})
        assert made.status_code == (201 if role == "admin" else 403), made.content
        make_ready_image("tools", ())
        changed = caller.patch("/custom-images/tools", {"recipe": DOCKERFILE})
        assert changed.status_code == (200 if role == "admin" else 403)
        make_ready_image("own", (), recipe=DOCKERFILE)
        built = caller.post("/custom-images/own/builds")
        assert built.status_code == (202 if role == "admin" else 403)
        assert caller.get("/custom-images/own").json()["recipe"] == DOCKERFILE
        assert Run.objects.filter(trigger="build").exists() == (role == "admin")
        if role == "editor":
            for answer in (made, changed, built):
                assert answer.json()["code"] == "dockerfile_forbidden"
                assert "Administrator" in answer.json()["fields"]["recipe.dockerfile"][0]

    def test_an_editor_changes_everything_else(self, editor: Api) -> None:
        make_ready_image("own", (), recipe=DOCKERFILE)
        same = {"recipe": DOCKERFILE, "description": "mine"}
        assert editor.patch("/custom-images/own", same).json()["description"] == "mine"
        assert editor.patch("/custom-images/own", {"recipe": RECIPE}).json()["recipe"] == RECIPE
        assert editor.post("/custom-images/own/builds").status_code == 202

    @pytest.mark.parametrize(("role", "status"), [("editor", 403), ("admin", 201)])
    def test_the_role_in_a_project_counts(self, role: str, status: int) -> None:
        user = User.objects.create(username="member")
        project = Project.objects.create(slug="other", name="Other")
        Membership.objects.create(user=user, project=project, role=role)
        answer = Api(user).post("/custom-images", {"name": "reports", "recipe": DOCKERFILE})
        assert answer.status_code == status, answer.content
        assert ("in the project" in answer.json().get("detail", "")) == (role == "editor")

    def test_mistakes_are_at_the_field_with_their_lines(self, admin: Api) -> None:
        text = "FROM debian:13\nCOPY . /app\nRUNN x\n"
        answer = admin.post("/custom-images", {"name": "x", "recipe": {"base": "bash", "dockerfile": text}})
        assert answer.status_code == 422
        lines = answer.json()["fields"]["recipe.dockerfile"]
        assert [line.partition(":")[0] for line in lines] == ["Line 2", "Line 3"]

    @pytest.mark.parametrize(
        "value", [7, None, [], {}, "\0", "\ud800", "FROM " + "a/" * 400, "FROM a:b:c", "x" * 10**6]
    )
    def test_odd_values(self, admin: Api, value: object) -> None:
        answer = admin.post("/custom-images", {"name": "x", "recipe": {"base": "bash", "dockerfile": value}})
        assert answer.status_code in (400, 422), answer.content

    def test_the_base_is_that_of_the_dockerfile(self, admin: Api) -> None:
        image = make_ready_image("own", (), recipe=DOCKERFILE)
        _, run = start_build(image, get_admin())
        assert (run.image, run.image_rule) == ("debian:13", "dockerfile")
        assert admin.get(f"/runs/{run.pk}").json()["image"]["why"] == "named in the Dockerfile"
        spec = build_spec(run, "instance", "host")
        assert (spec.is_build, spec.runs_dockerfile) == (True, True)

    def test_the_base_can_be_a_custom_image_of_the_project(self) -> None:
        make_ready_image("base", (1, 2))
        recipe = {"base": "python", "dockerfile": "FROM cronium/custom/base:1\nRUN x\n"}
        _, run = start_build(make_ready_image("own", (), recipe=recipe), get_admin())
        assert run.image.endswith("/base:1")
        assert run.image_digest == ImageVersion.objects.get(image__name="base", number=1).image_id_on_host

    @pytest.mark.parametrize("base", ["cronium/custom/base:9", "cronium/custom/nothing", "cronium/custom/7/base:1"])
    def test_a_custom_image_that_is_not_there(self, admin: Api, base: str) -> None:
        make_ready_image("base", (1,))
        make_ready_image("own", (), recipe={"base": "python", "dockerfile": f"\nFROM {base}\nRUN x\n"})
        answer = admin.post("/custom-images/own/builds")
        assert answer.status_code == 422, answer.content
        assert answer.json()["fields"]["recipe.dockerfile"][0].startswith("Line 2: FROM: ")
        assert not ImageVersion.objects.filter(image__name="own").exists()

    def test_a_registry_of_others_is_refused(self, admin: Api) -> None:
        Registry.objects.create(address="ghcr.io/acme", is_shared=False)
        recipe = {"base": "python", "dockerfile": "FROM ghcr.io/acme/x:1\nRUN x\n"}
        answer = admin.post("/custom-images", {"name": "own", "recipe": recipe})
        assert "ghcr.io/acme" in answer.json()["fields"]["recipe.dockerfile"][0]
        make_ready_image("own", (), recipe=recipe)
        assert admin.post("/custom-images/own/builds").status_code == 422

    def test_packages_get_the_smaller_set_of_privileges(self) -> None:
        _, run = start_build(make_ready_image("reports", ()), get_admin())
        assert not build_spec(run, "instance", "host").runs_dockerfile
