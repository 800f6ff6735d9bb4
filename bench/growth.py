"""Database growth in bytes per trivial run, including its log.

Measures SQLite, and PostgreSQL if CRONIUM_BENCH_DATABASE_URL names a server. Creates and drops a database there.
"""

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

from bench.results import Results
from bench.server import PASSWORD, ROOT

RUNS = 2000
NAME = "cronium_bench_growth"


def _run_command(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], env=environment, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _create_environment(folder: str, url: str = "") -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRONIUM_")}
    settings = {"CRONIUM_DATA_DIR": folder, "CRONIUM_ADMIN_PASSWORD": PASSWORD, "CRONIUM_LOG_LEVEL": "ERROR"}
    return {**inherited, **settings, **({"CRONIUM_DATABASE_URL": url} if url else {})}


def _make_runs(environment: dict[str, str], number: int) -> None:
    _run_command(environment, "-m", "bench.fill", "trivial", "hello", str(number))


JOB = """
from cronium_admin.accounts.models import User
from cronium_admin.jobs.service import create_job
values = {"name": "Hello", "slug": "hello", "language": "bash", "script": "echo Hello from Cronium"}
create_job(values, User.objects.get())
"""


def _prepare(environment: dict[str, str]) -> None:
    _run_command(environment, "manage.py", "migrate", "-v0")
    _run_command(environment, "manage.py", "bootstrap")
    _run_command(environment, "manage.py", "shell", "-v0", "-c", JOB)
    _make_runs(environment, 20)  # excludes one-time costs: first pages of tables, texts shared by runs


def _measure_sqlite_tables(path: Path) -> dict[str, int]:
    """Bytes of each table, including its indexes."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("VACUUM")
        rows = database.execute(
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY 1"
        ).fetchall()
    return dict(rows)


@contextmanager
def _create_temporary_database(url: str) -> Iterator[str]:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {NAME}")
        server.execute(f"CREATE DATABASE {NAME}")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{NAME}"))
        finally:
            server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def _measure_postgres_tables(url: str) -> dict[str, int]:
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("VACUUM FULL")
        query = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace = %s"
        return dict(database.execute(query + "::regnamespace", ("public",)).fetchall())


def _add_growth(results: Results, engine: str, before: dict[str, int], after: dict[str, int], number: int) -> None:
    growth = {name: (size - before.get(name, 0)) / number for name, size in after.items()}
    text = f"{sum(growth.values()):.0f}, including its log ({number} runs)"
    results.add_fact(f"{engine}: bytes that a trivial run adds", growth, text)
    for name, size in sorted(growth.items(), key=lambda item: -item[1]):
        if size >= 1:
            print(f"  {name:32} {size:.0f}")


def measure(number: int = RUNS) -> None:
    results = Results("growth")
    with tempfile.TemporaryDirectory(prefix="cronium-bench-") as folder:
        environment, path = _create_environment(folder), Path(folder) / "cronium.sqlite3"
        _prepare(environment)
        before = _measure_sqlite_tables(path)
        _make_runs(environment, number)
        _add_growth(results, "SQLite", before, _measure_sqlite_tables(path), number)
        if server := os.environ.get("CRONIUM_BENCH_DATABASE_URL", ""):
            with _create_temporary_database(server) as url:
                environment = _create_environment(folder, url)
                _prepare(environment)
                before = _measure_postgres_tables(url)
                _make_runs(environment, number)
                _add_growth(results, "PostgreSQL", before, _measure_postgres_tables(url), number)
    results.write()
