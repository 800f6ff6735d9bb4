"""A lost connection is restored, without missing and duplicated lines."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

HALVES = python("""
    for n in range(1, 401): print("line", n)
    gate("go")
    for n in range(401, 801): print("line", n)
    gate("end")
""")
LINES = [f"line {n}" for n in range(1, 801)]
# The browser's messages about requests that reach no server.
AWAY = ("net::ERR_", "WebSocket connection", "Failed to fetch", "htmx:sendError", "htmx:afterRequest")
# Keeps every socket of the page: going offline prevents new connections, but does not close the open ones.
SOCKETS = """{
  const open = (window.openSockets = []);
  window.WebSocket = class extends WebSocket { constructor(...how) { super(...how); open.push(this); } };
}"""


def test_lines_written_while_the_network_is_away_are_caught_up(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit().allow(*AWAY)
    page = visitor.page
    page.add_init_script(SOCKETS)
    run_id = server.run(HALVES, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("400 lines · live", timeout=60_000)

    visitor.context.set_offline(True)
    page.evaluate("openSockets.forEach((socket) => socket.close())")
    expect(logview.status(page)).to_contain_text("400 lines")
    open_gate(server, run_id)
    with server.watch(run_id) as watch:
        watch.until_line("line 800")
    expect(logview.status(page)).to_contain_text("400 lines · ")

    visitor.context.set_offline(False)
    expect(logview.status(page)).to_contain_text("800 lines · live", timeout=60_000)
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 800)
    assert logview.read_all(page) == LINES


def test_a_server_that_restarts_is_found_again(visit: Callable[..., Visitor], narrow: Server) -> None:
    """The graceful stop ends the server's runs; the open page shows that and keeps its lines."""
    visitor = visit(at=narrow).allow(*AWAY)
    page = visitor.page
    run_id = narrow.run(HALVES, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("400 lines · live", timeout=60_000)
    open_gate(narrow, run_id)
    expect(logview.status(page)).to_contain_text("800 lines · live", timeout=60_000)
    page.evaluate("window.sameDocument = true")

    narrow.stop()
    expect(logview.status(page)).to_contain_text("reconnecting")
    narrow.start()
    logview.expect_complete(page, 800)
    logview.expect_state(page, "Cancelled")
    expect(page.locator("#run-reason")).to_contain_text("Cronium itself was stopped")
    assert page.evaluate("window.sameDocument") is True
    assert logview.read_all(page) == LINES
