"""Checks and formatting in the job editor, changes that are discarded, and the settings of an earlier revision."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.job_editor import save
from tests.browser.test_editor import write
from tests.browser.test_pages import barriers
from tests.browser.visitor import Visitor
from tests.engine.server import Server

BAD = 'for f in $(ls); do\n  echo "$f"\ndone\n'


def find_problems(page: Page) -> Locator:
    return page.get_by_role("region", name="Problems of the script")


def wait_for_linter(page: Page) -> None:
    """The host reports its images some seconds after its start."""
    for _ in range(20):
        page.get_by_role("button", name="Check", exact=False).first.click()
        status = find_problems(page).get_by_role("status")
        expect(status).to_have_text(re.compile("problem|Not checked: "), timeout=30_000)
        if "Not checked" not in status.inner_text():
            return
        page.wait_for_timeout(1000)


def test_problems_appear_after_a_save_and_go_when_they_are_mended(
    visit: Callable[..., Visitor], server: Server
) -> None:
    slug = server.job("true\n")
    page = visit("edwin").allow("dialog: beforeunload").page
    page.goto(f"/jobs/{slug}/edit/")
    problems = find_problems(page)
    expect(problems).to_contain_text("Not checked yet.")
    wait_for_linter(page)
    expect(problems).to_contain_text("No problems found.")
    write(page, BAD)
    save(page)
    expect(problems.get_by_role("status")).to_have_text("1 problem in the text")
    expect(page.locator(".cm-lintRange-error")).to_have_text("$(ls)")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    expect(problems.get_by_role("link", name="SC2045, the page of shellcheck")).to_have_attribute(
        "href", "https://www.shellcheck.net/wiki/SC2045"
    )
    assert barriers(page) == []
    problems.get_by_role("button", name="Error line 1 Iterating over ls output is fragile").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".cm-content")).to_be_focused()
    page.keyboard.insert_text("*")
    expect(page.locator("#id_script")).to_have_value(BAD.replace("$(ls)", "*"))
    expect(problems).to_contain_text("The text was changed since.")
    page.keyboard.press("Shift+Alt+c")
    expect(problems.get_by_role("status")).to_have_text("No problems found.")
    page.goto(f"/jobs/{slug}/script/")
    page.get_by_text("1 problem in this text").click()
    expect(page.get_by_role("link", name="line 1")).to_be_visible()
    page.goto(f"/jobs/{slug}/edit/")
    expect(find_problems(page).get_by_role("listitem")).to_have_count(1)


def test_formatting_is_one_step_and_keeps_the_cursor(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true\n")
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    wait_for_linter(page)
    before, after = "if true;then\necho one\nfi", "if true; then\n  echo one\nfi\n"
    write(page, before)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("End")
    page.keyboard.press("Shift+Alt+f")
    script = page.locator("#id_script")
    expect(script).to_have_value(after)
    page.keyboard.press("Control+z")
    expect(script).to_have_value(before)
    page.keyboard.press("Control+y")
    page.keyboard.insert_text(" two")
    expect(script).to_have_value(after.replace("one", "one two"))

    page.get_by_label("Format on save").check()
    write(page, before)
    save(page)
    assert server.call("GET", f"/jobs/{slug}")["script"] == after
    page.reload()
    expect(page.get_by_label("Format on save")).to_be_checked()
    page.locator("label", has=page.locator('input[name="language"][value="node"]')).click()
    expect(page.get_by_role("button", name="Format")).to_be_disabled()


def test_what_is_typed_meanwhile_is_kept(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true\n")
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    held: list[Route] = []
    page.route("**/api/v1/scripts/format", lambda route: held.append(route))
    write(page, "if true;then\necho one\nfi")
    page.get_by_role("button", name="Format").click()
    expect(find_problems(page).get_by_role("status")).to_have_text("Formatting…")
    page.locator(".cm-content").press("Control+End")
    page.keyboard.insert_text("\necho more")
    held[0].fulfill(json={"state": "done", "message": "", "formatted": "lost\n"})
    expect(find_problems(page)).to_contain_text("Not formatted: the text was changed meanwhile.")
    expect(page.locator("#id_script")).to_have_value("if true;then\necho one\nfi\necho more")


def test_a_save_waits_for_no_check(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true\n")
    visitor = visit("edwin")
    page = visitor.page
    page.goto(f"/jobs/{slug}/edit/")
    held: list[Route] = []
    page.route("**/api/v1/scripts/*", lambda route: held.append(route))
    write(page, BAD)
    save(page)
    expect(find_problems(page)).to_contain_text("Checking…")
    held[0].fulfill(json={"state": "unavailable", "message": "No host has the image.", "problems": [], "more": False})
    expect(find_problems(page)).to_contain_text("Not checked: No host has the image.")
    page.get_by_label("Format on save").check()
    write(page, f"{BAD}# more\n")
    visitor.allow("Failed to load resource", "net::ERR_FAILED")
    save(page)  # there is no answer yet
    assert server.call("GET", f"/jobs/{slug}")["script"] == f"{BAD}# more\n"
    for route in held[1:]:
        route.abort()


def test_changes_are_discarded_after_a_question(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo one\n")
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/#line-1")
    discard = page.get_by_role("button", name="Discard…", exact=True)
    expect(discard).to_be_hidden()
    write(page, "echo two")
    page.get_by_label("Timeout", exact=True).fill("99")
    discard.click()
    dialog = page.get_by_role("dialog")
    assert barriers(page) == []
    dialog.get_by_role("button", name="Keep editing").click()
    expect(page.locator("#id_script")).to_have_value("echo two")
    discard.click()
    dialog.get_by_role("button", name="Discard the changes").click()
    expect(page.locator("#id_script")).to_have_value("echo one\n")
    expect(page.locator("#unsaved")).to_be_hidden()
    expect(page.locator("#draft")).to_be_hidden()
    expect(page.get_by_label("Timeout", exact=True)).not_to_have_value("99")


def test_text_and_settings_of_a_revision_are_taken(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo one", timeout_seconds=61, env={"A": "1"})
    server.call("PATCH", f"/jobs/{slug}", {"script": "echo two", "timeout_seconds": 62, "env": {"B": "2"}})
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    page.get_by_role("button", name="Changes").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("All settings are the same.")
    dialog.get_by_label("against").select_option("1")
    expect(dialog).to_contain_text(re.compile(r"Settings that differ: (Environment, Timeout|Timeout, Environment)\."))
    assert barriers(page) == []
    dialog.get_by_role("button", name="Take text and settings of revision 1").click()
    expect(page.locator("#id_script")).to_have_value("echo one")
    expect(page.get_by_label("Timeout", exact=True)).to_have_value("61")
    expect(page.locator("#starter-offer")).to_be_hidden()
    save(page)
    stored = server.call("GET", f"/jobs/{slug}")
    assert [stored[name] for name in ("script", "timeout_seconds", "env", "revision")] == [
        "echo one",
        61,
        {"A": "1"},
        3,
    ]
    page.goto(f"/jobs/{slug}/history/?before=2&after=3")
    page.get_by_role("link", name="Open revision 2 in the editor").click()
    expect(page.locator("#id_script")).to_have_value("echo two")
    expect(page.get_by_label("Timeout", exact=True)).to_have_value("62")
    expect(page.locator("#unsaved")).to_be_visible()
