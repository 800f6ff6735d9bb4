"""Dumps and restores the database: SQLite by its backup API, PostgreSQL by its client programs.

`statements` are SQL for both databases that end the live runs of a copy before any process can read them.
"""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, transaction
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from cronium_admin.backup.errors import BackupError
from cronium_admin.backup.own_tables import MIGRATIONS_TABLE, list_created_tables, refuse_newer_database

_COUNTED_TABLES = ("access_user", "jobs_job", "runs_run")


def dump_database(to: Path) -> None:
    """Writes a snapshot of the committed data; other processes may read and write meanwhile."""
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(to)) as copy, closing(sqlite3.connect(_get_sqlite_path())) as source:
            source.backup(copy)  # in one step, so that concurrent writes do not matter
            copy.execute("PRAGMA journal_mode=DELETE")
            check_sqlite(to)
    else:
        refuse_newer_database()
        if not (own_tables := _list_own_tables()):
            raise BackupError(f"The schema {_fetch_schema()} has no tables of Cronium. Run `manage.py migrate` first.")
        tables = [f"--table={name}" for name in _quote_tables(own_tables)]
        _run_program(
            "pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--strict-names", f"--file={to}", *tables
        )


def _get_sqlite_path() -> str:
    return str(connection.settings_dict["NAME"])


def check_sqlite(path: Path) -> None:
    """Raises BackupError if SQLite reports that the file is damaged."""
    try:
        with closing(sqlite3.connect(path)) as database:
            result = database.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise BackupError(f"The database is damaged: {result}. Nothing was changed.")


def check_postgres(dumped: Path) -> None:
    """Raises BackupError if the dump has no tables of Cronium in this connection's schema, or if its tables can't
    replace the existing ones."""
    schema = _fetch_schema()
    dumped_tables = re.findall(
        f" TABLE {schema} (.+) [^ ]+$", _run_program("pg_restore", "--list", str(dumped), connects=False), re.M
    )
    if "runs_run" not in dumped_tables:
        raise BackupError(
            f"The backup has no tables of Cronium in the schema {schema}, which this connection uses. Set the "
            "search_path of CRONIUM_DATABASE_URL as it was where the backup was made. Nothing was changed."
        )
    refuse_newer_database()
    own_tables = _list_own_tables()
    if conflicting := sorted(set(dumped_tables) & _list_relations() - set(own_tables)):
        raise BackupError(
            f"The schema {schema} has tables of another program with names of the backup's tables: "
            f"{', '.join(conflicting[:5])}. Restore into an empty database or schema. Nothing was changed."
        )
    if own_tables:
        _try_to_drop(own_tables)


def _try_to_drop(tables: Sequence[str]) -> None:
    # The transaction is rolled back. The statement fails if, for example, another program's view uses a table.
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            cursor.execute(_build_drop_statement(tables))
            transaction.set_rollback(True)
    except DatabaseError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        detail = (getattr(diagnosis, "message_detail", None) or "").replace("\n", "; ")
        message = getattr(diagnosis, "message_primary", None) or str(error)
        raise BackupError(
            f"Cronium's tables can't be replaced: {message}{f' ({detail})' if detail else ''}. Nothing was changed."
        ) from error


def _list_relations() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", [_fetch_schema()])
        return {name for (name,) in cursor.fetchall()}


def _list_own_tables() -> list[str]:
    relations = _list_relations()
    return sorted(list_created_tables(list_applied_migrations()) & relations) if MIGRATIONS_TABLE in relations else []


def _quote_tables(tables: Sequence[str]) -> list[str]:
    schema = _fetch_schema()
    return [f'"{schema}"."{name}"' for name in tables]


def _build_drop_statement(tables: Sequence[str]) -> str:
    # Without CASCADE, so that it fails if another program's view or key depends on a table.
    return f"DROP TABLE {', '.join(_quote_tables(tables))};\n" if tables else ""


def _fetch_schema() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = str(cursor.fetchone()[0] or "")
    if not re.fullmatch("[a-z_][a-z0-9_]*", schema):
        raise BackupError(
            f"The connection's schema is {schema or 'none'!r}. Create the schema that its search_path names. A backup "
            "requires a name of lower-case letters, digits and _."
        )
    return schema


def run_sqlite_statements(path: Path, statements: Sequence[str]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


def restore_postgres(dumped: Path, statements: Sequence[str]) -> None:
    """In one transaction: drops Cronium's existing tables, creates those of the dump, and runs `statements`."""
    schema = _fetch_schema()
    script = dumped.with_suffix(".sql")
    _run_program(
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        f"--schema={schema}",
        f"--file={script}",
        str(dumped),
        connects=False,
    )
    combined = dumped.with_suffix(".whole.sql")
    with combined.open("wb") as target:
        target.write(_build_drop_statement(_list_own_tables()).encode())
        with script.open("rb") as source:
            shutil.copyfileobj(source, target)
        target.write("".join(f"{statement};\n" for statement in (f"SET search_path = {schema}", *statements)).encode())
    _run_program(
        "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--file={combined}"
    )


def is_empty() -> bool:
    """Whether there is no user, job or run."""
    tables = connection.introspection.table_names()
    with connection.cursor() as cursor:
        for table in filter(tables.__contains__, _COUNTED_TABLES):
            cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 - a name of ours
            if cursor.fetchone():
                return False
    return True


def list_applied_migrations(path: Path | None = None) -> list[str]:
    """As app.name; of a SQLite file, or of the configured database."""
    query = "SELECT app, name FROM django_migrations ORDER BY app, name"
    if path is not None:
        with closing(sqlite3.connect(path)) as database:
            return [f"{app}.{name}" for app, name in database.execute(query)]
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [f"{app}.{name}" for app, name in cursor.fetchall()]


def _run_program(program: str, *arguments: str, connects: bool = True) -> str:
    # Passwords are in the environment, because arguments are public.
    if shutil.which(program) is None:
        raise BackupError(
            f"The program {program} is not installed. It is part of PostgreSQL's client programs, such as the package "
            "postgresql-client. Its version must not be older than the server's."
        )
    conninfo, environment = _build_libpq_arguments() if connects else ("", {})
    command = [program, *([f"--dbname={conninfo}"] if connects else []), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _build_libpq_arguments() -> tuple[str, dict[str, str]]:
    params: dict[str, Any] = connection.get_connection_params()
    libpq_names = {option.keyword.decode() for option in Conninfo.get_defaults()} - {"client_encoding"}
    libpq_options = {name: value for name, value in params.items() if name in libpq_names}
    password = libpq_options.pop("password", None)
    if libpq_options.pop("sslpassword", None):
        raise BackupError(
            "The database's URL has an sslpassword, which can't be passed to PostgreSQL's programs safely. Use a key "
            "without a password, or run pg_dump and pg_restore by hand."
        )
    return make_conninfo(**libpq_options), {"PGPASSWORD": str(password)} if password else {}
