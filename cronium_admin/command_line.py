"""What every command of manage.py does first: files are for their owner alone, and failures become a sentence."""

import logging
import os
import sys
from pathlib import Path

from cronium_admin.data_folder import UMASK, DataFolderError, close_to_others

log = logging.getLogger("cronium.process")
# Commands whose files are for others too: a developer's, or another server's such as nginx.
FOR_OTHERS = frozenset({"collectstatic", "makemigrations", "makemessages", "compilemessages", "startapp", "test"})
CHANGES_NOTHING = frozenset({"doctor"})


def run(arguments: list[str]) -> None:
    """Run a command of manage.py; a data folder that can't be used ends it with exit code 2."""
    import django
    import django.db
    from django.core.management import execute_from_command_line

    command = arguments[1] if len(arguments) > 1 else "help"
    if command not in FOR_OTHERS:
        os.umask(UMASK)
    try:
        django.setup()
        if command not in FOR_OTHERS | CHANGES_NOTHING:
            close_data_folder()
        execute_from_command_line(arguments)
    except DataFolderError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    except django.db.DatabaseError as error:
        if not (described := describe_database_error(error, known_only=True)):
            raise
        sys.stderr.write(f"{described}\n")
        raise SystemExit(2) from None


# What a message of SQLite or PostgreSQL holds, and how to mend it.
_CAUSES = (
    (("readonly database", "read-only transaction", "recovery is in progress"), "is read-only", "{owner}"),
    (("unable to open database file",), "can't be opened", "{owner}"),
    (("database or disk is full", "no space left", "could not extend file"), "has no room", "Free some space."),
    (("no such table", "does not exist"), "lacks tables", "Run `python manage.py migrate` first."),
    (("malformed", "not a database"), "is damaged", "Restore a backup: `python manage.py restore FILE --replace`."),
    (("connection", "could not translate", "password", "refused"), "can't be reached", "Check CRONIUM_DATABASE_URL."),
)


def describe_database_error(error: Exception, *, known_only: bool = False) -> str:
    """The error as a sentence with the mend; with `known_only` empty for an error that may be our own fault."""
    from django.db import connection

    text = " ".join(str(error).split())
    on_file = f"Make the file {connection.settings_dict['NAME']} and its folder writable for user {os.geteuid()}."
    on_server = "Name the primary server in CRONIUM_DATABASE_URL, or turn default_transaction_read_only off."
    for parts, words, mend in _CAUSES:
        if any(part in text.lower() for part in parts):
            owner = on_file if connection.vendor == "sqlite" else on_server
            return f"The database {words} ({text}). {mend.format(owner=owner)}"
    return "" if known_only else f"The database can't be used: {text}. Check CRONIUM_DATABASE_URL."


def own_places() -> list[Path]:
    """The data folder, and a SQLite database that lies elsewhere."""
    from django.conf import settings

    places = [settings.DATA_DIR]
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        path = Path(str(database["NAME"]))
        if not path.is_relative_to(settings.DATA_DIR):
            places += [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm")]
    return places


def close_data_folder() -> None:
    """Mend what an older version, a copy or an unpacked archive left open to other users."""
    closed, failed = close_to_others(*own_places())
    if closed:
        log.warning("other users had access to the data folder; it was taken away from %s", _names(closed))
    if failed:
        log.warning(
            "other users have access to %s, which belongs to another user. Run `chown -R %d` on the data folder.",
            _names(failed),
            os.geteuid(),
        )


def _names(paths: list[Path]) -> str:
    rest = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(map(str, paths[:3])) + rest
