"""Unsaved text of the form of a schedule survives a reload, the end of the session, and a server error."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.browser.test_pages import barriers
from tests.browser.visitor import Visitor, sign_in
from tests.engine.server import Server

RULE = "7 5 * * 1"


def open_form(page: Page, slug: str) -> None:
    page.goto(f"/jobs/{slug}/schedules/new/")
    page.get_by_label("Name", exact=True).fill("weekly")
    page.get_by_label("Rule", exact=True).fill(RULE)
    page.get_by_text("More settings").click()
    page.get_by_label("Blackout windows").fill("01:00-02:00 backup")
    expect(page.locator("#unsaved")).to_be_visible()
    expect(page.locator("#rule-words")).to_contain_text("At 05:07")


def restore(page: Page) -> None:
    expect(page.get_by_text("You have unsaved changes from before")).to_be_visible()
    expect(page.get_by_label("Rule", exact=True)).to_have_value("")
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_label("Rule", exact=True)).to_have_value(RULE)
    expect(page.get_by_label("Blackout windows")).to_be_visible()
    expect(page.get_by_label("Blackout windows")).to_have_value("01:00-02:00 backup")
    expect(page.locator("#rule-words")).to_contain_text("At 05:07")


def test_a_reload_offers_the_text_until_it_is_saved(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    page = visit("edwin").page
    open_form(page, slug)
    page.reload()
    assert barriers(page) == []
    restore(page)
    page.keyboard.press("Control+s")
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    page.goto(f"/jobs/{slug}/schedules/new/")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    expect(page.locator("#draft")).to_be_hidden()


def test_a_discarded_text_is_gone(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").page
    open_form(page, server.job("true"))
    page.reload()
    page.get_by_role("button", name="Discard").click()
    page.reload()
    expect(page.locator("#draft")).to_be_hidden()


def test_the_text_survives_the_end_of_the_session(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit("edwin")
    page = visitor.page
    open_form(page, server.job("true"))
    visitor.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Create schedule").click()
    expect(page).to_have_url(re.compile("/sign-in/"))
    sign_in(page, "edwin")
    expect(page).to_have_url(re.compile("/schedules/new/$"))
    restore(page)


def test_the_text_survives_a_server_error(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").allow("500", "status of 500").page
    open_form(page, server.job("true"))
    url = page.url

    def fail(route: Route) -> None:
        broken = '<!doctype html><html lang="en"><title>Error</title><body data-page="error">Error</body></html>'
        if route.request.method == "POST":
            route.fulfill(status=500, content_type="text/html", body=broken)
        else:
            route.continue_()

    page.route(url, fail)
    page.get_by_role("button", name="Create schedule").click()
    expect(page.locator("body")).to_have_text("Error")
    page.goto(url)
    restore(page)
