"""What is expected of jobs, on a real server: the judge speaks while no process fires schedules."""

from collections.abc import Callable

from tests.engine.server import Server, manage

# As another process that took the lease and hangs.
TAKE_LEASE = """
from datetime import timedelta
from cronium_admin.core.database.clock import Now
from cronium_admin.core.models import Lease
Lease.objects.update_or_create(name="schedules", defaults={"owner": "dead"})
Lease.objects.filter(name="schedules").update(owner="dead", lease_expires_at=Now() + timedelta(minutes=10))
"""
RELEASE = """
from cronium_admin.core.models import Lease
Lease.objects.filter(name="schedules").update(owner="", lease_expires_at=None)
"""


def test_a_schedule_that_no_process_fires(new_server: Callable[..., Server]) -> None:
    server = new_server(CRONIUM_CANARY="off")
    manage(server.env, "shell", "-c", TAKE_LEASE)
    server.start()
    try:
        slug = server.job("true", start_by=10)
        server.until(lambda: _is_watched(server, slug))
        schedule = server.call(
            "POST", f"/jobs/{slug}/schedules", {"name": "often", "rule": "*/5 * * * * *", "missed": "latest"}, 201
        )
        server.until(lambda: bool(_list_incidents(server, slug, "open")), 60)
        [incident] = _list_incidents(server, slug, "open")
        assert (incident["kind"], incident["schedule"], incident["run"]) == ("start_by", schedule["id"], None)
        assert "The schedule often has launched no run for" in incident["reason"]
        assert server.call("GET", f"/schedules/{schedule['id']}/occurrences")["items"] == []
        manage(server.env, "shell", "-c", RELEASE)
        server.until(lambda: not _list_incidents(server, slug, "open"), 60)
        closed = _list_incidents(server, slug, "closed")[-1]
        assert (closed["id"], closed["closing"]) == (incident["id"], "fulfilled")
        assert server.call("GET", f"/runs/{closed['closed_by']}")["started_at"] is not None
    finally:
        server.stop()
        server.sweep()


def _list_incidents(server: Server, slug: str, state: str) -> list[dict[str, object]]:
    return list(server.call("GET", f"/incidents?job={slug}&state={state}")["items"])


def _is_watched(server: Server, slug: str) -> bool:
    code = (
        f"from cronium_admin.expectations.models import Watch; print(Watch.objects.filter(job__slug={slug!r}).count())"
    )
    return manage(server.env, "shell", "-v0", "-c", code).strip() == "1"
