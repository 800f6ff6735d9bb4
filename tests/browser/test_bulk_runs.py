"""The list of runs: acts on many runs, that a refresh keeps what is chosen, and who may what."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.scripts import python
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_failed_runs_are_repeated_once_for_two_clicks(page: Page, server: Server) -> None:
    slug = server.job("exit 3", name="Often fails", slug="often-fails")
    runs = [server.launch(slug) for _ in range(3)]
    for run in runs:
        server.ended(run)
    page.goto(f"/runs/?job={slug}")
    bar = page.locator("#bulk-form")
    expect(bar).to_be_hidden()
    page.get_by_label("Choose Often fails #1", exact=True).check()
    page.locator(f"#run-{runs[1]}").focus()
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 runs chosen")
    with page.expect_response(re.compile("/runs/rows/")):
        pass
    expect(page.locator(f"#pick-{runs[0]}")).to_be_checked()
    expect(page.locator(f"#run-{runs[1]}")).to_be_focused()
    bar.get_by_label("What to do").select_option("rerun_failed")
    bar.get_by_role("button", name="Continue…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Run 2 runs again?")
    page.get_by_role("button", name="Run 2 runs again").dblclick()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 runs launched")
    page.get_by_role("link", name="Show the new runs").click()
    expect(page.locator("#run-rows tr")).to_have_count(2)
    assert len(server.call("GET", f"/runs?job={slug}")["items"]) == 5


def test_an_operator_cancels_at_390_pixels(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job(python('print("at work")\ngate("never")'), "python", name="Endless", slug="endless")
    runs = [server.launch(slug) for _ in range(2)]
    page = visit("edwin", viewport={"width": 390, "height": 844}).page
    page.goto(f"/runs/?job={slug}&status=live")
    page.get_by_label("Choose Endless #1", exact=True).check()
    bar = page.locator("#bulk-form")
    bar.get_by_label("What to do").select_option("cancel")
    bar.get_by_role("button", name="Continue…").click()
    page.get_by_role("button", name="Cancel 1 run").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 run cancelled")
    assert server.ended(runs[0])["status"] == "cancelled"
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#run-rows tr")).to_have_count(1)
    server.cancel(runs[1])


def test_a_viewer_has_no_boxes(visit: Callable[..., Visitor], server: Server) -> None:
    server.ended(server.launch(server.job("true", name="Seen only", slug="seen-only")))
    page = visit("vera").page
    page.goto("/runs/?job=seen-only")
    expect(page.locator("#run-rows tr")).to_have_count(1)
    expect(page.locator(".pick, [data-pick-all], #bulk-form")).to_have_count(0)
