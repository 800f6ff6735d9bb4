"""Load of the database, Redis and the processes per run and per host, with 1, 10 and 100 simulated hosts.

Needs CRONIUM_BENCH_DATABASE_URL and CRONIUM_BENCH_REDIS_URL; creates and drops a database there. Redis must have no
other user meanwhile, because its counters are those of the server. PostgreSQL must be on this machine.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import redis

from bench.growth import JOB, _create_environment, _run_command
from bench.results import Results, compute_percentile
from bench.server import ROOT

NAME = "cronium_bench_scale"
HOSTS = (1, 10, 100)
PROCESSES = 4  # for the simulated hosts
SLOTS = 8  # of each host
IDLE_SECONDS = 15.0
STEADY = 100, 5.0  # runs, and their rate per second
BURST = 200
FLUSH_SECONDS = 11.0  # an idle backend of PostgreSQL reports its counters after ten seconds
IMAGE = "cronium/runner:bash"
KEYS = {"CRONIUM_SECRET_KEY": "k" * 50, "CRONIUM_ENCRYPTION_KEYS": "a" * 43 + "="}


@dataclass
class Sample:
    """Counters at a moment."""

    at: float = field(default_factory=time.monotonic)
    postgres: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)
    redis: Counter[str] = field(default_factory=Counter)
    queries: Counter[str] = field(default_factory=Counter)
    cpu: Counter[str] = field(default_factory=Counter)
    threads: Counter[str] = field(default_factory=Counter)


class Simulation:
    """`count` hosts in a few processes, on an empty database."""

    def __init__(self, url: str, redis_url: str, environment: dict[str, str], count: int) -> None:
        self.count = count
        self._database = psycopg.connect(url, autocommit=True)
        self._redis: Any = redis.Redis.from_url(redis_url)
        self._postmaster = psutil.Process(int(self._query("SELECT pg_backend_pid()")[0][0])).parent()
        processes = min(PROCESSES, count)
        shares = [count // processes + (number < count % processes) for number in range(processes)]
        firsts = [sum(shares[:number]) for number in range(processes)]
        self._processes = [self._start(environment, first, share) for first, share in zip(firsts, shares, strict=True)]
        for process in self._processes:
            self._read(process)

    @staticmethod
    def _start(environment: dict[str, str], first: int, share: int) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "bench.scale_hosts", str(first), str(share), IMAGE]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)

    @staticmethod
    def _read(process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        return dict(json.loads(process.stdout.readline()))

    def _query(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.execute(text, values).fetchall()  # type: ignore[arg-type]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._database.close()

    def take_sample(self) -> Sample:
        sample = Sample()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in self._processes:
            report = self._read(process)
            sample.queries.update(report["queries"])
            sample.threads.update(report["threads"])
            sample.cpu["hosts"] += report["cpu"]
        return self._read_services(sample)

    def _read_services(self, sample: Sample) -> Sample:
        time.sleep(FLUSH_SECONDS)
        names = "xact_commit", "xact_rollback", "tup_inserted", "tup_updated", "tup_deleted", "tup_fetched"
        columns = ", ".join(names)
        (row,) = self._query(
            f"SELECT {columns}, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') FROM pg_stat_database "
            "WHERE datname = current_database()"
        )
        sample.postgres.update(dict(zip((*names, "wal_bytes"), map(int, row), strict=True)))
        for name, *values in self._query(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del FROM pg_stat_user_tables"
        ):
            for kind, value in zip(("inserted", "updated", "hot", "deleted"), values, strict=True):
                sample.tables[f"{name} {kind}"] += value
        sample.redis.update(
            {name.removeprefix("cmdstat_"): row["calls"] for name, row in self._redis.info("commandstats").items()}
        )
        stats = self._redis.info("stats")
        sample.redis["bytes out"] = stats["total_net_output_bytes"]
        sample.redis["bytes in"] = stats["total_net_input_bytes"]
        sample.cpu["redis"] = sum(self._redis.info("cpu")[f"used_cpu_{kind}"] for kind in ("sys", "user"))
        assert self._postmaster is not None
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                sample.cpu["postgres"] += times.user + times.system
        return sample

    def count_connections(self) -> tuple[int, int]:
        """Of the hosts to the database and to Redis."""
        (row,) = self._query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(row[0]) - 1, int(self._redis.info("clients")["connected_clients"]) - 1

    def wait_until_finished(self, total: int, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while self._query("SELECT count(*) FROM runs_run WHERE cleaned_at IS NOT NULL")[0][0] < total:
            if time.monotonic() > end:
                raise RuntimeError("the runs did not end in time")
            time.sleep(0.2)

    def count_runs(self) -> int:
        return int(self._query("SELECT count(*) FROM runs_run")[0][0])

    def read_waits(self, last: int) -> list[float]:
        """Seconds from launch to claim, of the last runs."""
        rows = self._query(
            "SELECT extract(epoch FROM claimed_at - created_at) FROM runs_run ORDER BY created_at DESC LIMIT %s", last
        )
        return [float(row[0]) for row in rows]

    def read_span(self, last: int) -> tuple[float, float]:
        """Seconds from the first launch to the last claim, and to the last end, of the last runs."""
        rows = self._query(
            "SELECT extract(epoch FROM max(claimed_at) - min(created_at)), extract(epoch FROM max(finished_at) - "
            "min(created_at)) FROM (SELECT * FROM runs_run ORDER BY created_at DESC LIMIT %s) AS recent",
            last,
        )
        return float(rows[0][0]), float(rows[0][1])


def _call_fill(environment: dict[str, str], *arguments: str) -> Any:
    command = [sys.executable, "-m", "bench.fill", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def _subtract(after: Counter[str], before: Counter[str], idle: Counter[str], seconds: float) -> Counter[str]:
    """The difference less the idle load of `seconds`."""
    return Counter({key: after[key] - before[key] - idle[key] * seconds for key in after})


def _print_counts(title: str, counts: Counter[str], share: float, least: float) -> None:
    rows = [(key, value / share) for key, value in counts.most_common() if value / share >= least]
    print(f"  {title}: " + ", ".join(f"{key} {value:.2f}" for key, value in rows))


def _round(counts: Counter[str], share: float) -> dict[str, float]:
    return {key: round(value / share, 4) for key, value in counts.items() if abs(value / share) >= 0.001}


def _measure_idle(simulation: Simulation, results: Results) -> dict[str, Counter[str]]:
    before = simulation.take_sample()
    time.sleep(IDLE_SECONDS)
    after = simulation.take_sample()
    seconds = after.at - before.at
    rates = {
        name: Counter({key: (value - getattr(before, name)[key]) / seconds for key, value in counts.items()})
        for name in ("postgres", "tables", "redis", "queries", "cpu")
        for counts in [getattr(after, name)]
    }
    databases, clients = simulation.count_connections()
    print(
        f" idle, {seconds:.0f} s; {databases} database and {clients} Redis connections, {after.threads.total()} threads"
    )
    print(
        f"  per host and second: {rates['queries'].total() / simulation.count:.2f} queries, "
        f"{rates['postgres']['xact_commit'] / simulation.count:.2f} transactions, "
        f"{rates['postgres']['wal_bytes'] / simulation.count:.0f} bytes of WAL"
    )
    _print_counts("queries per host and second", rates["queries"], simulation.count, 0.005)
    _print_counts("cores", rates["cpu"], 1, 0.0)
    connections = {"database connections": databases, "Redis connections": clients, "threads": after.threads.total()}
    per_host = {name: _round(counts, simulation.count) for name, counts in rates.items()}
    results.facts[f"{simulation.count} hosts, idle, per host and second"] = per_host | connections
    return rates


def _measure_runs(
    simulation: Simulation,
    environment: dict[str, str],
    idle: dict[str, Counter[str]],
    results: Results,
    number: int,
    rate: float,
) -> None:
    before = simulation.take_sample()
    total = simulation.count_runs() + number
    launched = _call_fill(environment, "launch", "hello", str(number), str(rate))
    simulation.wait_until_finished(total)
    after = simulation.take_sample()
    seconds = after.at - before.at
    change = {
        name: _subtract(getattr(after, name), getattr(before, name), idle[name], seconds)
        for name in ("postgres", "tables", "redis", "queries", "cpu")
    }
    _print_speed(simulation, number, rate, launched["seconds"])
    cpu = {name: seconds / number * 1000 for name, seconds in (change["cpu"] | {"launch": launched["cpu"]}).items()}
    print("  CPU per run: " + ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in cpu.items()))
    hosts, transactions = change["queries"].total() / number, change["postgres"]["xact_commit"] / number
    print(f"  per run: {hosts:.1f} queries of the hosts, {launched['queries'] / number:.1f} of the launch")
    print(f"  per run: {transactions:.1f} transactions, {change['postgres']['wal_bytes'] / number:.0f} bytes of WAL")
    pace = f"{rate:g} launches a second" if rate else "launched without pauses"
    _keep(results, f"{simulation.count} hosts, {number} runs, {pace}, per run", change, number, launched)
    _print_counts("queries per run", change["queries"], number, 0.05)
    _print_counts("rows per run", change["tables"], number, 0.05)
    _print_counts("Redis commands per run", change["redis"], number, 0.05)


def _keep(
    results: Results, title: str, change: dict[str, Counter[str]], number: int, launched: dict[str, float]
) -> None:
    per_run = {name: _round(counts, number) for name, counts in change.items()}
    launch = {"cpu": launched["cpu"] / number, "queries": launched["queries"] / number}
    results.facts[title] = per_run | {"launch": launch}


def _print_speed(simulation: Simulation, number: int, rate: float, seconds: float) -> None:
    waits, (claimed, ended) = simulation.read_waits(number), simulation.read_span(number)
    print(f" {number} runs, {f'{rate:g} launches a second' if rate else 'launched by one process without pauses'}")
    print(f"  launches {number / seconds:.0f}/s, claims {number / claimed:.0f}/s, ends {number / ended:.0f}/s")
    median, p95 = statistics.median(waits), compute_percentile(waits, 0.95)
    print(f"  from launch to claim: median {median * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms")


def _measure_web(environment: dict[str, str], results: Results) -> None:
    print(" web, per request, without the HTTP server")
    results.facts["web, per request"] = costs = _call_fill(environment, "requests", "hello")
    for name, cost in costs.items():
        print(f"  {name:24} {cost['ms']:.1f} ms CPU, {cost['queries']:.0f} queries")


def _measure_hosts(count: int, url: str, redis_url: str, environment: dict[str, str], results: Results) -> None:
    simulation = Simulation(url, redis_url, environment, count)
    try:
        print(f"{count} hosts with {SLOTS} slots in {min(count, PROCESSES)} processes")
        idle = _measure_idle(simulation, results)
        number, rate = STEADY
        _measure_runs(simulation, environment, idle, results, number, rate)
        _measure_runs(simulation, environment, idle, results, BURST, 0)
        if count == 1:
            _measure_web(environment, results)
    finally:
        simulation.close()


@contextmanager
def _create_database(server: str) -> Iterator[str]:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{NAME}"))
        finally:
            connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def measure(counts: tuple[int, ...] = HOSTS) -> None:
    server, redis_url = (os.environ.get(f"CRONIUM_BENCH_{name}_URL", "") for name in ("DATABASE", "REDIS"))
    if not (server and redis_url):
        print("scale: not measured; set CRONIUM_BENCH_DATABASE_URL and CRONIUM_BENCH_REDIS_URL")
        return
    results = Results("scale", {"CRONIUM_WARM": "0"})
    for count in counts:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cronium-bench-"))
            url = stack.enter_context(_create_database(server))
            pool = f"pool_max_size={max(10, 48 // min(PROCESSES, count))}"
            settings = {
                "CRONIUM_REDIS_URL": redis_url,
                "CRONIUM_CANARY": "off",
                "CRONIUM_WARM": "0",
                "CRONIUM_MAX_CONCURRENT": str(SLOTS),
                "CRONIUM_CPU_OVERCOMMIT": "10",
                "CRONIUM_CONTAINER_IMAGES_BASH": IMAGE,
                **KEYS,
            }
            environment = _create_environment(folder, f"{url}?{pool}") | settings
            _run_command(environment, "manage.py", "migrate", "-v0")
            _run_command(environment, "manage.py", "bootstrap")
            _run_command(environment, "manage.py", "shell", "-v0", "-c", JOB)
            _measure_hosts(count, url, redis_url, environment, results)
    results.write()
