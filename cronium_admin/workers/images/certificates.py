"""Gives a registry's certificate authority to the Docker Engine of this machine.

An engine reads `/etc/docker/certs.d/HOST/*.crt` at each connection to the registry, so it needs no restart. The folder
of an engine elsewhere is its administrator's: the error of a pull names it.
"""

import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cronium_admin.registries.addresses import split_host
from cronium_admin.registries.models import Registry
from executor.docker.protocol import EngineLike

log = logging.getLogger("cronium.images")
FOLDER = Path("/etc/docker/certs.d")
FILE = "cronium.crt"  # other files in the folder belong to the administrator


def write_authority(registry: Registry, engine: EngineLike) -> bool:
    """Writes the registry's CA where the engine reads it. False if this process may not, or the engine is elsewhere."""
    if not engine.is_local:
        return False
    path = FOLDER / split_host(registry.address) / FILE
    text = registry.ca.strip() + "\n"
    with suppress(OSError):
        if path.read_text() == text:
            return True
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)  # a certificate is public
        os.replace(file.name, path)
    except OSError as error:
        log.warning("the CA of the registry %s can't be written to %s: %s", registry.address, path, error)
        return False
    return True
