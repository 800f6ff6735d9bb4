"""Collects the static files for a server that is about to start, if they have changed since the last time."""

import hashlib
import os
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command

STAMP = "collected"


def _compute_fingerprint() -> str:
    """Names, sizes and times of all sources, and where they go."""
    digest = hashlib.sha256(settings.VERSION.encode())
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            stat = Path(storage.path(path)).stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static_files() -> None:
    """Copy, hash and compress into STATIC_ROOT; takes seconds the first time and nothing afterwards."""
    if settings.CONFIG.static_dir:  # done by whoever set it
        return
    stamp = settings.STATIC_ROOT / STAMP
    now = _compute_fingerprint()
    if stamp.exists() and stamp.read_text() == now:
        return
    call_command("collectstatic", interactive=False, verbosity=0, clear=settings.STATIC_ROOT.exists())
    os.sync()  # a stamp beside files that a power cut emptied would keep them empty
    stamp.write_text(now)
