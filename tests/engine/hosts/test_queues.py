"""Queues of several workers: which worker claims a run, unserved queues, draining, capacity, stopped workers."""

import signal
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest

from executor.sandbox.options import SIDECAR_LIMITS
from tests.engine.scaled import HELD, PASSWORD, Scaled, seconds_between

SOON = 2.0  # seconds: by its message, not by the sweep, which runs every five seconds


@pytest.fixture(scope="module")
def browser(cluster: Scaled) -> httpx.Client:
    """A browser, signed in as the administrator."""
    client = httpx.Client(base_url=cluster.url, follow_redirects=True, timeout=30)
    client.get("/sign-in/")
    form = {"username": "admin", "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    assert "Sign out" in client.post("/sign-in/", data=form, headers={"Referer": cluster.url}).text
    return client


def waiting(cluster: Scaled, run_id: str) -> dict[str, Any]:
    """The reason why the run waits, from the API."""
    return dict(cluster.call("GET", f"/runs/{run_id}/waiting"))


def check_taken_at_once(cluster: Scaled, host: str) -> None:
    """Runs one at a time, each after the previous one is cleaned up, because its end would wake the worker too."""
    waited = []
    for _ in range(3):
        run = cluster.ended(cluster.run("true"))
        cluster.cleaned(run["id"])
        assert run["host"] == host
        waited.append(seconds_between(run["created_at"], run["claimed_at"]))
    assert sorted(waited)[1] < SOON, waited  # the machine has other things to do, but not always


def test_a_queues_runs_go_only_where_it_is_served(cluster: Scaled) -> None:
    """While `two` is full of them, `one` claims none of them, although it is idle, and claims its own at once."""
    gpu = [cluster.run(HELD, queue="gpu") for _ in range(2)]
    for run_id in gpu:
        cluster.until_up(run_id)
    gpu.append(cluster.run("echo third", queue="gpu"))
    cluster.until(lambda: "two 2 of 2" in waiting(cluster, gpu[2])["why"])
    check_taken_at_once(cluster, "one")
    assert cluster.get(gpu[2])["status"] == "queued"
    cluster.let_go(*gpu[:2])
    assert {cluster.ended(run_id)["host"] for run_id in gpu} == {"two"}


def test_a_queue_that_nobody_serves_keeps_its_runs_and_says_so(cluster: Scaled, browser: httpx.Client) -> None:
    """Then a worker with little memory serves it: it never reserves more than its memory, although slots are free."""
    slug = cluster.job("sleep 1", queue="tpu", memory_mb=256)
    ids = [cluster.launch(slug) for _ in range(5)]
    (told,) = cluster.call("GET", "/hosts")["unserved"]
    assert (told["queue"], told["runs"]) == ("tpu", 5)
    why = waiting(cluster, ids[0])
    assert (why["queue"], why["runs"], why["stuck"]) == ("tpu", 5, True)
    for words in (told["why"], why["why"], browser.get("/hosts/").text):
        assert "manage.py worker --queues tpu" in words
    notice = browser.get(f"/hosts/waiting/{ids[0]}/").text
    assert "No host serves the queue tpu. The active hosts serve default, gpu, pair." in notice
    assert "5 runs of the queue" in notice
    assert {cluster.get(run_id)["status"] for run_id in ids} == {"queued"}

    room = {"CRONIUM_HOST_MEMORY_MB": "1100", "CRONIUM_MAX_CONCURRENT": "8"}
    cluster.start_worker("tight", "--queues", "tpu", **room)
    cluster.until(lambda: "It waits for free resources" in waiting(cluster, ids[4])["why"], 30)
    runs = [cluster.ended(run_id) for run_id in ids]
    assert {(run["status"], run["host"]) for run in runs} == {("succeeded", "tight")}
    each = 256 + SIDECAR_LIMITS.memory_bytes // 2**20
    assert most_at_once(runs) == 1100 // each == 2
    assert cluster.stop_worker("tight") == 0


def most_at_once(runs: list[dict[str, Any]]) -> int:
    """The largest number of runs that reserved memory at the same moment, on the database's clock."""
    steps = sorted([(run["claimed_at"], 1) for run in runs] + [(run["finished_at"], -1) for run in runs])
    held = most = 0
    for _, step in steps:
        held += step
        most = max(most, held)
    return most


def test_a_drained_host_ends_what_it_has_and_takes_nothing_until_it_is_resumed(cluster: Scaled) -> None:
    mine = cluster.held(queue="gpu")
    cluster.drain("two", True)
    waits = cluster.run("true", queue="gpu")  # at once: its worker need not have heard of it
    check_taken_at_once(cluster, "one")
    assert "host two is draining and takes no new runs" in waiting(cluster, waits)["why"]
    assert (cluster.host("two")["draining"], cluster.get(mine)["status"]) == (True, "running")
    cluster.let_go(mine)
    assert cluster.check_once(mine)["host"] == "two"
    cluster.cleaned(mine)
    time.sleep(1)
    assert cluster.get(waits)["status"] == "queued"
    cluster.drain("two", False)
    assert cluster.ended(waits)["host"] == "two"


def test_a_stopped_worker_lets_its_script_go_on_and_the_next_takes_it_over(
    cluster: Scaled, browser: httpx.Client
) -> None:
    run_id = cluster.held(queue="gpu")
    began = time.monotonic()
    assert cluster.stop_worker("two", signal.SIGTERM) == 0
    print(f"stopped within {time.monotonic() - began:.1f} s")
    assert cluster.container(run_id)["State"]["Running"]
    assert cluster.ended(cluster.run("true"))["host"] == "one"
    cluster.start_worker("two", "--queues", "default,gpu")
    cluster.until(lambda: "adopted" in cluster.kinds(run_id), 30)
    cluster.let_go(run_id)
    assert cluster.check_once(run_id, adopted=1)["host"] == "two"
    page = browser.get(f"/runs/{run_id}/details/").text
    timeline = page[page.index('<ol class="timeline">') :]
    told = [
        "Queued by admin",
        "Claimed by host two",
        "The script began",
        "the script continues",
        TAKEN_OVER,
        "exited with code 0",
    ]
    places = [timeline.index(words) for words in told]
    assert all(earlier < later for earlier, later in pairwise(places))


TAKEN_OVER = "Adopted by the new worker of host two: the previous worker was stopped and had released the run"
