"""A connection to the Docker Engine for building and looking; runs go through the executor."""

import docker
from django.conf import settings
from docker.errors import DockerException

from cronium_admin.core.errors import Refused
from executor.docker.connection import Reach
from executor.docker.ssh import TunnelDown


def client(seconds: int) -> docker.APIClient:
    """One that waits `seconds` for an answer; DockerException when no engine answers at all."""
    return _reach().client(timeout=seconds)


def connect(seconds: int) -> docker.APIClient:
    """As `client`, for whoever is told why in a sentence: Refused (503) when no engine answers at all."""
    try:
        return client(seconds)
    except DockerException as error:
        why = f" {error}" if isinstance(error, TunnelDown) else ""
        raise Refused(
            503,
            "engine_unreachable",
            f"No Docker Engine answers at {_reach().url or 'its usual socket'}.{why} Start it, or set "
            "CRONIUM_DOCKER_HOST to where it is.",
        ) from error


def _reach() -> Reach:
    return Reach(settings.CONFIG.docker_host, settings.CONFIG.docker_cert_path)
