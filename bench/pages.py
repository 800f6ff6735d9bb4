"""The pages that are opened every day, with 10,000 jobs and 100,000 runs beside an empty and a small installation:
python -m bench.pages [PART OF A NAME]

On SQLite, and with CRONIUM_BENCH_DATABASE_URL on PostgreSQL, where it creates and drops databases. Three processes, one
for each size, answer in turn. Prints milliseconds (on SQLite of CPU) and ratios; `small` fills a page of each list.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.growth import _create_environment
from bench.results import ROOT

SIZES = {"empty": (0, 0), "small": (60, 240), "full": (10_000, 100_000)}
ROUNDS = 9
KEYS = {"CRONIUM_SECRET_KEY": "k" * 50, "CRONIUM_ENCRYPTION_KEYS": "a" * 43 + "="}


class Installation:
    """A process with a database of one size, which answers requests of pages; see `bench.page_server`."""

    def __init__(self, folder: str, size: str, url: str) -> None:
        environment = _create_environment(folder, url) | KEYS
        command = [sys.executable, "-m", "bench.page_server", *map(str, SIZES[size])]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.names: list[str] = self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"bench: a process ended with code {self._process.wait()}")
        return json.loads(line)

    def time_page(self, name: str) -> dict[str, Any]:
        """`ms` of one request, `queries`, and the slowest query with its `slowest_ms`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = self._read()
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def _open_installation(size: str, server: str) -> Iterator[Installation]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cronium-bench-"))
        url = stack.enter_context(_create_database(server, size)) if server else ""
        installation = Installation(folder, size, url)
        stack.callback(installation.close)
        yield installation


@contextmanager
def _create_database(server: str, size: str) -> Iterator[str]:
    name = f"cronium_bench_pages_{size}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def _measure_pages(server: str, part: str) -> None:
    with ExitStack() as stack:
        found = {size: stack.enter_context(_open_installation(size, server)) for size in SIZES}
        load = os.getloadavg()[0]
        unit = "ms" if server else "ms of CPU"
        print(f"\n{'PostgreSQL' if server else 'SQLite'}, load {load:.1f}: {unit}, the fastest of {ROUNDS} requests")
        print(f"{'page':44}{'empty':>8}{'small':>8}{'full':>8}{'full/empty':>12}{'full/small':>12}  slowest query")
        for name in found["full"].names:
            if part in name:
                _print_page(name, found)


def _print_page(name: str, found: dict[str, Installation]) -> None:
    rounds = [{size: each.time_page(name) for size, each in found.items()} for _ in range(ROUNDS + 1)][1:]
    empty, small, full = (min(each[size]["ms"] for each in rounds) for size in SIZES)
    query = min((each["full"] for each in rounds), key=lambda each: each["slowest_ms"])
    words = f"{query['slowest_ms']:.1f} ms {query['slowest']}" if query["slowest_ms"] > 3 else ""
    row = f"{name:44}{empty:8.1f}{small:8.1f}{full:8.1f}{full / empty:12.1f}{full / small:12.1f}"
    print(f"{row}  {words}", flush=True)


def measure(part: str = "") -> None:
    _measure_pages("", part)
    if server := os.environ.get("CRONIUM_BENCH_DATABASE_URL", ""):
        _measure_pages(server, part)


if __name__ == "__main__":
    measure(" ".join(sys.argv[1:]))
