"""The place of a PostgreSQL database: server, database and schema. In a copy it differs from the stored one.

A copy of a whole server (base backup, snapshot of its disk) has the place of the original, like a standby server that
was promoted. The name and the address of a database do not count.
"""

from typing import Any

from django.db import connection

_MAY_READ_SERVER = "SELECT has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE')"
_SERVER = "(SELECT system_identifier FROM pg_control_system())::text"
_NO_SERVER = "''"
_SCHEMA = "(SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('hosts_installation'))"
_NAMES = {"server": "another PostgreSQL server", "database": "another database", "schema": "another schema"}


def read_database_place() -> dict[str, str]:
    """`server` is empty if the role may not read the server's identifier."""
    with connection.cursor() as cursor:
        cursor.execute(_MAY_READ_SERVER)
        server = _SERVER if cursor.fetchone()[0] else _NO_SERVER
        columns = f"{server}, oid::text, {_SCHEMA}"  # constants of this module
        cursor.execute(f"SELECT {columns} FROM pg_database WHERE datname = current_database()")  # noqa: S608
        return dict(zip(_NAMES, cursor.fetchone(), strict=True))


def find_database_move(recorded: Any, place: dict[str, str]) -> str | None:
    """Why the identity seems to be a copy, as part of a sentence. None if it belongs here or nothing is recorded."""
    if not isinstance(recorded, dict):
        return None
    for part, name in _NAMES.items():
        if len({str(recorded.get(part, "")), place[part]} - {""}) > 1:
            return f"its identity belongs to {name}"
    return None
