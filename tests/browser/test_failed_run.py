"""From a failed run to its cause and its fix: the clicks are counted."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

BROKEN = "rows = [1, 2]\n\n\ndef mean(rows):\n    return sum(rows) / len(rows)\n\n\nprint(mean(rows))\nmean([])\n"
FIXED = BROKEN.replace("len(rows)", "max(1, len(rows))")
WHY = "ZeroDivisionError: division by zero"


@pytest.fixture(scope="module")
def failed(server: Server) -> tuple[str, str]:
    """The slug of a job, and its failed run; the run before it succeeded."""
    slug = server.job("print('fine')\n", "python", name="Mean of rows")
    assert server.ended(server.launch(slug))["status"] == "succeeded"
    server.call("PATCH", f"/jobs/{slug}", {"script": BROKEN})
    run = server.ended(server.launch(slug))
    assert run["error"] == {"text": WHY, "line": run["log_lines"], "script_line": 5, "file": "script.py"}
    return slug, run["id"]


def test_why_last_night_failed_in_one_click(page: Page, failed: tuple[str, str]) -> None:
    page.goto("/")
    row = page.locator("tr", has_text="Mean of rows").filter(has_text="ZeroDivisionError").first
    row.get_by_role("link", name=re.compile("Log")).first.click()  # the only click
    banner = page.locator("#run-reason .failure")
    expect(banner).to_contain_text(WHY)
    expect(banner).to_contain_text("script.py line 5")
    expect(page.locator(".log-row.fault")).to_contain_text(WHY)


def test_fix_and_run_in_two(page: Page, server: Server, failed: tuple[str, str]) -> None:
    slug, run_id = failed
    page.goto(f"/runs/{run_id}/")
    page.get_by_role("link", name="Edit line 5").click()  # one
    expect(page).to_have_url(re.compile(r"/edit/#line-5$"))
    expect(page.locator(".cm-content")).to_contain_text("len(rows)")
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(FIXED)
    page.keyboard.press("Control+Enter")  # two
    server.until(lambda: server.call("GET", f"/runs?job={slug}")["items"][0]["number"] == 3)
    newest = server.call("GET", f"/runs?job={slug}")["items"][0]
    assert server.ended(newest["id"])["status"] == "succeeded"
    page.goto(f"/runs/{run_id}/")
    expect(page.locator("#run-reason")).to_contain_text("Line 5 was changed or removed in it.")
    expect(page.get_by_role("button", name=re.compile("Run newest"))).to_be_visible()
    page.goto(f"/jobs/{slug}/")
    expect(page.locator(".job-sentence")).to_contain_text("The last run succeeded")
    expect(page.locator("tr.change")).to_have_count(2)


def test_a_traceback_leads_to_the_line_of_the_script(page: Page, failed: tuple[str, str]) -> None:
    _, run_id = failed
    page.goto(f"/runs/{run_id}/")
    page.locator(".log-row a", has_text='script.py", line 9').click()
    expect(page).to_have_url(re.compile(rf"/runs/{run_id}/script/#line-9$"))
    expect(page.locator("#line-5.fault")).to_contain_text("return sum(rows)")
    expect(page.get_by_role("navigation", name="Run").locator("[aria-current]")).to_contain_text("Script")
    page.get_by_role("link", name=re.compile("Show in log")).click()
    expect(page.locator(".log-row.marked")).to_contain_text(WHY)


def test_keys_go_to_the_runs_before_and_after(page: Page, failed: tuple[str, str]) -> None:
    _, run_id = failed
    page.goto(f"/runs/{run_id}/")
    page.keyboard.press("[")
    expect(page.locator("h1")).to_contain_text("#1")
    page.keyboard.press("]")
    expect(page.locator("h1")).to_contain_text("#2")


def test_a_viewer_sees_why_and_no_act(visit: Callable[..., Visitor], failed: tuple[str, str]) -> None:
    slug, run_id = failed
    page = visit("vera").page
    page.goto(f"/runs/{run_id}/")
    expect(page.locator("#run-reason")).to_contain_text(WHY)
    for name in ("Edit", "Run", "Repeat", "Delete", "Restore"):
        expect(page.locator("main").get_by_role("button", name=re.compile(f"^{name}"))).to_have_count(0)
    expect(page.get_by_role("link", name=re.compile("^Edit"))).to_have_count(0)
    page.goto(f"/jobs/{slug}/history/?before=1&after=2")
    expect(page.locator(".diff-lines")).to_contain_text("return sum(rows)")
    expect(page.get_by_role("button", name=re.compile("^Restore"))).to_have_count(0)


def test_a_run_that_fails_while_it_is_watched(page: Page, server: Server) -> None:
    run_id = server.run("import time\ntime.sleep(3)\nraise ValueError('too late')\n", "python")
    page.goto(f"/runs/{run_id}/")
    banner = page.locator("#run-reason .failure")
    expect(banner).to_contain_text("ValueError: too late")
    expect(page.locator(".log-row.fault")).to_contain_text("ValueError: too late")
    expect(banner.get_by_role("link", name="Edit line 3")).to_be_visible()
    logview.expect_state(page, "Failed")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_the_tabs_have_no_barriers(
    visit: Callable[..., Visitor], failed: tuple[str, str], width: int, theme: str
) -> None:
    slug, run_id = failed
    page = visit(viewport={"width": width, "height": 900}, color_scheme=theme).page
    job_tabs = ("", "script/", "history/?before=1&after=2", "settings/", "use/")
    for path in (
        *(f"/runs/{run_id}/{tab}" for tab in ("", "script/", "details/")),
        *(f"/jobs/{slug}/{tab}" for tab in job_tabs),
    ):
        page.goto(path)
        page.locator("main h1").wait_for()
        assert barriers(page) == [], path
        assert sideways(page) == 0, path
