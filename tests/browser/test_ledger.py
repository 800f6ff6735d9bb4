"""The ledger of a schedule in the browser: it changes by itself, holds still under the pointer, and opens rows."""

import json
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server, manage

ROWS = "#ledger tr[id]"


def make_schedule(server: Server, **values: object) -> int:
    body = {"name": "each hour", "rule": "0 * * * *", "enabled": False, **values}
    return int(server.call("POST", f"/jobs/{server.job('true')}/schedules", body, 201)["id"])


def add_time(server: Server, schedule: int, at: str, state: str, **values: object) -> None:
    values = {"state": state, "rule_number": 1, "nominal_at": at, "last_nominal_at": at, **values}
    lines = [
        "import json",
        "from cronium_admin.schedules.models import Occurrence",
        f"Occurrence.objects.create(schedule_id={schedule}, **json.loads({json.dumps(values)!r}))",
    ]
    manage(server.env, "shell", "-c", "\n".join(lines))


def leave(page: Page) -> None:
    page.mouse.move(5, 5)


def test_rows_hold_still_under_the_pointer(visit: Callable[..., Visitor], server: Server) -> None:
    schedule = make_schedule(server)
    add_time(server, schedule, "2026-11-26T01:00Z", "ran")
    page = visit("edwin").page
    page.goto(f"/schedules/{schedule}/")
    leave(page)
    expect(page.locator(ROWS)).to_have_count(1)
    add_time(server, schedule, "2026-11-26T02:00Z", "overlapped", reason="The run #1 was running")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(page.locator(".tally")).to_contain_text("2")
    page.locator(ROWS).first.hover()
    add_time(server, schedule, "2026-11-26T03:00Z", "ran")
    button = page.get_by_role("button", name="Show new times")
    expect(button).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="There are new times.")).to_be_attached()
    expect(page.locator(ROWS)).to_have_count(2)
    assert barriers(page) == []
    leave(page)
    expect(page.locator(ROWS)).to_have_count(3)
    expect(button).to_be_hidden()


def test_the_button_shows_new_times_although_a_row_is_open(visit: Callable[..., Visitor], server: Server) -> None:
    schedule = make_schedule(server)
    add_time(server, schedule, "2026-11-26T01:00Z", "missed", last_nominal_at="2026-11-26T05:00Z", count=5)
    page = visit("edwin").page
    page.goto(f"/schedules/{schedule}/")
    leave(page)
    summary = page.locator("details.singles summary")
    summary.focus()
    page.keyboard.press("Enter")
    times = page.locator(".single-times li")
    expect(times).to_have_count(5)
    expect(times.first).to_have_text("Thu 26 Nov 2026 05:00 UTC")
    assert barriers(page) == []
    page.locator("body").click(position={"x": 5, "y": 5})
    add_time(server, schedule, "2026-11-26T06:00Z", "ran")
    button = page.get_by_role("button", name="Show new times")
    expect(button).to_be_visible()
    expect(times).to_have_count(5)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(ROWS)).to_have_count(2)
    expect(button).to_be_hidden()


def test_counters_filter_by_keyboard_and_on_a_phone(visit: Callable[..., Visitor], server: Server) -> None:
    schedule = make_schedule(server, enabled=True)
    add_time(server, schedule, "2026-11-25T01:00Z", "ran")
    add_time(server, schedule, "2026-11-26T01:00Z", "missed", reason="Cronium did not run")
    page = visit("edwin", viewport={"width": 390, "height": 844}).page
    page.goto(f"/schedules/{schedule}/")
    assert sideways(page) == 0
    expect(page.locator("#ledger tr.day")).to_have_count(3)
    missed = page.locator(".tally a").filter(has_text="Missed")
    missed.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**state=missed**")
    expect(page.locator(ROWS)).to_have_count(1)
    expect(page.locator(".tally [aria-current]")).to_contain_text("Missed")
    assert barriers(page) == []
    page.get_by_role("link", name="30 days").click()
    page.wait_for_url("**state=missed&period=30d**")
    assert sideways(page) == 0


def test_single_times_without_script(visit: Callable[..., Visitor], server: Server) -> None:
    schedule = make_schedule(server)
    add_time(server, schedule, "2026-11-26T01:00Z", "missed", last_nominal_at="2026-11-26T05:00Z", count=5)
    page = visit("vera", java_script_enabled=False).page
    page.goto(f"/schedules/{schedule}/")
    page.locator("details.singles summary").click()
    page.get_by_role("link", name="Show the single times").click()
    expect(page.locator(".single-times li")).to_have_count(5)
