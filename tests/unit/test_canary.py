"""The canary without dangerous probes: the handling of its runs, and the probes that are safe on this machine."""

import json
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from executor.checks import isolation, isolation_probe
from executor.checks.isolation import Canary, CanaryFailed, Probe
from executor.sandbox.subnets import SubnetPool
from tests.fakes.engine import FakeEngine

ROWS = [{"name": "host", "held": True, "found": ""}, {"name": "vsock", "held": False, "found": "a socket was opened"}]


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    made.images |= {"runner:python"}
    yield made
    assert made.left == [], "something is left on the engine"
    made.close()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces the probes, which never run on this machine itself."""
    path = tmp_path / "probe.py"
    path.write_text(f"print({json.dumps(ROWS)!r})")
    monkeypatch.setattr(isolation, "SCRIPT", path)
    return path


def make(engine: FakeEngine, *images: str) -> Canary:
    pool = SubnetPool(IPv4Network("10.215.0.0/24"))
    return Canary(engine, images or ("runner:python",), "sidecar:latest", "test", "here", pool)


def test_its_answers_come_back_and_nothing_stays(engine: FakeEngine, script: Path) -> None:
    assert make(engine).run() == [Probe("host", True, ""), Probe("vsock", False, "a socket was opened")]
    assert engine.calls["create_container"] == 4  # it, its neighbour, and their sidecars


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "apart"])
def test_it_learns_where_its_neighbour_listens(engine: FakeEngine, script: Path, joined: bool) -> None:
    def twist(name: str, told: dict[str, Any]) -> None:
        for network in told.get("NetworkSettings", {"Networks": {}})["Networks"].values():
            network["IPAddress"] = network.get("IPAMConfig", {}).get("IPv4Address", "")

    engine.twist = twist
    text = 'import json, os; print(json.dumps([{"name": os.environ["CANARY_TARGETS"], "held": True, "found": ""}]))'
    script.write_text(text)
    canary = make(engine)
    canary._joined_network = joined
    (row,) = canary.run()
    targets = json.loads(row.name)
    addresses = {address for address, _ in targets["neighbour"]}
    assert len(addresses) == (1 if joined else 2)
    assert {tuple(target) for target in targets["neighbour"]} == {(a, port) for a in addresses for port in (9000, 8081)}
    assert targets["port"] > 1023


def test_its_containers_are_no_workers_leftovers(engine: FakeEngine, script: Path) -> None:
    hosts = set()
    engine.before["start"] = lambda: hosts.update(one.host for one in engine.list_own_objects("test"))
    make(engine).run()
    assert hosts == {"canary@here"}


def test_a_missing_image_gives_way_to_the_next(engine: FakeEngine, script: Path) -> None:
    assert len(make(engine, "gone:1", "runner:python").run()) == 2


@pytest.mark.parametrize("text", ["print('no JSON')", "raise SystemExit(3)", "print('{}')", "print('[{}]')", ""])
def test_what_gives_no_answer_is_no_verdict(engine: FakeEngine, script: Path, text: str) -> None:
    script.write_text(text)
    with pytest.raises(CanaryFailed, match="did not run"):
        make(engine).run()


def test_no_image_is_no_verdict(engine: FakeEngine, script: Path) -> None:
    with pytest.raises(CanaryFailed, match="gone:1"):
        make(engine, "gone:1").run()


def test_a_sandbox_that_breaks_a_promise_is_a_verdict(engine: FakeEngine, script: Path) -> None:
    def twist(name: str, told: dict[str, Any]) -> None:
        if "HostConfig" in told:
            told["HostConfig"]["SecurityOpt"] = ["seccomp=unconfined"]

    engine.twist = twist
    (probe,) = make(engine).run()
    assert (probe.name, probe.held) == ("sandbox", False)
    assert "unconfined" in probe.found


def test_it_can_be_stopped(engine: FakeEngine, script: Path) -> None:
    trial = make(engine)
    engine.before["start"] = trial.stop
    with pytest.raises(CanaryFailed):
        trial.run()


@pytest.mark.parametrize("name", ["host", "neighbour", "DNS", "vsock", "setuid", "root file system", "sandbox"])
def test_each_probe_has_a_mend(name: str) -> None:
    assert isolation.find_remedy(name).endswith(".")


def test_the_address_that_a_bridge_would_have_comes_from_the_routes(tmp_path: Path) -> None:
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    network = int.from_bytes(socket.inet_aton("10.213.4.8"), sys.byteorder)
    route = tmp_path / "route"
    route.write_text(f"{head}eth0\t{network:08X}\t00000000\t0001\t0\t0\t0\tF8FFFFFF\t0\t0\t0\n")
    assert isolation_probe.list_gateways(str(route)) == ["10.213.4.9"]
    route.write_text(head)
    with pytest.raises(OSError, match="no route"):
        isolation_probe.list_gateways(str(route))


def test_this_machines_addresses_come_from_the_kernels_tables(tmp_path: Path) -> None:
    (tmp_path / "fib_trie").write_text(
        "Main:\n  |-- 10.1.2.0\n     /24 link UNICAST\n  |-- 10.1.2.3\n     /32 host LOCAL\n"
        "  |-- 10.1.2.255\n     /32 link BROADCAST\n  |-- 127.0.0.1\n     /32 host LOCAL\n"
        "Local:\n  |-- 10.1.2.3\n     /32 host LOCAL\n"
    )
    (tmp_path / "if_inet6").write_text(
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fd000000000000000000000000000002 02 40 00 80     eth0\n"
        "fe800000000000000000000000000002 02 40 20 80     eth0\n"
    )
    assert isolation.list_host_addresses(tmp_path) == ["10.1.2.3", "fd00::2"]
    assert isolation.list_host_addresses(tmp_path / "none") == []


class TestProbe:
    def test_a_listener_is_reached_and_so_is_who_refuses(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            assert isolation_probe.try_connection("127.0.0.1", port) == "connected"
            assert isolation_probe.try_connections([("127.0.0.1", port)]) == f"127.0.0.1 port {port}: connected"
        assert "refused" in isolation_probe.try_connection("127.0.0.1", port)

    def test_silence_is_not_reached(self) -> None:
        assert isolation_probe.try_connections([("255.255.255.255", 9)]) == ""

    @pytest.mark.parametrize(
        ("number", "arguments", "found"),
        [((39, 172), (), "it worked"), ((9999, 9999), (), ""), ((3, 57), (-1,), "not filtered (EBADF)")],
    )
    def test_a_call_held_only_if_it_was_refused(
        self, number: tuple[int, int], arguments: tuple[int, ...], found: str
    ) -> None:
        """getpid; a number that no kernel has; close(-1)."""
        assert isolation_probe.try_system_call(number, *arguments) == found

    def test_a_probe_that_breaks_is_no_verdict(self) -> None:
        assert isolation_probe.run_probe(lambda: str(1 / 0))["held"] is None
        assert isolation_probe.run_probe(lambda: "") == {"held": True, "found": ""}
        assert isolation_probe.run_probe(lambda: "through") == {"held": False, "found": "through"}

    def test_it_can_be_sent_to_any_python(self) -> None:
        """It is sent as a script: it imports only Python's standard library."""
        text = isolation.SCRIPT.read_text()
        assert "executor" not in text
        assert "cronium_admin" not in text
