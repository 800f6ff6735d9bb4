"""The Docker Engine of this process's host, from the settings."""

from django.conf import settings

from executor.docker.client import Engine


def make_own_engine(pool: int = 64) -> Engine:
    """Connects at first use. `pool`: the number of connections kept open."""
    return Engine(settings.CONFIG.docker_host, pool, settings.CONFIG.docker_cert_path)
