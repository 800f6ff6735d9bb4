"""A connection to the Docker Engine for building and looking; runs go through the executor."""

import docker
import docker.errors
from django.conf import settings
from docker.utils import kwargs_from_env

from cronium_admin.errors import Refused


def connect(seconds: int) -> docker.APIClient:
    """A client that waits `seconds` for an answer; Refused (503) when no engine answers at all."""
    where = settings.CONFIG.docker_host
    place = {"base_url": where} if where else kwargs_from_env()
    try:
        return docker.APIClient(**place, version="auto", timeout=seconds)
    except docker.errors.DockerException as error:
        at = place.get("base_url") or "its usual socket"
        raise Refused(
            503,
            "engine_unreachable",
            f"No Docker Engine answers at {at}. Start it, or set CRONIUM_DOCKER_HOST to where it is.",
        ) from error
