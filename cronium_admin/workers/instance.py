"""The instance id: the label of this installation's containers and networks on an engine.

With PostgreSQL it is a row that all machines share, which also records the place of its database. With SQLite it is the
file `instance_id` of the data folder. The file `instance_place` beside it records the folder and the machine. These
records differ from the place of a copy.
"""

import json
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from cronium_admin.core.data_folder import DataFolderError, load_or_create_secret, replace_text
from cronium_admin.workers.database_place import find_database_move, read_database_place
from cronium_admin.workers.hosts.models import Installation

IDENTITY, PLACE = "instance_id", "instance_place"
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_CONTAINER_MARKERS = (Path("/.dockerenv"), Path("/run/.containerenv"))


class CopiedInstance(DataFolderError):
    """The data folder or database is a copy, and it is not known whether the original is still in use."""

    def __init__(self, copy: str, move: str) -> None:
        super().__init__(
            f"The {copy} is a copy: {move}. Both would remove each other's containers. "
            "If the original is still used, run `python manage.py instance new` here: the copy gets a new identity, "
            "and the runs that were active when it was copied are lost in it. If the original is no longer used, run "
            "`python manage.py instance take-over`."
        )


def get_instance_id() -> str:
    """Raises CopiedInstance if the data folder or database was copied, or moved to another disk, machine or server."""
    if connection.vendor != "sqlite":
        return _get_id_of_database()
    name = load_or_create_secret(settings.DATA_DIR, IDENTITY)
    if (moved := find_move(settings.DATA_DIR)) is not None:
        raise CopiedInstance(f"data folder {settings.DATA_DIR}", moved)
    record_place(settings.DATA_DIR)
    return name


def _get_id_of_database() -> str:
    row, _ = Installation.objects.get_or_create(pk=1, defaults={"instance": secrets.token_urlsafe(9)})
    place = read_database_place()
    if (moved := find_database_move(row.place, place)) is not None:
        raise CopiedInstance(f"database {connection.settings_dict['NAME']}", moved)
    if row.place is None:
        Installation.objects.filter(pk=1, place__isnull=True).update(place=place)
    return row.instance


def record_database_place() -> bool:
    """False if the database has no identity yet."""
    return Installation.objects.filter(pk=1).update(place=read_database_place()) > 0


def record_place(folder: Path) -> None:
    place = _read_place(folder)
    if _read_record(folder) != place:
        replace_text(folder / PLACE, json.dumps(place))


def find_move(folder: Path) -> str | None:
    """Why the identity seems to be a copy, as part of a sentence. None if it belongs here or nothing is recorded."""
    if (recorded := _read_record(folder)) is None:
        return None
    place = _read_place(folder)
    machines = {str(recorded.get("machine", "")), place["machine"]}
    if len(machines - {""}) > 1:
        return "its identity belongs to another machine"
    # One match is enough: some file systems renumber their files, and `chown` changes the time.
    is_same_file = recorded.get("files") == place["files"] or recorded.get("changed") == place["changed"]
    return None if is_same_file else "its identity belongs to another folder"


def _read_record(folder: Path) -> dict[str, Any] | None:
    # None in a new folder, in a folder of an older version, and if a power failure left the file without content.
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
    """The machine's id. Empty if there is none, and in a container: its id changes while its volumes stay."""
    if any(mark.exists() for mark in _CONTAINER_MARKERS):
        return ""
    for path in _MACHINE_IDS:
        try:
            if machine_id := path.read_text().strip():
                return machine_id
        except OSError:
            continue
    return ""
