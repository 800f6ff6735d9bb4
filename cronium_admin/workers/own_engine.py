"""The engine of this process's host, where the settings say it is."""

from django.conf import settings

from executor.docker.client import Engine


def make_own_engine(pool: int = 64) -> Engine:
    """Connected to at first use; `pool` is how many connections are kept."""
    return Engine(settings.CONFIG.docker_host, pool, settings.CONFIG.docker_cert_path)
