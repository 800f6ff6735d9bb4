"""Custom images in jobs: the choices of the editor, what is said about the chosen one, and newer versions."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Membership, Project, User
from cronium_admin.images.custom_choices import describe_chosen, find_newer_reference, list_options
from cronium_admin.images.models import CustomImage
from cronium_admin.images.package_words import compare_packages, describe_version
from cronium_admin.jobs.models import Job
from tests.conftest import Api
from tests.custom_images import make_ready_image, make_version
from tests.unit.test_pages_editor import GOOD

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>"
FIRST = [["pypi", "requests", "2.32.3"], ["pypi", "six", "1.17.0"], ["deb", "libpq5", "17.6-0"]]
SECOND = [["pypi", "Requests", "2.33.1"], ["pypi", "numpy", "2.1.0"], ["deb", "libpq5", "17.6-0"]]
RECIPE = {"base": "python", "python": ["requests[socks]==2.*"], "system": ["libpq5"]}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


@pytest.fixture
def reports(people: dict[str, User]) -> CustomImage:
    """Version 2 adds numpy, updates requests and removes six; version 3 has failed."""
    image = make_ready_image("reports", (), recipe=RECIPE)
    make_version(image, 1, packages=FIRST)
    make_version(image, 2, packages=SECOND)
    make_version(image, 3, status="failed")
    return image


def read(client: Client, **fields: str) -> str:
    return client.post("/job-image/", {"language": "python", "image": "", **fields}).content.decode()


class TestWords:
    @pytest.mark.parametrize(
        ("recipe", "words"),
        [
            (RECIPE, "python + requests 2.32.3, libpq5"),
            ({"base": "python", "python": ["Six>=1", "gone"]}, "python + Six 1.17.0, gone"),
            ({"base": "bash", "system": ["jq=1.7", "curl~8"], "steps": ["true"]}, "bash + jq, curl, 1 step"),
            ({"base": "node", "node": ["@a/b@^1", "c@2"]}, "node + @a/b 1.2.3, c"),
            ({"base": "python", "python": list("abcdef")}, "python + a, b, c, d and 2 more"),
            ({"base": "python"}, "python"),
            ({"base": "python", "dockerfile": "FROM x"}, "python + Dockerfile"),
            ({}, ""),
        ],
    )
    def test_a_version_names_what_it_adds(self, recipe: dict[str, Any], words: str) -> None:
        assert describe_version(recipe, [*FIRST, ["npm", "@a/b", "1.2.3"]]) == words

    def test_changes_begin_with_the_packages_of_the_recipe(self) -> None:
        old = [["deb", f"a{number}", "1"] for number in range(6)] + FIRST
        new = [["deb", f"a{number}", "2"] for number in range(6)] + SECOND
        assert compare_packages(old, new, RECIPE) == [
            "adds numpy 2.1.0",
            "changes Requests 2.32.3 to 2.33.1, a0 1 to 2, a1 1 to 2, a2 1 to 2 and 3 more",
            "removes six",
        ]
        assert compare_packages(FIRST, FIRST, RECIPE) == []


class TestChoices:
    def test_ready_versions_of_the_project_by_name(self, reports: CustomImage) -> None:
        make_ready_image("unbuilt", ())
        make_ready_image("elsewhere", project_id=Project.objects.create(slug="other", name="Other").pk)
        make_version(make_ready_image("gone", ()), 1, status="removed")
        make_ready_image("charts", tuple(range(1, 9)), language="node", recipe={"base": "node"})
        charts, found = list_options(DEFAULT_PROJECT_ID)
        assert (charts.name, charts.language, charts.words) == ("charts", "node", "node")
        assert [version.number for version in charts.versions] == [8, 7, 6, 5, 4]
        assert (found.reference, found.words) == ("cronium/custom/reports", "python + requests 2.33.1, libpq5")
        assert [version.reference for version in found.versions] == [
            "cronium/custom/reports:2",
            "cronium/custom/reports:1",
        ]

    @pytest.mark.parametrize(
        ("reference", "number", "newer", "problem"),
        [
            ("cronium/custom/reports", 2, None, ""),
            ("docker.io/cronium/custom/reports:latest", 2, None, ""),
            ("cronium/custom/reports:2", 2, None, ""),
            ("cronium/custom/reports:1", 1, 2, ""),
            ("cronium/custom/reports:3", None, None, "Version 3 of the custom image reports is failed."),
            ("cronium/custom/reports:9", None, None, "Version 9 of the custom image reports is not there."),
            ("cronium/custom/none", None, None, "This project has no custom image none."),
            ("cronium/custom/a/b", None, None, "is no custom image. Write cronium/custom/NAME"),
        ],
    )
    def test_the_chosen_one(
        self, reports: CustomImage, reference: str, number: int | None, newer: int | None, problem: str
    ) -> None:
        chosen = describe_chosen(DEFAULT_PROJECT_ID, "python", reference)
        assert chosen is not None
        assert (chosen.number, chosen.newer.number if chosen.newer else None) == (number, newer)
        assert problem in chosen.problem if problem else chosen.problem == ""

    def test_an_image_of_another_language(self, reports: CustomImage) -> None:
        chosen = describe_chosen(DEFAULT_PROJECT_ID, "node", "cronium/custom/reports")
        assert chosen is not None
        assert chosen.problem == "reports is an image for Python; this job is written in Node.js."

    def test_other_images_take_no_query(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            for image in ("", "ubuntu:24.04", "cronium/runner:python-debian"):
                assert describe_chosen(DEFAULT_PROJECT_ID, "python", image) is None
                assert find_newer_reference(DEFAULT_PROJECT_ID, image) == ""


class TestEditor:
    def test_offers_the_images_and_describes_the_chosen_one(
        self, client: Client, reports: CustomImage, make_job: Callable[..., Job]
    ) -> None:
        make_job(slug="weekly", language="python", image="cronium/custom/reports:1")
        text = client.get("/jobs/weekly/edit/").content.decode()
        assert 'label="reports: python + requests 2.33.1, libpq5"' in text
        assert '<option value="cronium/custom/reports">reports: always the newest version (now 2)</option>' in text
        assert "Default: cronium/runner:python-alpine" in text
        assert "Version 2 exists" in text
        assert "; adds numpy 2.1.0; changes Requests 2.32.3 to 2.33.1; removes six." in text
        assert 'data-use-image="cronium/custom/reports:2"' in text
        assert "3 packages" in text

    def test_a_link_can_choose_the_newer_version(
        self, client: Client, reports: CustomImage, make_job: Callable[..., Job]
    ) -> None:
        job = make_job(slug="weekly", language="python", image="cronium/custom/reports:1")
        text = client.get("/jobs/weekly/edit/?image=cronium/custom/reports:2").content.decode()
        assert 'name="image" maxlength="300" spellcheck="false"' in text
        assert 'value="cronium/custom/reports:2" placeholder' in text
        assert 'data-changed="true"' in text
        assert "Version 2 exists" not in text
        job.refresh_from_db()
        assert job.image == "cronium/custom/reports:1"
        odd = client.get("/jobs/weekly/edit/", {"image": f"{HOSTILE}\0{'x' * 999}"})
        assert (odd.status_code, HOSTILE in odd.content.decode()) == (200, False)

    def test_follows_the_form(self, client: Client, reports: CustomImage) -> None:
        text = read(client, image="cronium/custom/reports:1")
        assert "Version 2 exists" in text
        assert "is an image for Python; this job is written in Node.js" in read(
            client, image="cronium/custom/reports", language="node"
        )
        assert "looks like an image for Node" in read(client, image="node:22")
        assert "This project has no custom image none. Until then" in read(client, image="cronium/custom/none")
        version = text.partition('"v": "')[2].partition('"')[0]
        same = client.post("/job-image/", {"language": "python", "image": "cronium/custom/reports:1", "v": version})
        assert (same.status_code, same.content) == (204, b"")

    @pytest.mark.parametrize("language", ["python", "", "ruby", "\0", "x" * 999])
    @pytest.mark.parametrize("image", ["", "\0", "A B", HOSTILE, "cronium/custom/", "cronium/custom/x:0", "é" * 9999])
    def test_odd_values_are_no_error(self, client: Client, reports: CustomImage, language: str, image: str) -> None:
        answer = client.post("/job-image/", {"language": language, "image": image})
        assert (answer.status_code, HOSTILE in answer.content.decode()) == (200, False)

    def test_is_of_the_jobs_project(
        self, client: Client, reports: CustomImage, make_job: Callable[..., Job], people: dict[str, User]
    ) -> None:
        other = Project.objects.create(slug="other", name="Other")
        make_job(slug="foreign", project=other)
        assert "no custom image reports" in read(client, image="cronium/custom/reports", job="foreign")
        assert client.post("/job-image/", {"job": "none"}).status_code == 404
        people["editor"].role = ""
        people["editor"].save()
        Membership.objects.create(project=other, user=people["editor"], role="editor")
        assert "no custom image reports" in read(client, image="cronium/custom/reports")
        make_job(slug="hidden")
        assert client.post("/job-image/", {"job": "hidden"}).status_code == 404

    def test_a_name_that_no_custom_image_can_have_is_refused(self, client: Client, editor: Api) -> None:
        answer = client.post("/jobs/new/", {**GOOD, "image": "cronium/custom/a/b"})
        assert answer.status_code == 422
        assert "Write cronium/custom/NAME, or cronium/custom/NAME:NUMBER" in answer.content.decode()
        body = {"name": "N", "language": "bash", "script": "true", "image": "cronium/custom/x:new"}
        assert list(editor.post("/jobs", body).json()["fields"]) == ["image"]

    def test_an_image_that_is_not_there_yet_is_saved_with_a_warning(self, client: Client) -> None:
        saved = client.post("/jobs/new/", {**GOOD, "image": "cronium/custom/later"}, follow=True)
        assert "This project has no custom image later. Until then, launches are refused." in saved.content.decode()


class TestJob:
    def test_its_page_says_that_a_newer_version_exists(
        self, client: Client, people: dict[str, User], reports: CustomImage, make_job: Callable[..., Job]
    ) -> None:
        job = make_job(slug="weekly", language="python", image="cronium/custom/reports:1")
        text = client.get("/jobs/weekly/settings/").content.decode()
        assert "A newer version of its image exists" in text
        assert '/jobs/weekly/edit/?image=cronium/custom/reports%3A2#image-field"' in text
        client.force_login(people["viewer"])
        text = client.get("/jobs/weekly/settings/").content.decode()
        assert "A newer version of its image exists" in text
        assert "/edit/" not in text
        Job.objects.filter(pk=job.pk).update(image="cronium/custom/reports")
        text = client.get("/jobs/weekly/settings/").content.decode()
        assert "A newer version" not in text
        assert "now version 2: python + requests 2.33.1, libpq5" in text

    def test_the_api_names_the_newer_version(
        self, viewer: Api, reports: CustomImage, make_job: Callable[..., Job]
    ) -> None:
        make_job(slug="old", image="cronium/custom/reports:1")
        make_job(slug="new", image="cronium/custom/reports:2")
        make_job(slug="any", image="cronium/custom/reports")
        make_job(slug="foreign", image="cronium/custom/reports:1", project=Project.objects.create(slug="o", name="O"))
        newer = {slug: viewer.get(f"/jobs/{slug}").json()["newer_image"] for slug in ("old", "new", "any", "foreign")}
        assert newer == {"old": "cronium/custom/reports:2", "new": "", "any": "", "foreign": ""}
