"""Variables in the browser: created, edited, refused, edited concurrently, deleted, and set by a live run."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

EDITOR = ".cm-content"


@pytest.fixture
def shared(server: Server) -> Iterator[str]:
    """The URL of a shared variable with two changes."""
    for value in ({"rows": 40}, {"rows": 41, "names": ["é", None]}):
        server.call("PUT", "/variables/shared/report.last", {"value": value})
    yield "/variables/shared/report.last/"
    server.client.delete("/variables/shared/report.last")


def write(page: Page, text: str) -> None:
    page.locator(EDITOR).click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def stored(server: Server, name: str) -> object:
    return server.call("GET", f"/variables/shared/{name}")["value"]


def test_made_in_the_browser(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").page
    page.goto("/variables/")
    page.get_by_role("link", name="New variable").click()
    page.get_by_label("Name", exact=True).fill("made.here")
    write(page, '{"days": [1, 2],\n "é": null}')
    expect(page.locator("[data-json-hint]")).to_have_text("Valid JSON.")
    page.keyboard.press("Control+s")
    expect(page.get_by_role("status").filter(has_text="made.here is saved.")).to_be_visible()
    expect(page.locator('pre[aria-label="Value"]')).to_contain_text('"days": [')
    assert stored(server, "made.here") == {"days": [1, 2], "é": None}
    page.goto("/variables/?q=made")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("by edwin")
    server.client.delete("/variables/shared/made.here")


def test_bad_json_names_the_place_and_keeps_the_text(
    visit: Callable[..., Visitor], server: Server, shared: str
) -> None:
    visitor = visit().allow("status of 422", "dialog: beforeunload")
    page = visitor.page
    page.goto(shared + "edit/")
    write(page, '{\n  "rows": 40\n  "names": []\n}')
    expect(page.locator("[data-json-hint]")).to_contain_text("line 3, column 3")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#text-error")).to_contain_text("line 3, column 3")
    expect(page.locator(EDITOR)).to_be_focused()
    expect(page.locator(".cm-activeLine")).to_have_text('  "names": []')
    expect(page.locator(EDITOR)).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#id_text")).to_have_value('{\n  "rows": 40\n  "names": []\n}')
    assert barriers(page) == []
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.type(",")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(re.compile(shared + "$"))
    assert stored(server, "report.last") == {"rows": 40, "names": []}


def test_two_at_once_lose_nothing(visit: Callable[..., Visitor], server: Server, shared: str) -> None:
    page = visit().allow("status of 409", "dialog: beforeunload").page
    page.goto(shared + "edit/")
    write(page, '"mine"')
    server.call("PUT", "/variables/shared/report.last", {"value": "theirs"})
    page.get_by_role("button", name="Save").click()
    conflict = page.locator("#conflict")
    expect(conflict).to_contain_text("Not saved: it was changed while you edited it.")
    expect(page.locator('pre[aria-label="Current value"]')).to_have_text('"theirs"')
    expect(page.locator(EDITOR)).to_have_text('"mine"')
    assert stored(server, "report.last") == "theirs"
    assert barriers(page) == []
    page.get_by_role("button", name="Save my value").click()
    page.wait_for_url(re.compile(shared + "$"))
    assert stored(server, "report.last") == "mine"


def test_history_and_delete_by_keyboard(visit: Callable[..., Visitor], server: Server, shared: str) -> None:
    page = visit().page
    page.goto(shared)
    first = page.get_by_role("table").locator("tbody tr").first
    expect(first).to_contain_text('{"rows":40} → {"rows":41,"names":["é",null]}')
    expect(first).to_contain_text("admin")
    page.get_by_role("link", name="Delete…").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Delete report.last?")).to_be_visible()
    assert barriers(page) == []
    page.get_by_role("button", name="Delete the variable").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="The variable report.last is deleted.")).to_be_visible()
    assert server.client.get("/variables/shared/report.last").status_code == 404
    page.goto(shared)
    expect(page.get_by_role("table").locator("tbody tr").first).to_contain_text("deleted")


def test_leaving_keeps_a_draft(visit: Callable[..., Visitor], shared: str) -> None:
    page = visit().allow("dialog: beforeunload").page
    page.goto(shared + "edit/")
    write(page, '"half a thought"')
    expect(page.locator("#unsaved")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.wait_for_url(re.compile("/jobs/$"))
    page.goto(shared + "edit/")
    page.get_by_role("button", name="Restore").click()
    expect(page.locator(EDITOR)).to_have_text('"half a thought"')


def test_without_scripts_it_all_works(visit: Callable[..., Visitor], server: Server) -> None:
    visit("edwin")  # signs in, once and for all of these windows
    page = visit("edwin", java_script_enabled=False).page
    page.goto("/variables/new/")
    page.get_by_label("Name", exact=True).fill("no.script")
    page.get_by_label("Value", exact=True).fill("[1]")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Value", exact=True).fill("[2]")
    page.get_by_role("button", name="Save").click()
    assert stored(server, "no.script") == [2]
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete the variable").click()
    assert server.client.get("/variables/shared/no.script").status_code == 404


def test_a_viewer_looks_and_does_not_touch(visit: Callable[..., Visitor], shared: str) -> None:
    page = visit("vera").page
    page.goto(shared)
    expect(page.get_by_role("link", name="Download")).to_be_visible()
    for name in ("Edit", "Delete…"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)


HANDS_ON = """
import cronium
print('at work', flush=True)
gate('first')
cronium.set_condition(False)
cronium.output({'rows': 40})
gate('second')
cronium.set_condition(True)
cronium.output(['x' * 1000] * 5000)
gate('third')
"""


def test_output_and_condition_follow_a_live_run(visit: Callable[..., Visitor], server: Server, tmp_path: Path) -> None:
    page = visit().page
    run_id = server.run(python(HANDS_ON), "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.row(page, 1)).to_have_text(re.compile("at work"))
    outcome = page.locator("#run-outcome")
    expect(outcome).to_be_hidden()
    open_gate(server, run_id, "first")
    expect(outcome.get_by_label("Output")).to_contain_text('"rows": 40')
    expect(outcome).to_contain_text("false")
    assert server.get(run_id)["status"] == "running"
    open_gate(server, run_id, "second")
    expect(outcome.get_by_text("Show the output")).to_be_visible()
    expect(outcome).to_contain_text("true")
    outcome.get_by_text("Show the output").click()
    expect(outcome).to_contain_text("The first 20000 characters")
    assert barriers(page) == []
    assert sideways(page) == 0
    with page.expect_download() as download:
        outcome.get_by_role("link", name="Download JSON").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert json.loads(file.read_text()) == ["x" * 1000] * 5000
    open_gate(server, run_id, "third")
    logview.expect_state(page, "Succeeded")
    expect(outcome.get_by_label("Output")).to_be_visible()
