"""Runs a command of manage.py: sets the umask, restricts the data folder to its owner, turns errors into messages."""

import errno
import io
import logging
import os
import sys
from pathlib import Path

from cronium_admin.core.data_folder import UMASK, DataFolderError, restrict_to_owner
from cronium_admin.core.malloc import limit_arenas

log = logging.getLogger("cronium.process")
# Commands that write files for other users: for developers, or for another server such as nginx.
SHARED_FILE_COMMANDS = frozenset(
    {"collectstatic", "makemigrations", "makemessages", "compilemessages", "startapp", "test"}
)
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
READ_ONLY_COMMANDS = frozenset({"doctor"})
THREADED_COMMANDS = frozenset({"serve", "web", "worker"})


def run_command(arguments: list[str]) -> None:
    """Ends with exit code 2 if the data folder, the database or the disk can't be used."""
    import django
    import django.db
    from django.core.management import execute_from_command_line

    from cronium_admin.core.database.outage import describe_database_error

    command = arguments[1] if len(arguments) > 1 else "help"
    if command not in SHARED_FILE_COMMANDS:
        os.umask(UMASK)
    if command in THREADED_COMMANDS:
        limit_arenas()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # `make up | tee FILE` shows progress and the address at once
    try:
        django.setup()
        if command not in SHARED_FILE_COMMANDS | READ_ONLY_COMMANDS:
            restrict_data_folder()
        execute_from_command_line(arguments)
    except DataFolderError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    except django.db.DatabaseError as error:
        if not (described := describe_database_error(error, known_only=True)):
            raise
        sys.stderr.write(f"{described}\n")
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        sys.stderr.write(f"{describe_disk_error(error)}\n")
        raise SystemExit(2) from None


def describe_disk_error(error: OSError) -> str:
    from django.conf import settings

    where = f"{error.filename} can't be written" if error.filename else "A file can't be written"
    return (
        f"{where}: {error.strerror}. Free some space on its disk, or make the disk writable. "
        f"The data folder is {settings.DATA_DIR}."
    )


def list_own_paths() -> list[Path]:
    """The data folder, and the files of a SQLite database outside it."""
    from django.conf import settings

    paths = [settings.DATA_DIR]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        path = Path(str(database["NAME"]))
        if not path.is_relative_to(settings.DATA_DIR):
            paths += [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]
    return paths


def restrict_data_folder() -> None:
    # Older versions, copies and unpacked archives may leave files that other users can read.
    closed, failed = restrict_to_owner(*list_own_paths())
    if closed:
        log.warning(
            "other users had access to the data folder; their permissions were removed from %s", _join_paths(closed)
        )
    if failed:
        log.warning(
            "other users have access to %s, which belongs to another user. Run `chown -R %d` on the data folder.",
            _join_paths(failed),
            os.geteuid(),
        )


def _join_paths(paths: list[Path]) -> str:
    omitted = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + omitted
