"""The sandbox as the engine reports it, and as a script inside sees it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor.sandbox.seccomp import build_security_option
from executor.spec import MB
from tests.engine.conftest import running
from tests.engine.server import SUBNET_POOL, Server

SECRET_WORDS = ("a-secret-value-of-the-environment", "a-word-only-the-script-has", "a-word-only-the-input-has")
PROBE = f"""
import grp, json, os, socket, subprocess, sys
word = "{SECRET_WORDS[1]}"

def attempt(step):
    try:
        step()
        return "done"
    except OSError as error:
        return error.strerror

def facts():
    with open("/proc/self/status") as file:
        status = dict(line.rstrip().split(":", 1) for line in file)
    yield "id", [os.getuid(), os.getgid(), sorted(os.getgroups())]
    yield "status", {{name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}}
    for path in ("/tmp", "/workspace", "/", "/etc", "/usr/local/lib", "/var/tmp", "/dev/shm/.."):
        yield "write " + path, attempt(lambda: open(os.path.join(path, "probe"), "w").close())
    yield "cwd", os.getcwd()
    yield "home", os.environ["HOME"]
    yield "owner", [os.stat("/workspace").st_uid, oct(os.stat("/workspace").st_mode)]
    with open("/proc/1/comm") as file:
        yield "process 1", file.read().strip()
    for name in ("runtime-api", "runtime", "localhost", socket.gethostname()):
        yield name, socket.gethostbyname(name)
    yield "host name", socket.gethostname()
    yield "links", sorted(name for _, name in socket.if_nameindex())
    for name in ("forward", "rp_filter"):
        paths = {{"forward": "ip_forward", "rp_filter": "conf/eth0/rp_filter"}}
        yield name, open("/proc/sys/net/ipv4/" + paths[name]).read().strip()
    for address in ("127.0.0.1", "0.0.0.0"):
        yield "port " + address, attempt(lambda: socket.create_server((address, 8081), reuse_port=True).close())
    yield "dns", attempt(lambda: socket.gethostbyname("example.com"))
    yield "v6", os.path.exists("/proc/net/if_inet6") and open("/proc/net/if_inet6").read()
    yield "environment", {{name: value for name, value in os.environ.items() if name.startswith(("CRONIUM_", "MY_"))}}
    yield "token backwards", os.environ["CRONIUM_EXECUTION_TOKEN"][::-1]  # as it is, the log masks it
    yield "arguments", [open(f"/proc/{{pid}}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()]

print(json.dumps(dict(facts())))
sys.stdout.flush()
import time; time.sleep(60)
"""


@dataclass
class Seen:
    """One live run: the script's output, and the engine's report."""

    run: dict[str, Any]
    said: dict[str, Any]
    main: dict[str, Any]
    sidecar: dict[str, Any]
    network: dict[str, Any]


def look(server: Server, **job: Any) -> Seen:
    run_id = server.run(PROBE, "python", env={"MY_SECRET": SECRET_WORDS[0]}, input={"x": SECRET_WORDS[2]}, **job)
    with server.watch(run_id) as watch:
        watch.until_line("CapEff")
        network = server.docker.inspect_network(f"cronium-job-{run_id}")
        main, sidecar = server.container(run_id), server.container(run_id, "sidecar")
        server.cancel(run_id)
        watch.until_end()
    return Seen(server.get(run_id), json.loads(watch.lines[0][3]), main, sidecar, network)


@pytest.fixture(scope="module")
def seen(server: Server) -> Iterator[Seen]:
    found = look(server)
    yield found
    server.cleaned(found.run["id"])


@pytest.fixture(scope="module")
def seen_apart(new_server: Callable[..., Server]) -> Iterator[Seen]:
    """A sandbox whose main has its own network namespace."""
    with running(new_server(CRONIUM_SANDBOX_NETWORK="apart")) as server:
        found = look(server)
        yield found
        server.cleaned(found.run["id"])


both = pytest.mark.parametrize("topology", ["seen", "seen_apart"])


def test_inside_it_is_nobody_special(seen: Seen) -> None:
    uid, gid, groups = seen.said["id"]
    assert (uid, gid) == (1000, 1000)
    assert set(groups) <= {1000}
    nothing = "0000000000000000"
    assert seen.said["status"] == {"CapEff": nothing, "CapBnd": nothing, "NoNewPrivs": "1", "Seccomp": "2"}


def test_inside_only_the_two_folders_can_be_written(seen: Seen) -> None:
    wrote = {name for name, answer in seen.said.items() if name.startswith("write ") and answer == "done"}
    assert wrote == {"write /tmp", "write /workspace"}
    assert seen.said["write /"] == "Read-only file system"
    assert (seen.said["cwd"], seen.said["home"]) == ("/workspace", "/workspace")
    assert seen.said["owner"] == [1000, "0o40755"]


def test_a_job_may_switch_the_read_only_root_off(server: Server) -> None:
    open_root = look(server, read_only_root=False)
    assert open_root.main["HostConfig"]["ReadonlyRootfs"] is False
    assert open_root.sidecar["HostConfig"]["ReadonlyRootfs"] is True
    assert open_root.said["write /var/tmp"] == "done"
    assert open_root.said["write /"] == "Permission denied"


@both
def test_inside_there_is_an_init_and_the_sidecar_and_nothing_else(
    topology: str, request: pytest.FixtureRequest
) -> None:
    seen: Seen = request.getfixturevalue(topology)
    said = seen.said
    assert "init" in said["process 1"] or "tini" in said["process 1"]
    subnet = IPv4Network(seen.network["IPAM"]["Config"][0]["Subnet"])
    is_joined = topology == "seen"
    assert said["runtime-api"] == said["runtime"] == ("127.0.0.1" if is_joined else str(subnet.network_address + 2))
    assert said["host name"] == "job"
    assert said["job"] == str(subnet.network_address + (2 if is_joined else 3))
    assert said["localhost"] == "127.0.0.1"
    assert said["links"] == ["eth0", "lo"]
    assert said["dns"] != "done"
    assert not said["v6"]
    assert said["forward"] == "0"
    # The sidecar's port in its network namespace.
    assert [said[f"port {address}"] == "done" for address in ("127.0.0.1", "0.0.0.0")] == [not is_joined] * 2


def test_inside_the_environment_is_the_promised_one(seen: Seen) -> None:
    environment = seen.said["environment"]
    assert environment.pop("CRONIUM_EXECUTION_TOKEN") == "***"
    token = seen.said["token backwards"][::-1]
    assert token.count(".") == 2
    run_id = seen.run["id"]
    assert environment == {
        "CRONIUM_JOB_ID": run_id,
        "CRONIUM_JOB_TYPE": "python",
        "CRONIUM_RUN_ID": run_id,
        "CRONIUM_LANGUAGE": "python",
        "CRONIUM_EXECUTION_MODE": "container",
        "CRONIUM_EXECUTION_ID": run_id,
        "CRONIUM_RUNTIME_API": "http://runtime-api:8081",
        "MY_SECRET": SECRET_WORDS[0],
    }
    shown = "".join(seen.said["arguments"])
    assert token not in shown
    assert not any(word in shown for word in SECRET_WORDS)


def test_nothing_secret_is_in_inspect(seen: Seen) -> None:
    token = seen.said["token backwards"][::-1]
    for shown in map(json.dumps, (seen.main, seen.sidecar, seen.network)):
        assert not any(word in shown for word in SECRET_WORDS)
        assert "CRONIUM_EXECUTION_TOKEN" not in shown
        assert token not in shown


def hardening(inspected: dict[str, Any]) -> dict[str, Any]:
    host = inspected["HostConfig"]
    names = ("Privileged", "CapDrop", "CapAdd", "SecurityOpt", "ReadonlyRootfs", "Binds", "Init", "AutoRemove")
    more = ("PidMode", "UsernsMode", "Devices", "PublishAllPorts", "PortBindings", "VolumesFrom", "Mounts")
    return {name: host.get(name) or None for name in (*names, *more)} | {
        "User": inspected["Config"]["User"],
        "mounts": [mount for mount in inspected["Mounts"] if mount["Type"] != "tmpfs"],
        "networks": len(inspected["NetworkSettings"]["Networks"]),
        "ipc": host["IpcMode"],
        "restart": host["RestartPolicy"]["Name"],
    }


@both
def test_main_and_sidecar_are_hardened_alike(topology: str, request: pytest.FixtureRequest) -> None:
    seen: Seen = request.getfixturevalue(topology)
    expected = {
        "Privileged": None,
        "CapDrop": ["ALL"],
        "CapAdd": None,
        "SecurityOpt": ["no-new-privileges:true", build_security_option()],
        "ReadonlyRootfs": True,
        "Binds": None,
        "Init": True,
        "AutoRemove": None,
        "PidMode": None,
        "UsernsMode": None,
        "Devices": None,
        "PublishAllPorts": None,
        "PortBindings": None,
        "VolumesFrom": None,
        "Mounts": None,
        "User": "1000:1000",
        "mounts": [],
        "networks": 1,
        "ipc": "private",
        "restart": "no",
    }
    is_joined = topology == "seen"
    assert hardening(seen.main) == expected | {"networks": 0 if is_joined else 1}
    assert hardening(seen.sidecar) == expected
    shared = seen.main["HostConfig"]["NetworkMode"] == f"container:{seen.sidecar['Id']}"
    assert shared == is_joined


def limits(inspected: dict[str, Any]) -> tuple[float, int, int, int]:
    host = inspected["HostConfig"]
    return host["NanoCpus"] / 1e9, host["Memory"], host["MemorySwap"], host["PidsLimit"]


def test_limits_are_the_profiles_and_swap_is_none(server: Server, seen: Seen) -> None:
    assert limits(seen.main) == (0.5, 512 * MB, 512 * MB, 100)
    assert limits(seen.sidecar) == (0.5, 256 * MB, 256 * MB, 64)
    large = look(server, profile="large", pids=500)
    assert limits(large.main) == (2.0, 2048 * MB, 2048 * MB, 500)
    assert limits(large.sidecar) == (0.5, 256 * MB, 256 * MB, 64)


def test_temporary_folders_leave_room_in_the_memory_they_count_as(seen: Seen) -> None:
    sizes = {
        path: int(dict(part.split("=") for part in given.split(",") if "=" in part)["size"])
        for path, given in seen.main["HostConfig"]["Tmpfs"].items()
    }
    assert set(sizes) == {"/tmp", "/workspace", "/dev/shm", "/dev/mqueue"}
    assert sizes["/tmp"] <= 100 * MB
    assert sizes["/workspace"] <= 500 * MB
    assert sizes["/dev/shm"] <= 64 * MB  # the engine's default
    assert sizes["/dev/mqueue"] <= 4096
    assert sizes["/tmp"] + sizes["/workspace"] <= 0.75 * seen.main["HostConfig"]["Memory"]


def test_names_and_labels_say_whose_they_are(server: Server, seen: Seen) -> None:
    run_id = seen.run["id"]
    assert seen.main["Name"] == f"/cronium-main-{run_id}"
    assert seen.sidecar["Name"] == f"/cronium-sidecar-{run_id}"
    found = {"main": seen.main["Config"], "sidecar": seen.sidecar["Config"], "network": seen.network}
    for role, one in found.items():
        assert one["Labels"]["cronium.instance"] == server.instance
        assert one["Labels"]["cronium.run_id"] == run_id
        assert one["Labels"]["cronium.role"] == role


@both
def test_the_network_is_internal_and_the_host_has_no_address_on_it(
    topology: str, request: pytest.FixtureRequest
) -> None:
    seen: Seen = request.getfixturevalue(topology)
    network = seen.network
    assert network["Internal"] is True
    assert network["Options"]["com.docker.network.bridge.inhibit_ipv4"] == "true"
    subnet = IPv4Network(network["IPAM"]["Config"][0]["Subnet"])
    assert subnet.prefixlen == 29
    assert subnet.subnet_of(IPv4Network(SUBNET_POOL))
    roles = ("sidecar",) if topology == "seen" else ("main", "sidecar")
    assert {one["Name"] for one in network["Containers"].values()} == {
        f"cronium-{role}-{seen.run['id']}" for role in roles
    }
    aliases = seen.sidecar["NetworkSettings"]["Networks"][network["Name"]]["Aliases"]
    assert {"runtime-api", "runtime"} <= set(aliases)


def test_a_newer_engine_is_asked_for_an_isolated_gateway(server: Server, seen: Seen) -> None:
    is_newer = int(server.docker.version()["Version"].partition(".")[0]) >= 28
    mode = seen.network["Options"].get("com.docker.network.bridge.gateway_mode_ipv4")
    assert mode == ("isolated" if is_newer else None)


def test_the_host_does_not_answer_from_inside(server: Server) -> None:
    """A listener on every address of the host; the script connects to the gateway's address and to the others."""
    import socket

    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            own = probe.getsockname()[0]
        script = f"""
import ipaddress, socket
network = int.from_bytes(bytes.fromhex(open("/proc/net/route").readlines()[1].split()[1])[::-1], "big")
gateway = str(ipaddress.IPv4Address(network + 1))
for address in (gateway, "172.17.0.1", "{own}"):
    try:
        with socket.create_connection((address, {port}), 1) as one:
            one.getpeername()  # an "unreachable" at the wrong moment looks like a connection, and is none
        print("reached", address)
    except OSError as error:
        print("refused", address)
"""
        run = server.ended(server.run(script, "python"))
    assert server.text(run["id"]).decode().count("refused") == 3, server.text(run["id"])
    server.cleaned(run["id"])


def test_the_image_is_noted_by_its_digest(server: Server, seen: Seen, runner_images: dict[str, str]) -> None:
    image = seen.run["image"]
    assert (image["reference"], image["rule"]) == (runner_images["python"], "default")
    assert image["digest"] == server.docker.inspect_image(image["reference"])["Id"] == seen.main["Image"]
