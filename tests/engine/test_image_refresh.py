"""`images build --refresh` on a real engine and a real mirror: updates are taken although no input has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
from django.core.management import call_command

from cronium_admin.images import bases, build, recipes, replaced
from cronium_admin.images.build import find_own_images
from cronium_admin.images.build_context import SOURCES
from cronium_admin.images.models import OwnImage
from cronium_admin.images.recipes import DEBIAN_BASE, Recipe
from cronium_admin.jobs.models import Job
from cronium_admin.ops.image_commands import gc
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
NAMES, TITLE = "cronium-test-refresh", "refresh-test"
IMAGE, BASE = f"{NAMES}/bash:debian", f"{NAMES}/base:debian"
DOCKERFILE = f"""ARG BASE
FROM ${{BASE}}
LABEL cronium.image="{TITLE}"
CMD ["true"]
"""


@pytest.fixture
def set_base(docker_client: docker.APIClient) -> Iterator[Callable[[str], None]]:
    """Points the base at one with another version of tzdata, or at the real one."""
    made = []

    def point(version: str) -> None:
        if not version:
            docker_client.tag(DEBIAN_BASE, f"{NAMES}/base", "debian", force=True)
            return
        step = f"sed -i '/^Package: tzdata$/,/^$/s/^Version: .*/Version: {version}/' /var/lib/dpkg/status"
        file = BytesIO(f"FROM {DEBIAN_BASE}\nRUN {step}\n".encode())
        events = docker_client.build(fileobj=file, tag=BASE, rm=True, decode=True)
        assert not [event for event in events if "errorDetail" in event]
        made.append(docker_client.inspect_image(BASE)["Id"])

    yield point
    for name in [BASE, *made]:
        with suppress(docker.errors.APIError):
            docker_client.remove_image(name)


@pytest.fixture
def own_build(
    docker_client: docker.APIClient,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    set_base: Callable[[str], None],
) -> Iterator[None]:
    """`images build` makes one small image with a name and a base of this test, and removes no other images."""
    if not any(name.endswith("-debian") for name in find_own_images(docker_client)):
        pytest.skip("the older package is made of dpkg's list")
    sources = shutil.copytree(SOURCES, tmp_path / "images")
    (sources / "bash" / "Dockerfile").write_text(DOCKERFILE)
    monkeypatch.setattr(Recipe, "get_reference", lambda self, family: f"{NAMES}/{self.name}:{family}")
    monkeypatch.setattr(Recipe, "get_base", lambda self, family: BASE)
    monkeypatch.setattr(build, "RECIPES", tuple(recipe for recipe in recipes.RECIPES if recipe.name == "bash"))
    monkeypatch.setattr(build._Builder, "check_images", lambda self, images: None)
    monkeypatch.setattr(build, "build_all", partial(build.build_all, sources=sources))
    # As the real one: from scratch, with the newest packages of the mirror.
    monkeypatch.setattr(bases, "ensure_debian_base", lambda client, *, force, **_: force and set_base(""))
    listed = replaced.list_replaced
    monkeypatch.setattr(
        gc, "list_replaced", lambda *given: [image for image in listed(*given) if image.title.startswith(TITLE)]
    )
    yield
    images: list[dict[str, Any]] = docker_client.images(filters={"label": f"cronium.image={TITLE}"})
    for name in (name for row in images for name in row["RepoTags"] or [row["Id"]]):
        with suppress(docker.errors.APIError):
            docker_client.remove_image(name)


def build_images(*options: str) -> str:
    out = StringIO()
    call_command("images", "build", "--family", "debian", *options, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.chaos  # two searches for updates and three builds
@pytest.mark.usefixtures("own_build")
def test_updates_are_taken_and_the_replaced_version_stays_for_its_run(
    docker_client: docker.APIClient, set_base: Callable[[str], None], job: Job
) -> None:
    def find_id() -> str:
        return str(docker_client.inspect_image(IMAGE)["Id"])

    def is_there(image_id: str) -> bool:
        with suppress(docker.errors.ImageNotFound):
            return bool(docker_client.inspect_image(image_id))
        return False

    set_base("2020a-0")
    build_images()
    first = find_id()
    Run.objects.filter(pk=launch(job, get_admin()).pk).update(image_digest=first)
    assert f"{IMAGE}  " in (said := build_images())
    assert "up to date" in said  # no input has changed, and nothing asks the mirror
    assert find_id() == first

    said = build_images("--refresh")
    second = find_id()
    assert "tzdata" in said
    assert second != first
    assert OwnImage.objects.get(reference=IMAGE).image_id == second
    assert is_there(first)

    set_base("2020b-0")
    build_images()
    assert find_id() not in (first, second)
    build_images("--refresh")
    assert find_id() == second  # the same packages as before
    assert is_there(first)  # two versions ago, but its run has not ended
    Run.objects.update(status="succeeded")
    gc.remove_unneeded(docker_client)
    assert not is_there(first)
    assert is_there(find_id())
