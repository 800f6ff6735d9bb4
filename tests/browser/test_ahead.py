"""The times ahead in the browser: a year as a calendar, on the form and on the page of a schedule."""

import os
import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.test_pages import barriers, examine, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def photograph(page: Page, name: str) -> None:
    if folder := os.environ.get("CRONIUM_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_a_year_ahead(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").page
    page.goto(f"/jobs/{server.job('true')}/schedules/new/")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_label("Time zone", exact=True).fill("Europe/Berlin")
    page.get_by_label("Rule", exact=True).fill("0 3 * * 1-5")
    year = page.locator("#year")
    expect(year.locator("table.month")).to_have_count(13)
    expect(year.locator("td .tip")).to_have_count(366)
    weekend = year.locator("td", has_text=re.compile(r"^\d+Sat")).first
    expect(weekend).to_have_class("l-none")
    expect(weekend).to_contain_text("no run")
    # Live: another rule shades other days.
    page.get_by_label("Rule", exact=True).fill("*/10 * * * *")
    expect(year.locator("td.l-many")).not_to_have_count(0)
    expect(year.locator("td.m-clock")).to_have_count(2)
    page.get_by_text("More settings").click()
    page.get_by_label("Blackout windows").fill("sat 00:00-24:00 quiet")
    closed = year.locator("td.m-closed").first
    expect(closed).to_contain_text("no run; 144 times do not run: blackout sat 00:00-24:00 quiet")
    closed.hover()
    assert (closed.locator(".tip").bounding_box() or {"height": 0})["height"] > 10
    # The calendar is not in the part that screen readers read out after each change.
    expect(page.locator("[aria-live] #year")).to_have_count(0)
    photograph(page, "year-form-light")
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    expect(page.locator("#year table.month")).to_have_count(13)
    page.get_by_text("marked days in words").click()
    expect(page.locator(".marked-days li").first).to_be_visible()
    examine(page)
    photograph(page, "year-page-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    photograph(page, "year-page-phone-dark")
    page.goto(f"{page.url}edit/")
    expect(page.locator("#year table.month")).to_have_count(13)
    assert sideways(page) == 0
    photograph(page, "year-form-phone-dark")


def test_a_week_ahead(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    for number in range(6):
        rule = {"name": f"report {number}", "rule": "0 2 * * *", "timezone": "Europe/Berlin"}
        server.call("POST", f"/jobs/{slug}/schedules", rule, 201)
    server.call("POST", f"/jobs/{slug}/schedules", {"name": "hourly", "rule": "30 * * * *"}, 201)
    page = visit("edwin").page
    page.goto("/schedules/")
    page.get_by_role("link", name="A week ahead").click()
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.heat tbody tr")).to_have_count(7)
    cell = page.locator("table.heat tbody tr").nth(2).locator("td").nth(2)
    expect(cell).to_contain_text(re.compile(r"02:00: \d+ runs start"))
    cell.hover()
    assert (cell.locator(".tip").bounding_box() or {"height": 0})["height"] > 10
    herd = page.locator("details.herd", has_text="report 5")
    expect(herd.locator("summary")).to_contain_text("6 runs start at once in the queue default")
    photograph(page, "week-light")
    examine(page)
    photograph(page, "week-dark")
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    photograph(page, "week-phone-dark")
    page.set_viewport_size({"width": 1440, "height": 900})
    herd.locator(".btn").first.click()
    expect(page.get_by_label("Rule", exact=True)).to_have_value("H 2 * * *")
    expect(page.locator("#preview table.effects")).to_contain_text("At 02:00")
    expect(page.locator("#herd-hint")).to_have_text("")
    page.get_by_label("Rule", exact=True).fill("0 2 * * *")
    expect(page.locator("#herd-hint")).to_contain_text("it starts together with 5 other schedules")
    assert barriers(page) == []
    photograph(page, "week-hint-dark")
