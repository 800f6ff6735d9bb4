"""The job editor: errors are shown beside their fields, and no input is lost."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.job_editor import open_settings, save_and_show_settings
from tests.browser.test_pages import barriers
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def write(page: Page, text: str) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def add_variable(page: Page, name: str, value: str) -> None:
    page.get_by_role("button", name="Add variable").click()
    page.locator("#env-rows").get_by_label("Variable name").last.fill(name)
    page.locator("#env-rows").get_by_label("Variable value").last.fill(value)


def test_errors_stand_beside_their_fields_and_keep_what_was_typed(
    visit: Callable[..., Visitor], server: Server
) -> None:
    page = visit().allow("status of 422").page
    before = len(server.call("GET", "/jobs")["items"])
    page.goto("/jobs/new/")
    open_settings(page)
    page.get_by_label("Name", exact=True).fill("Full of errors")
    page.locator("label", has=page.locator('input[name="language"][value="bash"]')).click()
    write(page, "echo kept\n  # and its blanks  ")
    add_variable(page, "GOOD", "one")
    add_variable(page, "PATH", "/mine")
    page.get_by_label("Image", exact=True).select_option("Another image…")
    page.get_by_label("Name of the image").fill("some image")
    page.get_by_label("Timeout", exact=True).fill("0")
    page.get_by_label("Input", exact=True).fill('{"day": ')
    expect(page.locator("#input-hint")).to_contain_text("Not valid JSON yet")
    page.get_by_role("button", name="Save", exact=True).click()

    summary = page.locator("#problems")
    expect(summary).to_contain_text("Not saved")
    for label in ("Environment", "Image", "Timeout", "Input"):
        expect(summary.locator("li", has_text=re.compile(f"^{label}: "))).to_have_count(1)
    expect(page.locator("#env-error")).to_contain_text("PATH")
    expect(page.locator("#image-error")).to_be_visible()
    expect(page.locator("#timeout_seconds-error")).to_contain_text("1")
    expect(page.locator("#input_text-error")).to_be_visible()
    for field in ("id_image", "id_timeout_seconds", "id_input_text"):
        expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")

    expect(page.locator("#id_script")).to_have_value("echo kept\n  # and its blanks  ")
    expect(page.locator('input[name="language"][value="bash"]')).to_be_checked()
    names = page.locator("#env-rows").get_by_label("Variable name")
    values = page.locator("#env-rows").get_by_label("Variable value")
    assert [names.nth(at).input_value() for at in range(names.count())] == ["GOOD", "PATH"]
    assert [values.nth(at).input_value() for at in range(values.count())] == ["one", "/mine"]
    expect(page.get_by_label("Name of the image")).to_have_value("some image")
    expect(page.get_by_label("Input", exact=True)).to_have_value('{"day": ')

    summary.get_by_role("link", name=re.compile("^Timeout")).click()
    expect(page.locator("#id_timeout_seconds")).to_be_focused()
    assert len(server.call("GET", "/jobs")["items"]) == before


def test_leaving_with_unsaved_text_asks_and_the_text_can_be_brought_back(visit: Callable[..., Visitor]) -> None:
    visitor = visit().allow("dialog: beforeunload")
    page = visitor.page
    page.goto("/jobs/new/")
    page.get_by_role("link", name="Profiles").click()
    expect(page).to_have_url(re.compile("/profiles/"))
    assert visitor.dialogs == []  # nothing was typed

    page.goto("/jobs/new/")
    write(page, "print('half a thought')")
    expect(page.locator("#unsaved")).to_be_visible()
    visitor.accept_dialogs = False
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Profiles").click()
    expect(page.locator(".cm-content")).to_contain_text("half a thought")
    assert visitor.dialogs == ["beforeunload"]
    expect(page).to_have_url(re.compile("/jobs/new/"))

    visitor.accept_dialogs = True
    page.get_by_role("link", name="Profiles").click()
    expect(page).to_have_url(re.compile("/profiles/"))
    page.goto("/jobs/new/")
    page.get_by_role("button", name="Restore").click()
    expect(page.locator(".cm-content")).to_contain_text("half a thought")


def test_a_full_log_is_dropped_or_stops_the_run_as_the_job_says(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().allow("status of 422").page
    page.goto("/jobs/new/")
    page.get_by_label("Name", exact=True).fill("Talks too much")
    limit, drop = page.get_by_label("Log limit"), page.get_by_role("radio", name="Drop the rest")
    expect(limit).to_be_hidden()
    page.locator("summary", has_text="Limits").click()
    expect(page.get_by_role("radio", name="Stop the run")).to_be_checked()
    expect(page.get_by_role("group", name="When the log is full")).to_contain_text("Dropped output is counted.")
    drop.check()
    limit.fill("2000")
    page.get_by_role("button", name="Save", exact=True).click()

    page.locator("#problems").get_by_role("link", name=re.compile("^Log limit")).click()
    expect(limit).to_be_focused()
    expect(page.locator("#log_limit_mb-error")).to_contain_text("1,000 MB of log")
    expect(drop).to_be_checked()
    limit.fill("7")
    expect(save_and_show_settings(page)).to_contain_text("7 MB, the rest is dropped")
    job = server.call("GET", "/jobs/talks-too-much")
    assert (job["log_limit_mb"], job["on_log_limit"]) == (7, "drop")


def test_another_language_keeps_the_text_and_replaces_only_a_starter(visit: Callable[..., Visitor]) -> None:
    visitor = visit().allow("dialog: beforeunload")
    page = visitor.page
    page.goto("/jobs/new/")
    open_settings(page)
    starter = page.locator("#id_script").input_value()
    page.locator("label", has=page.locator('input[name="language"][value="node"]')).click()
    expect(page.locator('[data-image-for="node"]')).to_be_visible()
    assert page.locator("#id_script").input_value() not in ("", starter)
    expect(page.locator('[data-image-for="python"]')).to_be_hidden()

    write(page, "mine = 1  // mine")
    page.locator("label", has=page.locator('input[name="language"][value="bash"]')).click()
    expect(page.locator('[data-image-for="bash"]')).to_be_visible()
    expect(page.locator("#id_script")).to_have_value("mine = 1  // mine")
    expect(page.locator(".cm-content")).to_have_text("mine = 1  // mine")


def test_saving_stores_what_was_typed(page: Page, server: Server) -> None:
    page.goto("/jobs/new/")
    open_settings(page)
    page.get_by_label("Name", exact=True).fill("Stored as typed")
    write(page, "print('ä <b>')\n\n")
    add_variable(page, "REGION", "north & west\nsecond line")
    page.get_by_label("Input", exact=True).fill('{"day": [0, false, null]}')
    page.get_by_label("Tags", exact=True).fill("nightly billing")
    page.keyboard.press("Control+s")
    expect(page).to_have_url(re.compile("/jobs/stored-as-typed/edit/"))
    job = server.call("GET", "/jobs/stored-as-typed")
    assert job["script"] == "print('ä <b>')\n\n"
    assert job["env"] == {"REGION": "north & west\nsecond line"}
    assert job["input"] == {"day": [0, False, None]}
    assert job["tags"] == ["nightly", "billing"]


def write_more(page: Page, text: str) -> None:
    page.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text(text)


def test_saves_and_runs_without_leaving_the_editor(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo first", "bash")
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/")
    page.evaluate("window.isSamePage = true")
    write_more(page, "\necho second")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_have_text("Saved, revision 2.")
    expect(page.locator("#unsaved")).to_be_hidden()
    write_more(page, "\nwhile [ ! -e /tmp/go ]; do sleep 0.1; done")
    page.keyboard.press("Control+Enter")
    pane = page.get_by_role("region", name="Run", exact=True)
    expect(pane.locator(".log-row .log-text")).to_have_text(["first", "second"])
    expect(pane).to_contain_text("revision 3")
    assert barriers(page) == []
    cancel = page.get_by_role("button", name="Cancel the run")
    expect(page.get_by_role("button", name="Save and run")).to_be_hidden()
    cancel.click()
    expect(pane).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Save and run")).to_be_visible()
    assert page.evaluate("window.isSamePage") is True
    page.reload()
    expect(pane.locator(".log-row .log-text")).to_have_text(["first", "second"])
    separator = page.get_by_role("separator", name="Height of the run")
    height = int(str(separator.get_attribute("aria-valuenow")))
    separator.press("ArrowUp")
    expect(separator).to_have_attribute("aria-valuenow", str(height + 16))
    page.get_by_role("button", name="Close the run").click()
    expect(pane).to_be_hidden()
    assert server.call("GET", f"/jobs/{slug}")["revision"] == 3


def test_unsaved_text_is_tried_and_nothing_is_saved(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo saved", "bash")
    page = visit("edwin").allow("status of 422", "dialog: beforeunload").page
    page.goto(f"/jobs/{slug}/edit/")
    write_more(page, "; echo unsaved; cronium_output 7")
    page.get_by_role("button", name="Try without saving").click()
    pane = page.get_by_role("region", name="Run", exact=True)
    expect(pane.locator(".log-row .log-text")).to_have_text(["saved", "unsaved"])
    expect(pane).to_contain_text("Succeeded")
    expect(pane).to_contain_text("unsaved text")
    pane.get_by_role("button", name="Output").click()
    expect(pane.locator("#pane-output pre")).to_have_text("7")
    assert barriers(page) == []
    expect(page.locator("#unsaved")).to_be_visible()
    job = server.call("GET", f"/jobs/{slug}")
    assert (job["revision"], job["script"]) == (1, "echo saved")
    assert [run["trigger"] for run in server.call("GET", f"/runs?job={slug}")["items"]] == ["try"]
    page.get_by_label("Timeout", exact=True).fill("0")
    page.get_by_role("button", name="Try without saving").click()
    expect(page.locator("#timeout_seconds-error")).to_be_visible()
    expect(page.locator("#id_script")).to_have_value("echo saved; echo unsaved; cronium_output 7")


def test_from_a_failed_run_fixed_and_run_in_two_clicks(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("one = 1\nraise SystemExit('broken')\n", "python")
    page = visit("edwin").page
    page.goto(f"/jobs/{slug}/edit/#line-2")  # the first click, on the page of the failed run
    expect(page.locator(".cm-marked-line")).to_have_text("raise SystemExit('broken')")
    expect(page.locator(".cm-content")).to_be_focused()
    page.keyboard.press("Shift+End")
    page.keyboard.insert_text("print(one)")
    page.get_by_role("button", name="Save and run").click()  # the second
    pane = page.get_by_role("region", name="Run", exact=True)
    expect(pane).to_contain_text("Succeeded")
    expect(pane.locator(".log-row .log-text")).to_have_text(["1"])


def test_a_text_that_the_server_does_not_read_stays_in_the_editor(
    visit: Callable[..., Visitor], server: Server
) -> None:
    slug = server.job("echo 1", name="Too large", slug="too-large")
    page = visit().allow("status of 413").page
    page.goto(f"/jobs/{slug}/edit/")
    refusal = {"status": 413, "json": {"detail": "The body is too large. At most 8 MiB are read.", "code": "too_large"}}
    page.route(
        "**/edit/", lambda route: route.fulfill(**refusal) if route.request.method == "POST" else route.fallback()
    )
    write(page, "echo kept")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_have_text("Not saved. The body is too large. At most 8 MiB are read.")
    expect(page.locator(".cm-content")).to_have_text("echo kept")
    expect(page.locator("#unsaved")).to_be_visible()
    page.unroute("**/edit/")
    page.keyboard.press("Control+s")
    expect(page.locator("#said")).to_contain_text("Saved")
