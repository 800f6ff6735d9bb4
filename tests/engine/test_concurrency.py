"""The limit of a job and its key with containers: how many run, which wait, and what a full limit does."""

from itertools import pairwise
from typing import Any

import pytest

from tests.engine.server import GATE, Server


def make_limited(server: Server, script: str = GATE, **setting: Any) -> str:
    slug = server.job(script)
    server.call("PATCH", f"/jobs/{slug}", {"concurrency": {"limit": 1, **setting}})
    return slug


def until_running(server: Server, run_id: str) -> None:
    server.until(lambda: server.get(run_id)["status"] == "running")


def read_wait(server: Server, run_id: str) -> dict[str, Any]:
    return dict(server.call("GET", f"/runs/{run_id}/waiting"))


def test_a_limit_of_each_key(server: Server) -> None:
    """The first of each key runs; the second starts when it has ended, and one that is cancelled gives way."""
    slug = make_limited(server, key="customer.id")
    ids = [server.launch(slug, {"input": {"customer": {"id": key}}}) for key in ("eu", "us", "eu", "eu")]
    first, other, second, third = ids
    for run_id in (first, other):
        until_running(server, run_id)
    assert [server.get(run_id)["concurrency_key"] for run_id in ids] == ["eu", "us", "eu", "eu"]
    for run_id, position in ((second, 1), (third, 2)):
        why = read_wait(server, run_id)
        assert why["why"] == "The job runs at most 1 at once for the key eu. It starts when #1 has ended."
        assert [run["id"] for run in why["behind"]] == [first]
        assert why["position"] == position
    server.open_gate(other)
    assert server.ended(other)["status"] == "succeeded"
    assert [server.get(run_id)["status"] for run_id in (second, third)] == ["queued", "queued"]
    server.cancel(first)
    until_running(server, second)
    assert server.get(first)["status"] == "cancelled"
    assert server.get(third)["status"] == "queued"
    server.open_gate(second)
    until_running(server, third)
    server.open_gate(third)
    assert server.ended(third)["status"] == "succeeded"
    spans = [(run["started_at"], run["finished_at"]) for run in map(server.get, (first, second, third))]
    assert spans == sorted(spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "never two at once"


@pytest.mark.parametrize("when_full", ["skip", "cancel_oldest"])
def test_a_full_limit(server: Server, when_full: str) -> None:
    slug = make_limited(server, when_full=when_full)
    first = server.launch(slug)
    until_running(server, first)
    second = server.launch(slug)
    if when_full == "skip":
        skipped = server.get(second)
        assert (skipped["status"], skipped["reason"]) == ("cancelled", "concurrency_skipped")
        assert skipped["message"] == "Not run: the job runs at most 1 at once, and #1 was live."
        server.open_gate(first)
        assert server.ended(first)["status"] == "succeeded"
    else:
        assert server.ended(first)["status"] == "cancelled"
        until_running(server, second)
        server.open_gate(second)
        assert server.ended(second)["status"] == "succeeded"


def test_the_highest_priority_starts_next(server: Server) -> None:
    slug = make_limited(server)
    first = server.launch(slug)
    until_running(server, first)
    low, high = server.launch(slug, {"priority": 1}), server.launch(slug, {"priority": 5})
    assert read_wait(server, low)["why"].endswith("1 run with a higher priority is before it.")
    server.open_gate(first)
    until_running(server, high)
    assert server.get(low)["status"] == "queued"
    for run_id in (low, high):
        server.cancel(run_id)
