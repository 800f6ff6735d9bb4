"""The main path: create a job, run it, follow its log, cancel another run."""

import re
from contextlib import suppress

import docker.errors
import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.job_editor import save_and_show_run, show_run
from tests.browser.scripts import open_gate, python, run_id_of
from tests.engine.server import GATE, Server

TYPED = """\
import cronium, os, time
print("first line", flush=True)
while not os.path.exists("/tmp/go"): time.sleep(0.02)

print(*(f"line {n}" for n in range(2, 41)), sep="\\n")
cronium.output({"rows": 40, "done": True})"""

TIDY = python("""
    def tidy(*_):
        print("tidying up")
        gate("bye")
        raise SystemExit(0)
    signal.signal(signal.SIGTERM, tidy)
    print("at work")
    gate("never")
""")


def fresh_editor(page: Page, name: str) -> None:
    page.goto("/jobs/new/")
    page.get_by_label("Name", exact=True).fill(name)
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")


def test_a_job_is_written_run_and_watched(page: Page, server: Server) -> None:
    fresh_editor(page, "Watched")
    page.keyboard.type(TYPED)
    expect(page.locator("#id_script")).to_have_value(TYPED)
    page.locator(".choice", has_text="medium").click()
    expect(page.locator('input[name="profile"][value="medium"]')).to_be_checked()
    save_and_show_run(page)
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/$"))
    page.evaluate("window.sameDocument = true")

    # The first line is there while the script waits for us.
    expect(logview.text(page, 1)).to_have_text("first line", timeout=60_000)
    logview.expect_state(page, "Running")
    expect(logview.status(page)).to_contain_text("1 line · live")
    expect(page.locator("#run-phases")).to_contain_text("running")
    details = page.locator("#run-details")
    outcome = page.locator("#run-outcome")
    expect(outcome).to_be_hidden()
    assert server.get(run_id_of(page.url))["status"] == "running"

    open_gate(server, run_id_of(page.url))
    logview.expect_complete(page, 40)
    logview.expect_state(page, "Succeeded")
    expect(outcome.get_by_label("Output", exact=True)).to_have_text(re.compile(r'"rows":\s*40'))
    expect(details).to_contain_text("medium")
    expect(page).to_have_title(re.compile("^Succeeded · Watched #1"))
    assert page.evaluate("window.sameDocument") is True
    assert logview.read_all(page) == ["first line", *(f"line {n}" for n in range(2, 41))]


def test_a_running_job_is_cancelled(page: Page, server: Server) -> None:
    fresh_editor(page, "Cancelled")
    page.keyboard.insert_text(TIDY)
    page.keyboard.press("Control+Enter")
    show_run(page)
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/$"))
    run_id = run_id_of(page.url)
    expect(logview.row(page, 1)).to_contain_text("at work", timeout=60_000)

    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel this run?")
    dialog.get_by_role("button", name="Keep running").click()
    expect(dialog).to_be_hidden()
    assert server.get(run_id)["status"] == "running"

    page.get_by_role("button", name="Cancel", exact=True).click()
    dialog.get_by_role("button", name="Cancel the run").click()
    logview.expect_state(page, "Cancelling")
    expect(page.get_by_role("button", name="Cancelling…")).to_be_disabled()
    expect(logview.row(page, 2)).to_contain_text("tidying up")

    with suppress(AssertionError, docker.errors.APIError):  # its ten seconds may be over
        open_gate(server, run_id, "bye")
    logview.expect_state(page, "Cancelled")
    assert not _runs(server, run_id)  # at that very moment
    expect(page.locator("#run-reason")).to_have_text(re.compile(r"^\s*Cancelled by admin after \d+(\.\d)? s\.\s*$"))
    logview.expect_complete(page, 2)
    server.cleaned(run_id)


def _runs(server: Server, run_id: str) -> bool:
    try:
        return bool(server.container(run_id)["State"]["Running"])
    except docker.errors.NotFound:
        return False


@pytest.mark.parametrize(
    ("script", "seconds", "word", "reason"),
    [
        ("echo started; exit 3", 60, "Failed", "The script exited with code 3."),
        ("echo started; sleep 60", 1, "Timed out", "Stopped at its time limit of 1 s."),
    ],
)
def test_a_bad_end_is_told_in_words_above_the_log(
    page: Page, server: Server, script: str, seconds: int, word: str, reason: str
) -> None:
    page.goto(f"/runs/{server.run(script, timeout_seconds=seconds)}/")
    logview.expect_state(page, word)
    expect(page.locator("#run-reason")).to_contain_text(reason)
    expect(logview.text(page, 1)).to_have_text("started")


def test_the_script_of_a_live_run_has_its_state_and_keeps_the_menu_open(page: Page, server: Server) -> None:
    run_id = server.run(GATE)
    page.goto(f"/runs/{run_id}/script/")
    logview.expect_state(page, "Running")
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if "/live/" in answer.url else None)
    server.until(lambda: page.wait_for_timeout(200) or answers[-2:] == [204, 204])
    page.locator("summary[aria-label='More actions']").click()
    answers.clear()
    again = page.get_by_role("link", name="Run again with changes…")
    server.until(lambda: page.wait_for_timeout(200) or answers[-2:] == [204, 204])
    expect(again).to_be_visible()  # what is the same is not replaced
    open_gate(server, run_id, "gate")
    logview.expect_state(page, "Succeeded")
    expect(page).to_have_title(re.compile(r"^Succeeded · "))


def test_the_phases_of_a_run_are_shown_when_it_has_ended(page: Page, server: Server) -> None:
    run_id = server.run(
        python("""
        gate("connected")
        print("first")
        gate("go")
    """),
        "python",
    )
    page.goto(f"/runs/{run_id}/")
    logview.expect_state(page, "Running")
    expect(logview.status(page)).to_contain_text("· live")  # the page waits for the first line
    open_gate(server, run_id, "connected")
    expect(logview.text(page, 1)).to_have_text("first")
    server.until(lambda: server.get(run_id)["trace"]["first_line_at_socket"] is not None)  # a second later
    page.get_by_role("navigation", name="Run", exact=True).get_by_role("link", name="Details").click()
    logview.expect_state(page, "Running")
    expect(page).to_have_title(re.compile("^Running · "))
    open_gate(server, run_id)
    server.until(lambda: server.get(run_id)["trace"]["taken_down"] is not None)
    table = page.locator("table.trace")
    expect(table.get_by_role("row", name="Sandbox removed")).to_be_visible()  # without a reload
    logview.expect_state(page, "Succeeded")
    expect(page).to_have_title(re.compile(r"^Succeeded · .* · Cronium$"))
    expect(page.locator("#run-live")).not_to_have_attribute("hx-get", re.compile(""))  # it asks no more
    expect(table.get_by_role("row", name="First line at a client after")).to_be_visible()
    trace = server.get(run_id)["trace"]
    took = trace["finished"] - trace["drained"]
    shown = table.get_by_role("row", name="Result stored").get_by_role("cell").inner_text()
    assert abs(float(shown.removesuffix(" ms")) - took) <= 1, (shown, trace)
    for width in (390, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        assert box
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
