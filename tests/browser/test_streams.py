"""The two streams in the editor and on the run page: the choice, the mark of an inexact order, the count of stderr."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import logview
from tests.browser.job_editor import open_settings, save_and_show_run
from tests.browser.visitor import Visitor
from tests.engine.server import Server

BOTH = "for n in 1 2 3; do echo out $n; echo err $n >&2; done"
GATED = "echo out; echo err >&2; until [ -e /tmp/go ]; do sleep 0.1; done; echo err 2 >&2; echo err 3 >&2"


def _mark(page: Page) -> Locator:
    return page.locator("[data-log=order]")


def test_the_editor_explains_and_stores_the_choice(page: Page, server: Server) -> None:
    page.goto(f"/jobs/{server.job(BOTH)}/edit/")
    open_settings(page)
    group = page.get_by_role("group", name="stdout and stderr")
    expect(group.get_by_role("radio", name="Separate")).to_be_checked()
    expect(group).to_contain_text("All lines appear in the exact order in which they were written, as stdout.")
    group.get_by_role("radio", name="Merged").check()
    save_and_show_run(page)
    expect(logview.status(page)).to_have_text("6 lines, complete")
    expect(page.get_by_text("merged into stdout, in exact order")).to_be_visible()
    expect(page.locator(".log-row .log-text")).to_have_text(
        [f"{word} {n}" for n in (1, 2, 3) for word in ("out", "err")]
    )
    expect(_mark(page)).to_be_hidden()
    expect(page.locator("[data-stream=stderr]")).to_have_text("stderr")


@pytest.mark.parametrize("width", [1440, 390])
def test_the_mark_and_the_count_come_while_the_run_goes_on(
    visit: Callable[..., Visitor], server: Server, width: int
) -> None:
    page = visit(viewport={"width": width, "height": 900}).page
    run_id = server.run(GATED)
    page.goto(f"/runs/{run_id}/")
    expect(_mark(page)).to_be_visible()
    expect(_mark(page)).to_have_text("stdout and stderr: order not exact")
    expect(page.get_by_role("button", name=re.compile(r"^stderr \(1\)$"))).to_be_visible()
    server.open_gate(run_id, "go")
    expect(page.get_by_role("button", name=re.compile(r"^stderr \(3\)$"))).to_be_visible()
    expect(logview.status(page)).to_have_text("4 lines, complete")
    digest = server.ended(run_id)["log_digest"]
    state = page.locator("[data-log=status]")
    expect(state).to_have_attribute("title", f"Every line is stored. SHA-256 of the log: {digest}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    foot, mark = page.locator(".log-foot").bounding_box(), _mark(page).bounding_box()
    assert foot
    assert mark
    assert mark["x"] >= foot["x"]
    assert mark["x"] + mark["width"] <= foot["x"] + foot["width"]
    page.reload()
    expect(_mark(page)).to_be_visible()
    expect(page.get_by_role("button", name=re.compile(r"^stderr \(3\)$"))).to_be_visible()
