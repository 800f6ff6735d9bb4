"""The warnings about the image of a language: they know the pull policy, the registries and who may use them."""

from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import Project, User
from cronium_admin.images import inventory
from cronium_admin.images.models import ImageOverride
from cronium_admin.registries.models import ImagePolicy, Registry
from tests.conftest import Api

pytestmark = pytest.mark.django_db
IMAGE = "ghcr.io/acme/python:1"


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def report(host: str, *references: str) -> None:
    inventory.store_report(host, [inventory.ReportedImage("sha256:1", references, 1)])


def warn(admin: Api, reference: str) -> list[str]:
    ImageOverride.objects.update_or_create(language="python", defaults={"reference": reference})
    found: Any = admin.get("/images/python").json()["warnings"]
    assert admin.get("/images").json()["items"][1]["warnings"] == found
    return list(found)


@pytest.mark.parametrize(
    ("registry", "of_image", "words"),
    [
        (None, "", "Runs that start there fail: ghcr.io is not among the registries."),
        ({"policy": "missing"}, "", "The first run that starts there pulls it."),
        ({"policy": "newer"}, "", "The first run that starts there pulls it."),
        (
            {"policy": "never"},
            "",
            "Runs that start there fail until somebody pulls it on the host: its pull policy is never.",
        ),
        (
            {"policy": "missing"},
            "never",
            "Runs that start there fail until somebody pulls it on the host: its pull policy is never.",
        ),
        ({"policy": "never"}, "missing", "The first run that starts there pulls it."),
        ({"may_pull": False}, "", "Runs that start there fail: hosts may not pull from ghcr.io/acme."),
    ],
)
def test_a_missing_image(admin: Api, registry: dict[str, Any] | None, of_image: str, words: str) -> None:
    if registry is not None:
        Registry.objects.create(address="ghcr.io/acme", **registry)
    if of_image:
        ImagePolicy.objects.create(image="ghcr.io/acme/python", policy=of_image)
    report("local", "other:1")
    assert warn(admin, IMAGE) == [f"Not on this host. {words}"]
    report("edge", "other:1")
    assert warn(admin, IMAGE) == [f"On none of the 2 hosts. {words}"]
    report("local", IMAGE)
    assert warn(admin, IMAGE) == [f"Not on edge. {words}"]
    report("edge", IMAGE)
    assert warn(admin, IMAGE) == []


def test_images_of_cronium_are_in_no_registry(admin: Api) -> None:
    report("local", "other:1")
    built = ["Not on this host. Runs that start there fail until it is built there: no registry has it."]
    assert warn(admin, "cronium/runner:python-own") == built
    (custom,) = warn(admin, "cronium/custom/reports")
    assert custom.startswith("A custom image is looked up in the project of each run.")


def test_an_image_of_another_language(admin: Api) -> None:
    (words,) = warn(admin, "docker.io/library/node:22")
    assert words == "docker.io/library/node:22 looks like an image for Node; these runs need Python."


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), ""),
        (("Beta",), "the project Beta: Python runs without an image of their own are refused there."),
        (("Beta", "Alpha"), "the projects Alpha, Beta: Python runs"),
        (("E", "D", "C", "B", "A"), "the projects A, B, C and 2 more: Python runs"),
    ],
)
def test_projects_that_may_not_use_the_registry_are_named(admin: Api, names: tuple[str, ...], words: str) -> None:
    registry = Registry.objects.create(address="ghcr.io/acme", is_shared=False)
    registry.projects.add(Project.objects.get())
    for name in names:
        Project.objects.create(name=name, slug=name.lower())
    if not words:
        assert warn(admin, IMAGE) == []
        return
    (said,) = warn(admin, IMAGE)
    assert said.startswith(f"The images of ghcr.io/acme are not for {words}")
    Registry.objects.create(address="ghcr.io/acme/python")  # a longer address opens a part
    assert warn(admin, IMAGE) == []


def test_an_override_is_set_in_spite_of_them(admin: Api, client: Client) -> None:
    Registry.objects.create(address="ghcr.io/acme", is_shared=False)
    Project.objects.create(name="<b>Beta</b>", slug="beta")
    answer = admin.put("/images/python", {"reference": IMAGE})
    assert answer.status_code == 200
    assert "<b>Beta</b>" in answer.json()["warnings"][0]
    asked = client.post("/images/bash/override/", {"reference": IMAGE}).content.decode()
    assert "The images of ghcr.io/acme are not for the projects &lt;b&gt;Beta&lt;/b&gt;" in asked
    assert not ImageOverride.objects.filter(language="bash").exists()
    saved = client.post("/images/bash/override/", {"reference": IMAGE, "confirmed": "all"}, follow=True)
    assert "are not for the projects &lt;b&gt;Beta&lt;/b&gt;" in saved.content.decode()
    assert ImageOverride.objects.get(language="bash").reference == IMAGE
