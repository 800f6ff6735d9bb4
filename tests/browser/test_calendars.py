"""A calendar of closed days is created with its live preview, and chosen for a schedule."""

import os
import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def shoot(page: Page, name: str) -> None:
    """For a look at the pages: CRONIUM_TEST_SHOTS names a folder."""
    if folder := os.environ.get("CRONIUM_TEST_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_a_calendar_is_created_and_chosen(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    page = visit("admin").page
    page.goto("/schedules/")
    page.get_by_role("link", name="Calendars").click()
    page.get_by_role("link", name="New calendar").first.click()
    page.get_by_label("Name", exact=True).fill("berlin")
    page.get_by_label("National holidays of").select_option("DE")
    days = page.locator("#preview")
    expect(days).to_contain_text("Christmas Day")
    page.get_by_label("State or region").fill("nowhere")
    expect(page.locator("#subdivision-error")).to_contain_text("Allowed are BB, BE")
    page.get_by_label("State or region").fill("BE")
    expect(days).to_contain_text("Women's Day")
    page.get_by_label("Closed dates").fill("24.12.")
    expect(page.locator("#dates-error")).to_contain_text("Write 2026-12-24 Christmas Eve")
    page.get_by_label("Closed dates").fill("2026-12-24 Christmas Eve\n2026-12-27 - 2026-12-31 Company holidays")
    expect(days).to_contain_text("Company holidays")
    expect(page.locator("#dates-error")).to_have_count(0)
    assert barriers(page) == []
    shoot(page, "form")
    page.get_by_role("button", name="Create calendar").click()
    page.wait_for_url(re.compile(r"/calendars/berlin/$"))
    expect(page.get_by_text("Closed each Saturday and Sunday.")).to_be_visible()
    assert barriers(page) == []
    shoot(page, "calendar")

    page.goto(f"/jobs/{slug}/schedules/new/")
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("Rule", exact=True).fill("0 9 * * 6")
    page.get_by_text("More settings").click()
    page.get_by_label("Calendar", exact=True).select_option("berlin")
    expect(page.locator("#rule-words")).to_contain_text("Not on closed days of the calendar berlin.")
    expect(page.locator("#rule-words")).to_contain_text("It never runs")
    page.get_by_label("Times of closed days").select_option("next_working_day")
    expect(page.locator("#preview")).to_contain_text("closed: Saturday (calendar berlin)")
    expect(page.locator("#preview .clock-note").first).to_contain_text("Moved from")
    expect(page.locator("#rule-words")).not_to_contain_text("It never runs")
    assert barriers(page) == []
    shoot(page, "schedule-form")
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    expect(page.locator(".rule-line")).to_contain_text("runs on the next open day")
    expect(page.get_by_role("link", name="berlin")).to_be_visible()
    shoot(page, "schedule")
    schedule = page.url
    page.goto("/calendars/berlin/delete/")
    expect(page.get_by_text("It can't be deleted while schedules use it.")).to_be_visible()
    expect(page.get_by_role("link", name="weekly")).to_be_visible()
    expect(page.get_by_role("button", name="Delete the calendar")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 844})
    for url in ("/calendars/", "/calendars/berlin/", "/calendars/berlin/edit/", schedule, f"{schedule}edit/"):
        page.goto(url)
        assert sideways(page) == 0, url
        shoot(page, f"phone-{url.strip('/').replace('/', '-')[-20:]}")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="dark")
    for url in ("/calendars/", "/calendars/berlin/edit/"):
        page.goto(url)
        shoot(page, f"dark-{url.strip('/').replace('/', '-')}")


def test_works_without_script(visit: Callable[..., Visitor]) -> None:
    page = visit("admin", java_script_enabled=False).page
    page.goto("/calendars/new/")
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_label("Closed dates").fill("2026-12-24 Christmas Eve")
    page.get_by_role("button", name="Update the days").click()
    expect(page.locator("#preview")).to_contain_text("Christmas Eve")
    page.get_by_role("button", name="Create calendar").click()
    page.wait_for_url(re.compile(r"/calendars/plain/$"))
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the calendar").click()
    page.wait_for_url(re.compile(r"/calendars/$"))
