"""The run page tells about the end of a run with a notification of the browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

WAITS_AND_FAILS = python("""
    print("at work")
    gate("go")
    raise KeyError("seat")
""")
# A browser without a desktop shows nothing, so the page's calls are recorded.
RECORD = """window.told = [];
window.Notification = class {
  static permission = "PERMISSION";
  static async requestPermission() { return this.permission = ANSWER; }
  constructor(title, more) { told.push([title, more.body, more.tag]); }
  addEventListener() {}
};"""


Visit = Callable[..., Visitor]


def _open(visit: Visit, permission: str, answer: str = "") -> Visitor:
    visitor = visit("vera")
    script = RECORD.replace("PERMISSION", permission).replace("ANSWER", f'"{answer or permission}"')
    visitor.context.add_init_script(script)
    return visitor


@pytest.mark.parametrize("part", ["", "details/"])
def test_a_viewer_is_told_once_and_with_the_reason(visit: Visit, server: Server, part: str) -> None:
    run_id = server.launch(server.job(WAITS_AND_FAILS, "python", name="Seats"))
    page = _open(visit, "granted").page
    page.goto(f"/runs/{run_id}/{part}")
    button = page.get_by_role("button", name="Tell me when it ends")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    open_gate(server, run_id)
    expect(button).to_have_count(0, timeout=60_000)
    page.wait_for_timeout(100)  # the notice comes after the page's other parts
    title, text, tag = page.evaluate("told")[0]
    assert re.match(r"Failed · Seats #\d+$", title), title
    assert "KeyError: 'seat'" in text
    assert run_id in tag
    page.reload()
    expect(page.locator("#run-reason")).to_contain_text("KeyError")
    assert page.evaluate("told") == []


def test_who_did_not_ask_is_not_told(visit: Visit, server: Server) -> None:
    run_id = server.launch(server.job(WAITS_AND_FAILS, "python", name="Quiet"))
    page = _open(visit, "granted").page
    page.goto(f"/runs/{run_id}/")
    button = page.get_by_role("button", name="Tell me when it ends")
    button.click()
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    open_gate(server, run_id)
    expect(button).to_have_count(0, timeout=60_000)
    assert page.evaluate("told") == []


def test_a_browser_that_blocks_notifications_says_so_after_a_click(visit: Visit, server: Server) -> None:
    run_id = server.launch(server.job(WAITS_AND_FAILS, "python", name="Blocked"))
    page = _open(visit, "default", "denied").page
    page.goto(f"/runs/{run_id}/")
    page.get_by_role("button", name="Tell me when it ends").click()
    button = page.get_by_role("button", name="Notifications are blocked in this browser")
    expect(button).to_have_attribute("aria-pressed", "false")
    never = _open(visit, "denied").page
    never.goto(f"/runs/{run_id}/")
    expect(never.get_by_role("heading", level=1)).to_contain_text("Blocked")
    expect(never.locator("[data-tell-end]")).to_be_hidden()
    open_gate(server, run_id)
    expect(button).to_have_count(0, timeout=60_000)
    assert page.evaluate("told") == []
