"""A Redis that accepts connections and never answers: runs are still launched, executed and stopped."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cronium_admin.core.redis_url import READ_SECONDS
from tests.chaos.broker import Broker
from tests.engine.scaled import Prepared, Scaled, installation, needs_services
from tests.engine.server import TERMINAL

pytestmark = [
    needs_services,
    pytest.mark.skipif(not shutil.which("redis-server", path="/usr/bin:/usr/sbin"), reason="needs redis-server"),
]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.kill()


def _launch_timed(made: Scaled, slug: str) -> tuple[str, float]:
    began = time.monotonic()
    return made.launch(slug), time.monotonic() - began


def test_runs_go_on_while_redis_does_not_answer(broker: Broker, prepared: Prepared, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with installation(prepared, folder, 9, CRONIUM_REDIS_URL=broker.url) as made:
        made.start_worker("one")
        made.start("web")
        made.until_hosts("one")
        slug = made.job("echo done")
        assert made.ended(made.launch(slug))["status"] == "succeeded"  # all connections are there
        broker.send_signal(signal.SIGSTOP)
        try:
            launched = [_launch_timed(made, slug) for _ in range(4)]
            print("POST /runs answered after", *(f"{seconds:.2f} s" for _, seconds in launched))
            made.until(lambda: all(made.get(run_id)["status"] in TERMINAL for run_id, _ in launched), 90)
            ended = [made.get(run_id) for run_id, _ in launched]
            assert {run["status"] for run in ended} == {"succeeded"}, [run["message"] for run in ended]
            assert max(seconds for _, seconds in launched) < READ_SECONDS / 2, "the answer waited for Redis"
            dropped = [line for line in made.client.get("/metrics").text.splitlines() if "wakeups_dropped" in line]
            print(*dropped, sep="\n")
        finally:
            broker.send_signal(signal.SIGCONT)
        assert made.ended(made.launch(slug))["status"] == "succeeded"
