"""Builds the base of the Debian images on this machine with debootstrap; as root, on Debian or Ubuntu only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import docker
import docker.errors

from cronium_admin.images.engine_archives import load_image, open_archive_file
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.finishing import get_epoch
from cronium_admin.images.normalize import ArchiveError, ImageConfig, normalize_file_system
from cronium_admin.images.recipes import DEBIAN_BASE, LABEL_SNAPSHOT, LABEL_SOURCES, DebianSnapshot

SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
SCRIPT, SNAPSHOT_SCRIPT = Path("base") / "debian-rootfs.sh", Path("base") / "debian-snapshot.sh"

LogLine = Callable[[str], None]


def inspect_image(client: docker.APIClient, reference: str) -> dict[str, Any] | None:
    try:
        description: dict[str, Any] = client.inspect_image(reference)  # type: ignore[no-untyped-call]
        return description
    except docker.errors.ImageNotFound:
        return None


def ensure_debian_base(
    client: docker.APIClient, *, say: LogLine, force: bool, sources: Path, snapshot: DebianSnapshot | None = None
) -> str:
    """Returns the image id of the base, which is built if it is missing, or its script or the snapshot has changed.
    Raises ImageBuildError."""
    digest = _compute_digest(sources, snapshot)
    existing = inspect_image(client, DEBIAN_BASE)
    labels = ((existing or {}).get("Config") or {}).get("Labels") or {}
    if existing is not None and not force and labels.get(LABEL_SOURCES) == digest:
        return str(existing["Id"])
    _require_debootstrap(say)
    packages = f"the packages of the snapshot {snapshot.time}" if snapshot else "the newest packages of the mirror"
    say(f"building {DEBIAN_BASE} with debootstrap and {packages} (about a minute)")
    _make_base(client, sources, digest, snapshot, say)
    built = inspect_image(client, DEBIAN_BASE)
    if built is None:
        raise ImageBuildError(f"{DEBIAN_BASE} was built but is not on the engine.")
    if existing is not None and existing["Id"] != built["Id"]:
        with suppress(docker.errors.APIError):  # the images that were made of it keep its layers
            client.remove_image(existing["Id"])
    return str(built["Id"])


def _compute_digest(sources: Path, snapshot: DebianSnapshot | None) -> str:
    text = (sources / SCRIPT).read_bytes() + f"{SUITE} {MIRROR}".encode()
    if snapshot:
        text += (sources / SNAPSHOT_SCRIPT).read_bytes() + f"{snapshot.mirror} {snapshot.time}".encode()
    return hashlib.sha256(text).hexdigest()


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


def _make_base(
    client: docker.APIClient, sources: Path, digest: str, snapshot: DebianSnapshot | None, say: LogLine
) -> None:
    command = [str(sources / SCRIPT), SUITE, MIRROR]
    if snapshot:
        command = [str(sources / SNAPSHOT_SCRIPT), SUITE, snapshot.archive, snapshot.security_archive, MIRROR]
    # /var/tmp is on a disk and allows device files; /tmp is often a small tmpfs.
    with (
        tempfile.TemporaryDirectory(prefix="cronium-base-", dir="/var/tmp") as work,
        open_archive_file() as tar,
        tempfile.TemporaryFile() as log,
    ):
        done = subprocess.run(
            [*command, work],
            stdin=subprocess.DEVNULL,
            stdout=tar,
            stderr=log,
            check=False,
            umask=0o022,  # the files' permissions in the image
        )
        if done.returncode != 0 or not tar.seek(0, os.SEEK_END):
            log.seek(0)
            text = log.read().decode("utf-8", "replace")[-4000:]
            source = snapshot.archive if snapshot else MIRROR
            raise ImageBuildError(f"debootstrap could not build a Debian base from {source}.", text)
        say("loading the base")
        _load_base(client, tar, {LABEL_SOURCES: digest} | ({LABEL_SNAPSHOT: snapshot.time} if snapshot else {}))


def _load_base(client: docker.APIClient, tar: BinaryIO, labels: dict[str, str]) -> None:
    config = ImageConfig(labels=labels, command=["/bin/sh"])
    architecture = str(client.version()["Arch"])
    with open_archive_file() as archive:
        try:
            image = normalize_file_system(tar, archive, config=config, architecture=architecture, epoch=get_epoch())
        except ArchiveError as error:
            raise ImageBuildError(f"The root file system of the Debian base is unusable: {error}") from error
        repository, _, tag = DEBIAN_BASE.partition(":")
        client.tag(load_image(client, archive, image), repository, tag, force=True)
