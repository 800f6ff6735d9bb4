"""Checks in the browser: created, pinged, down, up again; and a job's expectation in the editor."""

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import expect

from tests.browser.job_editor import save_and_show_settings
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_a_check_from_its_first_ping_to_its_incident(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit("edwin")
    visitor.allow("status of 422")
    page = visitor.page
    page.goto("/checks/")
    page.get_by_role("link", name=re.compile("New check|Create the first check")).first.click()
    page.get_by_label("Name", exact=True).fill("mail backup")
    page.get_by_label("Period", exact=True).fill("0")
    page.get_by_role("button", name="Create check").click()
    expect(page.locator("#period-error")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_have_value("mail backup")
    page.get_by_label("Period", exact=True).fill("1")
    page.get_by_role("button", name="Create check").click()
    page.wait_for_url(re.compile(r"/checks/\d+/$"))
    expect(page.locator(".head .state")).to_have_text("New")
    url, page_url = str(page.locator("#ping-url").text_content()).strip(), page.url
    assert httpx.get(url).text == "OK"
    assert httpx.post(f"{url}/3", content=b"<b>disk full</b>").text == "OK"
    page.reload()
    expect(page.locator(".head .state")).to_have_text("Down")
    expect(page.locator("table.pings tbody tr").first).to_contain_text("exit code 3")
    page.locator("table.pings summary").first.click()
    expect(page.locator("table.pings pre").first).to_have_text("<b>disk full</b>")
    assert barriers(page) == []
    page.goto("/incidents/")
    expect(page.locator("table.incidents")).to_contain_text("reported a failure (exit code 3)")
    assert barriers(page) == []
    httpx.head(url)
    page.reload()
    expect(page.locator("main")).not_to_contain_text("mail backup")
    page.set_viewport_size({"width": 390, "height": 844})
    for each in (page_url, f"{page_url}edit/", "/checks/", "/incidents/?state=all"):
        page.goto(each)
        assert sideways(page) == 0, each


def test_a_job_says_what_is_expected(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    visitor = visit("edwin")
    visitor.allow("status of 422")
    page = visitor.page
    page.goto(f"/jobs/{slug}/edit/")
    page.get_by_text("Expected by", exact=True).click()
    page.get_by_label("Succeed at least every", exact=True).fill("30")
    page.get_by_label("Unit of Succeed at least every").select_option("seconds")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#succeed_every-error")).to_contain_text("60 seconds or more; this is 30.")
    page.get_by_label("Unit of Succeed at least every").select_option("hours")
    expect(save_and_show_settings(page)).to_contain_text(re.compile(r"Succeed at least every\s*30 h"))
    assert server.call("GET", f"/jobs/{slug}")["succeed_every"] == 30 * 3600
