"""The builder of an input's fields in the job editor, and the input as the form that they make."""

import json
import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def _open_input(page: Page, slug: str) -> Locator:
    page.goto(f"/jobs/{slug}/edit/")
    page.locator("details.group > summary", has_text="Input").click()
    return page.locator("#schema-field")


def _get_row(builder: Locator, name: str) -> Locator:
    return builder.locator(f'li[data-field="{name}"]')


def _read_schema(page: Page) -> Any:
    return json.loads(page.locator("#id_input_schema_text").input_value())


def test_fields_are_built_by_keyboard_and_the_form_follows(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("cronium_input | jq -c .", name="Built", slug="built")
    page = visit("edwin").page
    builder = _open_input(page, slug)
    form = page.locator("[data-typed-fields]")
    builder.get_by_role("button", name="Add a field").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("region")
    row = _get_row(builder, "region")
    row.get_by_label("Kind").select_option("choice")
    expect(row.get_by_label("Kind")).to_be_focused()
    row.get_by_label("Choices", exact=True).fill("eu | Europe\nus | America")
    row.get_by_label("Required").check()
    expect(form.get_by_label("region")).to_contain_text("Europe")
    builder.get_by_role("button", name="Add a field").click()
    page.keyboard.type("batch")
    batch = _get_row(builder, "batch")
    batch.get_by_label("Kind").select_option("integer")
    batch.get_by_label("Maximum").fill("many")
    expect(batch.locator("[data-schema-key=maximum]")).to_contain_text("Must be a number")
    expect(batch.get_by_label("Maximum")).to_have_attribute("aria-invalid", "true")
    assert barriers(page) == []
    batch.get_by_label("Maximum").fill("500")
    expect(batch.locator(".err:visible")).to_have_count(0)
    page.get_by_role("button", name="Move up batch").press("Enter")
    assert list(_read_schema(page)["properties"]) == ["batch", "region"]
    form.get_by_label("region").select_option("us")
    form.get_by_label("batch").fill("7")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("Saved")
    stored = server.call("GET", f"/jobs/{slug}")
    assert stored["input"] == {"batch": 7, "region": "us"}
    assert stored["input_schema"] == {
        "type": "object",
        "properties": {
            "batch": {"type": "integer", "maximum": 500},
            "region": {
                "type": "string",
                "oneOf": [{"const": "eu", "title": "Europe"}, {"const": "us", "title": "America"}],
            },
        },
        "required": ["region"],
    }


def test_what_the_builder_does_not_know_stays_and_nothing_typed_is_lost(
    visit: Callable[..., Visitor], server: Server
) -> None:
    page = visit().allow("status of 422").page
    schema = {
        "type": "object",
        "properties": {
            "size": {"type": "integer", "exclusiveMinimum": 0, "title": "Size"},
            "day": {"type": "string", "format": "date"},
        },
    }
    slug = server.job("true", name="Kept", slug="kept", input_schema=schema)
    builder = _open_input(page, slug)
    size = _get_row(builder, "size")
    size.locator("summary").click()
    expect(size).to_contain_text("Also in the JSON, kept as it is: exclusiveMinimum.")
    size.get_by_label("Title").fill("Size in MB")
    size.get_by_label("Name").fill("day")
    expect(size).to_contain_text("Another field has this name, so it is still size.")
    size.get_by_label("Name").fill("my size")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#problems")).to_contain_text("Use a name of up to 60 letters")
    row = _get_row(builder, "my size")
    row.locator("summary").click()
    expect(row.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(row.get_by_label("Title")).to_have_value("Size in MB")
    row.get_by_label("Name").fill("size")
    page.get_by_role("button", name="Remove day").click()
    expect(builder.get_by_role("status")).to_have_text("The field day is removed.")
    builder.get_by_role("button", name="Undo").click()
    expect(_get_row(builder, "day")).to_be_visible()
    builder.get_by_role("button", name="JSON").click()
    builder.get_by_label("Schema of the input").fill("{")
    builder.get_by_role("button", name="Fields").click()
    expect(builder).to_contain_text("Shown as JSON. The JSON is not valid yet")
    expect(builder.get_by_label("Schema of the input")).to_have_value("{")
    schema["properties"]["size"]["title"] = "Size in MB"  # type: ignore[index]
    builder.get_by_label("Schema of the input").fill(json.dumps(schema))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#said")).to_contain_text("Saved")
    assert server.call("GET", f"/jobs/{slug}")["input_schema"] == schema
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0


def test_an_edit_of_the_form_is_in_the_try_that_follows_at_once(page: Page, server: Server) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
    slug = server.job("cronium_input | jq -c .", name="Tried", slug="tried-input", input_schema=schema, input={"n": 1})
    _open_input(page, slug)
    page.locator("[data-typed-fields]").get_by_label("city").fill("Oslo")
    page.get_by_role("button", name="Try without saving").click()
    expect(page.locator("#run-pane")).to_contain_text('{"n":1,"city":"Oslo"}', timeout=60_000)
    assert server.call("GET", f"/jobs/{slug}")["input"] == {"n": 1}
    expect(page.locator("#id_input_text")).to_have_value(re.compile('"city": "Oslo"'))


_DELAY_FIELDS = """() => {
  const send = window.fetch;
  window.fetch = async (address, options) => {
    if (String(address).includes("input-fields")) await new Promise((resolve) => setTimeout(resolve, 700));
    return send(address, options);
  };
}"""


def test_a_second_click_waits_for_the_fields_too(page: Page, server: Server) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    slug = server.job("cronium_input | jq -c .", name="Twice", slug="twice-input", input_schema=schema, input={"n": 1})
    _open_input(page, slug)
    field = page.locator("[data-typed-fields]").get_by_label("n")
    expect(field).to_have_value("1")
    page.evaluate(_DELAY_FIELDS)
    field.fill("2")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#run-pane")).to_contain_text('{"n":2}', timeout=60_000)
    assert server.call("GET", f"/jobs/{slug}")["revision"] == 2


def test_fields_that_the_server_can_not_write_hold_the_save(visit: Callable[..., Visitor], server: Server) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    slug = server.job("true", name="Held", slug="held-input", input_schema=schema, input={"n": 1})
    page = visit().allow("ERR_FAILED").page
    builder = _open_input(page, slug)
    field = page.locator("[data-typed-fields]").get_by_label("n")
    expect(field).to_have_value("1")
    page.route("**/runs/input-fields/", lambda route: route.abort())
    field.fill("2")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("Not saved. The fields of the input: No answer from the server.")
    expect(page.locator("#unsaved")).to_be_visible()
    page.unroute("**/runs/input-fields/")
    builder.get_by_role("button", name="JSON").click()
    area = builder.get_by_label("Schema of the input")
    area.fill(json.dumps({"type": "object", "properties": {"n": {"type": "integer", "minimum": "x"}}}))
    expect(builder).to_contain_text("Must be a number")
    field.fill("3")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("The schema has a problem.")
    area.fill(json.dumps(schema))
    expect(page.locator("#id_input_text")).to_have_value(re.compile('"n": 3'))
    expect(field).to_have_value("3")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("Saved")
    assert server.call("GET", f"/jobs/{slug}")["input"] == {"n": 3}
