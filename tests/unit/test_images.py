"""Which image a run gets: the precedence of the rules, and the Images routes."""

from typing import Any

import pytest

from cronium_admin.images.models import BuiltImage, ImageOverride
from cronium_admin.images.resolution import ImageChoice, resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.overrides import Overrides
from tests.conftest import Api
from tests.users import get_admin

BUILT, NAMED = "cronium/runner:python-debian", "cronium/runner:python-alpine"
# run, job, override, environment, built -> reference, rule
TABLE = [
    ("r", "j", "o", "e", BUILT, "r", "run"),
    ("", "j", "o", "e", BUILT, "j", "job"),
    ("", "", "o", "e", BUILT, "o", "override"),
    ("", "", "", "e", BUILT, "e", "environment"),
    ("", "", "", "", BUILT, BUILT, "default"),
    ("", "", "", "", "", NAMED, "default"),
    ("r", "", "", "", "", "r", "run"),
    ("", "j", "", "", "", "j", "job"),
    ("", "", "o", "", "", "o", "override"),
]


@pytest.mark.parametrize(("run", "job", "override", "environment", "built", "reference", "rule"), TABLE)
def test_the_first_rule_that_is_set_wins(
    db: None,
    settings: Any,
    run: str,
    job: str,
    override: str,
    environment: str,
    built: str,
    reference: str,
    rule: str,
) -> None:
    if override:
        ImageOverride.objects.create(language="python", reference=override)
    if built:
        BuiltImage.objects.create(language="python", reference=built)
    settings.CONFIG = settings.CONFIG.model_copy(update={"container_images_python": environment})
    assert resolve_image("python", run=run, job=job) == ImageChoice(reference, rule)


def test_a_languages_rules_are_its_own(db: None) -> None:
    ImageOverride.objects.create(language="python", reference="o")
    assert resolve_image("bash") == ImageChoice("cronium/runner:bash-alpine", "default")


def test_a_run_notes_the_rule_that_won(job: Job) -> None:
    assert launch(job, get_admin()).image_rule == "default"
    ImageOverride.objects.create(language="bash", reference="o")
    assert launch(job, get_admin()).image_rule == "override"
    job.image = "j"
    assert launch(job, get_admin()).image_rule == "job"
    assert launch(job, get_admin(), Overrides(image="r")).image_rule == "run"


class TestRoutes:
    def test_tell_all_three_places(self, admin: Api, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"container_images_python": "env/python:1"})
        assert admin.get("/images/python").json() == {
            "language": "python",
            "reference": "env/python:1",
            "rule": "environment",
            "why": "set by CRONIUM_CONTAINER_IMAGES_*",
            "override": "",
            "environment": "env/python:1",
            "default": NAMED,
            "version": 0,
            "hosts": [],
            "warnings": [],
        }
        assert [row["language"] for row in admin.get("/images").json()["items"]] == ["bash", "python", "node"]

    def test_set_replace_and_remove_an_override(self, admin: Api) -> None:
        for reference in ("registry.example:5000/my/python:3.12", f"a/b@sha256:{'0' * 64}"):
            answer = admin.put("/images/python", {"reference": reference}).json()
            assert (answer["reference"], answer["rule"], answer["override"]) == (reference, "override", reference)
        assert ImageOverride.objects.get().updated_by == admin.user
        for _ in range(2):
            assert admin.delete("/images/python").status_code == 204
        assert admin.get("/images/python").json()["rule"] == "default"

    @pytest.mark.parametrize(
        "reference", ["", "a b", "UPPER", "a" * 300, "-x", "a:b:c", "a\x00", "http://a/b", 5, None]
    )
    def test_refuse_what_is_no_image(self, admin: Api, reference: Any, nothing_stored: None) -> None:
        answer = admin.put("/images/python", {"reference": reference})
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == ["reference"]
