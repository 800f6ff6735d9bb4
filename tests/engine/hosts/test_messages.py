"""Wake-up messages are only hints: a lost one costs a delay, and fifty duplicates change nothing."""

import pytest
from celery import Celery

from cronium_admin.celery import make_broadcast_queue
from cronium_admin.core.wakeup import WAKEUP_TASK
from tests.engine.scaled import HELD, Scaled, seconds_between


@pytest.fixture(scope="module")
def sender(cluster: Scaled) -> Celery:
    """Sends messages as Cronium's processes do."""
    return Celery("sender", broker=cluster.env["CRONIUM_REDIS_URL"])


def send(sender: Celery, run_id: str, times: int = 50) -> None:
    """Sends to all workers, by their queue and by their host names."""
    for name in ("default", "host.one", "host.two"):
        to = make_broadcast_queue(name)
        for _ in range(times):
            sender.send_task(WAKEUP_TASK, args=[run_id], queue=to, declare=[to.exchange])


def test_runs_whose_message_was_lost_are_found_by_the_sweep(cluster: Scaled) -> None:
    """The runs are queued in a queue without a worker; then an UPDATE moves them to a served queue."""
    slug = cluster.job("true", queue="nowhere")
    ids = [cluster.launch(slug) for _ in range(3)]
    query = "UPDATE runs_run SET queue = 'default' WHERE id = ANY(%s::uuid[]) RETURNING clock_timestamp()"
    moved = cluster.sql(query, ids)[0][0].isoformat()
    found = [seconds_between(moved, cluster.ended(one)["claimed_at"]) for one in ids]
    print("found after", *(f"{seconds:.1f} s" for seconds in found))
    assert max(found) < 20  # the sweep runs every five seconds


def test_a_broker_that_forgets_everything_loses_no_run(cluster: Scaled) -> None:
    """The broker is emptied and its connections are cut, immediately before and after a launch."""
    slug = cluster.job("true")
    for _ in range(3):
        forget(cluster)
        run_id = cluster.launch(slug)
        forget(cluster)
        run = cluster.ended(run_id)
        assert run["status"] == "succeeded"
        assert seconds_between(run["created_at"], run["claimed_at"]) < 20  # with the sweep at the latest


def forget(cluster: Scaled) -> None:
    cluster.redis.flushdb()
    for client in cluster.redis.client_list():
        if client["db"] == str(cluster.place) and client["cmd"] != "client|list":
            cluster.redis.client_kill_filter(_id=client["id"])


def test_a_message_that_comes_fifty_times_changes_nothing(cluster: Scaled, sender: Celery) -> None:
    queued = cluster.run("true", queue="nowhere")
    send(sender, queued)
    slug = cluster.job(HELD, timeout_seconds=300)
    run_id = cluster.launch(slug)
    send(sender, run_id)  # while it is claimed and built
    cluster.until_up(run_id)
    send(sender, run_id)
    cluster.let_go(run_id)
    cluster.check_once(run_id)
    ended = cluster.get(run_id) | {"trace": None}  # it grows when the containers are removed
    send(sender, run_id)
    assert cluster.ended(cluster.run("true"))["status"] == "succeeded"  # the worker got the messages and continues
    assert cluster.get(run_id) | {"trace": None} == ended
    assert cluster.call("GET", f"/variables/{slug}/started")["value"] == 1
    assert cluster.kinds(queued) == ["queued"]
    cluster.cancel(queued)
