"""Beside and below the script in the job editor: helpers, secrets, limits, changes and conflicts."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.job_editor import open_settings, save
from tests.browser.test_editor import write, write_more
from tests.browser.test_pages import barriers
from tests.browser.visitor import Visitor
from tests.engine.server import Server

USES = 'import os\nprint(os.environ["EDITOR_KEY"], os.environ["EDITOR_REGION"])\n'


def name_used(page: Page, name: str) -> str:
    return page.locator("#names-used li", has_text=name).inner_text()


def test_a_new_secret_is_given_to_the_job_in_three_clicks(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job(USES, "python", env={"EDITOR_REGION": "north"})
    page = visit().page
    page.goto(f"/jobs/{slug}/edit/")
    expect(page.locator("#names-missing")).to_have_text("1")
    page.get_by_role("button", name="Helpers").click()  # 1
    assert "missing" in name_used(page, "EDITOR_KEY")
    assert "variable of this job" in name_used(page, "EDITOR_REGION")
    assert barriers(page) == []
    page.get_by_role("button", name="New secret…").click()  # 2
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Name of the secret")).to_have_value("EDITOR_KEY")
    expect(dialog.get_by_label("Value")).to_be_focused()
    page.keyboard.insert_text("value-of-the-key")
    assert barriers(page) == []
    dialog.get_by_role("button", name="Store and give to the job").click()  # 3
    expect(page.locator("#names-used")).to_contain_text("secret of this job")
    expect(page.locator("#names-missing")).to_have_text("")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_have_text("Saved, revision 2.")
    assert server.call("GET", f"/jobs/{slug}")["secrets"] == ["EDITOR_KEY"]
    assert "value-of-the-key" not in page.content()


def test_an_editor_adds_what_is_missing_and_inserts_helpers(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").allow("dialog: beforeunload").page
    page.goto(f"/jobs/{server.job('print(1)', 'python')}/edit/")
    page.get_by_role("button", name="Helpers").click()
    expect(page.locator("#names-used")).to_contain_text("names no environment variable")
    page.get_by_role("button", name="Insert set_variable").click()
    expect(page.locator("#id_script")).to_have_value(re.compile(r"^import cronium\ncronium\.set_variable\("))
    expect(page.locator("#names-used")).to_contain_text("last_day")
    write(page, USES)
    expect(page.locator("#names-used")).to_contain_text("EDITOR_REGION")
    expect(page.get_by_role("button", name="New secret…")).to_have_count(0)
    page.locator("#names-used li", has_text="EDITOR_REGION").get_by_role("button", name="Add variable").click()
    expect(page.get_by_label("Variable name")).to_have_value("EDITOR_REGION")
    expect(page.get_by_label("Variable value")).to_be_focused()


def test_limits_and_closed_groups_say_their_values(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true")
    server.ended(server.launch(slug))
    page = visit("edwin").allow("dialog: beforeunload").page
    page.goto(f"/jobs/{slug}/edit/")
    limits = page.locator("#effective-limits")
    expect(limits).to_have_text("Each run gets at most 0.5 CPU, 512 MB, 100 processes, 50 MB log.")
    expect(page.get_by_text(re.compile(r"The last run took"))).to_be_visible()
    expect(page.locator('[data-summary="network"]')).to_have_text("isolated")
    page.locator(".choice", has_text="medium").click()
    expect(limits).to_contain_text("1 CPU, 1 GB, 250 processes")
    page.locator("summary", has_text="Limits").click()
    page.get_by_label("Memory MB").fill("700")
    expect(limits).to_contain_text("1 CPU, 700 MB (own), 250 processes")
    page.get_by_label("Memory MB").fill("999999")
    expect(limits).to_contain_text("Not allowed: 999,999 MB")
    page.get_by_label("Memory MB").fill("700")
    page.locator("summary", has_text="Limits").click()
    expect(page.locator('[data-summary="limits"]')).to_have_text("700 MB")


def test_changes_against_any_revision_and_back(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo one")
    server.call("PATCH", f"/jobs/{slug}", {"script": "echo two"})
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    changes = page.get_by_role("button", name="Changes")
    expect(changes).to_have_text(re.compile(r"^\s*Changes\s*$"))
    write_more(page, "\necho three")
    expect(changes).to_contain_text("+1")
    changes.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".cm-changedLine")).to_have_text("echo three")
    assert barriers(page) == []
    dialog.get_by_label("against").select_option("1")
    expect(dialog.locator(".cm-deletedChunk")).to_contain_text("echo one")
    dialog.get_by_role("button", name="Take the text of revision 1").click()
    expect(page.locator("#id_script")).to_have_value("echo one")
    page.keyboard.press("Control+z")
    expect(page.locator("#id_script")).to_have_value("echo two\necho three")
    page.keyboard.press("Control+y")
    save(page)
    assert server.call("GET", f"/jobs/{slug}")["script"] == "echo one"


def test_of_two_editors_neither_loses_a_text(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo one")
    page = visit("edwin").allow("status of 409").page
    page.goto(f"/jobs/{slug}/edit/")
    server.call("PATCH", f"/jobs/{slug}", {"script": "echo theirs"})
    write(page, "echo mine")
    page.keyboard.press("Control+s")
    conflict = page.locator("#conflict")
    expect(conflict).to_contain_text("admin saved revision 2 while you edited this job")
    assert barriers(page) == []
    conflict.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("dialog").locator(".cm-deletedChunk")).to_contain_text("echo theirs")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    conflict.get_by_role("link", name="Take theirs").click()
    expect(page.locator("#id_script")).to_have_value("echo theirs")
    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#id_script")).to_have_value("echo mine")
    save(page)
    assert server.call("GET", f"/jobs/{slug}")["script"] == "echo mine"

    server.call("PATCH", f"/jobs/{slug}", {"script": "echo theirs again"})
    write(page, "echo mine again")
    page.keyboard.press("Control+s")
    conflict.get_by_role("button", name="Save mine over it").click()
    expect(page.locator("#said")).to_have_text("Saved, revision 5.")
    expect(conflict).to_have_count(0)
    assert server.call("GET", f"/jobs/{slug}")["script"] == "echo mine again"


def test_own_text_in_another_language_asks(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit("edwin").allow("dialog: beforeunload").page
    page.goto(f"/jobs/{server.job('echo mine')}/edit/")
    page.locator("label", has=page.locator('input[name="language"][value="node"]')).click()
    page.get_by_role("button", name="Keep the text").click()
    expect(page.locator("#starter-offer")).to_be_hidden()
    expect(page.locator("#id_script")).to_have_value("echo mine")
    page.locator("label", has=page.locator('input[name="language"][value="python"]')).click()
    page.get_by_role("button", name="Take the Python example").click()
    expect(page.locator("#id_script")).to_have_value(re.compile("Hello from Python"))


def test_settings_are_readable_on_a_phone(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit(viewport={"width": 390, "height": 844}).page
    page.goto(f"/jobs/{server.job('echo one')}/edit/")
    open_settings(page)
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
