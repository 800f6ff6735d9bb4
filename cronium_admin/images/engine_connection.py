"""A connection to the Docker Engine for building and looking; runs go through the executor."""

import docker
from django.conf import settings
from docker.errors import DockerException

from cronium_admin.core.errors import ApiError
from executor.docker.connection import EngineAddress
from executor.docker.ssh import TunnelDown


def make_client(seconds: int) -> docker.APIClient:
    """One that waits `seconds` for an answer; DockerException when no engine answers at all."""
    return _get_engine_address().open_client(timeout=seconds)


def connect_engine(seconds: int) -> docker.APIClient:
    """As `client`, for whoever is told why in a sentence: Refused (503) when no engine answers at all."""
    try:
        return make_client(seconds)
    except DockerException as error:
        why = f" {error}" if isinstance(error, TunnelDown) else ""
        raise ApiError(
            503,
            "engine_unreachable",
            f"No Docker Engine answers at {_get_engine_address().url or 'its usual socket'}.{why} Start it, or set "
            "CRONIUM_DOCKER_HOST to where it is.",
        ) from error


def _get_engine_address() -> EngineAddress:
    return EngineAddress(settings.CONFIG.docker_host, settings.CONFIG.docker_cert_path)
