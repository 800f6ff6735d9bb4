"""Attempts of a real server's runs."""

from datetime import datetime
from typing import Any

from tests.engine.server import Server

SCRIPT = """
tries=$(cronium_increment_variable tries)
echo "this is attempt $(cronium_event attempt)"
[ "$tries" -ge 3 ]
"""


def read_group(server: Server, slug: str) -> list[dict[str, Any]]:
    """Oldest first."""
    return list(server.call("GET", f"/runs?job={slug}")["items"])[::-1]


def test_a_job_that_fails_twice_succeeds_at_its_third_attempt(server: Server) -> None:
    retry = {"max": 3, "delay_seconds": 1, "backoff": "constant"}
    slug = server.job(SCRIPT, retry=retry)
    first = server.call("POST", f"/jobs/{slug}/runs", None, 202)
    server.until(lambda: [run["status"] for run in read_group(server, slug)][2:] == ["succeeded"], 90)
    runs = read_group(server, slug)
    assert [run["status"] for run in runs] == ["failed", "failed", "succeeded"]
    assert [(run["attempt"], run["retry_of"]) for run in runs] == [(1, None), (2, first["id"]), (3, first["id"])]
    for number, run in enumerate(runs, 1):
        assert server.text(run["id"]).decode().strip() == f"this is attempt {number}"
    for run in runs[1:]:
        assert datetime.fromisoformat(run["claimed_at"]) >= datetime.fromisoformat(run["not_before"])
