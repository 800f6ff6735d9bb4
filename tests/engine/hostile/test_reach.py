"""A script tries to reach the host, other runs and outside addresses, and reaches none of them."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine.conftest import running
from tests.engine.hostile import probes
from tests.engine.server import Server


class Resolver:
    """UDP and TCP on port 53 of every address of this machine; records packets and never answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, str]] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("0.0.0.0", 53))
        self.tcp = socket.create_server(("0.0.0.0", 53))
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._accept, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                data, sender = self.udp.recvfrom(512)
                if not sender:
                    return  # closed
                self.asked.append((data, sender[0]))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                one, sender = self.tcp.accept()
                one.close()
                self.asked.append((b"tcp", sender[0]))

    def close(self) -> None:
        for one in (self.udp, self.tcp):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits
            one.close()


def host_addresses() -> list[str]:
    """Every address of this machine except loopback addresses, which are a sandbox's own."""
    shown = subprocess.run(["ip", "-j", "addr"], capture_output=True, text=True, check=True).stdout
    found = [info for link in json.loads(shown) for info in link["addr_info"]]
    return [one["local"] for one in found if one["scope"] != "link" and not one["local"].startswith(("127.", "::1"))]


@dataclass
class Reached:
    """The results of a sandboxed run and of an ordinary container for the same targets."""

    sandboxed: dict[str, Any]
    packets: list[tuple[bytes, str]]  # received at the host's port 53 from the sandbox
    visits: int  # at the host's listener, from the sandbox
    ordinary: dict[str, Any]
    ordinary_packets: list[tuple[bytes, str]]
    ordinary_visits: int


def _wait_for_listener(address: str, port: int, seconds: float = 60) -> None:
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection((address, port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.1)


def _visits(listener: socket.socket) -> int:
    listener.settimeout(0)
    count = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


@pytest.fixture(scope="module", params=["joined", "apart"])
def attacker(request: pytest.FixtureRequest, server: Server, new_server: Callable[..., Server]) -> Iterator[Server]:
    """The server that runs the script which tries to get out; with `apart`, main has its own network namespace."""
    if request.param == "joined":
        yield server
        return
    with running(new_server(CRONIUM_SANDBOX_NETWORK="apart", CRONIUM_SUBNET_POOL="10.229.0.0/16")) as made:
        yield made


@pytest.fixture(scope="module")
def reached(
    server: Server,
    attacker: Server,
    innocent: str,
    runner_images: dict[str, str],
    outside: Callable[..., dict[str, Any]],
) -> Iterator[Reached]:
    client = server.docker
    with ExitStack() as stack:
        made = client.create_container(
            runner_images["python"],
            ["python3", "-m", "http.server", "8000", "--directory", "/tmp"],
            ports=[8000],
            labels={"cronium.instance": server.instance},
            host_config=client.create_host_config(port_bindings={8000: None}),
        )["Id"]
        stack.callback(client.remove_container, made, force=True)
        client.start(made)
        published = int(client.port(made, 8000)[0]["HostPort"])
        bridged = client.inspect_container(made)["NetworkSettings"]["IPAddress"]
        _wait_for_listener(bridged, 8000)
        dualstack = socket.has_dualstack_ipv6()
        listener = stack.enter_context(
            socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=200)
            if dualstack
            else socket.create_server(("0.0.0.0", 0), backlog=200)
        )
        port = listener.getsockname()[1]
        resolver = Resolver()
        stack.callback(resolver.close)
        (neighbour,) = (  # main is in the network namespace of its sidecar
            endpoint["IPAddress"]
            for endpoint in server.container(innocent, "sidecar")["NetworkSettings"]["Networks"].values()
        )
        stem, _, last = neighbour.rpartition(".")
        addresses = host_addresses()
        targets = {
            "tcp": [
                *(("host", address, port) for address in addresses),
                *(("host's resolver", address, 53) for address in addresses if ":" not in address),
                *(("dashboard", address, server.port) for address in addresses),
                *(("published port", address, published) for address in addresses),
                ("host's loopback", "127.0.0.1", port),
                ("host by IPv6", "::1", port),
                ("bridge's member", bridged, 8000),
                ("other run", neighbour, 9000),
                ("other run's sidecar", neighbour, 8081),
                ("other run's gateway", f"{stem}.{int(last) - 1}", port),
                ("metadata", "169.254.169.254", 80),
                ("world", "1.1.1.1", 443),
            ],
            "dns": ["127.0.0.11", "127.0.0.1", *(one for one in addresses if ":" not in one), "8.8.8.8"],
        }
        env = {"TARGETS": json.dumps(targets)}
        run = attacker.ended(attacker.run(probes.read("reach"), "python", env=env))
        assert run["status"] == "succeeded", run["message"]
        sandboxed = json.loads(attacker.text(run["id"]).splitlines()[-1])
        packets, visits = list(resolver.asked), _visits(listener)
        resolver.asked.clear()
        ordinary = outside("reach", user="1000:1000", env=env)
        yield Reached(sandboxed, packets, visits, ordinary, list(resolver.asked), _visits(listener))


def _answers(got: dict[str, Any], kind: str) -> list[str]:
    found = [answer for name, answer in got["answers"].items() if name.startswith(kind + " ")]
    assert found, f"nothing was tried for {kind}"
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "host",
        "host's resolver",
        "dashboard",
        "published port",
        "host's loopback",
        "host by IPv6",
        "bridge's member",
        "other run",
        "other run's sidecar",
        "other run's gateway",
        "metadata",
        "world",
        "dns",
        "name",
    ],
)
def test_it_reaches_no(reached: Reached, kind: str) -> None:
    assert "reached" not in _answers(reached.sandboxed, kind), reached.sandboxed["answers"]


@pytest.mark.parametrize("kind", ["host", "host's resolver", "published port", "bridge's member"])
def test_an_ordinary_container_reaches_the(reached: Reached, kind: str) -> None:
    """The control: listeners, addresses and probe work."""
    assert "reached" in _answers(reached.ordinary, kind), reached.ordinary["answers"]


def test_no_connection_arrives_at_a_listener_on_all_of_the_hosts_addresses(reached: Reached) -> None:
    assert reached.visits == 0
    assert reached.ordinary_visits > 0


def test_a_dns_tunnel_carries_no_packet_to_the_hosts_resolver(reached: Reached) -> None:
    """Neither by name, nor directly to any address, nor by broadcast on any interface."""
    assert reached.packets == [], reached.sandboxed["sent"]
    assert any(b"stolen" in data for data, _ in reached.ordinary_packets)


def test_it_has_one_link(reached: Reached) -> None:
    assert reached.sandboxed["links"] == ["eth0", "lo"]
