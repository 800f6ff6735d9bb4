"""An image's volumes are covered by memory, and it sets no reserved variable."""

import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor.docker.errors import ImageUnusable
from executor.docker.models import ImageFacts, parse_image_facts
from executor.run.slot import Slot
from executor.sandbox import options
from executor.sandbox.options import Addresses
from executor.sandbox.subnets import SubnetPool
from executor.sandbox.volumes import MAX_VOLUMES, find_paths_to_cover
from executor.spec import RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec

ADDRESSES = Addresses(IPv4Network("10.215.0.0/29"))
POOL = SubnetPool(IPv4Network("10.215.0.0/24"))


def bodies(spec: RunSpec, facts: ImageFacts) -> list[dict[str, Any]]:
    return [
        options.build_main_container(spec, ADDRESSES, "local", facts),
        options.build_sidecar_container(spec, ADDRESSES, facts),
    ]


def test_every_declared_volume_is_a_bounded_memory_file_system() -> None:
    volumes = ("/data", "/data/", "/data/nested", "//var//lib/x", "/srv/./y/../z", "/a b,c:d", "/workspace/in", "/opt")
    for body in bodies(make_spec(), ImageFacts("sha256:1", volumes=volumes)):
        made = body["HostConfig"]["Tmpfs"]
        for path in ("/data", "/data/nested", "/var/lib/x", "/srv/z", "/a b,c:d", "/workspace/in", "/opt"):
            assert "size=104857600" in made[path]
            assert "nr_inodes=20000" in made[path]
            assert {"nosuid", "nodev", "uid=1000"} <= set(made[path].split(","))


def test_a_volume_over_a_folder_of_the_sandbox_changes_nothing_there() -> None:
    plain, declared = (
        bodies(make_spec(), ImageFacts("", volumes=volumes))
        for volumes in ((), ("/tmp", "/workspace", "/dev/shm", "/dev/mqueue"))
    )
    for before, after in zip(plain, declared, strict=True):
        same = after["HostConfig"]["Tmpfs"]
        assert {path: same[path] for path in before["HostConfig"]["Tmpfs"]} == before["HostConfig"]["Tmpfs"]


def test_message_queues_are_closed_and_shared_memory_is_bounded() -> None:
    for body in bodies(make_spec(), ImageFacts("")):
        assert body["HostConfig"]["Tmpfs"]["/dev/mqueue"].startswith("ro,")
        assert "size=67108864,nr_inodes=20000" in body["HostConfig"]["Tmpfs"]["/dev/shm"]


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr/", "/usr/bin", "relative", "../up", "/dev", "/dev/x", "/proc/x", "/sys"]
)
def test_a_volume_that_can_not_be_covered_is_refused_by_name(path: str) -> None:
    with pytest.raises(ImageUnusable, match=r"corp/tool:1.*declares a volume"):
        find_paths_to_cover("corp/tool:1", ["/data", path])


def test_volumes_without_end_are_refused() -> None:
    paths = [f"/data{number}" for number in range(MAX_VOLUMES + 1)]
    assert len(find_paths_to_cover("x", paths[1:])) == MAX_VOLUMES
    with pytest.raises(ImageUnusable, match="at most"):
        find_paths_to_cover("x", paths)


def test_names_of_ours_are_taken_out_of_an_images_environment() -> None:
    variables = ("PATH", "CRONIUM_NETWORK", "CRONIUM_JOB_ID", "CRONIUM_EXECUTION_TOKEN", "NODE_OPTIONS", "CRONIUM_X")
    main, sidecar = bodies(make_spec(), ImageFacts("", variables=variables))
    for body in (main, sidecar):
        without_value = {one for one in body["Env"] if "=" not in one}
        assert {"CRONIUM_NETWORK", "CRONIUM_EXECUTION_TOKEN", "CRONIUM_X"} <= without_value
        assert not {"PATH", "NODE_OPTIONS"} & without_value, "these are the image's own business"
    assert "CRONIUM_JOB_ID" not in main["Env"], "ours counts"
    alone = options.build_main_container(make_spec(network="none"), None, "local", ImageFacts("", variables=variables))
    assert "CRONIUM_NETWORK=none" in alone["Env"]
    assert "CRONIUM_NETWORK" not in alone["Env"]


def test_facts_of_an_image_are_read_whatever_it_leaves_out() -> None:
    assert parse_image_facts({"Id": "sha256:1", "Config": None}) == ImageFacts("sha256:1")
    told = {"Id": "a", "Config": {"Volumes": {"/x": {}}, "Env": ["A=1=2", "B="], "Labels": {"k": "v"}}}
    assert parse_image_facts(told) == ImageFacts("a", ("/x",), ("A", "B"), {"k": "v"})


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


@pytest.fixture
def run(engine: FakeEngine) -> Callable[..., Remembering]:
    def end(**changes: Any) -> Remembering:
        told = Remembering()
        Slot(engine, make_spec(**changes), told, POOL, threading.Semaphore(1)).run()
        assert engine.left == []
        return told

    return end


@pytest.mark.parametrize("image", ["runner:bash", "sidecar:latest"])
def test_a_run_of_an_image_with_volumes_has_none(
    engine: FakeEngine, run: Callable[..., Remembering], image: str
) -> None:
    engine.bring(image, volumes=("/data", "/workspace"))
    told = run()
    assert told.result is not None
    assert told.result.status == "succeeded"
    assert told.report["drifted"] == 0


@pytest.mark.parametrize("image", ["runner:bash", "sidecar:latest"])
def test_an_image_whose_volume_can_not_be_covered_runs_nothing(
    engine: FakeEngine, run: Callable[..., Remembering], image: str
) -> None:
    engine.bring(image, volumes=("/etc",))
    told = run()
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "image_unusable")
    assert image in told.result.message
    assert "may_begin" not in told.events


def test_an_image_that_changes_after_it_was_looked_at_is_not_taken(
    engine: FakeEngine, run: Callable[..., Remembering]
) -> None:
    first = engine.describe_image("runner:bash").id
    created = []
    engine.before["create_container"] = lambda: created.append(engine.describe_image("runner:bash").id)
    told = run()
    assert told.result is not None
    rows = {(row["of"], row["what"]): row["reported"] for row in told.report["rows"]}
    assert rows["main", "image"] == first
    assert rows["main", "image name"] == first, "created by its digest"
