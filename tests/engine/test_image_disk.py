"""Garbage collection of images on a real engine whose disk is small, and what a prune by hand leaves."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cronium_admin.images.models import HostDisk, PulledImage
from cronium_admin.registries import service
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images import retention
from cronium_admin.workers.images.collector import ImageCollector
from cronium_admin.workers.images.puller import ImagePuller, Waiter
from executor.docker.client import Engine
from tests.engine.registry import Registry, start_registry
from tests.engine.second import SecondEngine
from tests.engine.server import WORKER
from tests.fakes.small_image import build_small_image
from tests.users import get_admin

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
DISK_MB, IMAGE_MB = 240, 24
HOST = "small"


@pytest.fixture(scope="module")
def small() -> Iterator[SecondEngine]:
    """An engine whose data are on a disk of its own."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a disk of its own needs root and mkfs.ext4")
    made = SecondEngine(6 + WORKER)
    file = made.folder.with_suffix(".disk")
    with ExitStack() as stack:
        stack.callback(lambda: file.unlink(missing_ok=True))
        with file.open("wb") as disk:
            disk.truncate(DISK_MB * 1024 * 1024)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(file)], check=True)
        try:
            subprocess.run(["mount", "-o", "loop", str(file), str(made.folder)], check=True)
        except subprocess.CalledProcessError:
            pytest.skip("no loop device can be mounted here")
        stack.callback(lambda: subprocess.run(["umount", "-l", str(made.folder)], check=False))
        made.start()
        yield made
        with suppress(Exception):
            for row in made.client().containers(all=True):
                made.client().remove_container(row["Id"], force=True)
        made._script("stop")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with start_registry() as made:
        for number in range(6):
            made.put_image("team/tools", str(number), build_small_image(str(number), padding=IMAGE_MB * 1_000_000))
        yield made


def test_a_full_disk_loses_what_was_used_least_recently_and_a_prune_nothing(
    small: SecondEngine, registry: Registry, database: DatabaseThreads, settings: Any
) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"image_disk_high": 50, "image_disk_low": 40})
    engine = Engine(small.address)
    service.add_registry({"address": registry.host}, get_admin())
    puller = ImagePuller(HOST, engine, database)
    registry_row = service.list_registries().get(address=registry.host)
    waiter = Waiter(lambda: True, lambda kind, text: None, lambda text: None)
    name = f"{registry.host}/team/tools"
    # Half of them as reruns pull them: without their tag.
    digests = [f"{name}@{registry.find_digest('team/tools', str(number))}" for number in range(3, 6)]
    names = [*(f"{name}:{number}" for number in range(3)), *digests]
    for number, name in enumerate(names):
        puller.pull(name, registry_row, waiter)
        used = retention.read_now() - timedelta(days=30 - number)
        PulledImage.objects.filter(reference=name).update(last_used_at=used)

    # By hand, an administrator removes what the engine counts as unused.
    assert small.client().prune_images({"dangling": True})["ImagesDeleted"] is None
    assert all(engine.image_calls.describe(name) for name in names)

    collector = ImageCollector(HOST, "test", engine, database, puller, ("default",), lambda: True, threading.Event())
    before = collector.report()
    assert before.measured is not None
    assert before.measured[0] < DISK_MB * 1024 * 1024  # the small disk, not this machine's
    collector.collect()
    row = HostDisk.objects.get(host=HOST)
    gone = [item["reference"] for item in row.removed]
    assert gone
    assert gone == names[: len(gone)]  # in the order of their last use
    assert len(gone) < len(names)
    assert row.percent is not None
    assert row.percent <= 40
    for name in names:
        assert (engine.image_calls.describe(name) is None) == (name in gone)
    assert Path(engine.image_folder).is_relative_to(small.folder)
