"""Web and worker as processes of their own, over PostgreSQL and Redis."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
import redis

from tests.engine.server import Server, manage

DATABASE, REDIS = os.environ.get("CRONIUM_TEST_DATABASE_URL", ""), os.environ.get("CRONIUM_TEST_REDIS_URL", "")
pytestmark = pytest.mark.skipif(not (DATABASE and REDIS), reason='needs eval "$(scripts/services.sh ensure)"')


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a database of this test's own."""
    name = f"cronium_test_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(DATABASE, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    yield DATABASE.rsplit("/", 1)[0] + "/" + name
    with psycopg.connect(DATABASE, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


class Parts(Server):
    """`web`, and one worker."""

    worker: "subprocess.Popen[bytes] | None" = None

    def start(self, *arguments: str) -> "Parts":
        self.start_worker()
        super().start("web")
        return self

    def start_worker(self) -> None:
        self.worker = self.spawn("worker", "--host", "one")

    def stop_worker(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.worker is not None
        self.worker.send_signal(number)
        return self.worker.wait(30)


@pytest.fixture(scope="module")
def parts(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    place = REDIS.rsplit("/", 1)[0] + "/9"
    redis.Redis.from_url(place).flushdb()
    folder = tmp_path_factory.mktemp("scaled")
    made = Parts(
        folder,
        "",
        CRONIUM_DATABASE_URL=database,
        CRONIUM_REDIS_URL=place,
        CRONIUM_ADMIN_PASSWORD="for tests only 1",
        CRONIUM_MAX_CONCURRENT="4",
    )
    manage(made.env, "migrate", "-v", "0")
    manage(made.env, "images", "build")
    manage(made.env, "bootstrap")
    made.token = manage(made.env, "token", "create", "--user", "admin", "--name", "tests").strip()
    made.client.headers["Authorization"] = f"Bearer {made.token}"
    try:
        made.start()
        yield made
        assert made.stop_worker() == 0
        made.stop()
        assert made.left() == []
    finally:
        for process in (made.worker, made.process):
            if process and process.poll() is None:
                process.kill()
        with suppress(Exception):
            made.sweep()
        redis.Redis.from_url(place).flushdb()


def test_lines_are_live_over_two_processes(parts: Parts) -> None:
    run_id = parts.run("for n in 1 2 3; do echo line $n; sleep 0.5; done; cronium_output '[1]'")
    with parts.watch(run_id) as watch:
        watch.until_line("line 1")
        assert parts.get(run_id)["status"] == "running"
        seen = time.time()
        assert seen - watch.lines[0][1] / 1e9 < 1.5, "the line came with the timer and not with its nudge"
        end = watch.until_end()
    assert [line[3] for line in watch.lines] == ["line 1", "line 2", "line 3"]
    run = parts.get(run_id)
    assert (run["status"], run["host"], run["output"], end["digest"]) == ("succeeded", "one", [1], run["log_digest"])
    parts.cleaned(run_id)


def test_cancel_reaches_the_worker(parts: Parts) -> None:
    run_id = parts.run("echo up; sleep 60")
    with parts.watch(run_id) as watch:
        watch.until_line("up")
        began = time.monotonic()
        parts.cancel(run_id)
        assert watch.until_end()["status"] == "cancelled"
        assert time.monotonic() - began < 2
    parts.cleaned(run_id)


def test_several_runs_and_an_odd_log(parts: Parts) -> None:
    ids = [parts.run(rf"printf 'a\000b\377\n{n}\n'; exit {n}") for n in range(6)]
    for number, run_id in enumerate(ids):
        run = parts.ended(run_id)
        assert run["exit_code"] == number
        assert parts.text(run_id) == b"a\x00b\xff\n%d\n" % number


INCREMENTS = {
    "bash": "for _ in $(seq 25); do cronium_increment_variable shared/hundred >/dev/null & done; wait",
    "python": """
import concurrent.futures, cronium
with concurrent.futures.ThreadPoolExecutor(25) as pool:
    list(pool.map(lambda _: cronium.increment_variable("shared/hundred"), range(25)))
""",
    "node": """
const cronium = require("cronium");
Promise.all(Array.from({ length: 25 }, () => cronium.incrementVariable("shared/hundred")));
""",
}


def test_a_hundred_increments_at_once_are_a_hundred_on_postgresql(parts: Parts) -> None:
    """Four runs in three languages, 25 writers in each; read back by a fifth and by the web's own process."""
    ids = [parts.run(INCREMENTS[language], language) for language in (*INCREMENTS, "python")]
    for run_id in ids:
        assert parts.ended(run_id)["status"] == "succeeded", parts.text(run_id).decode()
    reader = parts.ended(parts.run('cronium_output "$(cronium_get_variable shared/hundred)"'))
    assert reader["output"] == 100
    variable = parts.call("GET", "/variables/shared/hundred")
    assert (variable["value"], variable["version"]) == (100, 100)
    history = parts.call("GET", "/variables/shared/hundred/history")["items"]
    assert [int(change["value_text"]) for change in history] == list(range(100, 0, -1))
    assert {change["run"] for change in history} == set(ids)


def test_a_run_waits_while_no_worker_is_there(parts: Parts) -> None:
    """It is stopped cleanly, a run comes, and the next worker finds it."""
    assert parts.stop_worker() == 0
    run_id = parts.run("echo found")
    assert parts.get(run_id)["status"] == "queued"
    parts.start_worker()
    assert parts.ended(run_id)["status"] == "succeeded"


def test_a_killed_workers_runs_go_on_with_the_next(parts: Parts) -> None:
    run_id = parts.run("echo up; sleep 600", timeout_seconds=900)
    with parts.watch(run_id) as watch:
        watch.until_line("up")
        parts.stop_worker(signal.SIGKILL)
        assert parts.get(run_id)["status"] == "running"
        parts.start_worker()
        parts.cancel(run_id)  # before or after it is taken over
        assert watch.until_end()["status"] == "cancelled"
    assert parts.text(run_id) == b"up\n"
    parts.cleaned(run_id)
