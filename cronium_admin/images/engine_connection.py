"""Connects to the Docker Engine for builds and checks. Runs use the executor's own connections."""

import docker
from django.conf import settings
from docker.errors import DockerException

from cronium_admin.core.errors import ApiError
from executor.docker.connection import EngineAddress
from executor.docker.ssh import TunnelDown


def make_client(seconds: int) -> docker.APIClient:
    """Raises DockerException if no engine answers. `seconds`: the timeout of each request."""
    return _get_engine_address().open_client(timeout=seconds)


def connect_engine(seconds: int) -> docker.APIClient:
    """As `make_client`, but raises ApiError (503) if no engine answers."""
    try:
        return make_client(seconds)
    except DockerException as error:
        why = f" {error}" if isinstance(error, TunnelDown) else ""
        raise ApiError(
            503,
            "engine_unreachable",
            f"No Docker Engine answers at {_get_engine_address().url or 'its default socket'}.{why} Start it, or set "
            "CRONIUM_DOCKER_HOST to its address.",
        ) from error


def _get_engine_address() -> EngineAddress:
    return EngineAddress(settings.CONFIG.docker_host, settings.CONFIG.docker_cert_path)
