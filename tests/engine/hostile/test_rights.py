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
# Whose script it is. The commands of a Dockerfile have a user and capabilities that no job has.
OF_EACH = ["a job", pytest.param("a Dockerfile", marks=pytest.mark.chaos)]


@pytest.fixture(scope="module")
def dockerfile(server: Server, innocent: str, runner_images: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The output of the probes as commands of a Dockerfile; its last command fails, so that no image is made."""
    names = ("calls", "files")
    commands = [f"RUN <<'PROBE'\n#!/usr/bin/env python3\n{probes.read(name)}PROBE\n" for name in names]
    text = f"FROM {runner_images['python']}\n{''.join(commands)}RUN exit 3\n"
    body = {"name": "hostile", "recipe": {"base": "python", "dockerfile": text}}
    server.call("POST", "/custom-images", body, 201)
    run_id = server.call("POST", "/custom-images/hostile/builds", None, 202)["id"]
    run, log = server.ended(run_id), server.text(run_id).decode(errors="replace")
    assert run["message"].startswith("Step 4 of"), (run["message"], log[-2000:])
    found = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return dict(zip(names, found, strict=True))


@pytest.fixture(scope="module", params=OF_EACH)
def calls(request: pytest.FixtureRequest, server: Server, innocent: str, said: Said) -> dict[str, Any]:
    if request.param == "a Dockerfile":
        return dict(request.getfixturevalue("dockerfile")["calls"])
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


@pytest.mark.parametrize("whose", OF_EACH)
def test_the_kernels_files_are_closed(
    request: pytest.FixtureRequest, files: dict[str, Any], files_outside: dict[str, Any], whose: str
) -> None:
    found = request.getfixturevalue("dockerfile")["files"] if whose == "a Dockerfile" else files
    assert "open" not in found["kernel"].values(), found["kernel"]
    assert not [mount for mount in found["mounts"] if "docker.sock" in json.dumps(mount)]
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


def test_no_folder_of_the_host_is_mounted(server: Server, innocent: str) -> None:
    for role in ("main", "sidecar"):
        kinds = {mount["Type"] for mount in server.container(innocent, role)["Mounts"]}
        assert kinds <= {"tmpfs"}
