"""A page whose server does not answer: frozen, disconnected, or after the end of the session."""

import re
import signal
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor, sign_in
from tests.engine.server import Server

AWAY = ("net::ERR_", "WebSocket connection", "Failed to fetch", "htmx:", "TimeoutError")
LIVE = python("for n in range(1, 6): print(n)\ngate('end')")
NO_WORD = re.compile(r"No word from the server for \d+ s, trying again")

# Records every status line from now on: a new connection may come before a test looks again.
_KEEP_STATUS = """() => {
  window.said = [];
  const line = document.querySelector('[data-log="status"]');
  const keep = () => said.push(line.textContent);
  new MutationObserver(keep).observe(line, { subtree: true, childList: true, characterData: true });
}"""


@pytest.fixture
def frozen(narrow: Server) -> Iterator[Callable[[bool], None]]:
    """Freezes the server's process, or continues it: its kernel accepts connections meanwhile."""

    def freeze(on: bool) -> None:
        assert narrow.process
        narrow.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    yield freeze
    freeze(False)


def test_a_frozen_server_is_not_called_live(
    visit: Callable[..., Visitor], narrow: Server, frozen: Callable[[bool], None]
) -> None:
    page = visit(at=narrow).allow(*AWAY).page
    run_id = narrow.run(LIVE, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_have_text("5 lines · live", timeout=60_000)
    page.evaluate("window.sameDocument = true")

    frozen(True)
    expect(logview.status(page)).to_have_text(re.compile(f"^5 lines · {NO_WORD.pattern}$"))
    expect(logview.status(page)).to_have_attribute("data-kind", "wait")
    expect(page.locator("#no-word")).to_be_visible()
    clock = page.locator("#run-facts [data-clock]")
    stands = clock.text_content()
    page.wait_for_timeout(2500)
    assert clock.text_content() == stands
    expect(logview.status(page)).to_contain_text(NO_WORD)  # it retries, and shows no other message

    frozen(False)
    expect(logview.status(page)).to_have_text("5 lines · live", timeout=60_000)
    expect(page.locator("#no-word")).to_be_hidden()
    expect(clock).not_to_have_text(stands or "")
    open_gate(narrow, run_id, "end")
    logview.expect_complete(page, 5)
    assert page.evaluate("window.sameDocument") is True


@pytest.mark.parametrize("address", ["/jobs/", "/runs/", "/variables/"])
def test_any_page_says_that_its_server_is_silent(
    visit: Callable[..., Visitor], narrow: Server, frozen: Callable[[bool], None], address: str
) -> None:
    page = visit(at=narrow).allow(*AWAY).page
    page.goto(address)
    page.wait_for_timeout(1000)
    expect(page.locator("#no-word")).to_be_hidden()
    frozen(True)
    expect(page.locator("#no-word")).to_contain_text(NO_WORD)
    frozen(False)
    expect(page.locator("#no-word")).to_be_hidden()


def test_a_half_open_connection_is_noticed_and_replaced(page: Page, server: Server) -> None:
    """A middlebox has dropped the connection: neither side gets an end, and no data arrives."""
    run_id = server.run(LIVE, "python", timeout_seconds=300)
    sockets: list[WebSocketRoute] = []
    forgotten: list[bool] = []

    def pass_on(ws: WebSocketRoute) -> None:
        sockets.append(ws)
        is_first = len(sockets) == 1
        ws.connect_to_server().on_message(lambda message: None if is_first and forgotten else ws.send(message))

    page.route_web_socket(re.compile("/ws/runs/"), pass_on)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_have_text("5 lines · live", timeout=60_000)
    page.evaluate(_KEEP_STATUS)
    forgotten.append(True)
    page.wait_for_function(
        "() => said.some((words) => /No word from the server|reconnecting/.test(words))", timeout=30_000
    )
    expect(logview.status(page)).to_have_text("5 lines · live")
    assert len(sockets) == 2
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 5)


def test_a_browser_that_is_offline_says_so_at_once(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit().allow(*AWAY)
    page = visitor.page
    run_id = server.run(LIVE, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_have_text("5 lines · live", timeout=60_000)
    visitor.context.set_offline(True)
    expect(page.locator("#no-word")).to_contain_text("This browser is offline", timeout=2000)
    visitor.context.set_offline(False)
    expect(page.locator("#no-word")).to_be_hidden()
    expect(logview.status(page)).to_have_text("5 lines · live", timeout=60_000)
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 5)


def _sign_out_elsewhere(visitor: Visitor) -> None:
    visitor.context.clear_cookies(name="sessionid")


@pytest.mark.parametrize("address", ["/jobs/new/", "/secrets/", "/variables/new/"])
def test_a_session_that_ends_takes_no_text(visit: Callable[..., Visitor], address: str) -> None:
    """No dialog on leaving, a message about the session, and the page sends the text after a new sign-in."""
    visitor = visit(None)
    page = visitor.page
    sign_in(page, "admin")
    expect(page).to_have_url(re.compile(r"//[^/]+/$"))
    page.goto(address)
    if address == "/secrets/":  # its form is a dialog, which covers the page behind it
        page.get_by_role("button", name=re.compile("New secret|Store the first secret")).click()
    within_form, of_form = "main form[method=post] input[name=name]:visible", "main input[name=name][form]:visible"
    name = page.locator(f"{within_form}, {of_form}").first
    form = name.evaluate_handle("input => input.form")
    typed = f"KEPT_{address.strip('/').replace('/', '_').upper()}"
    name.fill(typed)
    page.evaluate("window.sameDocument = true")
    _sign_out_elsewhere(visitor)
    bar = page.locator("#signed-out")
    expect(bar).to_contain_text("You were signed out. What you typed is kept here.")
    page.wait_for_timeout(9000)  # two more polls
    expect(name).to_have_value(typed)
    form.evaluate("form => { form.noValidate = true; form.requestSubmit(); }")
    expect(bar.get_by_role("link", name="Sign in (new tab)")).to_be_focused()

    with visitor.context.expect_page() as opened:
        bar.get_by_role("link").click()
    sign_in(opened.value, "admin")
    expect(opened.value).not_to_have_url(re.compile("/sign-in/"))  # a tab that closes earlier may drop the answer
    opened.value.close()
    expect(bar).to_contain_text("Signed in again. What you typed is still here.")
    assert page.evaluate("window.sameDocument") is True
    with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
        form.evaluate("form => form.requestSubmit()")
    # Accepted or refused for its values, and not as an outdated form; the job editor is answered with JSON.
    is_saved_in_place = sent.value.headers["content-type"].startswith("application/json")
    assert sent.value.status in ((200,) if is_saved_in_place else (302, 422))
    visitor.allow("status of 422")
    page.wait_for_load_state()
    expect(page.locator("main .note:visible, h1:visible").first).to_be_visible()
    assert visitor.dialogs == []


def test_a_session_that_ends_leads_a_page_without_text_to_the_sign_in_page(visit: Callable[..., Visitor]) -> None:
    visitor = visit(None)
    page = visitor.page
    sign_in(page, "admin")
    page.goto("/runs/")
    _sign_out_elsewhere(visitor)
    expect(page).to_have_url(re.compile(r"/sign-in/\?next=/runs/"))
