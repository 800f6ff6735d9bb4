"""From a run's spec to the engine's create calls: every flag, every limit, and no secret."""

import json
import re
from ipaddress import IPv4Network
from typing import Any

import pytest

from executor import naming
from executor.sandbox import options, seccomp
from executor.sandbox.options import Addresses
from executor.sandbox.subnets import SubnetPool
from executor.spec import MB, Limits, RunSpec
from tests.fakes.specs import make_spec

ADDRESSES = Addresses(IPv4Network("10.215.0.8/29"))
SECRETS = {"env": {"PASSWORD": "hunter2-value"}, "script": "echo the-script-text", "input": {"a": "the-input-text"}}


def bodies(spec: RunSpec) -> dict[str, dict[str, Any]]:
    return {
        "main": options.build_main_container(spec, ADDRESSES, "local"),
        "sidecar": options.build_sidecar_container(spec, ADDRESSES),
        "network": options.build_network(spec, ADDRESSES),
    }


@pytest.mark.parametrize("role", ["main", "sidecar"])
@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("CapDrop", ["ALL"]),
        ("SecurityOpt", ["no-new-privileges:true", seccomp.build_security_option()]),
        ("Privileged", False),
        ("ReadonlyRootfs", True),
        ("Init", True),
        ("AutoRemove", False),
        ("RestartPolicy", {"Name": "no"}),
        ("Dns", ["127.0.0.1"]),
        ("ExtraHosts", ["runtime-api:10.215.0.10", "runtime:10.215.0.10"]),
        ("Ulimits", [{"Name": "core", "Soft": 0, "Hard": 0}]),
    ],
)
def test_both_containers_are_hardened(role: str, flag: str, value: Any) -> None:
    assert bodies(make_spec())[role]["HostConfig"][flag] == value


@pytest.mark.parametrize("role", ["main", "sidecar"])
def test_neither_has_a_mount_a_port_a_device_or_a_user_of_power(role: str) -> None:
    body = bodies(make_spec())[role]
    assert body["User"] == "1000:1000"
    forbidden = {"Binds", "Mounts", "PortBindings", "PublishAllPorts", "Devices", "CapAdd", "VolumesFrom", "PidMode"}
    assert not forbidden & set(body["HostConfig"])
    assert "Volumes" not in body
    assert body["HostConfig"]["NetworkMode"].startswith("cronium-job-")


def test_a_job_may_open_its_own_root_and_not_the_sidecars() -> None:
    made = bodies(make_spec(read_only_root=False))
    assert made["main"]["HostConfig"]["ReadonlyRootfs"] is False
    assert made["sidecar"]["HostConfig"]["ReadonlyRootfs"] is True


@pytest.mark.parametrize(
    ("runs_dockerfile", "more"), [(False, []), (True, ["KILL", "SETGID", "SETUID"])], ids=["packages", "dockerfile"]
)
def test_a_build_differs_in_its_user_and_capabilities_only(runs_dockerfile: bool, more: list[str]) -> None:
    run, build = bodies(make_spec()), bodies(make_spec(is_build=True, runs_dockerfile=runs_dockerfile))
    main = build["main"]
    assert (main.pop("User"), main["HostConfig"].pop("CapAdd")) == ("0:0", ["CHOWN", "DAC_OVERRIDE", "FOWNER", *more])
    assert run["main"].pop("User") == "1000:1000"
    for body in (run, build):  # the ids of the two runs differ
        for role in body.values():
            role.pop("Labels")
    names = {"main", "sidecar"}
    for role in names:
        assert _mask_ids(build[role]) == _mask_ids(run[role])


def _mask_ids(body: dict[str, Any]) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", json.dumps(body, sort_keys=True))


def test_a_run_that_is_no_build_gets_none_of_them() -> None:
    assert bodies(make_spec(runs_dockerfile=True))["main"]["User"] == "1000:1000"
    assert "CapAdd" not in bodies(make_spec(runs_dockerfile=True))["main"]["HostConfig"]


def test_there_are_three_sets_of_privileges() -> None:
    sets = {name: value for name, value in vars(options).items() if isinstance(value, options.Privileges)}
    assert sets == {
        "RUN": options.Privileges("1000:1000", ()),
        "BUILD": options.Privileges("0:0", ("CHOWN", "DAC_OVERRIDE", "FOWNER")),
        "DOCKERFILE": options.Privileges("0:0", ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")),
    }


@pytest.mark.parametrize(
    ("cpu", "memory", "pids"), [(50_000_000, 32, 10), (500_000_000, 512, 100), (2 * 10**9, 2048, 1000)]
)
def test_limits_and_no_swap(cpu: int, memory: int, pids: int) -> None:
    host = bodies(make_spec(limits=Limits(cpu, memory * MB, pids)))["main"]["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (
        cpu,
        memory * MB,
        memory * MB,
        pids,
    )


def test_the_sidecars_limits_do_not_follow_the_jobs() -> None:
    host = bodies(make_spec(limits=Limits(2 * 10**9, 2048 * MB, 1000)))["sidecar"]["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (500_000_000, 256 * MB, 256 * MB)
    assert 0 < host["PidsLimit"] <= 100
    assert set(host["Tmpfs"]) == {"/tmp", "/dev/shm", "/dev/mqueue"}
    assert f"size={50 * MB}" in host["Tmpfs"]["/tmp"]
    assert host["LogConfig"]["Type"] == "none"


def parts(given: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in given.split(","))}


@pytest.mark.parametrize("memory", [32, 128, 512, 1024, 2048])
def test_temporary_folders_follow_the_memory(memory: int) -> None:
    tmpfs = bodies(make_spec(limits=Limits(1, memory * MB, 100)))["main"]["HostConfig"]["Tmpfs"]
    tmp, workspace = parts(tmpfs["/tmp"]), parts(tmpfs["/workspace"])
    assert int(tmp["size"]) <= 100 * MB
    assert int(workspace["size"]) <= 500 * MB
    assert int(tmp["size"]) + int(workspace["size"]) <= 0.75 * memory * MB
    assert (tmp["mode"], workspace["mode"]) == ("1777", "0755")
    assert (workspace["uid"], workspace["gid"]) == ("1000", "1000")
    for one in (tmp, workspace):
        assert {"nosuid", "nodev"} <= set(one)
        assert int(one["nr_inodes"]) > 0
    if memory == 2048:
        assert (int(tmp["size"]), int(workspace["size"])) == (100 * MB, 500 * MB)


def test_nothing_secret_is_in_what_the_engine_keeps() -> None:
    spec = make_spec(**SECRETS)
    for body in bodies(spec).values():
        shown = json.dumps(body)
        for word in ("PASSWORD", "hunter2-value", "the-script-text", "the-input-text", spec.token, "EXECUTION_TOKEN"):
            assert word not in shown


def test_nothing_secret_is_in_the_specs_own_words() -> None:
    shown = repr(make_spec(**SECRETS))
    for word in ("hunter2-value", "the-input-text", make_spec().token[:20]):
        assert word not in shown


def test_names_labels_and_environment_are_the_promised_ones() -> None:
    spec = make_spec()
    made = bodies(spec)
    assert made["network"]["Name"] == f"cronium-job-{spec.run_id}"
    assert naming.name_main(spec.run_id) == f"cronium-main-{spec.run_id}"
    assert naming.name_sidecar(spec.run_id) == f"cronium-sidecar-{spec.run_id}"
    for role, body in made.items():
        assert body["Labels"] == {
            "cronium.instance": "test-instance",
            "cronium.run_id": spec.run_id,
            "cronium.role": role,
            "cronium.host": "test-host",
            "cronium.epoch": "0",
        }
    assert set(made["main"]["Env"]) == {
        f"CRONIUM_JOB_ID={spec.run_id}",
        "CRONIUM_JOB_TYPE=bash",
        f"CRONIUM_RUN_ID={spec.run_id}",
        "CRONIUM_LANGUAGE=bash",
        "CRONIUM_EXECUTION_MODE=container",
        f"CRONIUM_EXECUTION_ID={spec.run_id}",
        "CRONIUM_RUNTIME_API=http://runtime-api:8081",
        "HOME=/workspace",
    }
    assert made["main"]["WorkingDir"] == "/workspace"


def test_the_network_is_internal_and_without_an_address_of_the_host() -> None:
    network = bodies(make_spec(run_id="0a1b2c3d-4e5f-4789-abcd-0123456789ab"))["network"]
    assert network["Internal"] is True
    assert network["CheckDuplicate"] is True
    assert network["Options"] == {
        "com.docker.network.bridge.inhibit_ipv4": "true",
        "com.docker.network.bridge.name": "cr0a1b2c3d4e000",
    }
    assert network["IPAM"]["Config"] == [{"Subnet": "10.215.0.8/29", "Gateway": "10.215.0.9"}]


@pytest.mark.parametrize(
    ("version", "isolated"),
    [
        ("20.10.24+dfsg1", False),
        ("27.5.1", False),
        ("28.0.0", True),
        ("29.1.2-rc1", True),
        ("fake", False),
        ("", False),
    ],
)
def test_newer_engines_are_asked_for_an_isolated_gateway_too(version: str, isolated: bool) -> None:
    asked = options.build_network(make_spec(), ADDRESSES, version)["Options"]
    assert asked["com.docker.network.bridge.inhibit_ipv4"] == "true"
    assert (asked.get("com.docker.network.bridge.gateway_mode_ipv4") == "isolated") is isolated


def test_the_sidecar_has_the_aliases_and_each_its_address() -> None:
    made = bodies(make_spec())
    (sidecar,) = made["sidecar"]["NetworkingConfig"]["EndpointsConfig"].values()
    (main,) = made["main"]["NetworkingConfig"]["EndpointsConfig"].values()
    assert sidecar == {"IPAMConfig": {"IPv4Address": "10.215.0.10"}, "Aliases": ["runtime-api", "runtime"]}
    assert main == {"IPAMConfig": {"IPv4Address": "10.215.0.11"}, "Aliases": []}


@pytest.mark.parametrize("driver", ["local", "json-file"])
def test_the_engines_log_is_one_file_that_never_rotates_within_the_limit(driver: str) -> None:
    config = options.build_log_config(driver, 50 * MB)
    assert config["Type"] == driver
    assert int(config["Config"]["max-size"]) > 50 * MB
    assert config["Config"]["max-file"] == "1"
    assert ("compress" in config["Config"]) == (driver == "local")


# Subnets.


def test_no_subnet_is_given_twice_and_all_are_given() -> None:
    pool = SubnetPool(IPv4Network("10.215.0.0/24"))
    given = [pool.take() for _ in range(32)]
    assert None not in given
    assert len(set(given)) == 32
    assert all(one.subnet_of(IPv4Network("10.215.0.0/24")) for one in given if one)
    assert pool.take() is None


def test_a_subnet_given_back_is_given_again() -> None:
    pool = SubnetPool(IPv4Network("10.215.0.0/28"))
    first, second = pool.take(), pool.take()
    assert first
    assert pool.take() is None
    pool.release(first)
    pool.release(first)
    assert pool.take() == first
    assert pool.take() is None
    assert second != first


def test_subnets_from_many_threads_are_all_different() -> None:
    from concurrent.futures import ThreadPoolExecutor

    pool = SubnetPool(IPv4Network("10.215.0.0/22"))
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda _: pool.take(), range(128)))
    assert len(set(given)) == 128
    assert None not in given
