"""Bytes that a trivial run leaves in the database, its log included: on SQLite, and on the PostgreSQL server of
CRONIUM_BENCH_DATABASE_URL, in a database of its own that is dropped afterwards."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.server import PASSWORD, ROOT

RUNS = 2000
NAME = "cronium_bench_growth"


def _manage(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _environment(folder: str, url: str = "") -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    own = {"CRONIUM_DATA_DIR": folder, "CRONIUM_ADMIN_PASSWORD": PASSWORD, "CRONIUM_LOG_LEVEL": "ERROR"}
    return {**plain, **own, **({"CRONIUM_DATABASE_URL": url} if url else {})}


def _fill(environment: dict[str, str], number: int) -> None:
    _manage(environment, "-m", "bench.fill", "trivial", "hello", str(number))


JOB = """
from cronium_admin.access.models import User
from cronium_admin.jobs.service import create_job
values = {"name": "Hello", "slug": "hello", "language": "bash", "script": "echo Hello from Cronium"}
create_job(values, User.objects.get())
"""


def _prepare(environment: dict[str, str]) -> None:
    _manage(environment, "manage.py", "migrate", "-v0")
    _manage(environment, "manage.py", "bootstrap")
    _manage(environment, "manage.py", "shell", "-v0", "-c", JOB)
    _fill(environment, 20)  # what comes once: pages of empty tables, texts that runs share


def _sqlite_tables(path: Path) -> dict[str, int]:
    """Bytes of each table with its indexes."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        rows = database.execute(
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
        ).fetchall()
    return dict(rows)


@contextmanager
def _own_database(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {NAME}")
        server.execute(f"CREATE DATABASE {NAME}")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))
        finally:
            server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def _postgres_tables(url: str) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM FULL")
        query = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = %s"
        return dict(database.execute(query + "::regnamespace", ("public",)).fetchall())


def _say(engine: str, before: dict[str, int], after: dict[str, int], number: int) -> None:
    grown = {name: (size - before.get(name, 0)) / number for name, size in after.items()}
    print(f"{engine}: a trivial run leaves {sum(grown.values()):.0f} bytes, its log included ({number} runs)")
    for name, size in sorted(grown.items(), key=lambda item: -item[1]):
        if size >= 1:
            print(f"  {name:32} {size:.0f}")


def measure(number: int = RUNS) -> None:
    with tempfile.TemporaryDirectory(prefix="cronium-bench-") as folder:
        environment, path = _environment(folder), Path(folder) / "cronium.sqlite3"
        _prepare(environment)
        before = _sqlite_tables(path)
        _fill(environment, number)
        _say("SQLite", before, _sqlite_tables(path), number)
        if server := os.environ.get("CRONIUM_BENCH_DATABASE_URL", ""):
            with _own_database(server) as url:
                environment = _environment(folder, url)
                _prepare(environment)
                before = _postgres_tables(url)
                _fill(environment, number)
                _say("PostgreSQL", before, _postgres_tables(url), number)
