"""Gaps are shown between the lines, in the status line and at the end of the log."""

import json
import re
from typing import Any

from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.engine.server import Server, manage

LOST = {"after": 3, "cause": "engine_lost", "lines": 12, "bytes": 3480, "message": "The engine lost output here."}
AGAIN = {"after": 3, "cause": "engine_restarted", "lines": None, "bytes": None, "message": "The engine was restarted."}
FULL = "The log was full: 9 lines, 12,900,000 bytes after that were not kept."
LIMIT = {"after": 10, "cause": "limit", "lines": 9, "bytes": 12_900_000, "message": FULL}


def _answers(page: Page, gaps: list[dict[str, Any]]) -> None:
    """Replaces the gaps in the server's responses."""

    def answer(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "gaps": gaps})

    page.route(re.compile(r"/logs\?"), answer)


def _ended(page: Page, server: Server, gaps: list[dict[str, Any]]) -> None:
    run_id = server.run("seq 1 10")
    server.ended(run_id)
    _answers(page, gaps)
    page.goto(f"/runs/{run_id}/")
    expect(logview.row(page, 10)).to_be_visible()


def test_a_gap_stands_between_the_lines_and_in_the_status(page: Page, server: Server) -> None:
    _ended(page, server, [AGAIN, LOST])
    gaps = page.locator(".log-row.gap")
    expect(gaps).to_have_text(
        ["The engine was restarted (amount unknown).", "The engine lost output here (12 lines, 3.4 KB)."]
    )
    expect(gaps.locator("svg")).to_have_count(2)
    expect(logview.status(page)).to_have_text("10 lines, 2 gaps")
    expect(logview.status(page)).to_have_attribute("data-kind", "gap")
    rows = page.locator(".log-row").evaluate_all(
        "all => all.map((row) => row.querySelector('.log-text')?.textContent ?? 'gap')"
    )
    assert rows == ["1", "2", "3", "gap", "gap", *map(str, range(4, 11))]
    heights = page.locator(".log-row").evaluate_all("all => all.map((one) => one.getBoundingClientRect().height)")
    assert set(heights) == {18}
    # The numbers are the lines' own, and so are the links.
    page.evaluate("location.hash = '#L4-5'")
    expect(page.locator(".log-row.marked .log-text")).to_have_text(["4", "5"])
    page.get_by_role("group", name="Lines").get_by_role("button", name=re.compile("^stderr")).click()
    expect(gaps).to_have_count(2)
    expect(logview.status(page)).to_have_text("0 of 10 lines shown (stderr), 2 gaps")


def test_what_was_dropped_behind_the_end(page: Page, server: Server) -> None:
    _ended(page, server, [LIMIT])
    expect(logview.status(page)).to_have_text("10 lines · 12.3 MB after that were not kept")
    expect(page.locator(".log-row").last).to_have_text(FULL)


def test_a_log_that_lost_everything_says_so(page: Page, server: Server) -> None:
    run_id = server.run("true")
    server.ended(run_id)
    _answers(page, [{**LOST, "after": 0}])
    page.goto(f"/runs/{run_id}/")
    expect(page.locator(".log-row.gap")).to_have_count(1)
    expect(logview.status(page)).to_have_text("0 lines, 1 gap")


# As for a run of a lost host before its log is sealed; a run that never began keeps this state.
_LOSE = """
from cronium_admin.runs.models import Run
Run.objects.filter(pk="{}").update(status="lost", reason="host_gone", log_digest="", log_lines=0, started_at=None)
"""
UNSEALED = "10 lines · may be incomplete: its host went away"


def test_a_log_that_nobody_sealed_is_not_called_whole(page: Page, server: Server) -> None:
    run_id = server.run("seq 1 10")
    server.ended(run_id)
    manage(server.env, "shell", "-c", _LOSE.format(run_id))
    page.goto(f"/runs/{run_id}/")
    expect(logview.row(page, 10)).to_be_visible()
    expect(logview.status(page)).to_have_text(UNSEALED)
    expect(logview.status(page)).to_have_attribute("data-kind", "gap")


def test_a_live_log_that_ends_without_a_seal(page: Page, server: Server) -> None:
    run_id = server.run(python("for n in range(1, 11): print(n)\ngate('end')"), "python", timeout_seconds=300)

    def lose(ws: WebSocketRoute) -> None:
        def change(message: str | bytes) -> None:
            told = json.loads(message)
            ws.send(json.dumps(told | ({"status": "lost", "digest": ""} if told["type"] == "end" else {})))

        ws.connect_to_server().on_message(change)

    page.route_web_socket(re.compile("/ws/runs/"), lose)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_have_text("10 lines · live")
    open_gate(server, run_id, "end")
    expect(logview.status(page)).to_have_text(UNSEALED)


def test_the_log_of_a_run_that_never_began_needs_no_seal(page: Page, server: Server) -> None:
    run_id = server.run("true", queue="nobody")
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("live")
    server.cancel(run_id)
    logview.expect_complete(page, 0)
    page.reload()
    logview.expect_complete(page, 0)


def test_a_server_that_knows_no_gaps(page: Page, server: Server) -> None:
    run_id = server.run("seq 1 10")
    server.ended(run_id)
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 10)
    expect(logview.status(page)).to_have_attribute("data-kind", "good")


def test_gaps_of_a_live_run_come_by_its_socket(page: Page, server: Server) -> None:
    run_id = server.run(python("for n in range(1, 11): print(n)\ngate('end')"), "python", timeout_seconds=300)
    sockets: list[WebSocketRoute] = []

    def pass_on(ws: WebSocketRoute) -> None:
        def add(message: str | bytes) -> None:
            told = json.loads(message)
            if told["type"] == "end":
                told |= {"gaps": 1, "dropped_bytes": 2048}
            ws.send(json.dumps(told))

        ws.connect_to_server().on_message(add)
        sockets.append(ws)

    page.route_web_socket(re.compile("/ws/runs/"), pass_on)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_have_text("10 lines · live", timeout=60_000)
    sockets[-1].send(json.dumps({"type": "gaps", "gaps": [LOST]}))
    expect(logview.status(page)).to_have_text("10 lines, 1 gap · live")
    expect(page.locator(".log-row.gap")).to_contain_text("12 lines, 3.4 KB")
    expect(page.locator(".log-row").nth(3)).to_have_class(re.compile("gap"))
    expect(page.locator(".log-row.gap + .log-row .log-text")).to_have_text("4")
    sockets[-1].send(json.dumps({"type": "gaps", "gaps": [{**LOST, "lines": 40}]}))
    expect(page.locator(".log-row.gap")).to_contain_text("40 lines")
    open_gate(server, run_id, "end")
    expect(logview.status(page)).to_have_text("10 lines, 1 gap · 2.0 KB after that were not kept")


def test_a_full_log_as_the_server_tells_it(page: Page, server: Server) -> None:
    """Without a fake: the executor counts, the socket sends, and a page that is opened later shows the same."""
    script = python("print('at work')\ngate('go')\nfor n in range(30_000): print(n, 'x' * 90)")
    run_id = server.run(script, "python", timeout_seconds=300, log_limit_mb=1, on_log_limit="drop")
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("1 line · live", timeout=60_000)
    open_gate(server, run_id)
    words = re.compile(r"^1\d,\d{3} lines · 1\.\d MB after that were not kept$")
    expect(logview.status(page)).to_have_text(words, timeout=60_000)
    last = page.locator(".log-row").last
    expect(last).to_have_class(re.compile("gap"))
    expect(last).to_contain_text("The log was full:")
    page.reload()
    expect(logview.status(page)).to_have_text(words)
    expect(last).to_contain_text("The log was full:")


def test_a_line_over_a_megabyte_is_split_with_a_mark_and_nothing_is_missing(page: Page, server: Server) -> None:
    run_id = server.run("head -c 2500000 /dev/zero | tr '\\0' x; echo; echo after")
    assert server.ended(run_id)["log_gaps"] == 0
    page.goto(f"/runs/{run_id}/")
    expect(logview.row(page, 4)).to_be_visible()
    words = "This line is longer than 1 MB: it continues in the next line of its stream."
    expect(page.locator(".log-row.gap.split")).to_have_text([words, words])
    expect(logview.status(page)).to_have_text("4 lines, complete")


def test_a_full_log_of_a_job_that_goes_on_says_what_it_dropped(page: Page, server: Server) -> None:
    script = "yes 'a line of some length' | head -n 100000; exit 3"
    run = server.ended(server.run(script, log_limit_mb=1, on_log_limit="drop"))
    assert (run["status"], run["exit_code"]) == ("failed", 3)
    assert run["log_bytes"] + run["log_dropped_bytes"] in (2_200_000, 2_200_001)  # a line that was cut got an end
    page.goto(f"/runs/{run['id']}/")
    page.locator('[data-log="scroll"]').press("End")
    expect(page.locator(".log-row.gap")).to_contain_text(f"{run['log_dropped_bytes']:,} bytes after that were not kept")
    expect(logview.status(page)).to_contain_text("were not kept")
