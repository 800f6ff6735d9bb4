"""Retries in the browser: set in the editor, seen on the run page, ended by a cancel; and a launch for later."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.job_editor import open_settings, save_and_show_run
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_attempts_and_a_later_start(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("exit 3")
    visitor = visit("edwin", timezone_id="America/New_York")
    visitor.allow("422")
    page = visitor.page
    page.goto(f"/jobs/{slug}/edit/")
    open_settings(page)
    page.get_by_label("Further attempts after a run that did not succeed").fill("21")
    page.get_by_label("Always the same").check()
    page.get_by_label("Delay", exact=True).fill("3600")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#retry_max-error")).to_contain_text("20 further attempts at most")
    expect(page.get_by_label("Delay", exact=True)).to_have_value("3600")
    assert barriers(page) == []
    page.get_by_label("Further attempts after a run that did not succeed").fill("2")
    save_and_show_run(page)
    attempts = page.locator("#run-attempts")
    expect(attempts).to_contain_text(re.compile(r"Attempt 1 of 3.*exit code 3.*Queued.*starts", re.DOTALL))
    assert barriers(page) == []
    attempts.get_by_role("link", name=re.compile(r"#\d+")).click()
    expect(page.locator("#run-attempts h2")).to_have_text("Attempt 2 of 3")
    expect(page.locator("#run-reason")).to_contain_text("It waits until")
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#run-attempts")).to_contain_text("Cancelled")
    expect(page.locator("#run-attempts li")).to_have_count(2)
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="Run with…").click()
    expect(page.get_by_text("In the time zone America/New_York")).to_be_visible()
    year = int(page.evaluate("new Date().getFullYear()")) + 1
    page.get_by_label("Start at").fill(f"{year}-01-05T18:00")
    page.locator("#run-with").get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-facts")).to_contain_text(re.compile(rf"starts \w+ 5 Jan {year} 18:00"))
