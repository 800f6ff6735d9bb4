"""The pages of custom images: the list, the form, the page of an image, and the run page of a build."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.image_builds.launch import start_build
from cronium_admin.image_builds.versions import mark_failed
from cronium_admin.image_pages.build_steps import list_build_steps
from cronium_admin.images.custom import format_new_image_query
from cronium_admin.images.models import CustomImage, ImageVersion, VersionStatus
from cronium_admin.jobs.models import Job
from cronium_admin.registries.models import Registry
from cronium_admin.runs.models import Run, RunEvent
from tests.custom_images import RECIPE, make_ready_image, make_version
from tests.unit.log_storage import give_log
from tests.users import get_admin

pytestmark = pytest.mark.django_db
NEW = "/images/builds/new/"
TYPED: dict[str, Any] = {"name": "reports", "base": "python", "python": "requests==2.*", "then": "save"}
PACKAGES = [["deb", "libc6", "2.41"], ["pypi", "requests", "2.33.1"], ["pypi", "urllib3", "2.5"]]


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def read(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def send(client: Client, url: str, **changes: Any) -> tuple[int, str]:
    answer = client.post(url, {**TYPED, **changes})
    return answer.status_code, unescape(answer.content.decode())


class TestList:
    def test_an_empty_list_says_what_a_custom_image_is(self, client: Client, people: dict[str, User]) -> None:
        page = read(client, "/images/builds/")
        assert "No custom image yet" in page
        assert f'href="{NEW}"' in page
        client.force_login(people["viewer"])
        assert f'href="{NEW}"' not in read(client, "/images/builds/")

    def test_a_row_names_contents_version_build_and_jobs(self, client: Client, make_job: Callable[..., Job]) -> None:
        recipe = {"base": "python", "python": ["requests", "psycopg"], "system": ["libpq5"], "steps": ["true"]}
        image = make_ready_image("reports", (1,), recipe=recipe, last_version=2)
        make_version(image, 2, "failed", reason="build_no_package", message="There is no such package: psycopg.")
        make_job(slug="weekly", image="cronium/custom/reports")
        page = read(client, "/images/builds/")
        assert "Python + requests, psycopg, libpq5, 1 step" in page
        assert "Version 1" in page
        assert "version 2: no such package" in page
        assert 'title="weekly"' in page
        assert 'hx-get="/images/builds/rows/' not in page
        assert "Project</th>" not in page

    def test_the_list_is_asked_for_again_during_a_build(self, client: Client) -> None:
        image = make_ready_image("reports", ())
        start_build(image, get_admin())
        page = read(client, "/images/builds/")
        assert "1, 1 building</span>" in page
        url = page.partition('hx-get="/images/builds/rows/')[2].partition('"')[0]
        assert client.get(f"/images/builds/rows/{url}").status_code == 204
        Run.objects.update(status="cancelled")
        fragment = read(client, f"/images/builds/rows/{url}")
        assert f'id="latest-{image.pk}" hx-swap-oob="true"' in fragment
        assert '<div id="build-poll" hx-swap-oob="true"></div>' in fragment

    def test_a_member_sees_the_images_of_the_project_only(self, client: Client, member: Client) -> None:
        make_ready_image("reports")
        page = read(member, "/images/builds/")
        assert "reports" not in page
        assert "southern" in page
        assert 'href="/images/"' not in page, "the other tabs belong to the instance"
        mixed = read(client, "/images/builds/")
        assert "Project</th>" in mixed
        assert "South" in mixed

    def test_the_number_of_queries_does_not_grow(
        self, client: Client, django_assert_num_queries: Any, make_job: Callable[..., Job]
    ) -> None:
        for number in range(8):
            image = make_ready_image(f"image-{number}", (1, 2, 3))
            make_job(image=f"cronium/custom/{image.name}")
        with django_assert_num_queries(11):
            client.get("/images/builds/")
        with django_assert_num_queries(15):
            client.get(f"/images/builds/{image.pk}/")


@pytest.fixture
def member() -> Client:
    """An editor of the project South, which has an image."""
    south = Project.objects.create(name="South", slug="south")
    person = User.objects.create(username="sam", role="")
    Membership.objects.create(user=person, project=south, role="editor")
    make_ready_image("southern", project_id=south.pk)
    client = Client()
    client.force_login(person)
    return client


class TestForm:
    def test_an_image_is_created_and_built(self, client: Client) -> None:
        changes = {"python": "requests==2.*\r\n\r\npsycopg", "steps": ["echo a\r\necho b", " ", ""], "then": "build"}
        answer = client.post(NEW, TYPED | changes, follow=True)
        image = CustomImage.objects.get()
        assert answer.redirect_chain == [(f"/images/builds/{image.pk}/", 302)]
        assert "The build of version 1 was started." in answer.content.decode()
        assert image.recipe == {
            "base": "python",
            "python": ["requests==2.*", "psycopg"],
            "steps": ["echo a\necho b"],
        }
        assert image.versions.get().status == "building"

    def test_saving_builds_nothing(self, client: Client) -> None:
        assert client.post(NEW, TYPED).status_code == 302
        assert not ImageVersion.objects.exists()

    @pytest.mark.parametrize(
        ("changes", "field", "says"),
        [
            ({"name": "A b"}, "name", "Use 1 to 40 lower-case letters"),
            ({"name": ""}, "name", "Use 1 to 40 lower-case letters"),
            ({"name": "taken"}, "name", "There is an image taken already"),
            ({"base": "perl"}, "base", "is not one of the choices"),
            ({"python": "\nrequests\n\n==1"}, "python", "Line 4: '==1' is no requirement"),
            ({"python": "a @ https://x.example/a.whl"}, "python", "Line 1: "),
            ({"base": "bash"}, "python", "Only an image with the base python has Python packages"),
            ({"node": "lodash"}, "node", "Only an image with the base node has npm packages"),
            ({"system": "Lib"}, "system", "Line 1: 'Lib' is no package name"),
            ({"steps": ["true", "", "x" * 9000]}, "steps", "Step 2: Has more than 8,192 bytes."),
            ({"description": "x" * 501}, "description", "Has 501 characters"),
            ({"registry": "nowhere.example"}, "registry", "no registry 'nowhere.example' that allows pushes"),
        ],
    )
    def test_a_wrong_field_says_so_and_keeps_what_was_typed(
        self, client: Client, changes: dict[str, Any], field: str, says: str
    ) -> None:
        make_ready_image("taken")
        status, page = send(client, NEW, **changes)
        assert status == 422
        assert f'id="{field}-error"' in page
        assert says in page
        assert changes.get("python", "requests==2.*") in page
        assert changes.get("steps", [""])[0] in page
        assert CustomImage.objects.count() == 1

    def test_each_wrong_line_of_a_field_is_named(self, client: Client) -> None:
        status, page = send(client, NEW, python="==1\nrequests\n==2", system="Lib\n\nLib2")
        assert status == 422
        for says in ("Line 1: '==1'", "Line 3: '==2'", "Line 1: 'Lib'", "Line 3: 'Lib2'"):
            assert says in unescape(page)

    def test_an_empty_recipe_says_so(self, client: Client) -> None:
        status, page = send(client, NEW, python="\n \n")
        assert status == 422
        assert "Recipe: is empty. Name at least one package or step" in page

    def test_a_step_is_added_without_script(self, client: Client) -> None:
        assert read(client, NEW).count('name="steps"') == 2, "an empty one, and the template of the script"
        status, page = send(client, NEW, name="", steps=["echo a", ""], then="step")
        assert status == 200
        assert page.count('name="steps"') == 4
        assert "echo a</textarea>" in page
        assert "Not saved" not in page

    def test_a_link_fills_the_form_and_builds_nothing(self, client: Client) -> None:
        query = format_new_image_query("python", ["requests", "psycopg>=3"], name="reports", system=["libpq5"])
        page = read(client, f"{NEW}?{query}&steps=a&steps=b")
        for text in ("requests\npsycopg>=3</textarea>", "libpq5</textarea>", 'value="reports"', "a</textarea>"):
            assert text in page
        assert 'value="python" checked' in page
        assert not CustomImage.objects.exists()
        assert 'value="python" checked' in read(client, f"{NEW}?base=perl&name=a%00b")
        assert format_new_image_query("bash", ["ignored"]) == "base=bash"

    def test_only_registries_that_the_project_may_push_to_are_offered(self, client: Client) -> None:
        Registry.objects.create(address="shared.example", may_push=True)
        Registry.objects.create(address="private.example", may_push=True, is_shared=False)
        Registry.objects.create(address="readable.example")
        page = read(client, NEW)
        assert "<option>shared.example</option>" in page
        assert "private.example" not in page
        assert "readable.example" not in page
        assert client.post(NEW, TYPED | {"registry": "shared.example"}).status_code == 302
        image = CustomImage.objects.get()
        assert "<option selected>shared.example</option>" in read(client, f"/images/builds/{image.pk}/edit/")
        Registry.objects.filter(address="shared.example").update(may_push=False)
        status, page = send(client, f"/images/builds/{image.pk}/edit/", registry="shared.example")
        assert (status, "that allows pushes" in page) == (422, True)

    def test_an_edit_keeps_name_and_base(self, client: Client) -> None:
        image = make_ready_image("reports", recipe=RECIPE | {"steps": ["true"]})
        url = f"/images/builds/{image.pk}/edit/"
        assert "true</textarea>" in read(client, url)
        status, page = send(client, url, base="node", python="", node="lodash")
        assert (status, "The base of reports is python" in page) == (422, True)
        assert client.post(url, TYPED | {"name": "other", "python": "six"}).status_code == 302
        image.refresh_from_db()
        assert (image.name, image.recipe) == ("reports", {"base": "python", "python": ["six"]})

    def test_a_conflict_names_what_differs(self, client: Client) -> None:
        image = make_ready_image("reports", recipe={"base": "python", "python": ["six"]})
        CustomImage.objects.update(version=2)
        status, page = send(client, f"/images/builds/{image.pk}/edit/", version="1")
        assert status == 409
        assert "Python packages" in page
        assert "six" in page
        assert "requests==2.*</textarea>" in page

    def test_an_image_deleted_meanwhile_can_be_created_again(self, client: Client) -> None:
        status, page = send(client, "/images/builds/77/edit/", version="1")
        assert status == 422
        assert "was deleted in the meantime" in page
        assert f'action="{NEW}"' in page
        assert "requests==2.*</textarea>" in page


class TestPage:
    def test_it_shows_recipe_versions_and_packages(self, client: Client, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports", ())
        make_version(image, 1, packages=[["pypi", "requests", "2.30.0"], ["pypi", "idna", "3"]])
        smoke = [{"name": "import requests", "passed": True, "found": ""}]
        pushed = {"r.example": "r.example/reports@sha256:beef"}
        values = {"config_digest": "sha256:c0ffee", "size": 241_000_000, "pushed_digests": pushed}
        make_version(image, 2, packages=PACKAGES, smoke=smoke, **values)
        make_job(slug="weekly", image="cronium/custom/reports:1")
        page = read(client, f"/images/builds/{image.pk}/")
        for text in (
            *("cronium/custom/reports:2", "the newest version", "the job weekly names it", "imports requests"),
            *("sha256:c0ffee", "r.example/reports@sha256:beef", "4 differences to version 1", "2.30.0 → 2.33.1"),
            *("+ urllib3", "− idna", "<strong>requests</strong>", "2 more: those of the base"),
        ):
            assert text in page, text
        other = read(client, f"/images/builds/{image.pk}/?version=1")
        assert "cronium/custom/reports:1</span>" in other
        assert "differences" not in other

    def test_a_failed_build_says_why_and_what_stays_in_use(self, client: Client) -> None:
        image = make_ready_image("reports", ())
        _, run = start_build(image, get_admin())
        Run.objects.update(status="running", lease_epoch=1)
        mark_failed(run.pk, 1, "build_no_package", "There is no such package: requets.", b"one\n<b>two</b>\n")
        Run.objects.update(status="failed")
        answer = client.get(f"/images/builds/{image.pk}/").content.decode()
        assert "The build of version 1 failed: no such package." in answer
        assert "There is no such package: requets." in answer
        assert "one\n&lt;b&gt;two&lt;/b&gt;" in answer
        assert "No version is ready: runs of jobs with this image are refused." in answer
        make_version(image, 0)
        assert "Version 0 stays in use." in read(client, f"/images/builds/{image.pk}/")

    def test_a_changed_recipe_asks_for_a_build(self, client: Client) -> None:
        image = make_ready_image("reports", (1,))
        assert "The recipe was changed" not in read(client, f"/images/builds/{image.pk}/")
        CustomImage.objects.update(recipe={"base": "python", "python": ["six"]})
        page = read(client, f"/images/builds/{image.pk}/")
        assert "The recipe was changed after version 1 was built." in page
        assert "Recipe of this version, which differs from the current one" in page

    def test_versions_are_pinned_and_removed(self, client: Client) -> None:
        image = make_ready_image("reports", (1, 2))
        url = f"/images/builds/{image.pk}"
        page = client.post(f"{url}/1/pin/", {"version": "1", "pinned": "on"}, follow=True).content.decode()
        assert "Version 1 is pinned" in page
        assert f'action="{url}/1/remove/"' not in page
        refused = client.post(f"{url}/1/remove/", {"version": "2"}, follow=True).content.decode()
        assert "Version 1 of reports stays: it is pinned." in unescape(refused)
        client.post(f"{url}/1/pin/", {"version": "2", "pinned": "off"})
        assert "is removed" in client.post(f"{url}/1/remove/", {"version": "3"}, follow=True).content.decode()
        assert image.versions.get(number=1).status == VersionStatus.REMOVED
        assert client.post(f"{url}/9/remove/").status_code == 404

    def test_the_sbom_is_a_file(self, client: Client) -> None:
        image = make_ready_image("reports")
        ImageVersion.objects.update(sbom='{"bomFormat": "CycloneDX"}')
        answer = client.get(f"/images/builds/{image.pk}/1/sbom/")
        assert answer["Content-Disposition"] == 'attachment; filename="reports-1.cdx.json"'
        assert answer.json() == {"bomFormat": "CycloneDX"}

    def test_an_image_that_jobs_use_is_not_deleted(self, client: Client, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("reports")
        url = f"/images/builds/{image.pk}/"
        job = make_job(slug="weekly", image="cronium/custom/reports")
        assert "It can't be deleted while the job weekly uses it." in read(client, url)
        page = client.post(f"{url}delete/", {"version": "1"}, follow=True).content.decode()
        assert "is used by the job weekly" in page
        job.delete()
        assert "is deleted" in client.post(f"{url}delete/", {"version": "1"}, follow=True).content.decode()
        assert client.get(url).status_code == 404

    def test_many_versions_have_pages(self, client: Client) -> None:
        image = make_ready_image("reports", ())
        for number in range(1, 31):
            make_version(image, number, "failed")
        first = read(client, f"/images/builds/{image.pk}/")
        assert ">Version 11<" in first
        assert ">Version 10<" not in first
        assert ">Version 10<" in read(client, f"/images/builds/{image.pk}/?before=11")

    def test_strangers_see_nothing_and_viewers_change_nothing(
        self, client: Client, member: Client, people: dict[str, User]
    ) -> None:
        image = make_ready_image("reports")
        for path in ("", "edit/", "live/0/", "1/sbom/"):
            assert member.get(f"/images/builds/{image.pk}/{path}").status_code == 404, path
        for path in ("edit/", "delete/", "build/", "1/pin/", "1/remove/", "1/cancel/"):
            assert member.post(f"/images/builds/{image.pk}/{path}", TYPED).status_code in (404, 422), path
        assert ImageVersion.objects.get(image=image).version == 1
        client.force_login(people["viewer"])
        page = read(client, f"/images/builds/{image.pk}/")
        for text in (">Build<", ">Pin<", "Delete…", "Edit</span>"):
            assert text not in page


class TestBuilding:
    @pytest.fixture
    def build(self) -> Run:
        return start_build(make_ready_image("reports", (1,)), get_admin())[1]

    @pytest.fixture
    def url(self, build: Run) -> str:
        return f"/images/builds/{CustomImage.objects.get().pk}/"

    def test_a_build_in_progress_is_shown_with_its_log(self, client: Client, build: Run, url: str) -> None:
        page = read(client, url)
        assert f'data-run="{build.pk}"' in page
        assert f'data-refresh="{url}live/2/"' in page
        assert "Version 1 stays in use until version 2 is tested." in page
        assert f'action="{url}build/"' not in page
        poll = page.partition('id="image-poll" hx-get="')[2].partition('"')[0]
        assert client.get(poll).status_code == 204
        Run.objects.update(status="cancelled", reason="cancelled")
        fragment = read(client, poll)
        assert "The build of version 2 was cancelled." in fragment
        assert f'action="{url}build/"' in fragment
        assert '<div id="image-poll" hx-swap-oob="true"></div>' in fragment

    def test_it_is_cancelled_from_the_page(self, client: Client, build: Run, url: str) -> None:
        page = client.post(f"{url}2/cancel/", follow=True).content.decode()
        assert "The build of version 2 was cancelled." in page
        assert "note error" not in page
        build.refresh_from_db()
        assert build.status == "cancelled"
        again = client.post(f"{url}2/cancel/", follow=True).content.decode()
        assert "has already ended" in again

    def test_a_second_build_says_that_one_is_in_progress(self, client: Client, build: Run, url: str) -> None:
        assert "is being built by the run" in client.post(f"{url}build/", follow=True).content.decode()

    def test_steps_come_from_the_log_and_the_events(self, build: Run) -> None:
        give_log(build, b"STEP 1 of 3  one\nnoise\nSTEP 3 of 3  forged\nSTEP 2 of 3  \x1b[1mtwo\x1b[0m <b>\n")
        RunEvent.objects.create(run=build, kind="image_build", message="Smoke test")
        steps = list_build_steps(build)
        assert [(step.place, step.title, step.state) for step in steps] == [
            ("1 of 3", "one", "succeeded"),
            ("2 of 3", "two <b>", "succeeded"),
            ("", "Smoke test", "succeeded"),
        ]
        assert all(step.took is not None and step.took >= timedelta(0) for step in steps)

    def test_a_failed_step_is_the_last(self, build: Run) -> None:
        give_log(build, b"STEP 1 of 2  one\nSTEP 2 of 2  two\n")
        Run.objects.update(status="failed")
        build.refresh_from_db()
        assert [step.state for step in list_build_steps(build)] == ["succeeded", "failed"]

    def test_its_run_page_names_the_image(self, client: Client, build: Run, url: str) -> None:
        page = read(client, f"/runs/{build.pk}/")
        assert f'<a href="{url}">reports</a>' in page
        assert "Build of version 2" in page
        assert "(deleted)" not in page
        assert "Run again" not in page
        assert f'hx-get="/images/builds/runs/{build.pk}/steps/"' in page
        give_log(build, b"STEP 1 of 3  one\n")
        page = read(client, f"/runs/{build.pk}/")
        assert "Build again" in page
        assert "Run again" not in page
        assert "one" in read(client, f"/images/builds/runs/{build.pk}/steps/")
        CustomImage.objects.all().delete()
        assert "Image reports (deleted)" in read(client, f"/runs/{build.pk}/")

    def test_other_runs_have_no_steps(self, client: Client, run: Run) -> None:
        assert client.get(f"/images/builds/runs/{run.pk}/steps/").status_code == 404


def test_the_tabs_count_their_rows(client: Client, make_job: Callable[..., Job]) -> None:
    make_ready_image("reports")
    for image in ("ghcr.io/acme/tools:9", "ubuntu", "cronium/custom/reports", "cronium/runner:bash-alpine"):
        make_job(image=image)
    rows = read(client, "/images/").count('role="row" id="image-')
    for url in ("/images/", "/images/builds/", "/images/registries/", "/images/disk/"):
        page = read(client, url)
        assert f'Images <span class="count">{rows}</span>' in page, url
        assert 'Builds <span class="count">1</span>' in page
        assert 'Registries <span class="count">1</span>' in page
