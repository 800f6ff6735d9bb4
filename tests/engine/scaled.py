"""Web and workers as separate processes with PostgreSQL and Redis, for tests that need several processes."""

import fcntl
import json
import os
import secrets
import shutil
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tests.engine.server import WORKER, Server, alive, environment, prepare
from tests.forks import Process

DATABASE, REDIS = os.environ.get("CRONIUM_TEST_DATABASE_URL", ""), os.environ.get("CRONIUM_TEST_REDIS_URL", "")
needs_services = pytest.mark.skipif(not (DATABASE and REDIS), reason='needs eval "$(scripts/services.sh ensure)"')
PASSWORD = "for tests only 1"
# All processes of an installation know these, wherever their data folders lie.
KEYS = {"CRONIUM_SECRET_KEY": "k" * 50, "CRONIUM_ENCRYPTION_KEYS": "a" * 43 + "="}
HELD = "trap 'echo let go; exit 0' USR1; cronium_increment_variable started; while :; do sleep 0.1; done"


@contextmanager
def new_database(template: str = "template1") -> Iterator[str]:
    """The name of a test's database, a copy of `template`."""
    name = f"cronium_test_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(DATABASE, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[arg-type]
    try:
        yield name
    finally:
        with psycopg.connect(DATABASE, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


def url_of(database: str) -> str:
    return DATABASE.rsplit("/", 1)[0] + "/" + database


class Prepared:
    """A migrated database with administrator and token, and collected static files; created once and copied.

    `token`: of the administrator of a database that was prepared before.
    """

    def __init__(self, database: str, folder: Path, token: str = "") -> None:
        self.database, self.static = database, folder / "static"
        env = environment(folder, CRONIUM_DATABASE_URL=url_of(database), CRONIUM_ADMIN_PASSWORD=PASSWORD, **KEYS)
        env["CRONIUM_STATIC_DIR"] = str(self.static)
        self.token = token or prepare(env)


def share_prepared(shared: Path) -> Prepared:
    """The prepared database of the folder, which the first process creates. `drop_prepared` drops it."""
    record, folder = shared / "prepared.json", shared / "prepared"
    with (shared / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if record.exists():
            values = json.loads(record.read_text())
            if values["token"]:
                return Prepared(values["database"], folder, values["token"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        name = f"cronium_test_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(DATABASE, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        record.write_text(json.dumps({"database": name, "token": ""}))  # so that it is dropped also after a failure
        made = Prepared(name, folder)
        record.write_text(json.dumps({"database": name, "token": made.token}))
        return made


def drop_prepared(shared: Path) -> None:
    with suppress(FileNotFoundError, psycopg.Error):  # none was needed, or the services have stopped
        name = json.loads((shared / "prepared.json").read_text())["database"]
        with psycopg.connect(DATABASE, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class Scaled(Server):
    """`web`, and workers by their names; each process has its own log."""

    def __init__(self, folder: Path, prepared: Prepared, database: str, place: int, **env: str) -> None:
        """`place` is 9 or 10: the number of a Redis database that no other test of this process uses meanwhile."""
        place += 2 * WORKER
        self.place = place
        redis_url = f"{REDIS.rsplit('/', 1)[0]}/{place}"
        services = {"CRONIUM_DATABASE_URL": url_of(database), "CRONIUM_REDIS_URL": redis_url}
        more = {"CRONIUM_STATIC_DIR": str(prepared.static), "CRONIUM_MAX_CONCURRENT": "4"}
        super().__init__(folder, prepared.token, **(KEYS | services | more | env))
        self.redis = redis.Redis.from_url(redis_url)
        self.workers: dict[str, Process] = {}

    # Workers.

    def start_worker(self, name: str, *arguments: str, key: str = "", **env: str) -> None:
        """Starts a worker for the host `name`. `key` (default: the name) identifies the worker and its log."""
        key = key or name
        self.workers[key] = self.spawn("worker", "--host", name, *arguments, log=self.log_of(key), **env)

    def stop_worker(self, key: str, number: signal.Signals = signal.SIGTERM) -> int:
        self.workers[key].send_signal(number)
        return self.workers[key].wait(30)

    def log_of(self, key: str) -> Path:
        return self.folder / f"worker-{key}.log"

    def lines_of(self, key: str) -> list[dict[str, Any]]:
        """The worker's JSON log lines; fails at the first line that is not JSON."""
        return [json.loads(line) for line in self.log_of(key).read_text().splitlines()]

    # Hosts and runs.

    def hosts(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/hosts")["items"])

    def host(self, name: str) -> dict[str, Any]:
        return next(one for one in self.hosts() if one["name"] == name)

    def until_hosts(self, *names: str) -> None:
        """Returns when these hosts take runs."""
        self.until(lambda: set(names) <= {one["name"] for one in self.hosts() if one["takes_runs"]}, 40)

    def drain(self, name: str, on: bool) -> None:
        self.call("PATCH", f"/hosts/{name}", {"draining": on})

    def held(self, **job: Any) -> str:
        """A run whose script has begun, has counted its start, and waits for `let_go`."""
        run_id = self.run(HELD, timeout_seconds=300, **job)
        self.until_up(run_id)
        return run_id

    def until_up(self, run_id: str) -> None:
        with self.watch(run_id) as watch:
            watch.until_line("1", 40)

    def let_go(self, *run_ids: str) -> None:
        for run_id in run_ids:
            self.docker.kill(f"cronium-main-{run_id}", signal="SIGUSR1")

    def check_once(self, run_id: str, *, adopted: int = 0) -> dict[str, Any]:
        """Releases a held run: its log is complete, and its script started once."""
        run = self.ended(run_id)
        assert (run["status"], self.text(run_id)) == ("succeeded", b"1\nlet go\n"), run["message"]
        kinds = [kind for kind in self.kinds(run_id) if kind not in ("released", "adopted")]
        assert kinds == ["queued", "claimed", "started", "succeeded"]
        assert self.kinds(run_id).count("adopted") == adopted
        return run

    # The whole.

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Executes a query without Cronium's code; returns the rows, if any."""
        with psycopg.connect(self.env["CRONIUM_DATABASE_URL"], autocommit=True) as connection:
            cursor = connection.execute(query, values)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def now(self) -> datetime:
        """The time of the database's clock."""
        return datetime.fromisoformat(str(self.sql("SELECT clock_timestamp()")[0][0]))

    def report(self) -> str:
        logs = [
            f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in self.folder.glob("worker-*.log")
        ]
        return "\n".join([super().report(), *logs])

    def end(self) -> None:
        """Stops all processes and removes all objects, whatever state the test has left."""
        for process in (*self.workers.values(), self.process):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        if self in alive:
            alive.remove(self)
        with suppress(Exception):
            self.sweep()
        self.redis.flushdb()


def seconds_between(one: str, other: str) -> float:
    """The seconds between two times of the API."""
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


@contextmanager
def installation(prepared: Prepared, folder: Path, place: int, **env: str) -> Iterator[Scaled]:
    """Not started yet. At the end all workers are stopped, and no object may be left on the engine."""
    with new_database(prepared.database) as database:
        # Installations of one identity would remove each other's containers.
        with psycopg.connect(url_of(database), autocommit=True) as connection:
            query = "UPDATE hosts_installation SET instance = %s, place = NULL"
            connection.execute(query, (secrets.token_urlsafe(9),))
        made = Scaled(folder, prepared, database, place, **env)
        made.redis.flushdb()
        try:
            yield made
            for process in made.workers.values():
                process.send_signal(signal.SIGTERM)
            assert {process.wait(30) for process in made.workers.values()} <= {0, -signal.SIGKILL}
            made.stop()
            assert made.left() == []
        finally:
            made.end()
