"""The input of a schedule as the form of its job's schema."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.test_input import SCHEMA
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_the_input_of_a_schedule_is_a_form(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true", name="Planned", slug="planned", input_schema=SCHEMA, input={"region": "us"})
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/schedules/new/")
    page.locator("#id_name").fill("nightly")
    page.locator("#id_rule").fill("0 2 * * *")
    root = page.locator("[data-typed-input]")
    expect(root.get_by_label("Region")).to_have_value("us")
    expect(root).to_contain_text("The job's input. A change gives the schedule an input of its own.")
    root.get_by_label("Region").select_option("eu")
    expect(root.get_by_label("City")).to_contain_text("Oslo")
    expect(root.locator("#field-region")).to_contain_text("Default: ")
    root.get_by_label("City").select_option("Rome")
    root.get_by_label("Batch").fill("900")
    expect(root.locator("#in-batch-error")).to_be_visible()
    expect(root.get_by_label("Batch")).to_be_focused()
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    root.get_by_label("Batch").fill("9")
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    [stored] = server.call("GET", f"/jobs/{slug}/schedules")["items"]
    assert stored["input"] == {"region": "eu", "city": "Rome", "batch": 9}
    page.goto(f"/schedules/{stored['id']}/edit/")
    root.get_by_role("button", name="JSON").click()
    expect(root.get_by_role("textbox", name="Input")).to_have_value(re.compile('"batch": 9'))
    root.get_by_role("button", name="Fields").click()
    root.get_by_role("button", name="Use the job's input").click()
    expect(root.get_by_label("Region")).to_have_value("us")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    assert server.call("GET", f"/schedules/{stored['id']}")["input"] is None
