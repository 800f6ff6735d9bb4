"""scripts/smoke_image.sh, which releases run on each image before it gets a tag."""

import shutil
import subprocess
from collections.abc import Iterator

import docker
import pytest

from tests.engine.second import ROOT, SIDECAR

pytestmark = pytest.mark.skipif(not shutil.which("docker"), reason="the program docker is not installed")


def smoke(name: str, reference: str) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "scripts" / "smoke_image.sh", name, reference]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("name", ["bash", "python", "node", "runtime-api", "linter"])
def test_an_image_works(runner_images: dict[str, str], name: str) -> None:
    family = runner_images["bash"].rpartition("-")[2]
    reference = f"cronium/linter:{family}" if name == "linter" else runner_images.get(name, SIDECAR)
    done = smoke(name, reference)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"cronium: {reference} works\n")


def test_an_image_without_the_helper_does_not(runner_images: dict[str, str]) -> None:
    assert smoke("node", runner_images["python"]).returncode != 0
    assert smoke("bash", SIDECAR).returncode != 0


@pytest.fixture
def setuid_image(docker_client: docker.APIClient, bash_image: str) -> Iterator[str]:
    reference = "cronium-test-setuid:1"
    entrypoint = ["/bin/bash", "-c", "chmod 4755 /bin/true"]
    container = docker_client.create_container(bash_image, user="0:0", entrypoint=entrypoint)
    try:
        docker_client.start(container)
        assert docker_client.wait(container)["StatusCode"] == 0
        docker_client.commit(container, *reference.split(":"))
    finally:
        docker_client.remove_container(container)
    yield reference
    docker_client.remove_image(reference)


def test_an_image_with_a_setuid_file_does_not(setuid_image: str) -> None:
    done = smoke("bash", setuid_image)
    assert done.returncode == 1
    assert done.stderr.endswith(f"cronium: {setuid_image} has setuid or setgid files: /usr/bin/true\n")
