"""Waiting sandboxes of several workers on one engine: every run starts once, also when a worker is frozen."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.scaled import HELD, Prepared, Scaled, installation, needs_services
from tests.engine.test_recovery import variable

pytestmark = needs_services
COUNTED = "cronium_increment_variable started > /dev/null; echo hello"


@pytest.fixture
def parts(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaled]:
    """`web`, and no worker yet."""
    with installation(prepared, tmp_path_factory.mktemp("warm"), 9, CRONIUM_WARM="3") as made:
        made.start("web")
        yield made


def count_whole(parts: Scaled, name: str) -> int:
    query = "SELECT count(*) FROM warm_warmsandbox WHERE host_id = %s AND state = 'ready' AND kind = 'whole'"
    return int(parts.sql(query, name)[0][0])


def warm_up(parts: Scaled, name: str, slug: str) -> int:
    """Two runs on the only host that takes runs, until a whole sandbox waits there; the number of runs."""
    runs = [parts.ended(parts.launch(slug)) for _ in range(2)]
    assert {(run["status"], run["host"]) for run in runs} == {("succeeded", name)}
    parts.until(lambda: count_whole(parts, name), 120)
    return len(runs)


def find_promise(parts: Scaled, run_id: str) -> str | None:
    """The host whose waiting sandbox the launch has taken."""
    ((host,),) = parts.sql("SELECT warm_host FROM runs_run WHERE id = %s", run_id)
    return str(host) if host else None


def check_start(run: dict[str, Any], promise: str | None) -> None:
    assert run["status"] == "succeeded", run["message"]
    assert [event["kind"] for event in run["events"]].count("started") == 1
    if run["warm"]:
        assert run["host"] == promise
    else:
        assert (run["cold_reason"] == "none_waiting") == (promise is None)


def test_runs_of_two_hosts_with_pools_start_once(parts: Scaled) -> None:
    slug = parts.job(COUNTED)
    number = 0
    for name, other in (("east", ""), ("west", "east")):
        parts.start_worker(name)
        parts.until_hosts(name)
        if other:
            parts.drain(other, True)
        number += warm_up(parts, name, slug)
    parts.drain("east", False)
    starts = set()
    for _ in range(8):
        parts.until(lambda: count_whole(parts, "east") and count_whole(parts, "west"), 120)
        ids = [parts.launch(slug) for _ in range(4)]
        promises = {run_id: find_promise(parts, run_id) for run_id in ids}
        for run_id, promise in promises.items():
            run = parts.ended(run_id)
            check_start(run, promise)
            assert parts.text(run_id) == b"hello\n"
            starts.add((run["host"], run["warm"]))
        number += len(ids)
        if {("east", True), ("west", True)} <= starts:
            break
    assert {("east", True), ("west", True)} <= starts
    assert variable(parts, slug, "started") == number


@pytest.mark.parametrize("name", ["west", "east"])
def test_a_frozen_worker_does_not_start_the_run_that_another_one_has_started(
    parts: Scaled, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """Another host claims it, or the next leader of the same host. Both work on the same engine."""
    parts.start_worker("east", key="frozen")
    parts.until_hosts("east")
    slug = parts.job(HELD, timeout_seconds=300)
    warm_up(parts, "east", parts.job("echo hello"))
    frozen = parts.workers["frozen"]
    frozen.send_signal(signal.SIGSTOP)
    try:
        run_id = parts.launch(slug)
        assert find_promise(parts, run_id) == "east"
        others = list_waiting(parts)
        parts.start_worker(name, key="other", CRONIUM_DATA_DIR=str(tmp_path_factory.mktemp("another")))
        parts.until_up(run_id)
        parts.until(lambda: not parts.sql(_LEASED, "east") or name == "east", 40)
    finally:
        frozen.send_signal(signal.SIGCONT)
    # The row of its sandbox: the process that is awake again has dealt with it, or the next leader has deleted it.
    parts.until(lambda: not parts.sql("SELECT 1 FROM warm_warmsandbox WHERE id = %s", run_id), 30)
    check_awake(parts, name)
    described = parts.container(run_id)
    assert (described["State"]["Running"], described["Config"]["Labels"]["cronium.epoch"]) == (True, "2")
    parts.let_go(run_id)
    run = parts.ended(run_id)
    assert (run["status"], run["host"], parts.text(run_id)) == ("succeeded", name, b"1\nlet go\n"), run["message"]
    assert (run["warm"], run["cold_reason"]) == (False, "other_host" if name == "west" else "gone")
    assert [parts.kinds(run_id).count(kind) for kind in ("claimed", "started")] == [1, 1]
    assert variable(parts, slug, "started") == 1
    parts.cleaned(run_id)
    if name == "east":  # the sandboxes that ended with the leadership of their process
        parts.until(lambda: not list_waiting(parts) & others, 90)
    after = parts.ended(parts.launch(parts.job(COUNTED)))
    assert after["status"] == "succeeded", after["message"]


_LEASED = "SELECT 1 FROM hosts_host WHERE name = %s AND lease_expires_at > clock_timestamp()"


def list_waiting(parts: Scaled) -> set[str]:
    """The containers, of whatever state, that belong to no run."""
    wanted = {"label": [f"cronium.instance={parts.instance}"]}
    runs = {str(run_id) for (run_id,) in parts.sql("SELECT id FROM runs_run")}
    rows = parts.docker.containers(all=True, filters=wanted)
    return {row["Id"] for row in rows if row["Labels"]["cronium.run_id"] not in runs}


def check_awake(parts: Scaled, name: str) -> None:
    """Returns when the worker that was frozen leads its host again, or knows that another one does."""
    if name == "west":
        parts.until_hosts("east", "west")
    else:
        parts.until(lambda: "lost lease of host east" in parts.log_of("frozen").read_text(), 30)
