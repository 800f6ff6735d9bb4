"""The registries that tests use, with the machine's engine: a real one, and a fake with faults.

The errors of failed pulls are in test_pull_errors.py.
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.engine.registry import (
    Registry,
    find_bridge_address,
    has_containerd_store,
    pull,
    start_registry,
    trust_authority,
)
from tests.fakes.certificates import Certificates
from tests.fakes.registry import FakeRegistry, serve_fake_registry
from tests.fakes.small_image import SmallImage, build_small_image

USER = {"puller": "a-password-for-tests"}
RIGHT = {"username": "puller", "password": "a-password-for-tests"}
WRONG = {"username": "puller", "password": "not-the-password"}
Prepare = Callable[[FakeRegistry], Any]


@contextmanager
def image_removed(client: docker.APIClient, name: str) -> Iterator[None]:
    """Removes all that the block left of the repository."""
    try:
        yield
    finally:
        for row in client.images(name):
            for reference in [*(row["RepoTags"] or []), *(row["RepoDigests"] or [])]:
                if reference.startswith(name):
                    with suppress(docker.errors.ImageNotFound):
                        client.remove_image(reference)


def inspect_with_skopeo(registry: Registry, image: str, *options: str) -> subprocess.CompletedProcess[str]:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    tls = f"--cert-dir={registry.certificates}" if registry.certificates else "--tls-verify=false"
    command = ["skopeo", "inspect", tls, *options, "--format={{.Digest}}", f"docker://{registry.host}/{image}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_push_delete_here_pull_by_digest_and_run(docker_client: docker.APIClient) -> None:
    with start_registry() as registry, image_removed(docker_client, f"{registry.host}/team/small"):
        name = f"{registry.host}/team/small"
        image = registry.put_image("team/small", "1", build_small_image("one", is_runnable=True))
        assert pull(docker_client, name, "1") == ""
        assert docker_client.inspect_image(f"{name}:1")["Id"] in (image.image_id, image.digest)
        docker_client.tag(f"{name}:1", name, "pushed")
        events = list(docker_client.push(name, "pushed", stream=True, decode=True, auth_config={}))
        # With containerd's store the digest is in no `aux`.
        pushed = next(
            found[1] for event in events if (found := re.search(r"digest: (sha256:\w+)", event.get("status", "")))
        )
        assert registry.list_tags("team/small") == {"1": image.digest, "pushed": pushed}
        assert inspect_with_skopeo(registry, "team/small:pushed").stdout.strip() == pushed
        for tag in ("1", "pushed"):
            docker_client.remove_image(f"{name}:{tag}")
        assert pull(docker_client, name, pushed) == ""
        container = docker_client.create_container(f"{name}@{pushed}", user="1000:1000")
        try:
            docker_client.start(container)
            assert docker_client.wait(container)["StatusCode"] == 0
            assert docker_client.logs(container) == b"one"
        finally:
            docker_client.remove_container(container)
        engine = [entry for entry in registry.list_accesses() if entry.agent.startswith("docker/")]
        assert {(entry.method, entry.status) for entry in engine} >= {("GET", 200), ("PUT", 201)}


def test_tags_move_and_manifests_are_deleted() -> None:
    with start_registry() as registry:
        first = registry.put_image("team/small", "1")
        second = registry.put_image("team/small", "2", build_small_image("two"))
        assert registry.move_tag("team/small", "1", "2") == second.digest
        assert registry.list_tags("team/small") == {"1": second.digest, "2": second.digest}
        assert registry.find_digest("team/small", first.digest) == first.digest
        registry.delete("team/small", "1")
        assert registry.list_tags("team/small") == {}
        assert registry.list_repositories() == ["team/small"]
        registry.stop()
        registry.start()
        assert registry.find_digest("team/small", first.digest) == first.digest


def test_passwords(docker_client: docker.APIClient) -> None:
    with start_registry(USER) as registry, image_removed(docker_client, f"{registry.host}/team/small"):
        name = f"{registry.host}/team/small"
        image = registry.put_image("team/small", "1")
        assert pull(docker_client, name, "1").endswith(": no basic auth credentials")
        assert "nauthorized" in pull(docker_client, name, "1", WRONG)
        assert pull(docker_client, name, "1", RIGHT) == ""
        for auth, error in ((None, "no basic auth credentials"), (WRONG, "unauthorized: authentication required")):
            events = list(docker_client.push(name, "1", stream=True, decode=True, auth_config=auth or {}))
            message = str(events[-1]["errorDetail"]["message"])
            assert message == error or has_containerd_store(docker_client), message
        assert "unauthorized" in inspect_with_skopeo(registry, "team/small:1", "--creds=puller:wrong").stderr
        right = inspect_with_skopeo(registry, "team/small:1", f"--creds=puller:{USER['puller']}")
        assert right.stdout.strip() == image.digest


def test_tls_with_an_unknown_and_a_trusted_authority(docker_client: docker.APIClient) -> None:
    address = find_bridge_address(docker_client)
    with (
        start_registry(USER, has_tls=True, address=address) as registry,
        image_removed(docker_client, f"{registry.host}/team/small"),
    ):
        name = f"{registry.host}/team/small"
        registry.put_image("team/small", "1")
        unknown = pull(docker_client, name, "1", RIGHT)
        assert f'"https://{registry.host}/v2/' in unknown
        assert unknown.endswith("x509: certificate signed by unknown authority")
        assert registry.ca
        with trust_authority(registry.host, registry.ca):
            assert pull(docker_client, name, "1", RIGHT) == ""


def test_an_engine_does_not_verify_a_registry_on_loopback(docker_client: docker.APIClient) -> None:
    with start_registry(has_tls=True) as registry, image_removed(docker_client, f"{registry.host}/team/small"):
        registry.put_image("team/small", "1")
        assert pull(docker_client, f"{registry.host}/team/small", "1") == ""


def test_the_fake_speaks_tls(docker_client: docker.APIClient, tmp_path: Path) -> None:
    Certificates(tmp_path)
    with serve_fake_registry(certificates=tmp_path / "server") as registry, image_removed(docker_client, registry.name):
        need_password(registry)
        assert pull(docker_client, registry.name, "1", RIGHT) == ""


def test_unreachable_registries(docker_client: docker.APIClient) -> None:
    with start_registry() as registry:
        registry.stop()
        refused = pull(docker_client, f"{registry.host}/team/small", "1")
        assert refused.endswith(f": dial tcp {registry.host}: connect: connection refused")
    with start_registry(address=find_bridge_address(docker_client)) as registry:
        plain = pull(docker_client, f"{registry.host}/team/small", "1")
        assert plain.endswith(": http: server gave HTTP response to HTTPS client")
    unknown = pull(docker_client, "registry.invalid:5000/team/small", "1")
    assert ": dial tcp: lookup registry.invalid" in unknown


def need_password(registry: FakeRegistry) -> None:
    registry.password = RIGHT["password"]


def need_token(registry: FakeRegistry) -> None:
    registry.password, registry.is_bearer = RIGHT["password"], True


@pytest.mark.parametrize("prepare", [lambda _: None, need_password, need_token], ids=["anonymous", "basic", "bearer"])
def test_a_tag_moves(docker_client: docker.APIClient, prepare: Prepare) -> None:
    with serve_fake_registry() as registry, image_removed(docker_client, registry.name):
        prepare(registry)
        old, new = (build_small_image(f"{registry.host} {number}") for number in (1, 2))
        for image in (old, new):
            registry.images["1"] = image
            assert pull(docker_client, registry.name, "1", RIGHT) == ""
            assert read_digests(docker_client, f"{registry.name}:1") == [f"{registry.name}@{image.digest}"]
        assert pull(docker_client, registry.name, old.digest, RIGHT) == ""
        schemes = {request.authorization.partition(" ")[0] for request in registry.find("blobs")}
        assert schemes == {"Bearer" if registry.is_bearer else "Basic" if registry.password else ""}
        sent = {request.credentials for request in registry.find("token")}
        assert sent == ({f"puller:{RIGHT['password']}"} if registry.is_bearer else set())


def read_digests(client: docker.APIClient, name: str) -> list[str]:
    return list(client.inspect_image(name)["RepoDigests"])


def test_a_layer_that_was_cut_off_is_resumed(docker_client: docker.APIClient) -> None:
    with serve_fake_registry() as registry, image_removed(docker_client, registry.name):
        registry.images["1"] = build_small_image(registry.host, padding=200_000)
        registry.fail("blobs", cut=True, times=1, larger_than=100_000)
        assert pull(docker_client, registry.name, "1") == ""
        assert [request.status for request in registry.find("blobs")].count(206) == 1


def test_a_stalled_pull_says_nothing_until_the_client_leaves(docker_client: docker.APIClient) -> None:
    """The engine itself waits for ever."""
    with serve_fake_registry() as registry:
        registry.images["1"] = build_small_image(registry.host, padding=2_000_000)
        registry.fail("blobs", stall=True, larger_than=100_000)
        response = docker_client.post(
            f"{docker_client.base_url}/v{docker_client.api_version}/images/create",
            params={"fromImage": registry.name, "tag": "1"},
            stream=True,
        )
        chunks: list[tuple[float, bytes]] = []
        reader = threading.Thread(target=read_until_closed, args=(response, chunks), daemon=True)
        reader.start()
        time.sleep(4)
        assert reader.is_alive()
        assert b"Pulling fs layer" in b"".join(chunk for _, chunk in chunks)
        assert chunks[-1][0] < time.monotonic() - 2, "the engine repeats nothing while no byte arrives"
        response.raw._fp.fp.raw._sock.shutdown(2)
        reader.join(5)
        assert not reader.is_alive()
        response.close()
        registry.mend()
        assert wait_for_stalled(registry) == 1, "the engine has given up, and does not resume"


def read_until_closed(response: Any, chunks: list[tuple[float, bytes]]) -> None:
    with suppress(Exception):
        for chunk in response.iter_content(None):
            chunks.append((time.monotonic(), chunk))


def wait_for_stalled(registry: FakeRegistry) -> int:
    """The number of requests for the large layer, a while later."""
    time.sleep(6)
    large: SmallImage = registry.images["1"]
    digests = [digest for digest, blob in large.blobs.items() if len(blob) > 100_000]
    return sum(request.path.endswith(digests[0]) for request in registry.find("blobs"))
