"""Attacks by scripts that start in waiting sandboxes: such a run is as safe as one in a new sandbox.

The same scripts run in new sandboxes as the control: in both they see, reach and are refused the same.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.engine import test_runtime_api as runtime_api
from tests.engine import test_sandbox as sandbox
from tests.engine.conftest import running
from tests.engine.hostile import probes
from tests.engine.hostile import test_credentials as credentials
from tests.engine.hostile import test_rights as rights
from tests.engine.hostile.test_reach import host_addresses
from tests.engine.outside import Outside, outside
from tests.engine.server import Server, Template
from tests.engine.test_network import END, PRELUDE
from tests.engine.warm_attacks import (
    FORGED,
    INHERITED,
    KNOCK,
    LITTER,
    NETWORKS,
    PORT,
    Attacks,
    blank,
    listening,
    read,
)
from tests.engine.warm_server import WarmServer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to put an address on this machine")


@pytest.fixture(scope="module")
def internet() -> Iterator[Outside]:
    with outside() as made:
        yield made


@pytest.fixture(scope="module")
def attacks(
    server: Server, template: Template, internet: Outside, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Attacks]:
    folder = tmp_path_factory.mktemp("server")
    template.copy_to(folder)
    with running(WarmServer(folder, template.token, CRONIUM_EGRESS_DNS=internet.address)) as made:
        assert isinstance(made, WarmServer)
        found = Attacks(made, server, internet)
        yield found
        found.close()


@pytest.fixture(scope="module")
def warm(attacks: Attacks) -> WarmServer:
    return attacks.server


@pytest.fixture(autouse=True)
def all_warm(warm: WarmServer) -> Iterator[None]:
    """Each run of a test started in a waiting sandbox; also those whose id the test does not know."""
    warm.launched.clear()
    yield
    for run_id in warm.launched:
        warm.check_warm(run_id)


# What a script is and sees, and what the engine reports of it.


@pytest.fixture(scope="module")
def seen(warm: WarmServer) -> sandbox.Seen:
    found = sandbox.look(warm)
    warm.check_warm(found.run["id"])
    return found


CHECKS = (
    sandbox.test_inside_it_is_nobody_special,
    sandbox.test_inside_only_the_two_folders_can_be_written,
    sandbox.test_inside_the_environment_is_the_promised_one,
    sandbox.test_nothing_secret_is_in_inspect,
    sandbox.test_temporary_folders_leave_room_in_the_memory_they_count_as,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("test_"))
def test_of_a_sandbox_that_waited(seen: sandbox.Seen, check: Callable[[sandbox.Seen], None]) -> None:
    check(seen)


OWN = ("token backwards", "environment")  # each run's own; the environment has a check above


def test_it_sees_the_same_as_in_a_new_sandbox(attacks: Attacks, seen: sandbox.Seen) -> None:
    warm, cold = (
        blank(server, found, {name: value for name, value in found.said.items() if name not in OWN})
        for server, found in ((attacks.server, seen), (attacks.control, attacks.seen))
    )
    assert warm == cold


def test_its_containers_have_the_same_settings(attacks: Attacks, seen: sandbox.Seen) -> None:
    for warm, cold in ((seen.main, attacks.seen.main), (seen.sidecar, attacks.seen.sidecar)):
        assert sandbox.hardening(warm) == sandbox.hardening(cold)
        for part in ("HostConfig", "Config"):
            assert blank(attacks.server, seen, warm[part]) == blank(attacks.control, attacks.seen, cold[part])
    assert sandbox.hardening(seen.main)["ReadonlyRootfs"] is True


def test_the_report_is_the_same_and_shows_no_drift(attacks: Attacks, seen: sandbox.Seen) -> None:
    warm, cold = (
        server.call("GET", f"/runs/{found.run['id']}/sandbox")
        for server, found in ((attacks.server, seen), (attacks.control, attacks.seen))
    )
    assert (warm["reported"], warm["drifted"]) == (True, 0)
    assert blank(attacks.server, seen, warm) == blank(attacks.control, attacks.seen, cold)


# The kernel and the files.


@pytest.fixture(scope="module")
def calls(attacks: Attacks) -> Any:
    return read(attacks.server, attacks.server.run(probes.read("calls"), "python"))


def test_the_kernel_refuses_the_same_calls(attacks: Attacks, calls: Any) -> None:
    refused = {name: answer for kind in rights.KINDS for name, answer in calls["answers"][kind].items()}
    assert len(refused) > 50
    assert {name: answer for name, answer in refused.items() if answer != "EPERM"} == rights.REFUSALS
    assert calls["answers"] == attacks.cold["calls"]["answers"]
    rights.test_calls_by_other_numbers_end_the_process(calls)


def test_files_and_process_1_are_the_sandboxes_own(attacks: Attacks) -> None:
    warm, cold = attacks.server, attacks.cold["files"]
    files = read(warm, warm.run(probes.read("files"), "python", env={"PRIVATE": "of the job"}))
    assert set(files["wrote"]) - rights.HELPERS == {"/workspace", "/tmp", "/dev/shm"}
    assert "open" not in files["kernel"].values(), files["kernel"]
    assert files["holders"] == [str(files["me"])]
    assert files["pids"] <= 3
    assert not {"CRONIUM_EXECUTION_TOKEN", "PRIVATE"} & set(files["one"]["environment"])
    for name in ("wrote", "kernel", "ids", "become", "set-id", "one"):
        assert files[name] == cold[name], name


# Tokens, secrets and the log.


def test_the_sidecar_refuses_what_is_not_this_runs(warm: WarmServer) -> None:
    runtime_api.test_the_sidecar_refuses_what_is_not_this_runs(warm)


def test_one_runs_token_opens_nothing_of_another(warm: WarmServer) -> None:
    runtime_api.test_one_runs_token_opens_nothing_of_another(warm)


def test_a_secret_in_any_disguise_is_masked_before_it_is_stored(warm: WarmServer) -> None:
    credentials.test_a_secret_in_any_disguise_is_masked_before_it_is_stored(warm)


def test_a_script_can_not_forge_its_log_its_output_or_its_end(attacks: Attacks) -> None:
    """Headers of the engine's frames, messages of a sidecar, writes to process 1, and the end of a lost payload."""
    runs = [
        (server, server.ended(run_id))
        for server, run_id in (
            (attacks.server, attacks.server.run(FORGED, "python")),
            (attacks.control, attacks.forged),
        )
    ]
    lines = [sorted(server.text(run["id"]).splitlines()) for server, run in runs]  # two streams have no order
    assert lines[0] == lines[1]
    assert b"\2\0\0\0\0\0\0\4fake" in lines[0]
    for _, run in runs:
        assert (run["status"], run["reason"], run["exit_code"], run["output"]) == ("failed", "exit_code", 125, None)


# What it reaches, and what reaches a sandbox that waits.


def find_reached(found: Any) -> set[str]:
    return {name for name, answer in found["answers"].items() if answer in ("reached", "Connection refused")}


def find_gone(targets: set[str]) -> set[str]:
    """The targets at addresses that this machine has no longer: other tests give it some, and take them away."""
    own = [target for target in targets if target.startswith(("host ", "dashboard "))]
    addresses = set(host_addresses())
    return {target for target in own if target.split()[1].rpartition(":")[0] not in addresses}


@pytest.mark.parametrize("network", NETWORKS)
def test_it_reaches_no_more_than_from_a_new_sandbox_and_no_sandbox_that_waits(attacks: Attacks, network: str) -> None:
    warm, visits = attacks.server, {}
    with ExitStack() as stack:
        targets: list[tuple[str, str, int]] = []
        for other in {"isolated", "egress", "open"} - {network}:
            (victim, *_) = warm.wait_for(other)
            addresses = warm.find_addresses(victim)
            own = warm.find_own_address(victim)
            assert own in addresses
            visits[other] = stack.enter_context(listening(warm, victim, own))
            targets += [("waiting", address, port) for address in addresses for port in (PORT, 8081, 8082)]
        found = read(warm, warm.launch(attacks.make_reach(warm, network, *targets)))
    assert visits == {other: [1] for other in visits}  # itself
    tried = [name for name in found["answers"] if name.startswith("waiting ")]
    assert len(tried) == len(targets) > 10
    reached, cold = find_reached(found), attacks.cold[network]
    gone = find_gone(set(cold["answers"]))
    assert reached - set(tried) - gone == find_reached(cold) - gone, (found["answers"], cold["answers"])
    assert (found["links"], found["sent"]) == (cold["links"], cold["sent"])
    kinds = {name.rpartition(" ")[0] for name in reached}
    if network == "open":  # the control; a proxy on the way out may accept connections to any address
        assert {"host", "internet"} <= kinds
    else:
        assert kinds <= {"host's loopback"}, found["answers"]


def test_with_egress_it_reaches_its_destinations_through_the_proxy_only(attacks: Attacks, internet: Outside) -> None:
    script = f"""{PRELUDE}
report("allowed", lambda: get("http://{attacks.allowed}/"))
report("refused", lambda: get("http://{internet.address}:1/"))
report("direct", lambda: tcp("{internet.address}", {internet.port}))
{END}"""
    warm = attacks.server
    found = read(warm, warm.run(script, "python", network="egress", egress=[attacks.allowed]))
    assert found["allowed"] == [200, "hello from outside"]
    assert found["refused"][0] == 403
    assert found["direct"] != "reached"


@pytest.mark.parametrize("network", ["isolated", "egress", "open"])
def test_a_sidecar_that_waits_refuses_every_call(warm: WarmServer, internet: Outside, network: str) -> None:
    (waiting, *_) = warm.wait_for(network)
    answers = warm.execute(waiting, f"OUTSIDE, OUTSIDE_PORT = {internet.address!r}, {internet.port}\n{KNOCK}")
    # With egress the sidecar does not listen yet.
    assert set(answers["api"]) == ({"ConnectionRefusedError"} if network == "egress" else {503})
    assert set(answers["proxy"]) == {"ConnectionRefusedError"}
    assert (answers["internet"] == 200) == (network == "open")
    assert answers["listening"] == ([] if network == "egress" else [8081])
    assert answers["files"] == []
    assert not [word for word in ("TOKEN", "PRIVATE", "eyJ") if word in answers["environment"]]


def test_a_script_leaves_nothing_for_the_next_sandbox(attacks: Attacks) -> None:
    """The next run starts in a sandbox that waited while the other script was at work."""
    warm = attacks.server
    litter = warm.run(LITTER, "python")
    with warm.watch(litter) as watch:
        watch.until_line("littered")
        waited = warm.wait_for("open")
        warm.cancel(litter)
        watch.until_end()
    run_id = warm.run(INHERITED, "python", network="open")
    found = read(warm, run_id)
    assert run_id in waited
    assert found["files"] == {"/tmp": [], "/workspace": [], "/dev/shm": []}
    assert "litter" not in str(found)
    assert "987" not in str(found["commands"])
    assert len(found["commands"]) <= 3
    warm.cleaned(litter)
