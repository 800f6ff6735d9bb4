"""Schedules in the browser: created with the live preview, edited, disabled and enabled, and one that fires."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

TIMES = "#preview table.times tbody tr"


def create(page: Page, slug: str, name: str, rule: str) -> None:
    page.goto(f"/jobs/{slug}/schedules/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Rule", exact=True).fill(rule)


def test_created_and_edited_with_the_live_preview(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    page = visit("edwin", timezone_id="America/New_York").page
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="New schedule").click()
    page.get_by_label("Name", exact=True).fill("monthly check")
    page.get_by_label("Rule", exact=True).fill("61 2 * * *")
    expect(page.locator("#rule-error")).to_contain_text("61")
    page.get_by_label("Rule", exact=True).fill("30 2 * * 0L")
    page.get_by_label("Time zone", exact=True).fill("Europe/Berlin")
    expect(page.locator("#rule-words")).to_contain_text("At 02:30, on the last Sunday of the month (Europe/Berlin).")
    expect(page.locator(TIMES).filter(has=page.locator("strong"))).to_have_count(10)
    expect(page.locator(TIMES).first).to_contain_text(re.compile(r"02:30 CES?T.*20:30 GMT-5", re.DOTALL))
    expect(page.locator("#preview")).to_contain_text("Moved: 02:30 does not exist on this day")
    expect(page.locator("#rule-error")).to_have_count(0)
    assert barriers(page) == []
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    expect(page.get_by_role("status").filter(has_text="monthly check is saved.")).to_be_visible()
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_label("Rule", exact=True).fill("30 2 * * 0")
    effects = page.locator("#preview table.effects")
    expect(effects).to_contain_text("on the last Sunday of the month")
    expect(effects).to_contain_text("At 02:30, on Sundays (Europe/Berlin).")
    expect(effects).to_contain_text("Nothing of the past is run.")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".rule-line")).to_have_text("At 02:30, on Sundays (Europe/Berlin).")
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("None while it is disabled")).to_be_visible()
    page.get_by_role("button", name="Enable").click()
    expect(page.get_by_role("status").filter(has_text="Nothing of the past is run.")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    for url in (page.url, f"{page.url}edit/", "/schedules/", f"/jobs/{slug}/"):
        page.goto(url)
        assert sideways(page) == 0, url
    page.goto(f"/jobs/{slug}/")
    expect(page.locator("#job-schedules")).to_contain_text("monthly check")


def test_works_without_script(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin", java_script_enabled=False).page
    create(page, server.job("true"), "hourly", "0 * * * *")
    page.get_by_role("button", name="Show times").click()
    expect(page.locator(TIMES)).to_have_count(10)
    expect(page.get_by_label("Name", exact=True)).to_have_value("hourly")
    page.get_by_role("button", name="Create schedule").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete the schedule").click()
    expect(page.get_by_text("The schedule hourly is deleted.")).to_be_visible()


def test_a_run_is_in_the_ledger(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").page
    create(page, server.job("true"), "each second", "* * * * * *")
    expect(page.locator("#rule-words")).to_contain_text("second")
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    ran = page.locator("table.ledger tbody tr").filter(has=page.locator(".s-ran, .s-late"))
    server.until(lambda: page.reload() and ran.count() > 0, 60)
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("None while it is disabled")).to_be_visible()
    run_id = str(ran.last.locator("a").get_attribute("href")).split("/")[2]
    assert server.ended(run_id)["trigger"] == "schedule"
    page.reload()
    expect(ran.last).to_contain_text("#1")
    expect(ran.last).to_contain_text("Succeeded")
    page.get_by_role("link", name="Only what differs").click()
    expect(page.locator("table.ledger .s-ran")).to_have_count(0)
