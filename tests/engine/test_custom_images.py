"""Custom images on the real engine: builds, what jobs get of them, failures, and workers that are killed."""

import base64
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import docker
import pytest

from executor.failpoints import VARIABLE
from tests.engine.conftest import running
from tests.engine.outside import Outside
from tests.engine.outside import outside as piece_of_internet
from tests.engine.package_index import PASSWORD, PLAIN_PASSWORD, USER, PackageIndex, package_index
from tests.engine.registry import Registry, start_registry
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


@dataclass(frozen=True)
class Built:
    """The build of `cronium/custom/tiny`, which the tests of a build that succeeds share. It was pushed."""

    server: Server
    registry: Registry
    address: str
    run: dict[str, Any]
    version: dict[str, Any]
    log: str
    script: str


@pytest.fixture(scope="module")
def built(builder: Server) -> Iterator[Built]:
    with start_registry({USER: PLAIN_PASSWORD}) as registry:
        body = {"address": f"{registry.host}/team", "username": USER, "secret": PLAIN_PASSWORD, "may_push": True}
        address = builder.call("POST", "/registries", body, 201)["address"]
        steps = ["echo from a step >/opt/step.txt", "env | sort; cat /tmp/.cronium/* || true"]
        recipe = {"base": "python", "python": ["cronium-tiny==1.*"], "steps": steps}
        made = {"name": "tiny", "recipe": recipe, "registry": address}
        assert builder.call("POST", "/custom-images", made, 201)["registry"] == address
        run, version = build(builder, "tiny")
        log = builder.text(run["id"]).decode()
        script = "import cronium_tiny; print(cronium_tiny.greet(), open('/opt/step.txt').read())"
        assert (run["status"], version["status"]) == ("succeeded", "ready"), (run["message"], log)
        yield Built(builder, registry, address, run, version, log, script)


def test_a_job_imports_the_package_of_its_image(
    built: Built, index: PackageIndex, docker_client: docker.APIClient
) -> None:
    builder, version = built.server, built.version
    assert version["reference"] == "cronium/custom/tiny:1"
    assert ["pypi", "cronium-tiny", "1.2"] in version["packages"]
    assert {check["name"]: check["passed"] for check in version["smoke"]}["import cronium-tiny"]
    assert "STEP 1 of 7  settings of the mirrors" in built.log
    assert any(kind == "image_build" for kind in builder.kinds(built.run["id"]))
    job = builder.run(built.script, "python", image="cronium/custom/tiny")
    assert builder.ended(job)["status"] == "succeeded"
    assert b"hello from tiny from a step" in builder.text(job)
    made = docker_client.inspect_image(builder.get(job)["image"]["reference"])
    assert not any(name.startswith("cronium.run_id") for name in made["Config"]["Labels"])
    assert "cronium.instance" not in made["Config"]["Labels"]
    assert made["Config"]["User"] == "1000:1000"
    assert made["Config"]["WorkingDir"] == "/workspace"
    base = docker_client.inspect_image(built.run["image"]["reference"])
    assert made["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
    assert index.refused == []


def test_the_indexs_password_is_nowhere(built: Built, index: PackageIndex, docker_client: docker.APIClient) -> None:
    forms = [PLAIN_PASSWORD, PASSWORD, base64.b64encode(f"{USER}:{PLAIN_PASSWORD}".encode()).decode()]
    needles = [form.encode() for form in forms]
    tag = "cronium/custom/1/tiny:1"
    places = {
        "log": built.server.text(built.run["id"]),
        "run": json.dumps(built.server.get(built.run["id"])).encode(),
        "inspect": json.dumps(docker_client.inspect_image(tag)).encode(),
        "history": json.dumps(docker_client.history(tag)).encode(),
        "layers": b"".join(docker_client.get_image(tag)),
        **{str(path): path.read_bytes() for path in built.server.folder.rglob("*") if path.is_file()},
    }
    assert [name for name, content in places.items() if any(needle in content for needle in needles)] == []
    assert b"BUILD_" not in places["inspect"]
    assert b"-----BEGIN CERTIFICATE-----" in index.ca.read_bytes()
    own = index.ca.read_bytes().split(b"\n")[3]
    assert own not in places["layers"], "the certificate of the build stays in no layer"


def test_a_version_is_pushed_and_a_host_without_it_pulls_it(built: Built, docker_client: docker.APIClient) -> None:
    builder, address = built.server, built.address
    digest = built.registry.find_digest("team/tiny", "1")
    exact = f"{address}/tiny@{digest}"
    assert built.version["pushed_digests"] == {address: exact}
    slug = builder.job(built.script, "python", image="cronium/custom/tiny")
    image = docker_client.inspect_image("cronium/custom/1/tiny:1")
    for name in [*image["RepoTags"], *image["RepoDigests"]]:
        with suppress(docker.errors.ImageNotFound):  # with containerd's store a digest leaves with its last tag
            docker_client.remove_image(name)
    job = builder.ended(builder.launch(slug))
    assert job["status"] == "succeeded", job["message"]
    assert b"hello from tiny from a step" in builder.text(job["id"])
    assert (job["image"]["reference"], job["image"]["resolved"]) == ("cronium/custom/1/tiny:1", exact)
    assert "image_pull" in builder.kinds(job["id"])
    again = builder.ended(builder.launch(slug))
    assert "image_pull" not in builder.kinds(again["id"])
    wrong = builder.client.patch("/custom-images/tiny", json={"registry": "elsewhere.example"})
    assert (wrong.status_code, "registry" in wrong.json()["fields"]) == (422, True)


NARROW = {
    **{"CRONIUM_BUILD_MEMORY_MB": "256", "CRONIUM_BUILD_PIDS": "60", "CRONIUM_BUILD_DISK_MB": "120"},
    **{"CRONIUM_BUILD_TIMEOUT_SECONDS": "150"},
}
THREADS = (
    "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(30,), daemon=True).start()"
)
FAILURES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # recipe; status, reason, a part of the message
    "package": ({"python": ["cronium-missing==9"]}, "failed", "build_no_package", "cronium-missing"),
    "step": (
        {"steps": ["echo about to fail; exit 3"]},
        "failed",
        "build_step_failed",
        "Step 2 of 5 failed: echo about",
    ),
    "memory": ({"steps": ["python3 -c \"x = b'x' * 10**9\""]}, "failed", "build_oom", "CRONIUM_BUILD_MEMORY_MB"),
    "threads": ({"steps": [f"python3 -c '{THREADS}'"]}, "failed", "build_too_many_processes", "CRONIUM_BUILD_PIDS"),
    "time": ({"steps": ["sleep 600"]}, "timed_out", "timeout", "CRONIUM_BUILD_TIMEOUT_SECONDS"),
    "disk": (
        {"steps": ["head -c 400M /dev/zero >/opt/big; sleep 600"]},
        "failed",
        "disk_limit",
        "CRONIUM_BUILD_DISK_MB",
    ),
    "smoke": ({"python": ["cronium-broken"]}, "failed", "build_smoke_test", "a_module_that_is_missing"),
    "route": ({"steps": ["curl -sS https://elsewhere.example/"]}, "failed", "build_no_route", "CRONIUM_BUILD_EGRESS"),
}


@pytest.fixture(scope="module")
def narrow(new_server: Callable[..., Server], settings: dict[str, str]) -> Iterator[Server]:
    with building(new_server(**settings, **NARROW)) as made:
        yield made


@pytest.mark.parametrize(
    "name", [name if name == "package" else pytest.param(name, marks=pytest.mark.chaos) for name in FAILURES]
)
def test_a_failed_build_says_why(narrow: Server, name: str) -> None:
    recipe, status, reason, text = FAILURES[name]
    create(narrow, name, **recipe)
    run, version = build(narrow, name, 180)
    log = narrow.text(run["id"]).decode()
    assert (run["status"], run["reason"]) == (status, reason), (run["message"], log[-2000:])
    assert text in run["message"]
    assert (version["status"], version["reason"], version["message"]) == ("failed", reason, run["message"])
    assert version["log_tail"].splitlines()[-1:] == log.splitlines()[-1:] or name == "smoke"
    assert images_of(narrow) == []


@pytest.mark.chaos
def test_a_mirror_of_an_unknown_authority(serve: Callable[..., Server], index: PackageIndex) -> None:
    server = serve(CRONIUM_BUILD_PIP_INDEX_URL=index.url)
    create(server, "tls", python=["cronium-tiny"])
    run, _ = build(server, "tls")
    assert run["reason"] == "build_tls", (run["message"], server.text(run["id"]).decode())
    assert "CRONIUM_BUILD_CA_FILE" in run["message"]


POINTS = (
    *("image-exited", "image-committed", "image-normalized", "image-loaded", "image-tested", "image-tagged"),
    "image-ready",
)


@pytest.fixture(scope="module")
def mortal(new_server: Callable[..., Server], settings: dict[str, str]) -> Iterator[Server]:
    """A server that is started by the test."""
    server = new_server(**settings)
    yield server
    server.env.pop(VARIABLE, None)
    with building(server):
        pass


@pytest.mark.parametrize(
    "point",
    [point if point == "image-committed" else pytest.param(point, marks=pytest.mark.chaos) for point in POINTS],
)
def test_a_worker_that_dies_at_a_step_is_followed_by_one_that_ends_the_build(mortal: Server, point: str) -> None:
    name = f"at-{point.removeprefix('image-')}"
    mortal.env[VARIABLE] = point
    mortal.start()
    create(mortal, name, steps=["echo hello >/opt/hello"])
    run_id = mortal.call("POST", f"/custom-images/{name}/builds", None, 202)["id"]
    assert mortal.process
    assert mortal.process.wait(240) == -signal.SIGKILL
    del mortal.env[VARIABLE]
    mortal.start()
    assert mortal.ended(run_id, 120)["status"] == "succeeded"
    version = newest(mortal, name)
    assert (version["status"], [check["passed"] for check in version["smoke"]]) == ("ready", [True, True, True])
    _wait_until(lambda: mortal.left() == [])
    assert _names_of(mortal, name) == [f"cronium/custom/1/{name}:1"]
    assert not [row for row in images_of(mortal) if not row["RepoTags"]]
    mortal.stop()


@pytest.mark.chaos
def test_what_a_lost_build_left_is_removed(mortal: Server) -> None:
    mortal.env[VARIABLE] = "image-committed"
    mortal.start()
    create(mortal, "lost", steps=["true"])
    run_id = mortal.call("POST", "/custom-images/lost/builds", None, 202)["id"]
    assert mortal.process
    mortal.process.wait(240)
    del mortal.env[VARIABLE]
    assert any("build-raw" in name for row in images_of(mortal) for name in row["RepoTags"])
    mortal.sweep()  # so that the run cannot be adopted
    mortal.start()
    assert mortal.ended(run_id)["status"] == "lost"
    _wait_until(lambda: newest(mortal, "lost")["status"] == "failed")
    _wait_until(lambda: not any("build-raw" in name for row in images_of(mortal) for name in row["RepoTags"]))
    mortal.stop()


def _names_of(server: Server, name: str) -> list[str]:
    return [tag for row in images_of(server) for tag in row["RepoTags"] if f"/{name}:" in tag or "build-raw" in tag]


def _wait_until(reached: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.5)
