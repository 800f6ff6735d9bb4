"""Hostile scripts on the real engine: what each must not get, and that a run beside it notices nothing."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import docker
import pytest

from executor.spec import MB
from tests.engine import hostile
from tests.engine.server import Server

TOKEN = 'print(__import__("os").environ["CRONIUM_EXECUTION_TOKEN"], flush=True)\n'


class Resolver:
    """UDP on port 53 of every address of this machine; keeps what it is asked and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("0.0.0.0", 53))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                self.asked.append(self.socket.recv(512))
            except OSError:
                return


def said(server: Server, run_id: str) -> dict[str, Any]:
    """The one JSON object that a run printed."""
    run, text = server.ended(run_id), server.text(run_id).decode(errors="replace")
    assert run["status"] == "succeeded", f"{run['message']}\n{text[-2000:]}"
    return dict(json.loads(text.splitlines()[-1]))


def host_addresses() -> list[str]:
    shown = subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout
    found = [info for link in json.loads(shown) for info in link["addr_info"]]
    return [one["local"] for one in found if one["scope"] != "link"]


@pytest.fixture(scope="module")
def innocent(server: Server) -> Iterator[str]:
    """A run that listens, looks after its sidecar and ticks, while the others do their worst."""
    run_id = server.run(TOKEN + hostile.INNOCENT, "python", timeout_seconds=600)
    with server.watch(run_id) as watch:
        watch.until_line("visitors")
    yield run_id
    server.cancel(run_id)
    assert server.ended(run_id)["status"] == "cancelled"
    server.cleaned(run_id)


@pytest.fixture(autouse=True)
def untouched(server: Server, innocent: str) -> Iterator[None]:
    """After each test: the innocent run lives, ticks, has had no visitor and has lost no line."""
    yield
    asked_at = time.time()
    with server.watch(innocent) as watch:
        ticks = watch.until(lambda one: one.lines and one.lines[-1][1] / 1e9 > asked_at, 20).lines
    assert [line[0] for line in ticks] == list(range(1, len(ticks) + 1))
    last = json.loads(ticks[-1][3])
    assert (last["visitors"], last["healthy"], last["files"]) == (0, True, ["script.py"])
    assert server.get(innocent)["status"] == "running"


@pytest.fixture(scope="module")
def neighbour(server: Server, innocent: str) -> dict[str, str]:
    """Addresses of the innocent run, as the engine has them."""
    return {
        role: next(iter(server.container(innocent, role)["NetworkSettings"]["Networks"].values()))["IPAddress"]
        for role in ("main", "sidecar")
    }


@pytest.fixture(scope="module")
def launched(server: Server, innocent: str) -> dict[str, str]:
    """The scripts that need nothing of a test, all at once."""
    return {
        "calls": server.run(hostile.CALLS, "python"),
        "files": server.run(hostile.FILES, "python"),
        "processes": server.run(hostile.PROCESSES, "python"),
        "fork bomb": server.run(hostile.FORK_BOMB, "bash", timeout_seconds=8),
        "memory bomb": server.run(hostile.MEMORY_BOMB, "python", memory_mb=64),
        "flood": server.run(hostile.FLOOD, "python"),
        "one line": server.run(hostile.ONE_LINE, "bash"),
        "bytes": server.run(hostile.BYTES, "bash"),
    }


def test_it_reaches_nobody(server: Server, neighbour: dict[str, str], runner_images: dict[str, str]) -> None:
    client = server.docker
    made = client.create_container(
        runner_images["python"],
        ["python3", "-m", "http.server", "8000", "--directory", "/tmp"],
        ports=[8000],
        labels={"cronium.instance": server.instance},
        host_config=client.create_host_config(port_bindings={8000: None}),
    )["Id"]
    with ExitStack() as stack:
        stack.callback(client.remove_container, made, force=True)
        client.start(made)
        published = int(client.port(made, 8000)[0]["HostPort"])
        listener = stack.enter_context(
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
            if socket.has_dualstack_ipv6()
            else socket.create_server(("0.0.0.0", 0))
        )
        resolver = Resolver()
        stack.callback(resolver.socket.close)
        addresses = host_addresses()
        assert "172.17.0.1" in addresses or len(addresses) > 1
        port = listener.getsockname()[1]
        bridged = client.inspect_container(made)["NetworkSettings"]["IPAddress"]
        # A loopback address means the sandbox's own.
        outside = [address for address in addresses if not address.startswith(("127.", "::1"))]
        own_gateway = [address.rsplit(".", 1)[0] + "." for address in neighbour.values()]
        targets = {
            "tcp": [
                *(("host", address, port) for address in outside),
                *(("published", address, published) for address in outside),
                ("host's loopback", "127.0.0.1", port),
                ("host by IPv6", "::1", port),
                ("bridged container", bridged, 8000),
                ("innocent main", neighbour["main"], 9000),
                ("innocent sidecar", neighbour["sidecar"], 8081),
                ("innocent gateway", f"{own_gateway[0]}{int(neighbour['sidecar'].rsplit('.', 1)[1]) - 1}", port),
                ("metadata", "169.254.169.254", 80),
                ("world", "1.1.1.1", 443),
            ],
            "dns": ["127.0.0.11", "127.0.0.1", *(one for one in outside if ":" not in one), "8.8.8.8"],
        }
        script = hostile.REACH.replace("TARGETS", repr(json.dumps(targets)))
        got = said(server, server.run(script, "python"))
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "reached" not in got["answers"].values(), got["answers"]
    assert resolver.asked == [], got["sent"]
    assert set(got["links"]) == {"lo", "eth0"}


def test_calls_that_no_script_needs_are_refused(server: Server, launched: dict[str, str]) -> None:
    got = said(server, launched["calls"])
    answers = got["answers"]
    assert answers.pop("clone3") == "ENOSYS"
    assert {name: one for name, one in answers.items() if one != "EPERM"} == {}
    assert got["int 0x80"] in ("", "signal SIGSYS", "signal SIGSEGV")
    assert got["x32"] == "signal SIGSYS"


# Where the payload lays the helpers: in the job's own /tmp.
HELPERS = {"/tmp/.cronium", "/tmp/.cronium/cronium"}


def test_it_becomes_nobody_and_writes_nowhere_else(server: Server, launched: dict[str, str]) -> None:
    got = said(server, launched["files"])
    assert set(got["wrote"]) - {"/dev/mqueue"} - HELPERS == {"/workspace", "/tmp", "/dev/shm"}
    assert "open" not in got["kernel"].values(), got["kernel"]
    assert set(got["ids"].values()) == {"1000"}
    assert set(got["become"].values()) <= {""}, got["become"]
    # Its own token is its own processes' alone; process 1 never had it, and no other machine's process is seen.
    assert {pid for pid, has in got["environs"].items() if has is True} == {str(got["me"])}
    assert len(got["environs"]) <= 3
    assert not [one for one in got["mounts"] if "docker.sock" in one]


def test_it_can_not_kill_its_sandbox_nor_fill_it_with_the_dead(server: Server, launched: dict[str, str]) -> None:
    server.ended(launched["processes"])
    lines = server.text(launched["processes"]).decode().splitlines()
    got = json.loads(lines[0])
    assert got["zombies of process 1"] == 0
    assert got["zombies of mine"] < 100
    assert lines[1:] == ["still here"]
    assert server.get(launched["processes"])["status"] == "succeeded"


def test_a_fork_bomb_meets_its_limit(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["fork bomb"])
    assert run["status"] in ("timed_out", "failed"), run
    server.cleaned(launched["fork bomb"])


def test_a_memory_bomb_is_killed_and_named(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["memory bomb"])
    assert (run["status"], run["reason"]) == ("failed", "oom")


def test_floods_of_bytes_and_files_end_at_their_bounds(server: Server, launched: dict[str, str]) -> None:
    got = said(server, launched["flood"])
    sizes = {folder: got[folder][0] for folder in ("/workspace", "/tmp", "/dev/shm")}
    assert sizes["/workspace"] <= 256 * MB
    assert sizes["/tmp"] <= 100 * MB
    assert sizes["/dev/shm"] <= 64 * MB
    assert all(got[f"files in {folder}"][0] <= 20_000 for folder in ("/workspace", "/tmp"))
    assert {one[1] for one in got.values()} == {"No space left on device"}


def test_one_endless_line_is_cut_at_the_logs_limit(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["one line"])
    assert (run["status"], run["reason"]) == ("failed", "output_limit")
    assert run["log_bytes"] <= 51 * MB


def test_bytes_that_are_no_text_are_kept(server: Server, launched: dict[str, str]) -> None:
    run = server.ended(launched["bytes"])
    assert (run["status"], run["log_lines"]) == ("succeeded", 6)
    text = server.text(launched["bytes"])
    assert text.startswith(b"a\0b\n")
    assert b"\x1b]0;title\x07\n" in text
    page = server.call("GET", f"/runs/{launched['bytes']}/logs")
    assert [line["seq"] for line in page["lines"]] == [1, 2, 3, 4, 5, 6]


def test_the_sidecar_gives_nothing_to_a_forger_and_stays_small(server: Server, innocent: str) -> None:
    ended = server.run(TOKEN, "python")
    server.ended(ended)
    others = {
        name: {"run": run_id, "token": server.text(run_id).decode().split()[0]}
        for name, run_id in {"an ended run": ended, "a living run": innocent}.items()
    }
    run_id = server.run(hostile.SIDECAR.replace("OTHERS", repr(json.dumps(others))), "python", timeout_seconds=120)
    with server.watch(run_id) as watch:
        watch.until(lambda one: one.end or any('"answers"' in line[3] for line in one.lines), 90)
    got = json.loads(server.text(run_id).decode().splitlines()[-1])
    answers = got["answers"]
    assert answers.pop("length and chunks") in (400, 501)
    assert {name: one for name, one in answers.items() if one not in range(400, 500) and one != "closed"} == {}
    tokens = {name: one for name, one in answers.items() if name.startswith(("token ", "both "))}
    assert set(tokens.values()) <= {400, 401, 403, 431}, tokens
    assert answers["1 GB by length"] == answers["1 GB in chunks"] == 413
    assert answers["deep lists"] == answers["deep objects"] == 400
    assert got["fine"]["health"] == got["fine"]["input"] == 200
    assert got["fine"]["slow closed"] == 80
    sidecar = server.container(run_id, "sidecar")
    assert sidecar["State"]["Running"]
    assert not sidecar["State"]["OOMKilled"]
    assert used(server.docker, f"cronium-sidecar-{run_id}") < 100 * MB
    server.cancel(run_id)
    server.ended(run_id)


def used(client: docker.APIClient, name: str) -> int:
    """Its memory less what the kernel can drop at once."""
    memory = client.stats(name, stream=False)["memory_stats"]
    inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    return int(memory["usage"] - inactive)
