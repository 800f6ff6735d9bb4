"""Builds the base of the Debian images on this machine with debootstrap; as root, on Debian or Ubuntu only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import docker
import docker.errors

from cronium_admin.images.errors import ImageBuildError

DEBIAN_BASE = "cronium/base:debian"
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
LABEL_SOURCES = "cronium.sources"
SCRIPT = Path("base") / "debian-rootfs.sh"

LogLine = Callable[[str], None]


def inspect_image(client: docker.APIClient, reference: str) -> dict[str, Any] | None:
    try:
        description: dict[str, Any] = client.inspect_image(reference)  # type: ignore[no-untyped-call]
        return description
    except docker.errors.ImageNotFound:
        return None


def ensure_debian_base(client: docker.APIClient, *, say: LogLine, force: bool, sources: Path) -> str:
    """Returns the image id of the base, which is built if it is missing or its script has changed. Raises
    ImageBuildError."""
    script = sources / SCRIPT
    digest = hashlib.sha256(script.read_bytes() + f"{SUITE} {MIRROR}".encode()).hexdigest()
    existing = inspect_image(client, DEBIAN_BASE)
    labels = ((existing or {}).get("Config") or {}).get("Labels") or {}
    if existing is not None and not force and labels.get(LABEL_SOURCES) == digest:
        return str(existing["Id"])
    _require_debootstrap(say)
    say(f"building {DEBIAN_BASE} with debootstrap (about a minute)")
    _make_base(client, script, digest, say)
    built = inspect_image(client, DEBIAN_BASE)
    if built is None:
        raise ImageBuildError(f"{DEBIAN_BASE} was built but is not on the engine.")
    return str(built["Id"])


def _require_debootstrap(say: LogLine) -> None:
    if os.geteuid() != 0:
        raise ImageBuildError(
            "No registry could be reached for the Alpine images, and only root can build the base of the Debian "
            "images. Run the build once as root, or let the Docker Engine reach a registry."
        )
    if shutil.which("debootstrap"):
        return
    if not shutil.which("apt-get"):
        raise ImageBuildError(
            "debootstrap is missing and can be installed automatically only on Debian and Ubuntu. Install it by hand, "
            "or let the Docker Engine reach a registry."
        )
    say("installing debootstrap")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["debootstrap", "debian-archive-keyring"]
    for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=0o022,  # all users must be able to read the installed files
        )
        if done.returncode != 0:
            raise ImageBuildError("apt-get could not install debootstrap.", (done.stdout + done.stderr)[-4000:])


def _make_base(client: docker.APIClient, script: Path, digest: str, say: LogLine) -> None:
    # /var/tmp is on a disk and allows device files; /tmp is often a small tmpfs.
    with tempfile.TemporaryDirectory(prefix="cronium-base-", dir="/var/tmp") as work, tempfile.TemporaryFile() as log:
        with subprocess.Popen(
            [str(script), SUITE, MIRROR, work],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            umask=0o022,  # the files' permissions in the image
        ) as process:
            assert process.stdout is not None
            first_byte = process.stdout.read(1)
            if first_byte:
                say("importing the base")
                _import_base(client, first_byte, process.stdout, digest)
            status = process.wait()
        if status != 0 or not first_byte:
            log.seek(0)
            text = log.read().decode("utf-8", "replace")[-4000:]
            raise ImageBuildError(f"debootstrap could not build a Debian base from {MIRROR}.", text)


def _import_base(client: docker.APIClient, first_byte: bytes, stream: IO[bytes], digest: str) -> None:
    name, _, tag = DEBIAN_BASE.partition(":")

    def iterate_blocks() -> Iterator[bytes]:
        yield first_byte
        while block := stream.read(1 << 20):
            yield block

    response = client.import_image_from_stream(
        iterate_blocks(), repository=name, tag=tag, changes=[f"LABEL {LABEL_SOURCES}={digest}", 'CMD ["/bin/sh"]']
    )
    if '"error"' in response:
        raise ImageBuildError(f"The Docker Engine refused the Debian base: {response.strip()[-300:]}")
