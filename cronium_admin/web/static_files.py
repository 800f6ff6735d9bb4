"""Collects the static files at the start of a server, if they have changed since the last time."""

import hashlib
import os
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

STAMP = "collected"


def _compute_fingerprint() -> str:
    digest = hashlib.sha256(settings.VERSION.encode())
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda item: item[0]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static_files() -> None:
    """Writes to STATIC_ROOT. Returns at once if no source file has changed since the last call."""
    if settings.CONFIG.static_dir:  # these are collected already
        return
    stamp = settings.STATIC_ROOT / STAMP
    fingerprint = _compute_fingerprint()
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    call_command("collectstatic", interactive=False, verbosity=0, clear=settings.STATIC_ROOT.exists())
    os.sync()  # else, after a power failure, a stamp beside empty files would prevent their repair
    stamp.write_text(fingerprint)
