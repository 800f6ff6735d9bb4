"""A remote engine over TLS and over SSH: whole runs, with their streams, sidecar and cancel."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor import naming
from executor.docker.client import Engine
from executor.docker.errors import EngineUnreachable
from executor.sandbox import options
from tests.engine.conftest import running
from tests.engine.second import RUNNER, SecondEngine
from tests.engine.server import Server, free_port
from tests.engine.sshd import SSHD, SshServer
from tests.fakes.certificates import Certificates
from tests.fakes.specs import make_spec

SCRIPT = """
for i in $(seq 300); do echo "line $i"; echo "error $i" >&2; done
cronium_output "{\\"told\\": $(cronium_input)}"
"""
SLOW = "i=0; while [ ! -e /tmp/gate ]; do echo line $((++i)); sleep 0.1; done; echo total $i; cronium_output 1"
# The machine's settings for other connections must have no effect on this one.
ELSEWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "REQUESTS_CA_BUNDLE": "/dev/null"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_address(second: SecondEngine, certificates: Certificates) -> str:
    """The address of the second engine, which also listens on its socket."""
    port = free_port()
    second.start(*certificates.of_dockerd(port))
    return f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    if not SSHD:
        pytest.skip("needs sshd (openssh-server)")
    made = SshServer(tmp_path_factory.mktemp("ssh"))
    yield made
    made.close()


@pytest.fixture
def ssh_address(tls_address: str, second: SecondEngine, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the same engine's socket over SSH."""
    monkeypatch.setenv("PATH", ssh_server.path)
    return f"ssh://far-away{second.folder}/docker.sock"


@pytest.fixture(params=["tls", "ssh"])
def far(
    request: pytest.FixtureRequest, second: SecondEngine, new_server: Callable[..., Server], tmp_path: Path
) -> Iterator[Server]:
    """A server whose engine is reached over TLS or SSH."""
    env = ELSEWHERE | {"CRONIUM_SUBNET_POOL": second.subnet_pool, "TMPDIR": str(tmp_path)}
    env["CRONIUM_DOCKER_HOST"] = request.getfixturevalue(f"{request.param}_address")
    if request.param == "tls":
        env["CRONIUM_DOCKER_CERT_PATH"] = str(request.getfixturevalue("certificates").folder / "client")
    server = new_server(**env)
    server.engine_address = second.address
    with running(server):
        yield server
    assert second.left() == []
    assert list(tmp_path.iterdir()) == []


def test_runs_go_their_whole_way(far: Server) -> None:
    slug = far.job(SCRIPT)
    sleeping = far.run("echo up; exec sleep 60")
    runs = [far.launch(slug, {"input": {"n": n}}) for n in range(4)]
    for n, run in enumerate(map(far.ended, runs)):
        assert (run["status"], run["output"]) == ("succeeded", {"told": {"n": n}}), run["message"]
        text = far.text(run["id"])
        for kind in ("line", "error"):
            said = [line for line in text.decode().splitlines() if line.startswith(kind)]
            assert said == [f"{kind} {i}" for i in range(1, 301)]
        assert run["log_digest"] == hashlib.sha256(text).hexdigest()
    with far.watch(sleeping) as watch:
        watch.until_line("up")
    far.cancel(sleeping)
    assert far.ended(sleeping)["status"] == "cancelled"
    for run_id in (*runs, sleeping):
        far.cleaned(run_id)


def tunnels(folder: Path) -> list[int]:
    """The `ssh` processes whose socket is in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(os.fsdecode(words[0])).name == "ssh" and any(bytes(folder) in word for word in words):
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("far", ["ssh"], indirect=True)
def test_a_tunnel_that_breaks_is_built_again_and_its_run_goes_on(far: Server, tmp_path: Path) -> None:
    run_id = far.run(SLOW)
    with far.watch(run_id) as watch:
        watch.until_line("line 5")
        (broken,) = tunnels(tmp_path)
        os.kill(broken, signal.SIGKILL)
        seen = len(watch.lines)
        watch.until(lambda one: len(one.lines) > seen + 20)
    far.open_gate(run_id)
    run = far.ended(run_id)
    assert (run["status"], run["output"]) == ("succeeded", 1), run["message"]
    *lines, total = far.text(run_id).decode().splitlines()
    assert (lines, total) == ([f"line {i}" for i in range(1, len(lines) + 1)], f"total {len(lines)}")
    far.cleaned(run_id)
    # A worker that is killed takes its tunnel along.
    assert len(tunnels(tmp_path)) == 1
    far.stop(signal.SIGKILL)
    far.until(lambda: not tunnels(tmp_path) and not list(tmp_path.iterdir()))
    far.start()


def test_any_number_of_streams_goes_through_one_tunnel(ssh_address: str, second: SecondEngine) -> None:
    """More than an SSH server's limit of ten sessions per connection."""
    engine, spec = Engine(ssh_address), make_spec(image=RUNNER, network="none")
    name = naming.name_main(spec.run_id)
    engine.create_container(name, options.build_main_container(spec, None, engine.log_driver))
    try:
        attached = [engine.attach(name, stdin=False, output=True) for _ in range(40)]
        stdin = engine.attach(name, stdin=True, output=False)
        engine.start(name)
        stdin.send(b"no payload")
        stdin.close_write()
        for one in attached:
            assert b"did not arrive" in (one.recv(1000, 20) or b"")
            one.close()
    finally:
        engine.remove_container(name)
    assert second.left() == []


def test_who_may_not_come_in_is_told_why(
    ssh_address: str, ssh_server: SshServer, tls_address: str, certificates: Certificates
) -> None:
    with pytest.raises(EngineUnreachable, match=r"certificate verify failed|unable to get local issuer"):
        Engine(tls_address, certificates=str(certificates.folder / "stranger")).ping()
    known = (ssh_server.folder / "known").read_text()
    try:
        ssh_server.know((ssh_server.folder / "own.pub").read_text())
        with pytest.raises(EngineUnreachable, match="Host key verification failed"):
            Engine(ssh_address.replace("far-away", "root@far-away")).ping()
    finally:
        (ssh_server.folder / "known").write_text(known)
