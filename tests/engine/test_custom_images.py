"""Custom images on the real engine: builds, what jobs get of them, failures, and workers that are killed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

from tests.engine.conftest import running
from tests.engine.outside import Outside
from tests.engine.outside import outside as piece_of_internet
from tests.engine.package_index import PackageIndex, package_index
from tests.engine.server import Server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to put an address on this machine")
TINY = {"cronium_tiny/__init__.py": "def greet():\n    return 'hello from tiny'\n"}


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    with piece_of_internet() as made:
        yield made


@pytest.fixture(scope="module")
def index(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackageIndex]:
    with package_index(outside.address, tmp_path_factory.mktemp("index")) as made:
        made.add("cronium_tiny", "1.2", TINY)
        made.add("cronium_broken", "1.0", {"cronium_broken/__init__.py": "import a_module_that_is_missing\n"})
        yield made


@pytest.fixture(scope="module")
def settings(index: PackageIndex) -> dict[str, str]:
    return {"CRONIUM_BUILD_PIP_INDEX_URL": index.url, "CRONIUM_BUILD_CA_FILE": str(index.ca)}


@contextmanager
def building(server: Server) -> Iterator[Server]:
    """A started server; at the end its images are removed too."""
    try:
        with running(server):
            yield server
    finally:
        for row in images_of(server):
            for name in row["RepoTags"] or [row["Id"]]:
                server.docker.remove_image(name)


def images_of(server: Server) -> list[dict[str, Any]]:
    """The images that builds of this server made, also those without a name, and committed containers."""
    made = server.docker.images(filters={"label": [f"cronium.origin={server.instance}"]})
    return list(made + server.docker.images(filters={"label": [f"cronium.instance={server.instance}"]}))


@pytest.fixture(scope="module")
def builder(new_server: Callable[..., Server], settings: dict[str, str]) -> Iterator[Server]:
    with building(new_server(**settings)) as made:
        yield made


def create(server: Server, name: str, **recipe: Any) -> None:
    server.call("POST", "/custom-images", {"name": name, "recipe": {"base": "python", **recipe}}, 201)


def build(server: Server, name: str, seconds: float = 120) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ended run and its version."""
    run_id = server.call("POST", f"/custom-images/{name}/builds", None, 202)["id"]
    run = server.ended(run_id, seconds)
    return run, newest(server, name)


def newest(server: Server, name: str) -> dict[str, Any]:
    return dict(server.call("GET", f"/custom-images/{name}/versions")["items"][0])


def test_a_job_imports_the_package_of_its_image(
    builder: Server, index: PackageIndex, docker_client: docker.APIClient
) -> None:
    create(builder, "tiny", python=["cronium-tiny==1.*"], steps=["echo from a step >/opt/step.txt"])
    run, version = build(builder, "tiny")
    log = builder.text(run["id"]).decode()
    assert run["status"] == "succeeded", (run["message"], log)
    assert (version["status"], version["reference"]) == ("ready", "cronium/custom/tiny:1")
    assert ["pypi", "cronium-tiny", "1.2"] in version["packages"]
    assert {check["name"]: check["passed"] for check in version["smoke"]}["import cronium-tiny"]
    assert "STEP 1 of 6  settings of the mirrors" in log
    assert any(kind == "image_build" for kind in builder.kinds(run["id"]))
    script = "import cronium_tiny; print(cronium_tiny.greet(), open('/opt/step.txt').read())"
    job = builder.run(script, "python", image="cronium/custom/tiny")
    assert builder.ended(job)["status"] == "succeeded"
    assert b"hello from tiny from a step" in builder.text(job)
    made = docker_client.inspect_image(builder.get(job)["image"]["reference"])
    assert not any(name.startswith("cronium.run_id") for name in made["Config"]["Labels"])
    assert "cronium.instance" not in made["Config"]["Labels"]
    assert made["Config"]["User"] == "1000:1000"
    assert made["Config"]["WorkingDir"] == "/workspace"
    base = docker_client.inspect_image(run["image"]["reference"])
    assert made["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    assert index.refused == []
