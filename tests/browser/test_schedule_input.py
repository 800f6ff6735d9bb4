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


def test_a_schedule_is_filled_from_a_run(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true", name="Refilled", slug="refilled", input_schema=SCHEMA, input={"region": "us"})
    server.ended(server.launch(slug, {"input": {"region": "eu", "city": "Rome", "batch": 7}}))
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/schedules/new/")
    page.locator("#id_name").fill("nightly")
    page.locator("#id_rule").fill("0 2 * * *")
    root = page.locator("[data-typed-input]")
    root.get_by_label("Fill from run").fill("9")
    page.keyboard.press("Enter")
    expect(root.locator("[data-run-fill-said]")).to_have_text("This job has no run '9'.")
    expect(root.get_by_label("Region")).to_have_value("us")
    root.get_by_role("button", name="Last run").click()
    expect(root.get_by_label("City")).to_have_value("Rome")
    expect(root.locator("[data-run-fill-said]")).to_have_text("Filled from run #1. 3 values marked as different.")
    expect(root.locator("#field-region")).to_contain_text("Default: ")
    root.get_by_label("Batch").fill("8")
    expect(root.locator("#field-batch")).to_contain_text("Was: 7")
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    page.get_by_role("button", name="Create schedule").click()
    page.wait_for_url(re.compile(r"/schedules/\d+/$"))
    [stored] = server.call("GET", f"/jobs/{slug}/schedules")["items"]
    assert stored["input"] == {"region": "eu", "city": "Rome", "batch": 8, "dry_run": True}


def test_a_try_is_filled_from_a_run(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("cronium_input", name="Retried", slug="retried-input")
    server.ended(server.launch(slug, {"input": {"day": "2027-01-31"}}))
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    page.locator("summary", has=page.get_by_text("Input", exact=True)).click()
    page.get_by_label("Fill from run").fill("1")
    page.get_by_role("button", name="Fill in").click()
    expect(page.get_by_label("Input", exact=True)).to_have_value(re.compile("2027-01-31"))
    expect(page.locator("#unsaved")).to_be_visible()
    page.get_by_role("button", name="Try without saving").click()
    expect(page.locator("#run-pane")).to_contain_text("2027-01-31")
    assert server.call("GET", f"/jobs/{slug}")["input"] is None
