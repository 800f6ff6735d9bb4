"""*Run with…* of a job that declares its input: in the dialog, from an old run, and for each of the people."""

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser import logview
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["region"],
    "additionalProperties": False,
    "properties": {
        "region": {"type": "string", "title": "Region", "oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us"}]},
        "city": {
            "type": "string",
            "title": "City",
            "x-cronium": {"choices": {"depends_on": "region", "cases": {"eu": ["Oslo", "Rome"], "us": ["Boston"]}}},
        },
        "batch": {"type": "integer", "title": "Batch", "minimum": 1, "maximum": 500, "default": 50},
        "orders": {"type": "object", "title": "Orders", "x-cronium": {"file": {"as": "text", "accept": [".csv"]}}},
        "dry_run": {"type": "boolean", "title": "Dry run", "default": True},
    },
}
SCRIPT = "cronium_input | jq -c ."


def test_a_form_from_the_schema_and_again_with_changes(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").page
    slug = server.job(SCRIPT, name="Deploy", slug="deploy", input_schema=SCHEMA)
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="Run with…").click()
    dialog = page.get_by_role("dialog")
    run = dialog.get_by_role("button", name="Run", exact=True)
    dialog.get_by_label("Batch").fill("many")
    dialog.get_by_label("Orders").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"1;2"})
    run.click()
    expect(dialog.locator("#in-batch-error")).to_have_text("Must be a whole number, not 'many'.")
    expect(dialog.get_by_label("Batch")).to_be_focused()
    expect(dialog.get_by_label("Batch")).to_have_value("many")
    expect(dialog.locator("#field-orders")).to_contain_text("a.csv")
    dialog.get_by_label("Batch").fill("7")
    run.click()
    expect(dialog.locator("#in-region-error")).to_have_text("Required: one of eu, us.")
    assert barriers(page) == []
    dialog.get_by_label("Region").select_option("eu")
    dialog.get_by_label("City").select_option("Rome")
    run.click()
    page.wait_for_url(re.compile("/runs/[0-9a-f]"))
    logview.expect_state(page, "Succeeded")
    text = '{"region":"eu","city":"Rome","batch":7,"orders":{"name":"a.csv","text":"1;2"},"dry_run":true}'
    expect(logview.text(page, 1)).to_have_text(text)

    page.locator("details.menu summary[aria-label='More actions']").click()
    page.get_by_role("link", name="Run again with changes…").click()
    expect(page.get_by_text(re.compile("Filled from run #1"))).to_be_visible()
    expect(page.locator("#field-batch")).to_contain_text("Default: 50")
    page.get_by_label("Batch").fill("8")
    expect(page.locator("#field-batch")).to_contain_text("Was: 7")
    assert barriers(page) == []
    page.get_by_role("button", name="JSON").click()
    expect(page.get_by_label("Input", exact=True)).to_have_value(re.compile('"batch": 8'))
    page.get_by_role("button", name="Fields").click()
    expect(page.get_by_label("Batch")).to_have_value("8")
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/runs/[0-9a-f]"))
    page.goto("/runs/?input.batch=8")
    expect(page.locator("#run-rows .params")).to_have_text(re.compile("region=eu · city=Rome · batch=8"))


def test_it_needs_no_script_and_a_viewer_is_refused(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job(SCRIPT, name="Plain deploy", slug="plain-deploy", input_schema=SCHEMA)
    page = visit("edwin", java_script_enabled=False).page
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="Run with…").click()
    page.get_by_label("Region").select_option("us")
    page.get_by_role("button", name="Update the choices").click()
    page.get_by_label("City").select_option("Boston")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile("/runs/[0-9a-f]"))
    viewer = visit("vera").allow("status of 403").page
    viewer.goto(f"/jobs/{slug}/")
    expect(viewer.get_by_role("heading", level=1)).to_have_text("Plain deploy")
    expect(viewer.get_by_role("link", name="Run with…")).to_have_count(0)
    answer = viewer.goto(f"/runs/launch/{slug}/")
    assert answer is not None
    assert answer.status == 403
    stranger = visit(None).page
    stranger.goto(f"/runs/launch/{slug}/")
    expect(stranger).to_have_url(re.compile("/sign-in/"))
