"""A script tries to get privileges, to leave its sandbox through the kernel, and to write to protected places."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.engine.hostile import probes
from tests.engine.server import Server

Said = Callable[[str], dict[str, Any]]
Outside = Callable[..., dict[str, Any]]
# A container as people make it when "it does not work": no filter, nothing masked, a right too many.
UNCONFINED = {
    "CapAdd": ["SYS_ADMIN"],
    "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
    "MaskedPaths": [],
    "ReadonlyPaths": [],
}
ROOTED = "cronium-test/rooted:latest"
# Where the payload lays the helpers: in the job's own /tmp.
HELPERS = {"/tmp/.cronium", "/tmp/.cronium/cronium"}


@pytest.fixture(scope="module")
def calls(server: Server, innocent: str, said: Said) -> dict[str, Any]:
    return said(server.run(probes.read("calls"), "python"))


@pytest.fixture(scope="module")
def calls_outside(innocent: str, outside: Outside) -> dict[str, Any]:
    return outside("calls", **UNCONFINED)


# The filter's answer where it is not EPERM: programs such as groupadd continue without an audit socket, as on a
# kernel without audit.
REFUSALS = {"netlink audit": "EPROTONOSUPPORT"}
KINDS = ["vsock", "io_uring", "ptrace", "mount", "bpf", "unshare", "setns", "keyctl", "sockets", "the host", "the rest"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_refuses(calls: dict[str, Any], calls_outside: dict[str, Any], kind: str) -> None:
    """The filter refuses each call before the kernel executes it; without a filter the kernel executes (nearly) all."""
    assert set(calls["answers"]) == set(KINDS)
    answers = calls["answers"][kind]
    assert answers
    assert {name: answer for name, answer in answers.items() if answer != REFUSALS.get(name, "EPERM")} == {}
    looked_at = {name for name, answer in calls_outside["answers"][kind].items() if answer != "EPERM"}
    assert looked_at, calls_outside["answers"][kind]


DONE = [("io_uring", "io_uring_setup"), ("ptrace", "ptrace traceme"), ("unshare", "unshare 0x20000000")]


@pytest.mark.parametrize(("kind", "name"), DONE)
def test_it_is_the_sandbox_that_refuses_and_no_one_else(calls_outside: dict[str, Any], kind: str, name: str) -> None:
    assert calls_outside["answers"][kind][name] == "done"


def test_calls_by_other_numbers_end_the_process(calls: dict[str, Any]) -> None:
    assert calls["other"]["clone3"] == "ENOSYS"
    assert calls["other"]["int 0x80"] in ("signal SIGSYS", "signal SIGSEGV")
    assert calls["other"]["x32"] in ("signal SIGSYS", "ENOSYS")


@pytest.fixture(scope="module")
def rooted(server: Server, runner_images: dict[str, str]) -> Iterator[str]:
    """An image with root's shell and its set-user-id bit."""
    client = server.docker
    made = client.create_container(
        runner_images["python"],
        ["-c", "mkdir -p /opt && cp /bin/bash /opt/rooted && chown 0:0 /opt/rooted && chmod 6755 /opt/rooted"],
        entrypoint=["sh"],
        user="0:0",
        labels={"cronium.instance": server.instance},
    )["Id"]
    client.start(made)
    assert client.wait(made, timeout=60)["StatusCode"] == 0
    client.commit(made, *ROOTED.split(":"))
    client.remove_container(made, force=True)
    yield ROOTED
    client.remove_image(ROOTED, force=True)


@pytest.fixture(scope="module")
def files(server: Server, innocent: str, said: Said, rooted: str) -> dict[str, Any]:
    return said(server.run(probes.read("files"), "python", image=rooted, env={"PRIVATE": "of the job"}))


@pytest.fixture(scope="module")
def files_outside(innocent: str, outside: Outside, rooted: str) -> dict[str, Any]:
    return outside("files", image=rooted, **UNCONFINED)


def test_set_user_id_programs_change_nobody(files: dict[str, Any], outside: Outside, rooted: str) -> None:
    assert files["ids"] == {"/tmp/rooted": "1000", "/opt/rooted": "1000"}
    assert set(files["become"].values()) <= {"", "TimeoutExpired"}, files["become"]
    assert outside("files", user="1000:1000", image=rooted)["ids"]["/opt/rooted"] == "0"


def test_it_writes_in_its_own_memory_only(files: dict[str, Any], files_outside: dict[str, Any]) -> None:
    assert set(files["wrote"]) - HELPERS == {"/workspace", "/tmp", "/dev/shm"}
    assert {"/etc", "/usr/bin", "/"} <= set(files_outside["wrote"])


def test_the_kernels_files_are_closed(files: dict[str, Any], files_outside: dict[str, Any]) -> None:
    assert "open" not in files["kernel"].values(), files["kernel"]
    assert "open" in files_outside["kernel"].values(), files_outside["kernel"]


def test_process_1_is_the_sandboxes_own_and_knows_nothing(files: dict[str, Any], outside: Outside, rooted: str) -> None:
    """It never had the job's script, token or environment; no process of the host or of another run is visible."""
    assert files["holders"] == [str(files["me"])]
    assert files["pids"] <= 3
    assert files["one"]["command"].endswith("docker-init")
    assert "CRONIUM_JOB_ID" in files["one"]["environment"]
    assert not {"CRONIUM_EXECUTION_TOKEN", "PRIVATE"} & set(files["one"]["environment"])
    assert files["one"]["same root"] in (True, "Permission denied")
    of_the_host = outside("files", image=rooted, PidMode="host", **UNCONFINED)
    assert of_the_host["pids"] > files["pids"]
    assert not of_the_host["one"]["command"].endswith("docker-init")


def test_no_folder_of_the_host_is_mounted(server: Server, innocent: str, files: dict[str, Any]) -> None:
    assert not [mount for mount in files["mounts"] if "docker.sock" in json.dumps(mount)]
    for role in ("main", "sidecar"):
        kinds = {mount["Type"] for mount in server.container(innocent, role)["Mounts"]}
        assert kinds <= {"tmpfs"}
