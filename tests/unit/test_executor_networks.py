"""A run's networks in each mode: the requests to the engine, and their complete removal."""

import json
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.checks.gc import collect_leftovers
from executor.docker import errors
from executor.docker.errors import AddressTaken, EngineError, EngineUnreachable, Forbidden
from executor.run import payload
from executor.run.slot import Slot
from executor.sandbox import options
from executor.sandbox.connection_events import MAX_EVENTS, EventForwarder
from executor.sandbox.networks import Networks
from executor.sandbox.options import Addresses
from executor.sandbox.sandbox import Sandbox
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunSpec
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import Remembering, make_binding, make_spec

ADDRESSES = Addresses(IPv4Network("10.215.0.8/29"))
MODES = ("isolated", "none", "egress", "open")
POOL = IPv4Network("10.215.0.0/27")  # four subnets


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    made = FakeEngine()
    yield made
    assert made.left == [], "something is left on the engine"
    made.close()


@pytest.fixture
def pool() -> SubnetPool:
    return SubnetPool(POOL)


@pytest.fixture
def start(engine: FakeEngine, pool: SubnetPool) -> Callable[[RunSpec], tuple[Remembering, threading.Thread]]:
    def make(spec: RunSpec) -> tuple[Remembering, threading.Thread]:
        told = Remembering()
        thread = threading.Thread(target=Slot(engine, spec, told, pool, threading.Semaphore(2)).run, daemon=True)
        thread.start()
        return told, thread

    return make


def free(pool: SubnetPool) -> int:
    taken = []
    while subnet := pool.take():
        taken.append(subnet)
    for subnet in taken:
        pool.release(subnet)
    return len(taken)


# The requests to the engine.


def test_without_a_network_main_is_on_none_and_knows_no_runtime_api() -> None:
    body = options.build_main_container(make_spec(network="none"), None, "local")
    assert body["HostConfig"]["NetworkMode"] == "none"
    assert not body["NetworkingConfig"]
    assert "ExtraHosts" not in body["HostConfig"]
    assert "CRONIUM_NETWORK=none" in body["Env"]
    assert not [one for one in body["Env"] if one.startswith("CRONIUM_RUNTIME_API")]


@pytest.mark.parametrize("mode", ["isolated", "egress"])
def test_mains_network_is_the_same_closed_one_with_and_without_a_way_out(mode: str) -> None:
    spec = make_spec(network=mode)
    body = options.build_network(spec, ADDRESSES, "28.0.0")
    assert body["Internal"] is True
    assert body["Options"]["com.docker.network.bridge.inhibit_ipv4"] == "true"
    assert body["Options"]["com.docker.network.bridge.gateway_mode_ipv4"] == "isolated"
    main = options.build_main_container(spec, ADDRESSES, "local")
    assert main["HostConfig"]["Dns"] == ["127.0.0.1"]
    assert set(main["NetworkingConfig"]["EndpointsConfig"]) == {naming.name_network(spec.run_id)}


def test_an_open_network_is_an_ordinary_one_where_names_resolve() -> None:
    spec = make_spec(network="open")
    body = options.build_network(spec, ADDRESSES, "28.0.0")
    assert body["Internal"] is False
    assert set(body["Options"]) == {"com.docker.network.bridge.name"}
    assert "Dns" not in options.build_main_container(spec, ADDRESSES, "local")["HostConfig"]
    assert options.build_sidecar_container(spec, ADDRESSES)["HostConfig"]["Dns"] == ["127.0.0.1"]


def test_the_way_out_is_an_ordinary_network_of_its_own_with_our_labels() -> None:
    spec = make_spec(network="egress", run_id="0a1b2c3d-4e5f-4789-abcd-0123456789ab")
    job, out = options.build_network(spec, ADDRESSES), options.build_egress_network(spec, ADDRESSES)
    assert out["Name"] == f"cronium-egress-{spec.run_id}"
    assert (out["Internal"], out["Attachable"], out["Labels"]) == (False, False, naming.build_labels(spec, "network"))
    bridge = "com.docker.network.bridge.name"
    assert out["Options"] == {bridge: "ce0a1b2c3d4e000"}
    assert job["Options"][bridge] != out["Options"][bridge]
    assert len(out["Options"][bridge]) <= 15


@pytest.mark.parametrize(("dns", "asked"), [((), None), (("9.9.9.9", "1.1.1.1"), ["9.9.9.9", "1.1.1.1"])])
def test_the_proxy_resolves_by_the_servers_that_are_set_or_as_the_engine_does(
    dns: tuple[str, ...], asked: list[str] | None
) -> None:
    spec = make_spec(network="egress", egress_dns=dns)
    assert options.build_sidecar_container(spec, ADDRESSES)["HostConfig"].get("Dns") == asked
    assert options.build_main_container(spec, ADDRESSES, "local")["HostConfig"]["Dns"] == ["127.0.0.1"]


@pytest.mark.parametrize("mode", MODES)
def test_a_runtime_is_passed_on_to_both_and_none_is_not(mode: str) -> None:
    addresses = None if mode == "none" else ADDRESSES
    named = make_spec(network=mode, runtime="runsc")
    assert options.build_main_container(named, addresses, "local")["HostConfig"]["Runtime"] == "runsc"
    assert options.build_sidecar_container(named, ADDRESSES)["HostConfig"]["Runtime"] == "runsc"
    assert "Runtime" not in options.build_main_container(make_spec(network=mode), addresses, "local")["HostConfig"]


# The variables in the payload.


def test_the_proxy_and_its_token_travel_with_the_payload_alone() -> None:
    spec = make_spec(network="egress", egress=("api.example.com:443",))
    sent = payload.build_payload(spec).decode()
    url = f"http://cronium:{spec.token}@runtime-api:8082"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        assert f"export {name}={url}\n" in sent
    assert "export NO_PROXY=runtime-api,runtime,localhost,127.0.0.1\n" in sent
    shown = json.dumps(
        [options.build_main_container(spec, ADDRESSES, "local"), options.build_sidecar_container(spec, ADDRESSES)]
    )
    assert "PROXY" not in shown.upper()
    assert spec.token not in shown


def test_a_jobs_own_proxy_settings_count() -> None:
    sent = payload.build_payload(make_spec(network="egress", env={"NO_PROXY": "mine"})).decode()
    assert "export NO_PROXY=mine\n" in sent
    assert "export NO_PROXY=runtime-api" not in sent


@pytest.mark.parametrize("mode", ["isolated", "none", "open"])
def test_without_a_proxy_there_is_none_in_the_environment(mode: str) -> None:
    sent = payload.build_payload(make_spec(network=mode)).decode().lower()
    assert "_proxy" not in sent
    assert ("cronium_execution_token" in sent) is (mode != "none")


# Made and taken down.


@pytest.mark.parametrize(("mode", "subnets"), [("isolated", 1), ("none", 0), ("egress", 2), ("open", 1)])
def test_a_run_has_what_its_network_needs_and_then_nothing(
    engine: FakeEngine, pool: SubnetPool, start: Callable[..., Any], mode: str, subnets: int
) -> None:
    spec = make_spec(network=mode, egress=("a.example:80",), script="echo up; sleep 0.3")
    told, thread = start(spec)
    told.wait_for_text(b"up")
    containers = {"cronium-main-"} if mode == "none" else {"cronium-main-", "cronium-sidecar-"}
    assert {name.removesuffix(spec.run_id) for name in engine.containers} == containers
    assert len(engine.networks) == subnets
    assert free(pool) == 4 - subnets
    thread.join(20)
    assert told.result is not None
    assert told.result.status == "succeeded"
    assert told.report["drifted"] == 0, [row for row in told.report["rows"] if row["drift"]]
    assert free(pool) == 4


def test_the_sidecar_is_told_whom_to_let_out_and_where_to_listen(
    engine: FakeEngine, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    read = FakeEngine._read_line
    monkeypatch.setattr(
        FakeEngine, "_read_line", staticmethod(lambda source: given.append(line := read(source)) or line)
    )
    _, thread = start(make_spec(network="egress", egress=("a.example:80", "*.b.example:*")))
    thread.join(20)
    egress = json.loads(given[0])["egress"]
    inside, outside = map(IPv4Network, egress["networks"])
    assert egress["allow"] == ["a.example:80", "*.b.example:*"]
    assert egress["address"] == str(inside.network_address + 2)
    assert not inside.overlaps(outside)


@pytest.mark.parametrize("nth", [1, 2])
def test_a_subnet_that_somebody_has_is_passed_over(engine: FakeEngine, pool: SubnetPool, nth: int) -> None:
    engine.fail("create_network", AddressTaken("overlaps"), nth)
    networks = Networks(engine, make_spec(network="egress"), pool)
    networks.create()
    assert len(engine.networks) == 2
    assert networks.remove()
    networks.release_subnets()
    networks.release_subnets()
    assert free(pool) == 4  # the engine has no network, so the subnet is free


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "apart"])
@pytest.mark.parametrize("fault", [AddressTaken("overlaps"), errors.Conflict("exists"), Forbidden("overlaps")])
def test_after_a_refused_network_the_sidecar_is_on_the_next_subnet(
    engine: FakeEngine, pool: SubnetPool, fault: EngineError, joined: bool
) -> None:
    engine.fail("create_network", fault)
    spec = make_spec(joined_network=joined)
    sandbox = Sandbox(engine, spec.sandbox, pool)
    sandbox.prepare(make_binding(spec))
    assert not [row for row in sandbox.build_report() if row.drift]
    (body,) = engine.networks.values()
    endpoint = engine.containers[naming.name_sidecar(spec.run_id)].networks[naming.name_network(spec.run_id)]
    subnet = IPv4Network(body["IPAM"]["Config"][0]["Subnet"])
    assert endpoint["IPAMConfig"]["IPv4Address"] == str(subnet.network_address + 2)
    assert endpoint["Aliases"] == ["runtime-api", "runtime"]
    assert engine.calls["create_container"] == 2
    assert sandbox.take_down()
    assert free(pool) == 4


@pytest.mark.parametrize("joined", [True, False], ids=["joined", "apart"])
@pytest.mark.parametrize("earlier_joined", [True, False], ids=["after-joined", "after-apart"])
def test_the_next_attempt_replaces_everything_of_the_earlier_one(
    engine: FakeEngine, pool: SubnetPool, earlier_joined: bool, joined: bool
) -> None:
    first = make_spec(joined_network=earlier_joined, epoch=1)
    left = Sandbox(engine, first.sandbox, pool)
    left.prepare()
    left.detach()
    left.abandon()
    before = {container.id for container in engine.containers.values()}
    spec = make_spec(run_id=first.run_id, joined_network=joined, epoch=2)
    sandbox = Sandbox(engine, spec.sandbox, pool)
    sandbox.prepare(make_binding(spec))
    assert not before & {container.id for container in engine.containers.values()}
    assert not [row for row in sandbox.build_report() if row.drift]
    assert left.take_down() is False, "an earlier attempt does not remove what a later one has created"
    assert len(engine.left) == 3
    assert sandbox.take_down()
    assert engine.left == []


def test_what_an_earlier_attempt_left_is_cleared(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(network="egress")
    first = Networks(engine, spec, pool)
    first.create()
    engine.remove_network(naming.name_network(spec.run_id))  # an incomplete take-down
    second = Networks(engine, spec, pool)
    second.create()
    assert len(engine.networks) == 2
    assert second.remove()
    for one in (first, second):
        one.release_subnets()
    assert free(pool) == 4


def test_a_main_that_an_earlier_attempt_left_is_cleared_where_no_network_tells_of_it(
    engine: FakeEngine, start: Callable[..., Any]
) -> None:
    spec = make_spec(network="none")
    engine.create_container(naming.name_main(spec.run_id), options.build_main_container(spec, None, "local"))
    told, thread = start(spec)
    thread.join(20)
    assert told.result is not None
    assert told.result.status == "succeeded"


@pytest.mark.parametrize("method", ["create_network", "connect_network", "create_container", "start", "attach"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_step_that_fails_leaves_nothing_behind(
    engine: FakeEngine, pool: SubnetPool, start: Callable[..., Any], method: str, nth: int
) -> None:
    engine.fail(method, EngineUnreachable("gone"), nth)
    told, thread = start(make_spec(network="egress"))
    thread.join(20)
    assert told.result is not None
    if method == "connect_network" and nth == 2:
        assert told.result.status == "succeeded", "there is only one"
    else:
        assert (told.result.status, told.result.reason) == ("errored", "engine_unreachable")
    assert free(pool) == 4
    assert engine.left == []


def test_a_network_that_can_not_be_removed_keeps_its_subnet_and_not_the_other_network(
    engine: FakeEngine, pool: SubnetPool
) -> None:
    networks = Networks(engine, make_spec(network="egress"), pool)
    networks.create()
    engine.fail("remove_network", EngineError("has active endpoints"))
    assert not networks.remove()
    assert len(engine.networks) == 1
    assert networks.remove()
    networks.release_subnets()
    assert free(pool) == 4


def test_the_reaper_finds_the_way_out_too(engine: FakeEngine, pool: SubnetPool) -> None:
    spec = make_spec(network="egress")
    Networks(engine, spec, pool).create()
    assert {one.name for one in collect_leftovers(engine, spec.instance, spec.host, lambda ids: frozenset())} == set(
        naming.list_network_names(spec)
    )


def test_a_pool_without_room_for_the_second_network_says_so(engine: FakeEngine) -> None:
    small = SubnetPool(IPv4Network("10.215.0.0/29"))
    networks = Networks(engine, make_spec(network="egress"), small)
    with pytest.raises(AddressTaken, match="CRONIUM_SUBNET_POOL"):
        networks.create()
    assert networks.remove()
    networks.release_subnets()
    assert free(small) == 1


ENGINE_FAULTS = [
    EngineError("500: the disk is full"),
    errors.Invalid("400: an option is wrong"),
    Forbidden("403: not permitted"),
    errors.NotFound("404: no such driver"),
    EngineUnreachable("no answer"),
]


@pytest.mark.parametrize("fault", ENGINE_FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("nth", [1, 2])
def test_an_engine_that_fails_uses_up_no_subnet(
    engine: FakeEngine, pool: SubnetPool, start: Callable[..., Any], fault: EngineError, nth: int
) -> None:
    for _ in range(6):  # more runs than the pool has subnets
        for attempt in range(3):  # a refusal is tried on other subnets
            engine.fail("create_network", fault, nth + attempt)
        told, thread = start(make_spec(network="egress"))
        thread.join(20)
        assert told.result is not None
        assert (told.result.status, told.result.reason) == ("errored", fault.reason)
        assert fault.reason != AddressTaken.reason
        assert free(pool) == 4
        engine._faults.clear()


def test_one_refusal_that_is_no_known_overlap_costs_the_run_nothing(engine: FakeEngine, pool: SubnetPool) -> None:
    """Another process has just taken the subnet, and the engine does not list its network yet."""
    engine.fail("create_network", Forbidden("Pool overlaps with other one on this address space"), 1)
    engine.fail("create_network", errors.Invalid("Pool overlaps with other one on this address space"), 2)
    networks = Networks(engine, make_spec(), pool)
    networks.create()
    assert networks.remove()
    networks.release_subnets()
    assert free(pool) == 4


def test_a_pool_that_an_engine_which_was_away_used_up_is_found_free_again(
    engine: FakeEngine, pool: SubnetPool, monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any]
) -> None:
    monkeypatch.setattr("executor.run.ending.CLEAN_TRIES", 1)
    for _ in range(4):
        engine.fail("create_network", EngineUnreachable("no answer"), 1)
        engine.fail("describe_network", EngineUnreachable("no answer"), 1)  # nor while it is cleared up
        engine.fail("describe_network", EngineUnreachable("no answer"), 2)
        told, thread = start(make_spec())
        thread.join(20)
        assert "cleaned" not in told.events
        engine._faults.clear()
    assert free(pool) == 0
    told, thread = start(make_spec())
    thread.join(20)
    assert told.result is not None
    assert told.result.status == "succeeded"


def foreign(engine: FakeEngine, subnet: str) -> str:
    """Creates a network of another program on this engine; returns its name."""
    spec = make_spec(instance="another")
    engine.create_network(options.build_network(spec, Addresses(IPv4Network(subnet))))
    return naming.name_network(spec.run_id)


def test_subnets_of_others_are_passed_over_until_they_are_free(engine: FakeEngine, pool: SubnetPool) -> None:
    names = [foreign(engine, "10.215.0.0/28"), foreign(engine, "10.215.0.16/29")]
    made = Networks(engine, make_spec(), pool)
    made.create()
    assert made.subnets == (IPv4Network("10.215.0.24/29"),)
    other = Networks(engine, make_spec(), pool)
    with pytest.raises(AddressTaken, match=r"Every /29 .* is in use"):
        other.create()
    for name in names:
        engine.remove_network(name)
    other.create()
    for one in (made, other):
        assert one.remove()
        one.release_subnets()
    assert engine.left == []


def test_a_network_that_covers_the_whole_pool_is_said(engine: FakeEngine, pool: SubnetPool) -> None:
    name = foreign(engine, "10.0.0.0/8")
    with pytest.raises(AddressTaken, match="CRONIUM_SUBNET_POOL"):
        Networks(engine, make_spec(), pool).create()
    assert engine.calls["create_network"] == 2, "one refusal tells of all of them"
    engine.remove_network(name)


@pytest.mark.parametrize("ending", ["cancel", "release"])
@pytest.mark.parametrize("method", ["create_network", "create_container", "start", "describe_network"])
def test_a_run_that_is_given_up_while_it_is_built_keeps_no_subnet(
    engine: FakeEngine, pool: SubnetPool, method: str, ending: str
) -> None:
    told = Remembering()
    slot = Slot(engine, make_spec(network="egress"), told, pool, threading.Semaphore(2))
    engine.before[method] = slot.stop if ending == "cancel" else slot.release
    slot.run()
    assert told.result is None if ending == "release" else told.result.status == "cancelled"  # type: ignore[union-attr]
    assert free(pool) == 4


def test_a_run_that_another_process_has_taken_over_is_not_held_here(engine: FakeEngine, pool: SubnetPool) -> None:
    told = Remembering()
    slot = Slot(engine, spec := make_spec(script="sleep 20"), told, pool, threading.Semaphore(2))
    thread = threading.Thread(target=slot.run)
    thread.start()
    told.wait_for("may_begin")
    slot.release()
    thread.join(10)
    assert engine.left, "it continues"
    assert free(pool) == 3
    engine.remove_container(naming.name_main(spec.run_id))
    engine.remove_container(naming.name_sidecar(spec.run_id))
    engine.remove_network(naming.name_network(spec.run_id))
    pool.refresh(engine.list_subnets())
    assert free(pool) == 4


@pytest.mark.parametrize("name_of", [naming.name_network, naming.name_egress_network])
def test_a_name_that_stays_taken_is_told_as_such(
    engine: FakeEngine,
    pool: SubnetPool,
    start: Callable[[RunSpec], tuple[Remembering, threading.Thread]],
    name_of: Callable[[str], str],
) -> None:
    """Another program has created a network with the name of the run's network."""
    spec = make_spec(network="egress")
    name, body = name_of(spec.run_id), options.build_network(spec, Addresses(IPv4Network("10.99.0.0/29")))
    engine.create_network(body | {"Name": name, "Labels": {}})
    told, thread = start(spec)
    thread.join(20)
    assert told.result is not None
    assert (told.result.status, told.result.reason) == ("errored", "engine_error")
    assert name in told.result.message
    assert engine.calls["create_network"] <= 5
    assert engine.left == [name]
    engine.remove_network(name)
    assert free(pool) == 4


# The events of the sidecar.


def event(message: Any, kind: Any = "network_allowed") -> dict[str, Any]:
    return {"type": "event", "kind": kind, "message": message}


def test_what_a_sidecar_tells_reaches_the_handler_and_a_secret_in_it_does_not(
    engine: FakeEngine, start: Callable[..., Any]
) -> None:
    spec = make_spec(network="egress", secrets={"KEY": "sesame-open-wide"}, script="echo up; sleep 0.3")
    told, thread = start(spec)
    told.wait_for_text(b"up")
    engine.say(
        spec.run_id,
        event("a.example:80 (1.2.3.4)"),
        event("sesame-open-wide.evil.example:80 refused: no", "network_refused"),
        event("made up", "cancelled"),
        event(["no text"]),
        event("two\nlines\x1b[31m\0"),
        {"type": "event"},
    )
    told.wait_for("network_refused")
    thread.join(20)
    assert told.told == [
        ("network_allowed", "a.example:80 (1.2.3.4)"),
        ("network_refused", "***.evil.example:80 refused: no"),
        ("network_allowed", "twolines[31m"),
    ]
    assert told.events[-1] == "cleaned", "all events are recorded before the run is clean"


def test_events_past_the_bound_are_summed_into_one_line() -> None:
    told: list[tuple[str, str]] = []
    teller = EventForwarder(lambda kind, message: told.append((kind, message)), "test")
    for number in range(MAX_EVENTS + 2500):
        teller.put("network_allowed", f"a.example:{number}")
    teller.put("network_refused", "b.example:80 refused: no" + "x" * 5000)
    teller.close(5)
    teller.close(5)
    teller.put("network_refused", "too late")
    assert len(told) == MAX_EVENTS + 1
    assert told[MAX_EVENTS - 1][1] == f"a.example:{MAX_EVENTS - 1}"
    assert told[-1] == (
        "network_refused",
        "2,501 more connections, not listed one by one: 2,500 allowed, 1 refused",
    )


def test_a_handler_that_hangs_or_fails_does_not_hold_the_channel_up() -> None:
    release, told = threading.Event(), []

    def tell(kind: str, message: str) -> None:
        release.wait(10)
        told.append(message)
        raise OSError("the database is away")

    teller = EventForwarder(tell, "test")
    for number in range(5):
        teller.put("network_refused", str(number) + "x" * 1000)  # returns at once, or the test would hang
    assert told == []
    release.set()
    teller.close(5)
    assert [message[0] for message in told] == list("01234")
    assert {len(message) for message in told} == {500}


def test_a_run_that_tells_nothing_costs_no_thread() -> None:
    before = threading.active_count()
    teller = EventForwarder(lambda kind, message: None, "test")
    assert threading.active_count() == before
    teller.close(0)
