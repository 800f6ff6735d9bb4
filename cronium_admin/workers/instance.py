"""The name by which this installation knows its own containers and networks on an engine.

On PostgreSQL it is a row that all machines share. On SQLite it is the file `instance_id` of the data folder, and
`instance_place` beside it says in which folder of which machine that file lies: both are different for a copy.
"""

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from cronium_admin.core.data_folder import DataFolderError, load_or_create_secret, replace_text
from cronium_admin.workers.hosts.models import Installation

IDENTITY, PLACE = "instance_id", "instance_place"
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))


class CopiedInstance(DataFolderError):
    """The data folder is a copy, and nobody has said yet whether the original still runs."""


def get_instance_id() -> str:
    """The label's value. Raises CopiedInstance where a data folder was copied or moved to another disk or machine."""
    if connection.vendor != "sqlite":
        row, _ = Installation.objects.get_or_create(pk=1, defaults={"instance": secrets.token_urlsafe(9)})
        return row.instance
    name = load_or_create_secret(settings.DATA_DIR, IDENTITY)
    if (moved := find_move(settings.DATA_DIR)) is not None:
        raise CopiedInstance(
            f"The data folder {settings.DATA_DIR} is a copy: {moved}. Both would remove each other's containers. "
            "If the original goes on, run `python manage.py instance new` here: the copy gets an identity of its "
            "own, and runs that were live when it was made are lost in it. If the original never runs again, run "
            "`python manage.py instance take-over`."
        )
    record_place(settings.DATA_DIR)
    return name


def record_place(folder: Path) -> None:
    """Record that the identity of this folder belongs here."""
    here = _read_place(folder)
    if _read_record(folder) != here:
        replace_text(folder / PLACE, json.dumps(here))


def find_move(folder: Path) -> str | None:
    """What shows that the identity was copied here from elsewhere; None where it belongs here, or nothing is known."""
    if (recorded := _read_record(folder)) is None:
        return None
    here = _read_place(folder)
    machines = {str(recorded.get("machine", "")), here["machine"]}
    if len(machines - {""}) > 1:
        return "its identity belongs to another machine"
    # Either is enough: some file systems number their files anew, and `chown` changes the time.
    is_same_file = recorded.get("files") == here["files"] or recorded.get("changed") == here["changed"]
    return None if is_same_file else "its identity belongs to another folder"


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Where the identity belonged when it was last used. None in a new folder, in one of a version before this record,
    and where a power cut left a file without its content."""
    recorded: Any = None
    with suppress(FileNotFoundError, ValueError):
        recorded = json.loads((folder / PLACE).read_text())
    return recorded if isinstance(recorded, dict) else None


def _read_place(folder: Path) -> dict[str, Any]:
    identity = (folder / IDENTITY).stat()
    return {
        "machine": read_machine(),
        "files": [folder.stat().st_ino, identity.st_ino],
        "changed": identity.st_ctime_ns,
    }


def read_machine() -> str:
    """The machine's id; empty in a container, whose id changes though its volumes stay, and where there is none."""
    if any(mark.exists() for mark in _CONTAINER_MARKERS):
        return ""
    for path in _MACHINE_IDS:
        try:
            if found := path.read_text().strip():
                return found
        except OSError:
            continue
    return ""
