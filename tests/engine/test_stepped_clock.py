"""Two processes fire schedules while the database's clock is stepped, the database goes away, and they are killed and
frozen: each nominal time has one row, and no run comes twice. The rows are counted from outside, by SQL.

The clock of the test's database is `STATEMENT_TIMESTAMP()` of a schema that comes before PostgreSQL's own.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.engine.ledger import check_schedule
from tests.engine.scaled import KEYS, Prepared, needs_services, new_database, url_of
from tests.engine.server import ROOT, environment, manage

pytestmark = [needs_services, pytest.mark.chaos]
STEPS = 24
START = "2027-03-28 00:59:20+00"  # 40 s before the clocks of Berlin go forward
FAKE_CLOCK = f"""
CREATE SCHEMA fake;
CREATE TABLE fake.clock (shift interval);
INSERT INTO fake.clock VALUES ('{START}'::timestamptz - pg_catalog.now());
CREATE FUNCTION fake.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
  AS 'SELECT pg_catalog.statement_timestamp() + (SELECT shift FROM fake.clock)';
"""
RULES = ["* * * * * *", "*/7 * * * * *", "*/20 * * * * *", "* * * * *", "0,30 2 * * *", "*/15 2 * * *", "5 * * * *"]
TIMELY = "(SELECT count(*) FROM schedules_occurrence WHERE state = 'ran')"
HOLDER = "(SELECT owner FROM core_lease WHERE name = 'schedules')"
SEED = f"""
from cronium_admin.jobs.service import create_job
from cronium_admin.schedules.service import create_schedule
from tests.users import get_admin
for number, rule in enumerate({RULES!r}):
    names = {{"name": f"job {{number}}", "slug": f"job-{{number}}"}}
    job = create_job({{**names, "language": "bash", "script": "true"}}, get_admin())
    values = {{"name": "chaos", "rule": rule, "timezone": "Europe/Berlin", "overlap": "allow", "missed": "all"}}
    create_schedule(job, values, get_admin())
"""


class World:
    """A database with a clock of its own, and the processes that fire its schedules."""

    def __init__(self, database: str, folder: Path) -> None:
        self.url, self.folder = url_of(database), folder
        self.env = environment(
            folder, CRONIUM_DATABASE_URL=self.url, DJANGO_SETTINGS_MODULE="cronium_admin.settings", **KEYS
        )
        self.admin = psycopg.connect(url_of("template1"), autocommit=True)
        self.name = database
        self.tickers: list[subprocess.Popen[bytes]] = []

    def _start(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "tickers.log").open("ab") as log:
            program = [sys.executable, "-m", "tests.engine.ticker"]
            return subprocess.Popen(program, env=self.env, cwd=ROOT, stdout=log, stderr=log)

    def start(self, count: int) -> None:
        self.tickers += [self._start() for _ in range(count)]

    def query(self, text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(text).fetchall()  # type: ignore[arg-type]

    def step_clock(self, interval: str) -> None:
        with psycopg.connect(self.url) as connection:
            connection.execute("UPDATE fake.clock SET shift = shift + %s::interval", [interval])

    def kill(self, choose: random.Random) -> None:
        victim = choose.choice(self.tickers)
        victim.kill()
        victim.wait()
        self.tickers.remove(victim)
        self.start(1)

    def freeze(self, choose: random.Random) -> None:
        victim = choose.choice(self.tickers)
        victim.send_signal(signal.SIGSTOP)
        time.sleep(choose.choice([2, 5, 17]))  # the lease lasts 15 s
        victim.send_signal(signal.SIGCONT)

    def take_database_away(self) -> None:
        self.admin.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]
        self.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self.name])
        time.sleep(3)
        self.admin.execute(f'ALTER DATABASE "{self.name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]

    def stop(self) -> None:
        for ticker in self.tickers:
            ticker.terminate()
        for ticker in self.tickers:
            ticker.wait(60)
        self.tickers.clear()


@pytest.fixture
def world(prepared: Prepared, tmp_path: Path) -> Iterator[World]:
    with new_database(prepared.database) as database:
        with psycopg.connect(url_of(database)) as connection:
            connection.execute(FAKE_CLOCK)
            connection.execute(f'ALTER DATABASE "{database}" SET search_path = fake, public, pg_catalog')  # type: ignore[arg-type]
        made = World(database, tmp_path)
        try:
            manage(made.env, "shell", "-v0", "-c", SEED)
            yield made
        finally:
            made.stop()
            made.admin.close()


def torment(world: World, choose: random.Random) -> Counter[str]:
    """Each fault at least once. The clock ends later than it was at any time."""
    faults = ["+3 hours", "-2 hours", "+90 seconds", "-40 seconds", "kill", "freeze", "database"]
    plan = faults + choose.choices(faults, k=STEPS - len(faults))
    choose.shuffle(plan)
    for fault in plan:
        time.sleep(choose.uniform(1, 5))
        if fault == "kill":
            world.kill(choose)
        elif fault == "freeze":
            world.freeze(choose)
        elif fault == "database":
            world.take_database_away()
        else:
            world.step_clock(fault)
    back = sum(2 * 3600 * (fault == "-2 hours") + 40 * (fault == "-40 seconds") for fault in plan)
    world.step_clock(f"{back + 3600} seconds")
    return Counter(plan)


def wait_until_decided(world: World, seconds: float = 90) -> None:
    """All schedules were decided up to the clock."""
    give_up_at = time.monotonic() + seconds
    ages = "SELECT max(statement_timestamp() - cursor_at) < '10 seconds' FROM schedules_schedule"
    query = f"{ages} WHERE rule = '* * * * * *'"
    behind = "SELECT count(*) FROM schedules_schedule WHERE due_at < statement_timestamp() - interval '5 seconds'"
    while not (world.query(query)[0][0] and world.query(behind)[0][0] == 0):
        assert time.monotonic() < give_up_at, (world.folder / "tickers.log").read_text()[-3000:]
        time.sleep(0.5)


def wait_for(world: World, condition: str, seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while not world.query(f"SELECT {condition}")[0][0]:
        assert time.monotonic() < give_up_at, (world.folder / "tickers.log").read_text()[-3000:]
        time.sleep(0.2)


def test_each_time_has_one_row_while_clock_database_and_processes_fail(world: World) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or int.from_bytes(os.urandom(2), "big"))
    print(f"seed {seed}")
    choose = random.Random(seed)
    world.start(2)
    time.sleep(5)
    print(torment(world, choose))
    wait_until_decided(world)
    wait_for(world, f"{TIMELY} > 20", 60)
    world.stop()  # else further times come while the rows are counted
    total: Counter[str] = Counter()
    with psycopg.connect(world.url) as connection:
        for pk, rule in world.query("SELECT id, rule FROM schedules_schedule ORDER BY id"):
            report = check_schedule(connection, int(str(pk)))
            print(rule, dict(report.states), report.runs)
            assert not report.violations
            total += report.states
    assert total["missed"] + total["caught_up"] > 0, "the clock went forward: some times were missed"


def test_after_a_step_back_another_process_replaces_the_one_that_dies(world: World) -> None:
    """Its lease would last for two hours more."""
    world.start(2)
    wait_for(world, f"{TIMELY} > 0", 60)
    world.step_clock("-2 hours")
    [(holder,)] = world.query(f"SELECT {HOLDER}")
    (dead,) = [ticker for ticker in world.tickers if f":{ticker.pid}:" in str(holder)]
    dead.kill()
    dead.wait()
    world.tickers.remove(dead)
    killed_at = time.monotonic()
    wait_for(world, f"{HOLDER} <> '{holder}'", 30)
    print(f"replaced after {time.monotonic() - killed_at:.1f} s")
    [(before,)] = world.query(f"SELECT {TIMELY}")
    world.step_clock("2 hours")
    wait_for(world, f"{TIMELY} > {before}", 30)
