"""The packages that a script imports and its image lacks: the route, and which packages an image has."""

import hashlib
import html
import json
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.images.imports import MAX_CHARACTERS
from cronium_admin.images.models import ImageOverride, OwnImage
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from executor.output.hints import ScriptEnvironment, find_hint
from tests.conftest import Api
from tests.custom_images import RECIPE, make_ready_image, make_version
from tests.users import get_admin

pytestmark = pytest.mark.django_db
ROUTE = "/custom-images/suggestions"
DEFAULT = "cronium/runner:python-alpine"


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


def make_own_image(reference: str, *packages: str) -> None:
    """An own image with such package URLs, as `images build` records it."""
    components = [{"purl": f"pkg:{purl}@1.0", "name": purl.partition("/")[2], "version": "1.0"} for purl in packages]
    sbom = json.dumps({"components": [*components, {"name": "alpine", "version": "3"}]}).encode()
    digest = f"sha256:{hashlib.sha256(sbom + reference.encode()).hexdigest()}"
    columns = {"image_id": "sha256:1", "size": 1, "sbom": zstandard.compress(sbom), "sbom_digest": digest}
    OwnImage.objects.create(reference=reference, **columns)


def suggest(api: Api, script: str, language: str = "python", **more: Any) -> Any:
    return api.post(ROUTE, {"language": language, "script": script, **more}).json()


def test_the_languages_image_is_compared_by_its_list(editor: Api) -> None:
    make_own_image(DEFAULT, "pypi/requests", "apk/py3-yaml")
    make_own_image("cronium/runner:node-alpine", "npm/lodash", "npm/@a/b")
    found = suggest(editor, "import requests, numpy, yaml\nimport json")
    assert found == {"image": DEFAULT, "is_known": True, "packages": ["numpy"]}
    assert suggest(editor, "require('lodash'); require('@a/b/x'); require('c')", "node")["packages"] == ["c"]
    assert suggest(editor, "import numpy", "bash")["packages"] == []


def test_a_custom_image_is_compared_by_the_version_that_the_job_would_get(editor: Api) -> None:
    image = make_ready_image("reports", ())
    make_version(image, 1, packages=[["pypi", "requests", "2.32"]])
    make_version(image, 2, packages=[["pypi", "requests", "2.33"], ["pypi", "NumPy", "2.1"]])
    script = "import requests, numpy, attr"
    assert suggest(editor, script, image="cronium/custom/reports")["packages"] == ["attrs"]
    assert suggest(editor, script, image="cronium/custom/reports:1")["packages"] == ["attrs", "numpy"]
    for unusable in ("cronium/custom/reports:3", "cronium/custom/none", "cronium/custom/a/b"):
        found = suggest(editor, script, image=unusable)
        assert found == {"image": unusable, "is_known": False, "packages": []}
    other_language = suggest(editor, "require('x')", "node", image="cronium/custom/reports")
    assert other_language["is_known"] is False


def test_no_proposal_for_an_image_whose_packages_are_unknown(editor: Api) -> None:
    assert suggest(editor, "import numpy") == {"image": DEFAULT, "is_known": False, "packages": []}
    make_own_image(DEFAULT)
    assert suggest(editor, "import numpy", image="python:3.12")["is_known"] is False
    ImageOverride.objects.create(language="python", reference="corp/python:1")
    assert suggest(editor, "import numpy") == {"image": "corp/python:1", "is_known": False, "packages": []}


def test_a_rebuilt_image_is_read_again(editor: Api) -> None:
    make_own_image(DEFAULT)
    assert suggest(editor, "import numpy")["packages"] == ["numpy"]
    OwnImage.objects.all().delete()
    make_own_image(DEFAULT, "pypi/numpy")
    assert suggest(editor, "import numpy")["packages"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"script": "x"}, "language"),
        ({"language": "ruby", "script": "x"}, "language"),
        ({"language": "python"}, "script"),
        ({"language": "python", "script": 5}, "script"),
        ({"language": "python", "script": "x" * (MAX_CHARACTERS + 1)}, "script"),
        ({"language": "python", "script": "x", "image": "A B"}, "image"),
        ({"language": "python", "script": "x", "image": "a\0"}, "image"),
        ({"language": "python", "script": "x", "image": None}, "image"),
        ({"language": "python", "script": "x", "more": 1}, "more"),
    ],
)
def test_bad_values_are_named(editor: Api, body: Any, field: str) -> None:
    answer = editor.post(ROUTE, body)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])


@pytest.mark.parametrize("script", ["", "\0", "\ud800", "(" * 9_999, "import " + "a." * 9_999, "é = 1\nimport \u2126"])
@pytest.mark.parametrize("language", ["python", "node"])
def test_odd_scripts_are_no_error(editor: Api, script: str, language: str) -> None:
    make_own_image(DEFAULT)
    make_own_image("cronium/runner:node-alpine")
    assert editor.post(ROUTE, {"language": language, "script": script}).status_code in (200, 422)


def test_the_image_is_of_the_callers_project(people: dict[str, User]) -> None:
    make_ready_image("reports")
    other = Project.objects.create(slug="other", name="Other")
    member = User.objects.create(username="mia")
    Membership.objects.create(project=other, user=member, role="editor")
    assert suggest(Api(member), "import numpy", image="cronium/custom/reports")["is_known"] is False
    Membership.objects.update(role="viewer")
    assert Api(member).post(ROUTE, {"language": "bash", "script": ""}).status_code == 403


def test_no_image_can_have_the_name_of_the_route(editor: Api) -> None:
    answer = editor.post("/custom-images", {"name": "suggestions", "recipe": RECIPE})
    assert answer.json()["fields"] == {"name": ["The name suggestions is reserved. Choose another name."]}


class TestPages:
    def test_the_editor_offers_to_build_an_image(self, client: Client, make_job: Callable[..., Job]) -> None:
        make_own_image(DEFAULT, "pypi/requests")
        make_job(slug="weekly", language="python", script="import requests, numpy\nfrom PIL import Image\n")
        link = "/images/builds/new/?base=python&amp;name=weekly&amp;python=numpy%0Apillow"
        for url in ("/jobs/weekly/edit/", "/jobs/weekly/settings/"):
            text = client.get(url).content.decode()
            assert "This script imports numpy and pillow, which its image lacks." in text, url
            assert f'<a href="{link}" target="_blank" rel="noopener">Build an image with them' in text, url
        form = client.get(html.unescape(link)).content.decode()
        assert "numpy\npillow</textarea>" in form

    def test_the_editor_offers_to_add_to_the_recipe(self, client: Client) -> None:
        image = make_ready_image("reports", (), recipe={"base": "python", "python": ["Requests>=2"], "steps": ["true"]})
        make_version(image, 1, packages=[["pypi", "requests", "2.33"]])
        fields = {"language": "python", "image": "cronium/custom/reports", "script": "import numpy"}
        text = client.post("/job-image/", fields).content.decode()
        assert "This script imports numpy, which its image lacks." in text
        link = f"/images/builds/{image.pk}/edit/?python=numpy"
        assert f'href="{link}" target="_blank" rel="noopener">Add it to the recipe of reports' in text
        form = client.get(link + "%0Arequests%00&system=libpq5&steps=false").content.decode()
        assert "Requests&gt;=2\nnumpy</textarea>" in form
        assert "libpq5</textarea>" in form
        assert "false</textarea>" not in form
        image.refresh_from_db()
        assert image.recipe["python"] == ["Requests>=2"]

    def test_a_dockerfile_is_not_filled_in(self, client: Client) -> None:
        image = make_ready_image("reports", (1,), recipe={"base": "python", "dockerfile": "FROM x"})
        fields = {"language": "python", "image": "cronium/custom/reports", "script": "import numpy"}
        text = client.post("/job-image/", fields).content.decode()
        assert f'href="/images/builds/{image.pk}/edit/" target="_blank" rel="noopener">Add it to the Dockerfile' in text

    def test_many_packages_are_cut(self, client: Client) -> None:
        make_own_image("cronium/runner:node-alpine")
        script = "".join(f"require('p{number}'); " for number in range(60))
        text = client.post("/job-image/", {"language": "node", "script": script}).content.decode()
        assert "imports p0, p1, p10, p11 and 56 more, which its image lacks" in text
        assert "p33" in text
        assert "p59" not in text

    def test_viewers_and_unknown_images_get_none(
        self, client: Client, people: dict[str, User], make_job: Callable[..., Job]
    ) -> None:
        make_job(slug="weekly", language="python", script="import numpy")
        assert "lacks" not in client.get("/jobs/weekly/settings/").content.decode()
        make_own_image(DEFAULT)
        assert "lacks" in client.get("/jobs/weekly/settings/").content.decode()
        client.force_login(people["viewer"])
        assert "lacks" not in client.get("/jobs/weekly/settings/").content.decode()
        assert client.post("/job-image/", {"language": "python", "script": "import numpy"}).status_code == 403


class TestFailedRuns:
    def fail(self, job: Job, output: str, **columns: Any) -> str:
        run = launch(job, get_admin())
        hint = find_hint(output.encode(), ScriptEnvironment(run.image, "isolated"))
        ending = {"status": "failed", "exit_code": 1, "finished_at": timezone.now(), "message": f"Exited. {hint}"}
        Run.objects.filter(pk=run.pk).update(**(ending | columns))
        return f"/images/missing-modules/{run.pk}/"

    def test_a_missing_module_offers_an_image(self, client: Client, make_job: Callable[..., Job]) -> None:
        make_own_image(DEFAULT)
        job = make_job(slug="weekly", language="python", script="import yaml, numpy")
        error = "Traceback\nModuleNotFoundError: No module named 'yaml'\n"
        url = self.fail(job, error)
        text = client.get(url).content.decode()
        assert "This script imports numpy and PyYAML, which its image lacks." in text
        assert "/images/builds/new/?base=python&amp;name=weekly&amp;python=numpy%0APyYAML" in text
        assert f'hx-get="{url}"' in client.get(f"/runs/{url.split('/')[-2]}/").content.decode()
        assert client.get(self.fail(job, error, status="succeeded")).status_code == 204
        assert client.get(self.fail(job, error.replace("yaml", "evil"))).status_code == 204
        assert client.get(self.fail(job, "another error\n")).status_code == 204

    def test_the_runs_image_and_script_count(self, client: Client, make_job: Callable[..., Job]) -> None:
        image = make_ready_image("charts", (1,), language="node", recipe={"base": "node", "node": ["x"]})
        job = make_job(language="node", image="cronium/custom/charts", script="require('lodash')")
        url = self.fail(job, "Error: Cannot find module 'lodash'\n")
        Job.objects.filter(pk=job.pk).update(image="", script="true")
        text = client.get(url).content.decode()
        assert f"/images/builds/{image.pk}/edit/?node=lodash" in text
        make_version(image, 2, packages=[["npm", "lodash", "4"]])
        assert client.get(url).status_code == 200  # the version that the run had
