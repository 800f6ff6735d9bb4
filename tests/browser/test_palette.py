"""The palette and the keys of every page."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.engine.server import Server


def _open(page: Page, words: str) -> None:
    page.keyboard.press("Control+k")
    expect(page.locator("#palette input")).to_be_focused()
    page.keyboard.type(words)


def test_keys_alone_run_a_job_and_come_back_to_it(page: Page, server: Server) -> None:
    server.job("echo from the palette", name="Palette Nightly Import", slug="palette-import")
    page.goto("/variables/")
    _open(page, "run import nightly")
    entry = page.locator("#palette button.entry", has_text="Run Palette Nightly Import")
    expect(entry).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/"))
    _open(page, "nightly palette")
    expect(page.locator("#palette h3").first).to_have_text("Jobs")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/palette-import/")
    _open(page, "palette #1")
    page.keyboard.press("Enter")  # before the entries are there
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/"))


def test_what_matches_nothing_says_what_can_be_found(page: Page, server: Server) -> None:
    page.goto("/jobs/")
    _open(page, "no such <b>thing</b>")
    expect(page.locator("#palette .none")).to_contain_text("Nothing matches “no such <b>thing</b>”")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_a_viewer_is_offered_what_a_viewer_may_do(visit: Callable[..., Visitor], server: Server) -> None:
    server.job("echo", name="Seen by viewers", slug="seen-by-viewers")
    page = visit("vera").page
    page.goto("/palette/?q=run+seen+by+viewers")  # the page that works without script
    expect(page.locator(".main a.entry", has_text="Seen by viewers")).to_be_visible()
    expect(page.locator(".main button.entry")).to_have_count(0)
    page.goto("/palette/?q=new+job")
    expect(page.locator(".main .entry", has_text="New job")).to_have_count(0)


def test_letters_go_to_pages_but_not_from_a_field(page: Page, server: Server) -> None:
    page.goto("/variables/")
    page.keyboard.type("gr")
    page.wait_for_url("**/runs/")
    page.keyboard.type("?")
    expect(page.locator("#page-keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("gj")
    expect(page.locator("#top-search")).to_have_value("gj")
    assert page.url.endswith("/runs/")


def test_without_an_answer_it_says_why_and_shows_no_earlier_entries(visit: Callable[..., Visitor]) -> None:
    visitor = visit("edwin")
    visitor.allow("ERR_INTERNET_DISCONNECTED")
    page = visitor.page
    page.goto("/jobs/new/")  # a page that asks for nothing by itself
    _open(page, "variables")
    expect(page.locator("#palette a.entry").first).to_contain_text("Variables")
    visitor.context.set_offline(True)
    page.keyboard.type("x")
    expect(page.locator("#palette .none")).to_have_text(re.compile("^Not loaded: the server did not answer"))
    expect(page.locator("#palette .entry")).to_have_count(0)
    visitor.context.set_offline(False)
    visitor.context.clear_cookies(name="sessionid")
    page.keyboard.type("y")
    expect(page.locator("#palette .none")).to_have_text("You were signed out. Reload the page to sign in.")
