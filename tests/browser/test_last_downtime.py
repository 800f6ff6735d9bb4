"""After a downtime: the list names it, the page says what was missed, and runs the rest on request."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.test_ledger import add_time, make_schedule
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server, manage

DOWN = """
from datetime import timedelta
from django.utils import timezone
from cronium_admin.schedules.models import Heartbeat, Occurrence
now = timezone.now()
hour = now.replace(minute=0, second=0, microsecond=0)
Heartbeat.objects.filter(pk=1).update(down_from=now - timedelta(hours=4), down_until=now)
for row in Occurrence.objects.filter(schedule=SCHEDULE):  # other tests have rows too
    row.nominal_at, row.last_nominal_at = hour - timedelta(hours=2), hour
    row.save()
"""


def test_missed_times_run_on_request(visit: Callable[..., Visitor], server: Server) -> None:
    schedule = make_schedule(server, missed="none")
    reason = "Cronium did not run from 2026-11-26 00:30 UTC to 2026-11-26 05:45 UTC; the policy is none"
    add_time(
        server, schedule, "2026-11-26T01:00Z", "missed", last_nominal_at="2026-11-26T03:00Z", count=3, reason=reason
    )
    manage(server.env, "shell", "-c", DOWN.replace("SCHEDULE", str(schedule)))
    page = visit("edwin").page
    page.goto("/schedules/")
    expect(page.get_by_text("Cronium did not run from")).to_be_visible()
    page.get_by_role("link", name="What was missed").click()
    row = page.locator("tbody tr")
    expect(row).to_contain_text("Missed")
    expect(row).to_contain_text("are not run")
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    assert barriers(page) == []
    page.get_by_role("button", name="Run the chosen missed times").click()
    expect(page.get_by_text("Choose at least one schedule.")).to_be_visible()
    page.get_by_label("3 times").focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Run the chosen missed times").click()
    expect(page.get_by_text("3 missed times run now, of 1 schedule.")).to_be_visible()
    expect(page.get_by_text("nothing left")).to_be_visible()
    watcher = visit("vera").page
    watcher.goto("/schedules/downtime/")
    expect(watcher.get_by_text("Caught up")).to_be_visible()
    expect(watcher.get_by_role("button", name="Run the chosen missed times")).to_have_count(0)
