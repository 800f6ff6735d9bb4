"""The images on a real engine: their contents, that a second build skips them, and the sidecar from a job's view."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from cronium_admin.images.build import BuiltImage, Progress, build_all
from cronium_admin.images.build_context import SOURCES, compute_sources_digest
from cronium_admin.images.errors import ImageBuildError

RUN, TOKEN = "11111111-2222-3333-4444-555555555555", "the.run.token"
RUNNERS = ("bash", "python", "node")
MB = 1_000_000
VALUES: list[Any] = [0, False, "", None, [], "é 🦊 '\"\n", {"output": {"n": 1.5}}]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.APIClient]:
    address = os.environ.get("CRONIUM_DOCKER_HOST") or os.environ.get("DOCKER_HOST")
    made = docker.APIClient(base_url=address or "unix:///var/run/docker.sock", version="auto", timeout=60)
    yield made
    made.close()


@pytest.fixture(scope="module")
def images(client: docker.APIClient) -> dict[str, BuiltImage]:
    return {image.name: image for image in build_all(client, report=lambda _: None)}


def hardened(client: docker.APIClient, **more: Any) -> dict[str, Any]:
    """The options of every container of Cronium."""
    return client.create_host_config(
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit="256m",
        memswap_limit="256m",
        pids_limit=64,
        init=True,
        **{"network_mode": "none", **more},
    )


def run(
    client: docker.APIClient, image: BuiltImage, command: list[str], *, network: str = "none", **create: Any
) -> tuple[int, str]:
    """Runs a command in a hardened container; returns the exit code and its output, in any order of the streams."""
    container = client.create_container(
        image.reference, command, host_config=hardened(client, network_mode=network), **create
    )["Id"]
    try:
        client.start(container)
        code = client.wait(container, timeout=120)["StatusCode"]
        return code, client.logs(container).decode()
    finally:
        client.remove_container(container, force=True)


def test_every_image_is_there_and_says_what_it_is(client: docker.APIClient, images: dict[str, BuiltImage]) -> None:
    assert set(images) == {*RUNNERS, "runtime-api"}
    for name, image in images.items():
        found = client.inspect_image(image.reference)
        assert (found["Id"], found["Size"]) == (image.image_id, image.size)
        labels = found["Config"]["Labels"]
        assert labels["cronium.image"] == ("runtime-api" if name == "runtime-api" else "runner")
        assert labels["cronium.sources"] == compute_sources_digest(SOURCES, name)
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert found["Config"]["User"] == "1000:1000"
        if name in RUNNERS:
            assert image.reference == f"cronium/runner:{name}-{image.family}"
            assert found["Config"]["WorkingDir"] == "/workspace"
    assert images["runtime-api"].reference == "cronium/runtime-api:latest"


@pytest.mark.parametrize("name", [*RUNNERS, "runtime-api"])
def test_its_user_is_cronium_and_owns_the_workspace(
    client: docker.APIClient, images: dict[str, BuiltImage], name: str
) -> None:
    script = 'id -u; id -g; id -un; stat -c "%u:%g %a" /workspace'
    assert run(client, images[name], ["-c", script], entrypoint=["/bin/sh"]) == (
        0,
        "1000\n1000\ncronium\n1000:1000 755\n",
    )


@pytest.mark.parametrize("name", [*RUNNERS, "runtime-api"])
def test_nothing_in_it_is_setuid_or_setgid(client: docker.APIClient, images: dict[str, BuiltImage], name: str) -> None:
    script = (
        "find / -xdev \\( -perm -4000 -o -perm -2000 \\) -print; echo searched; ls /usr /root >/dev/null && echo all"
    )
    code, out = run(client, images[name], ["-c", script], entrypoint=["/bin/sh"], user="0")
    assert (code, out) == (0, "searched\nall\n")


def test_the_helpers_lie_where_they_are_promised(client: docker.APIClient, images: dict[str, BuiltImage]) -> None:
    paths = {
        "alpine": "/usr/local/lib/python3.12/site-packages/cronium.py",
        "debian": "/usr/local/lib/python3.13/dist-packages/cronium.py",
    }
    outside = "CRONIUM_RUNTIME_API is not set"
    code, out = run(client, images["bash"], ["bash", "-c", "type -t cronium_input; echo $BASH_ENV; cronium_input"])
    assert (code, {"function", "/usr/local/bin/cronium.sh"} - set(out.splitlines())) == (1, set())
    assert outside in out
    code, out = run(
        client, images["python"], ["python", "-c", "import cronium; print(cronium.__file__); cronium.input()"]
    )
    assert (code, paths[images["python"].family] in out.splitlines()) == (1, True), out
    assert outside in out
    code, out = run(
        client, images["node"], ["node", "-e", "console.log(require.resolve('cronium')); require('cronium').input()"]
    )
    assert (code, "/usr/local/lib/cronium.js" in out.splitlines()) == (1, True), out
    assert outside in out


def test_python_starts_from_compiled_files(client: docker.APIClient, images: dict[str, BuiltImage]) -> None:
    script = "import asyncio, cronium, os; print(*(os.path.exists(m.__cached__) for m in (asyncio, cronium)))"
    assert run(client, images["python"], ["python", "-c", script]) == (0, "True True\n")


def test_a_second_build_skips_everything(client: docker.APIClient, images: dict[str, BuiltImage]) -> None:
    told: list[Progress] = []
    again = build_all(client, report=told.append)
    assert all(image.skipped for image in again)
    assert {image.name: image.image_id for image in again} == {n: image.image_id for n, image in images.items()}
    assert [(event.done, event.total) for event in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_build_that_fails_says_which_and_keeps_the_old_image(
    client: docker.APIClient, images: dict[str, BuiltImage], tmp_path: Path
) -> None:
    sources = shutil.copytree(SOURCES, tmp_path / "images")
    dockerfile = sources / "bash" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("FROM ${BASE}\n", "FROM ${BASE}\nRUN echo sorry && exit 3\n"))
    with pytest.raises(ImageBuildError, match="The image bash could not be built") as caught:
        build_all(client, report=lambda _: None, family=images["bash"].family, sources=sources)
    assert "sorry" in caught.value.log
    assert client.inspect_image(images["bash"].reference)["Id"] == images["bash"].image_id


# The sidecar


def frames(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """The engine's attach protocol: stream number and bytes."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            block = read(count - len(data))
            if not block:
                raise EOFError
            data += block
        return data

    try:
        while True:
            head = exactly(8)
            yield head[0], exactly(int.from_bytes(head[4:], "big"))
    except (EOFError, OSError):
        return


@dataclass
class Sidecar:
    """A sidecar in its container, and the worker's end of its control channel."""

    client: docker.APIClient
    container: str
    socket: Any
    ready_seconds: float = 0
    words: str = ""

    def __post_init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.loaded, self.ready = threading.Event(), threading.Event()
        self.ended = threading.Event()

    def listen(self) -> None:
        line = b""
        for stream, data in frames(self.socket.recv):
            if stream == 2:
                self.words += data.decode()
                continue
            line += data
            while b"\n" in line:
                one, _, line = line.partition(b"\n")
                self.take(json.loads(one))
        self.ended.set()

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] in ("loaded", "ready"):
            {"loaded": self.loaded, "ready": self.ready}[message["type"]].set()
            return
        self.asked.append(message)
        self.socket.sendall(json.dumps({"id": message["id"], "ok": True, "data": None}).encode() + b"\n")

    def alive(self) -> bool:
        state = self.client.inspect_container(self.container)["State"]
        return bool(state["Running"]) and not state["OOMKilled"]


def launch(client: docker.APIClient, first_line: bytes) -> Sidecar:
    host = hardened(client, extra_hosts={"runtime-api": "127.0.0.1"}, log_config={"Type": "none"})
    host["NanoCpus"] = 500_000_000
    container = client.create_container(
        "cronium/runtime-api:latest", host_config=host, stdin_open=True, user="1000:1000"
    )["Id"]
    attached = client.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    sidecar = Sidecar(client, container, attached._sock)
    threading.Thread(target=sidecar.listen, daemon=True).start()
    sidecar.socket.sendall(first_line)
    client.start(container)
    return sidecar


def config(value: Any = None) -> bytes:
    raw = {
        "run_id": RUN,
        "token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "token_expires_at": time.time() + 600,
        "context": {"job": "héllo", "attempt": 0},
        "input": value,
    }
    return json.dumps(raw).encode() + b"\n"


@pytest.fixture
def sidecar(client: docker.APIClient, images: dict[str, BuiltImage]) -> Iterator[Sidecar]:
    made = launch(client, config(VALUES))
    started = time.monotonic()
    try:
        assert made.ready.wait(20), made.words
        made.ready_seconds = time.monotonic() - started
        yield made
    finally:
        client.remove_container(made.container, force=True)
        made.socket.close()


def beside(sidecar: Sidecar, image: BuiltImage, command: list[str]) -> tuple[int, str]:
    """Runs a command in a container on the sidecar's network, as a job does."""
    environment = {
        "CRONIUM_RUNTIME_API": "http://runtime-api:8081",
        "CRONIUM_EXECUTION_ID": RUN,
        "CRONIUM_EXECUTION_TOKEN": TOKEN,
    }
    return run(sidecar.client, image, command, network=f"container:{sidecar.container}", environment=environment)


def test_the_sidecar_is_ready_soon_and_small(sidecar: Sidecar) -> None:
    assert sidecar.ready_seconds < 10  # within a second, where the machine has nothing else to do
    assert sidecar.client.stats(sidecar.container, stream=False)["memory_stats"]["usage"] < 25 * MB


def test_the_sidecar_ends_on_term(sidecar: Sidecar) -> None:
    """By itself: after SIGKILL the exit code would differ."""
    sidecar.client.stop(sidecar.container, timeout=20)
    assert sidecar.client.inspect_container(sidecar.container)["State"]["ExitCode"] == 0


@pytest.mark.parametrize("line", [b"garbage\n", b'{"run_id": 1}\n'])
def test_a_sidecar_without_configuration_ends_and_says_why(
    client: docker.APIClient, images: dict[str, BuiltImage], line: bytes
) -> None:
    made = launch(client, line)
    try:
        assert client.wait(made.container, timeout=20)["StatusCode"] == 1
        assert made.ended.wait(20)
        assert made.words.startswith("runtime-api: ")
        assert made.loaded.is_set()
        assert not made.ready.is_set()
    finally:
        client.remove_container(made.container, force=True)
        made.socket.close()


ROUND_TRIP = {
    "bash": ["bash", "-c", 'set -e; cronium_output "$(cronium_input)"; cronium_event job'],
    "python": ["python", "-c", "import cronium; cronium.output(cronium.input()); print(cronium.event('job'))"],
    "node": [
        "node",
        "-e",
        "const c = require('cronium'); c.input().then(c.output).then(() => c.event('job')).then(console.log)",
    ],
}


@pytest.mark.parametrize("language", RUNNERS)
def test_a_job_reads_its_input_and_sets_its_output(
    sidecar: Sidecar, images: dict[str, BuiltImage], language: str
) -> None:
    assert beside(sidecar, images[language], ROUND_TRIP[language]) == (0, "héllo\n")
    (asked,) = (message["body"] for message in sidecar.asked)
    assert len(asked.pop("idempotency_key")) >= 32  # the helper's own key: a repeated request counts once
    assert asked == {"output": VALUES}


HOSTILE = """
import http.client, json, os
run, token = os.environ["CRONIUM_EXECUTION_ID"], os.environ["CRONIUM_EXECUTION_TOKEN"]

def ask(method, target, token=token, body=None, headers={}):
    link = http.client.HTTPConnection("runtime-api", 8081, timeout=20)
    link.putrequest(method, target, skip_accept_encoding=True)
    if token is not None:
        link.putheader("Authorization", "Bearer " + token)
    for name, value in headers.items():
        link.putheader(name, value)
    if body is not None:
        link.putheader("Content-Length", str(len(body)))
    link.endheaders()
    if body is not None:
        link.send(body)
    return link.getresponse().status

mine, other = f"/executions/{run}", "/executions/99999999-2222-3333-4444-555555555555"
print(json.dumps({
    "fine": ask("GET", mine + "/input"),
    "no token": ask("GET", mine + "/input", token=None),
    "wrong token": ask("GET", mine + "/input", token="x" + token),
    "other run": ask("GET", other + "/input"),
    "two slashes": ask("GET", "/" + mine + "/input"),
    "dots": ask("GET", other + "/../" + run + "/input"),
    "encoded": ask("GET", mine + "/%69nput"),
    "encoded slash": ask("GET", mine + "%2finput"),
    "absolute": ask("GET", "http://runtime-api:8081" + mine + "/input"),
    "one gigabyte": ask("POST", mine + "/output", headers={"Content-Length": str(10**9)}),
    "too large": ask("POST", mine + "/output", body=b" " * (5 * 1024 * 1024 + 1)),
    "deep": ask("POST", mine + "/output", body=b"[" * 100000 + b"]" * 100000),
    "no json": ask("POST", mine + "/output", body=b"{"),
    "no length": ask("POST", mine + "/output"),
    "still fine": ask("GET", "/health", token=None),
}))
"""


def test_the_sidecar_refuses_what_a_job_has_no_business_with(sidecar: Sidecar, images: dict[str, BuiltImage]) -> None:
    code, out = beside(sidecar, images["python"], ["python", "-c", HOSTILE])
    assert code == 0, out
    assert json.loads(out) == {
        "fine": 200,
        "no token": 401,
        "wrong token": 401,
        "other run": 403,
        "two slashes": 404,
        "dots": 403,
        "encoded": 404,
        "encoded slash": 404,
        "absolute": 400,
        "one gigabyte": 413,
        "too large": 413,
        "deep": 400,
        "no json": 400,
        "no length": 411,
        "still fine": 200,
    }
    assert sidecar.asked == []


# The texts that cost a parser most memory for each byte, many at once.
FLOOD = """
import concurrent.futures, http.client, os
run, token = os.environ["CRONIUM_EXECUTION_ID"], os.environ["CRONIUM_EXECUTION_TOKEN"]
size = 5 * 1024 * 1024
bodies = [b"[" + part * ((size - 8) // len(part)) + b"0]" for part in (b"[],", b"[0],", b'{"":0},', b"{},")]

def ask(body):
    link = http.client.HTTPConnection("runtime-api", 8081, timeout=60)
    try:
        link.request("POST", f"/executions/{run}/output", body, {"Authorization": "Bearer " + token})
        return link.getresponse().status
    except OSError:
        return 0

with concurrent.futures.ThreadPoolExecutor(12) as pool:
    print(sorted(set(pool.map(ask, bodies * 6))))
"""


def test_the_sidecar_lives_through_a_flood_of_costly_bodies(sidecar: Sidecar, images: dict[str, BuiltImage]) -> None:
    code, out = beside(sidecar, images["python"], ["python", "-c", FLOOD])
    memory = sidecar.client.stats(sidecar.container, stream=False)["memory_stats"]
    assert memory.get("max_usage", 0) < 230 * MB  # not reported under cgroup v2; of 268
    assert code == 0, out
    assert set(json.loads(out)) <= {0, 200, 408, 429, 502}
    assert sidecar.alive()
    assert beside(sidecar, images["python"], ["python", "-c", "import cronium; cronium.input()"])[0] == 0
