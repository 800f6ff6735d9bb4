"""What the tests on the real engine share: the engine's own view, and running Cronium processes."""

import os
from collections.abc import Iterator

import docker
import pytest

pytest.register_assert_rewrite("tests.fakes.contract")


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.APIClient]:
    """Docker's own client: the truth, past Cronium's code."""
    address = os.environ.get("CRONIUM_DOCKER_HOST") or os.environ.get("DOCKER_HOST")
    made = docker.APIClient(base_url=address or "unix:///var/run/docker.sock", version="auto", timeout=60)
    yield made
    made.close()


@pytest.fixture(scope="session")
def runner_images(docker_client: docker.APIClient) -> dict[str, str]:
    """The runner image of each language that `images build` made on this engine."""
    tags = {tag for image in docker_client.images() for tag in image["RepoTags"] or []}
    found = {
        language: next((tag for tag in sorted(tags) if tag.startswith(f"cronium/runner:{language}-")), "")
        for language in ("bash", "python", "node")
    }
    assert all(found.values()), f"run `manage.py images build` first: {found}"
    return found


@pytest.fixture(scope="session")
def bash_image(runner_images: dict[str, str]) -> str:
    return runner_images["bash"]
