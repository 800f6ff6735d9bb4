"""Versions of custom images that nothing needs leave a real engine: by name, and never while a container uses one."""

import io
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import docker
import pytest

from cronium_admin.core.database.clock import Now
from cronium_admin.image_builds.retention import REMOVAL_DELAY
from cronium_admin.images.models import CustomImage, HostDisk, ImageVersion
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.image_builds.leftovers import remove_leftovers
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.puller import ImagePuller
from executor.docker.client import Engine
from tests.custom_images import make_ready_image, make_tag

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
HOST = "keeper"


@pytest.fixture
def instance() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def image(transactional_db: None, docker_client: docker.APIClient, instance: str) -> Iterator[CustomImage]:
    """Five versions on the engine; the first two have the same contents, as after a build without changes."""
    made = make_ready_image(f"kept-{instance[-8:]}", (1, 2, 3, 4, 5))
    for number in range(1, 6):
        lines = ["FROM scratch", f"LABEL cronium.origin={instance} version={max(number, 2)}", 'CMD ["/none"]']
        file = io.BytesIO("\n".join(lines).encode())
        list(docker_client.build(fileobj=file, tag=make_tag(made, number), rm=True))
    yield made
    for found in docker_client.images(filters={"label": f"cronium.origin={instance}"}):
        for name in found["RepoTags"] or [found["Id"]]:
            with suppress(docker.errors.APIError):
                docker_client.remove_image(name)


def test_they_leave_the_engine_when_nothing_needs_them(
    image: CustomImage, docker_client: docker.APIClient, database: DatabaseThreads, instance: str
) -> None:
    engine = Engine()
    puller = ImagePuller(HOST, engine, database)
    collector = ImageCollector(
        *(HOST, instance, engine, database, puller, ("default",)), lambda: True, threading.Event()
    )
    container = docker_client.create_container(make_tag(image, 1))["Id"]

    def list_tags() -> set[str]:
        found = docker_client.images(filters={"label": f"cronium.origin={instance}"})
        return {name for row in found for name in row["RepoTags"] or ()}

    try:
        collector.collect()
        assert set(image.versions.filter(status="removed").values_list("number", flat=True)) == {1, 2}
        assert {item["reference"]: item["removable"] for item in HostDisk.objects.get(host=HOST).verdicts} == {
            make_tag(image, number): number < 3 for number in range(1, 6)
        }
        assert len(list_tags()) == 5
        ImageVersion.objects.filter(status="removed").update(removed_at=Now() - REMOVAL_DELAY - timedelta(seconds=5))
        # Two names of one image that a container uses: the engine gives up the first name only.
        assert remove_leftovers(engine, database, instance, HOST) == [make_tag(image, 1)]
        assert list_tags() == {make_tag(image, number) for number in range(2, 6)}
    finally:
        docker_client.remove_container(container)
    assert remove_leftovers(engine, database, instance, HOST) == [make_tag(image, 2)]
    assert list_tags() == {make_tag(image, number) for number in (3, 4, 5)}
    assert [item["reference"] for item in HostDisk.objects.get(host=HOST).removed] == [
        make_tag(image, 2),
        make_tag(image, 1),
    ]
    assert remove_leftovers(engine, database, instance, HOST) == []
