"""The inspection of a sandbox: requested and reported values, and which differences stop a run."""

import json
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.run.slot import Slot
from executor.sandbox import inspection, options
from executor.sandbox.inspection import Row
from executor.sandbox.options import Addresses
from executor.sandbox.subnets import SubnetPool
from executor.sandbox.topology import choose_topology
from executor.spec import MB, RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_spec

SUBNET = IPv4Network("10.215.0.0/29")
Twist = Callable[[dict[str, Any]], object]


def found_for(spec: RunSpec, engine: FakeEngine) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request of a run, and the report of an engine that fulfils it."""
    addresses, is_joined = Addresses(SUBNET), choose_topology(spec) == "joined"
    network = options.build_network(spec, addresses)
    main, sidecar = naming.name_main(spec.run_id), naming.name_sidecar(spec.run_id)
    asked: dict[str, Any] = {network["Name"]: network}
    sidecar_image = engine.describe_image(spec.sidecar_image)
    asked[sidecar] = options.build_sidecar_container(spec, None if is_joined else addresses, sidecar_image)
    engine.create_network(network)
    sidecar_id = engine.create_container(sidecar, asked[sidecar])
    if is_joined:
        engine.disconnect_network(sidecar, "none")
        engine.connect_network(sidecar, network["Name"], addresses.sidecar)
    joined_id = sidecar_id if is_joined else None
    asked[main] = options.build_main_container(spec, addresses, "local", sidecar_id=joined_id)
    engine.create_container(main, asked[main])
    found = {network["Name"]: engine.describe_network(network["Name"])}
    return asked, found | {name: engine.describe_container(name) for name in (main, sidecar)}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    made.close()


def rows_after(engine: FakeEngine, part: str, twist: Twist, **changes: Any) -> list[Row]:
    """The rows of a sandbox whose report of main, sidecar or network was changed by `twist`."""
    spec = make_spec(**changes)
    asked, found = found_for(spec, engine)
    names = {"main": naming.name_main, "sidecar": naming.name_sidecar, "network": naming.name_network}
    image = found[naming.name_main(spec.run_id)]["Image"]
    twist(found[names[part](spec.run_id)])
    return inspection.build_rows(spec, asked, found, "runc", image)


def drifted(rows: list[Row]) -> set[tuple[str, str]]:
    return {(row.of, row.what) for row in rows if row.drift}


def test_an_engine_that_obeys_shows_no_drift(engine: FakeEngine) -> None:
    rows = rows_after(engine, "main", lambda told: None)
    assert drifted(rows) == set()
    assert inspection.describe_violations(rows) == ""
    shown = {(row.of, row.what): row.reported for row in rows}
    assert shown["main", "memory"] == "512 MB"
    assert shown["sidecar", "memory"] == "256 MB"
    assert shown["main", "CPU"] == "0.5"
    assert "size=100MB" in shown["main", "memory file systems"]
    assert shown["network", "address of the host"] == "none"
    assert inspection.to_json(rows) == {"rows": [row.__dict__ for row in rows], "count": len(rows), "drifted": 0}


def host(**changes: Any) -> Twist:
    return lambda told: told["HostConfig"].update(changes)


PROFILE = options.build_main_container(make_spec(), Addresses(SUBNET), "local")["HostConfig"]["SecurityOpt"][1]
BROKEN: list[tuple[str, Twist, str]] = [
    ("main", host(Privileged=True), "privileged"),
    ("sidecar", host(Privileged=True), "privileged"),
    ("main", host(CapAdd=["SYS_ADMIN"]), "capabilities added"),
    ("main", host(CapDrop=[]), "capabilities dropped"),
    ("main", host(SecurityOpt=[PROFILE]), "no new privileges"),
    ("main", host(SecurityOpt=["no-new-privileges:false", PROFILE]), "no new privileges"),
    ("main", host(SecurityOpt=["no-new-privileges:true", "seccomp=unconfined"]), "seccomp profile"),
    ("sidecar", host(SecurityOpt=["no-new-privileges:true"]), "seccomp profile"),
    ("main", host(SecurityOpt=["no-new-privileges:true", PROFILE + " "]), "seccomp profile"),
    ("main", host(ReadonlyRootfs=False), "read-only root"),
    ("main", host(Binds=["/:/host"]), "host folders"),
    ("main", host(Devices=[{"PathOnHost": "/dev/sda"}]), "devices"),
    ("main", host(PidMode="host"), "processes"),
    ("main", host(IpcMode="host"), "shared memory"),
    ("main", host(UsernsMode="host"), "user names"),
    ("main", host(PortBindings={"80/tcp": [{"HostPort": "80"}]}), "published ports"),
    ("main", lambda told: told["Config"].update(User=""), "user"),
    ("main", lambda told: told["NetworkSettings"]["Networks"].update(bridge={}), "networks"),
    ("main", lambda told: told["Mounts"].append({"Type": "volume", "Destination": "/data"}), "mounts"),
    ("sidecar", lambda told: told["Mounts"].append({"Type": "bind", "Destination": "/data"}), "mounts"),
    ("main", lambda told: told.pop("Mounts"), "mounts"),
    ("main", lambda told: told["Config"].update(Volumes={"/data": {}}), "volumes on the disk"),
    ("sidecar", lambda told: told["Config"].update(Volumes={"/tmp/": {}, "/x/": {}}), "volumes on the disk"),
    ("network", lambda told: told.update(Internal=False), "internal"),
    ("network", lambda told: told["Options"].pop("com.docker.network.bridge.inhibit_ipv4"), "address of the host"),
    ("network", lambda told: told["Containers"].update(x={"Name": "somebody"}), "other containers"),
    ("main", host(NetworkMode="container:somebodys"), "network namespace"),
    ("main", host(NetworkMode="host"), "network namespace"),
    ("sidecar", host(NetworkMode="container:somebodys"), "network namespace"),
    ("sidecar", lambda told: told["NetworkSettings"]["Networks"].update(bridge={}), "networks"),
    ("sidecar", lambda told: told["NetworkSettings"]["Networks"].clear(), "networks"),
]


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "apart"])
@pytest.mark.parametrize(("part", "twist", "what"), BROKEN)
def test_a_broken_promise_is_named_and_stops_the_run(
    engine: FakeEngine, part: str, twist: Twist, what: str, joined: bool
) -> None:
    rows = rows_after(engine, part, twist, joined_network=joined)
    assert (part, what) in drifted(rows)
    assert f"{part}'s {what} is" in inspection.describe_violations(rows)


OF_PACKAGES = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
OF_DOCKERFILES = [*OF_PACKAGES, "KILL", "SETGID", "SETUID"]


@pytest.mark.parametrize(
    ("runs_dockerfile", "capabilities", "is_right"),
    [
        *((False, OF_PACKAGES, True), (False, OF_DOCKERFILES, False), (False, [], False)),
        *((True, OF_DOCKERFILES, True), (True, OF_PACKAGES, False), (True, [*OF_DOCKERFILES, "NET_RAW"], False)),
    ],
)
def test_a_build_has_exactly_its_own_capabilities(
    engine: FakeEngine, runs_dockerfile: bool, capabilities: list[str], is_right: bool
) -> None:
    kinds = {"is_build": True, "runs_dockerfile": runs_dockerfile, "read_only_root": False}
    rows = rows_after(engine, "main", host(CapAdd=capabilities), **kinds)
    assert drifted(rows) == (set() if is_right else {("main", "capabilities added")})


def test_a_main_outside_its_sidecars_network_namespace_breaks_a_promise(engine: FakeEngine) -> None:
    own = make_spec(joined_network=False)
    asked, found = found_for(own, engine)
    joined = make_spec(run_id=own.run_id)  # the same sandbox, which should have been joined
    violations = inspection.describe_violations(inspection.build_rows(joined, asked, found, "runc", ""))
    assert "main's network namespace is its own (requested: the sidecar's)" in violations
    assert f"main's networks is {naming.name_network(own.run_id)} (requested: none)" in violations


def test_beside_a_joined_sidecar_main_is_a_stranger_on_the_network_too(engine: FakeEngine) -> None:
    spec = make_spec()
    name = naming.name_main(spec.run_id)
    rows = rows_after(engine, "network", lambda told: told["Containers"].update(x={"Name": name}), run_id=spec.run_id)
    assert ("network", "other containers") in drifted(rows)


@pytest.mark.parametrize("key", ["Privileged", "CapDrop", "SecurityOpt", "ReadonlyRootfs", "PublishAllPorts"])
def test_a_promise_that_the_engine_does_not_report_stops_the_run(engine: FakeEngine, key: str) -> None:
    rows = rows_after(engine, "sidecar", lambda told: told["HostConfig"].pop(key))
    assert "not reported" in inspection.describe_violations(rows)


@pytest.mark.parametrize("key", ["CapAdd", "Binds", "PidMode"])
def test_what_is_empty_and_left_out_is_drift_and_stops_nothing(engine: FakeEngine, key: str) -> None:
    rows = rows_after(engine, "sidecar", lambda told: told["HostConfig"].pop(key))
    assert [row.reported for row in rows if row.drift] == ["not reported"]
    assert not inspection.describe_violations(rows)


def test_nothing_reported_at_all_breaks_every_promise(engine: FakeEngine) -> None:
    rows = rows_after(engine, "main", dict.clear)
    assert {what for of, what in drifted(rows) if of == "main"} >= {one.what for one in inspection.REQUIREMENTS}


DRIFT: list[tuple[str, Twist, str]] = [
    ("main", host(Memory=0), "memory"),
    ("main", host(MemorySwap=-1), "memory with swap"),
    ("main", host(NanoCpus=0), "CPU"),
    ("main", host(PidsLimit=None), "processes at most"),
    ("sidecar", host(Dns=["127.0.0.11"]), "DNS"),
    ("sidecar", host(ExtraHosts=None), "known names"),
    ("main", host(Init=False), "init"),
    ("main", host(Runtime="other"), "runtime"),
    ("main", host(Tmpfs={}), "memory file systems"),
    ("sidecar", host(Sysctls=None), "kernel settings"),
    ("sidecar", host(LogConfig={"Type": "json-file", "Config": {}}), "log driver"),
    ("main", lambda told: told.update(Image="sha256:other"), "image"),
    ("sidecar", lambda told: told.update(Image="sha256:other"), "image"),
    ("network", lambda told: told["IPAM"]["Config"][0].update(Subnet="10.0.0.0/8"), "subnet"),
]


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "apart"])
@pytest.mark.parametrize(("part", "twist", "what"), DRIFT)
def test_other_drift_is_shown_and_stops_nothing(
    engine: FakeEngine, part: str, twist: Twist, what: str, joined: bool
) -> None:
    rows = rows_after(engine, part, twist, joined_network=joined)
    assert drifted(rows) == {(part, what)}
    assert inspection.describe_violations(rows) == ""


def test_a_mistake_in_the_options_shows_too(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine fulfils the request, and the request is wrong."""
    right = options._build_hardening

    def wrong(*arguments: Any) -> dict[str, Any]:
        return right(*arguments) | {"Privileged": True, "Memory": 0, "SecurityOpt": ["seccomp=unconfined"]}

    monkeypatch.setattr(options, "_build_hardening", wrong)
    rows = rows_after(engine, "main", lambda told: None)
    assert {("main", "privileged"), ("sidecar", "privileged"), ("main", "memory")} <= drifted(rows)
    assert {("main", "seccomp profile"), ("main", "no new privileges")} <= drifted(rows)
    assert "unconfined" in inspection.describe_violations(rows)


@pytest.mark.parametrize(
    ("network", "part"), [("egress", "main"), ("egress", "sidecar"), ("open", "main"), ("none", "main")]
)
def test_another_network_breaks_a_promise_whatever_the_job_asked_for(network: str, part: str) -> None:
    spec = make_spec(network=network)
    mine = {} if network == "none" else {naming.name_network(spec.run_id): {}}
    out = {naming.name_egress_network(spec.run_id): {}} if (network, part) == ("egress", "sidecar") else {}
    told: dict[str, Any] = {"NetworkSettings": {"Networks": mine | out}}
    told["HostConfig"] = {"NetworkMode": "none" if network == "none" else naming.name_network(spec.run_id)}
    assert not [row for row in inspection._inspect_networks(part, spec, told, None) if row.drift]
    told["NetworkSettings"]["Networks"]["bridge"] = {}
    (row,) = [row for row in inspection._inspect_networks(part, spec, told, None) if row.drift]
    assert row.promise


def test_a_root_that_may_be_written_is_no_drift_for_a_job_that_asked(engine: FakeEngine) -> None:
    rows = rows_after(engine, "main", lambda told: None, read_only_root=False)
    assert drifted(rows) == set()
    assert {row.asked for row in rows if row.what == "read-only root"} == {"no", "yes"}


def test_nothing_private_and_no_profile_is_in_a_report(engine: FakeEngine) -> None:
    rows = rows_after(engine, "main", lambda told: told["Config"]["Env"].append("KEY=private"), env={"A": "private"})
    text = json.dumps(inspection.to_json(rows))
    assert "private" not in text
    assert "CRONIUM_" not in text
    assert "SCMP_" not in text
    assert len(text) < 20_000


class TestSlot:
    @pytest.fixture
    def run(self, engine: FakeEngine) -> Callable[..., Remembering]:
        def whole(**changes: Any) -> Remembering:
            told = Remembering()
            pool = SubnetPool(IPv4Network("10.215.0.0/24"))
            Slot(engine, make_spec(**changes), told, pool, threading.Semaphore(2)).run()
            assert engine.left == []
            assert told.events[-1] == "cleaned"
            return told

        return whole

    def test_tells_the_report_before_the_script_begins(self, run: Callable[..., Remembering]) -> None:
        told = run(script="echo hello")
        assert told.result is not None
        assert (told.result.status, told.report["drifted"]) == ("succeeded", 0)
        assert told.report["count"] == len(told.report["rows"]) > 50
        assert {row["of"] for row in told.report["rows"]} == {"main", "sidecar", "network"}

    def test_a_broken_promise_keeps_the_script_from_starting(
        self, engine: FakeEngine, run: Callable[..., Remembering]
    ) -> None:
        def twist(name: str, told: dict[str, Any]) -> None:
            if "main" in name:
                told["HostConfig"]["Privileged"] = True

        engine.twist = twist
        told = run(script="echo it ran")
        assert told.result is not None
        assert (told.result.status, told.result.reason) == ("errored", "sandbox_drift")
        assert "main's privileged is yes (requested: no)" in told.result.message
        assert told.log() == b""
        assert "may_begin" not in told.events
        assert told.report["drifted"] == 1

    def test_other_drift_lets_it_run(self, engine: FakeEngine, run: Callable[..., Remembering]) -> None:
        def twist(name: str, told: dict[str, Any]) -> None:
            if "main" in name:
                told["HostConfig"]["Memory"] = 64 * MB

        engine.twist = twist
        told = run(script="echo it ran")
        assert told.log() == b"it ran\n"
        (row,) = [row for row in told.report["rows"] if row["drift"]]
        assert (row["what"], row["asked"], row["reported"]) == ("memory", "512 MB", "64 MB")

    def test_a_runtime_that_is_not_offered_is_refused_before_anything_is_made(
        self, engine: FakeEngine, run: Callable[..., Remembering]
    ) -> None:
        engine.offered = ("crun", "runc")
        told = run(runtime="runsc")
        assert told.result is not None
        assert (told.result.status, told.result.reason) == ("errored", "runtime_missing")
        assert "'runsc'" in told.result.message
        assert "crun, runc" in told.result.message
        assert (engine.calls["create_network"], engine.calls["create_container"]) == (0, 0)
