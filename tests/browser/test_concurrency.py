"""Concurrency in the browser: set in the editor, what a run waits behind, its start, and what a full limit does."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.job_editor import open_settings, save, save_and_show_settings
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import GATE, Server

LIMIT = "Runs at once, at most"


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    visitor = visit("edwin")
    visitor.allow("422")
    return visitor.page


def open_group(page: Page, slug: str) -> None:
    page.goto(f"/jobs/{slug}/edit/")
    open_settings(page)


def show_details(page: Page) -> None:
    """The tab of a run's page that has the timeline."""
    page.get_by_role("navigation", name="Run", exact=True).get_by_role("link", name="Details").click()
    expect(page.locator("#run-timeline")).to_be_visible()


def launch(page: Page, slug: str) -> str:
    """Presses Run; returns the address of the run's page."""
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-facts")).to_be_visible()
    return page.url


def test_the_key_is_tried_and_the_settings_are_saved(page: Page, server: Server) -> None:
    slug = server.job("true", input={"customer": {"id": "eu"}})
    open_group(page, slug)
    page.get_by_label(LIMIT).fill("0")
    page.get_by_label("For each value of").fill("customer.id")
    tries = page.locator(".key-tries")
    expect(tries).to_contain_text("For the input of this form the key is eu.")
    page.get_by_label("Input", exact=True).fill('{"customer": {"id": 7}}')
    expect(tries).to_contain_text("the key is 7.")
    page.get_by_label("For each value of").fill("length(customer.id)")
    expect(tries).to_contain_text("It can't be computed from the input of this form")
    page.get_by_label("For each value of").fill("customer.id")
    page.get_by_label("The oldest live run is cancelled").check()
    page.get_by_label("Priority").select_option("2 (low)")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#concurrency_limit-error")).to_contain_text("1 run or more")
    assert barriers(page) == []
    page.get_by_label(LIMIT).fill("2")
    save_and_show_settings(page)
    settings = page.get_by_role("region", name="Settings")
    expect(settings).to_contain_text("at most 2 at once for each customer.id; the oldest live run is cancelled")
    expect(settings).to_contain_text("2 (low)")


def test_two_runs_wait_behind_the_first(page: Page, server: Server) -> None:
    slug = server.job(GATE)
    open_group(page, slug)
    page.get_by_label(LIMIT).fill("1")
    save(page)
    first = launch(page, slug)
    expect(page.locator("#run-facts")).to_contain_text("Running")
    second, third = launch(page, slug), launch(page, slug)
    why = page.locator("#run-reason")
    expect(why).to_contain_text("The job runs at most 1 at once. It starts when #1 has ended.")
    expect(why).to_contain_text("It is number 2 in the queue.")
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    page.goto(f"/runs/?job={slug}")
    expect(page.get_by_text("The job runs at most 1 at once. It starts when #1 has ended.")).to_have_count(2)
    assert sideways(page) == 0
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(second)
    why.get_by_role("link", name=re.compile("#1$")).click()
    expect(page).to_have_url(first)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#run-facts")).to_contain_text("Cancelled")
    page.goto(second)
    expect(page.locator("#run-facts")).to_contain_text("Running")
    page.goto(third)
    expect(why).to_contain_text("It starts when #2 has ended.")
    expect(why).to_contain_text("It is number 1 in the queue.")
    for run in server.call("GET", f"/runs?job={slug}&status=live")["items"]:
        server.call("POST", f"/runs/{run['id']}/cancel")


@pytest.mark.parametrize(
    ("choice", "of_first", "of_second"),
    [
        ("The new run is not run", "Running", "Not run: the job runs at most 1 at once, and #1 was live."),
        ("The oldest live run is cancelled", "Cancel requested by run #2", "Cancelled #1: the job runs at most 1 at"),
    ],
)
def test_what_a_full_limit_does(page: Page, server: Server, choice: str, of_first: str, of_second: str) -> None:
    slug = server.job(GATE)
    open_group(page, slug)
    page.get_by_label(LIMIT).fill("1")
    page.get_by_label(choice).check()
    save(page)
    first = launch(page, slug)
    expect(page.locator("#run-facts")).to_contain_text("Running")
    launch(page, slug)
    show_details(page)
    expect(page.get_by_role("main")).to_contain_text(of_second)
    page.goto(first)
    show_details(page)
    expect(page.get_by_role("main")).to_contain_text(of_first)
    for run in server.call("GET", f"/runs?job={slug}&status=live")["items"]:
        server.call("POST", f"/runs/{run['id']}/cancel")
