"""One installation for all tests with several hosts: web, and two workers on one engine."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from tests.engine.scaled import Prepared, Scaled, installation, needs_services

PLACE = 10


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "hosts":
            item.add_marker(needs_services)


@pytest.fixture(scope="package")
def cluster(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    """`one` serves the queue default, `two` also serves gpu; two slots each. All write JSON logs."""
    env = {"CRONIUM_MAX_CONCURRENT": "2", "CRONIUM_LOG_FORMAT": "json"}
    with installation(prepared, tmp_path_factory.mktemp("hosts"), PLACE, **env) as made:
        made.start_worker("one", "--queues", "default")
        made.start_worker("two", "--queues", "default,gpu")
        made.start_worker("pair", "--queues", "pair", key="first")
        made.start("web")
        made.until_hosts("one", "two", "pair")
        yield made


@dataclass(frozen=True)
class Pair:
    """The host `pair`: its first process was killed at `killed_at`; two other processes with a shared folder are
    standbys."""

    cluster: Scaled
    run_id: str  # of a run on the first process
    killed_at: datetime

    def acting(self) -> str:
        """The process that is the leader now."""
        ((owner,),) = self.cluster.sql("SELECT owner FROM hosts_host WHERE name = 'pair'")
        pid = int(owner.split(":")[2])
        return next(key for key, process in self.cluster.workers.items() if process.pid == pid)

    def noticed_after(self, began: datetime) -> float:
        """Seconds until another process was the leader."""
        times: list[str] = []

        def has_said_so() -> bool:  # the log line follows the commit of its rows
            told = [line for key in ("second", "third") for line in self.cluster.lines_of(key)]
            times.extend(line["time"] for line in told if line["message"].startswith("took over"))
            return bool(times)

        self.cluster.until(has_said_so)
        return (datetime.fromisoformat(min(times)) - began).total_seconds()

    def adopted_after(self, began: datetime) -> float:
        """Seconds until the last adoption of the run."""
        query = "SELECT max(at) FROM runs_runevent WHERE run_id = %s AND kind = 'adopted'"
        ((at,),) = self.cluster.sql(query, self.run_id)
        return float((at - began).total_seconds())


@pytest.fixture(scope="package", autouse=True)
def pair(cluster: Scaled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Created before the other tests, because the lease of the killed process lasts 20 s."""
    folder, others = str(tmp_path_factory.mktemp("another")), ("second", "third")
    for key in others:
        cluster.start_worker("pair", "--queues", "pair", key=key, CRONIUM_DATA_DIR=folder)
    cluster.until(lambda: all("is a standby" in cluster.log_of(key).read_text() for key in others), 30)
    run_id = cluster.held(queue="pair")
    made = Pair(cluster, run_id, cluster.now())
    assert made.acting() == "first"
    cluster.stop_worker("first", signal.SIGKILL)
    yield made
    if cluster.get(run_id)["status"] == "running":  # its own tests were not selected
        cluster.sweep()
