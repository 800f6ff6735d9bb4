"""A host's worker reports the images of its engine."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import HostImage, HostInventory
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.service import delete_host
from cronium_admin.workers.image_inventory import ImageReporter
from executor.docker.errors import EngineUnreachable
from executor.docker.models import parse_image
from tests.fakes.engine import FakeEngine
from tests.users import get_admin


class Here:
    """Calls the database in the caller's thread."""

    def call(self, act: Any, *arguments: Any) -> Any:
        return act(*arguments)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(("corp/tools:1", "sidecar:latest"))


def reporting(engine: FakeEngine, is_leader: bool = True) -> ImageReporter:
    return ImageReporter("east", engine, Here(), lambda: is_leader, threading.Event())  # type: ignore[arg-type]


def test_what_its_engine_has_is_known_and_what_it_lost_is_not(db: None, engine: FakeEngine) -> None:
    host = reporting(engine)
    host.run_once()
    found = find_presence(["corp/tools:1", "corp/other:1"])
    assert [one.host for one in found["corp/tools:1"].present] == ["east"]
    assert found["corp/tools:1"].present[0].image_id == engine.describe_image("corp/tools:1").id
    assert found["corp/other:1"].missing == ["east"]
    engine.images = {"corp/other:1"}
    host.run_once()
    assert find_presence(["corp/tools:1"])["corp/tools:1"].is_nowhere


def test_the_same_again_is_one_statement(db: None, engine: FakeEngine) -> None:
    host = reporting(engine)
    host.run_once()
    before = HostInventory.objects.get().reported_at - timedelta(seconds=1)
    HostInventory.objects.update(reported_at=before)
    with CaptureQueriesContext(connection) as captured:
        host.run_once()
    assert len(captured) == 1
    assert HostInventory.objects.get().reported_at > before


def test_who_stands_by_and_whose_engine_is_away_say_nothing(db: None, engine: FakeEngine) -> None:
    reporting(engine, is_leader=False).run_once()
    engine.fail("list_images", EngineUnreachable("away"))
    reporting(engine).run_once()
    assert not HostInventory.objects.exists()


def test_a_deleted_hosts_images_are_forgotten(db: None, engine: FakeEngine) -> None:
    Host.objects.create(name="east")
    reporting(engine).run_once()
    delete_host("east", get_admin())
    assert not HostImage.objects.exists()


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"RepoTags": None, "RepoDigests": None}, ()),
        ({"RepoTags": ["<none>:<none>"], "RepoDigests": ["a@sha256:1"]}, ("a@sha256:1",)),
        ({"RepoTags": ["a:1", "a:2"]}, ("a:1", "a:2")),
    ],
)
def test_an_image_may_have_lost_its_names(row: dict[str, Any], names: tuple[str, ...]) -> None:
    assert parse_image({"Id": "sha256:0", "Size": 5, **row}).references == names
