"""The find bar: searches the whole log by text and expression, in live runs, and across colours."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

SCRIPT = python(r"""
    for n in range(1, 2001):
        if n % 100 == 0: print(f"\033[1mrow\033[0m {n}: \033[31mfai\033[33mled\033[0m after {n} ms")
        else: print(f"row {n} loaded")
        if n == 1000: time.sleep(0.2)
    print("a much longer line: " + "x" * 20_000 + " needle " + "y" * 500)
    gate("more")
    for n in range(5): print(f"late failed {n}")
    gate("end")
""")


@pytest.fixture(scope="module")
def live(server: Server) -> str:
    """A run that has written 2,001 lines and waits."""
    run_id = server.run(SCRIPT, "python", timeout_seconds=600)
    with server.watch(run_id) as watch:
        watch.until(lambda one: len(one.lines) >= 2001)
    return run_id


def _opened(page: Page, run_id: str) -> None:
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("lines · live")
    logview.focus(page)


def _find(page: Page, text: str) -> None:
    if not page.locator('[data-log="find-bar"]').is_visible():
        page.keyboard.press("/")
    _field(page).fill(text)


def _field(page: Page) -> Locator:
    return page.get_by_label("Find in the log").and_(page.locator("input"))


def _asked(url: str) -> dict[str, list[str]]:
    """The search text of a request URL."""
    return parse_qs(urlsplit(url).query) if "/logs/find" in url else {}


def _count(page: Page) -> Locator:
    return page.locator('[data-find="count"]')


def _now(page: Page) -> Locator:
    return page.locator(".log-row.now")


def test_matches_are_counted_marked_and_stepped_through(page: Page, server: Server, live: str) -> None:
    _opened(page, live)
    _find(page, "FAILED after")
    # The first match is the visible one, at the end; after the last match follows the first one.
    expect(_count(page)).to_have_text("20/20")
    page.keyboard.press("Enter")
    expect(_count(page)).to_have_text("1/20")
    expect(_now(page)).to_contain_text("row 100: failed after 100 ms")
    expect(_now(page)).to_be_in_viewport()
    # The match goes over two colours, and is whole.
    marks = _now(page).locator("mark")
    expect(marks.last).to_have_text(re.compile("after$"))
    assert "".join(marks.all_text_contents()) == "failed after"
    expect(page.get_by_role("button", name="Follow the end")).to_have_attribute("aria-pressed", "false")

    page.keyboard.press("Enter")
    expect(_count(page)).to_have_text("2/20")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(_count(page)).to_have_text("20/20")
    expect(_now(page)).to_contain_text("row 2000: failed")
    page.get_by_role("button", name="Next match").click()
    expect(_count(page)).to_have_text("1/20")
    page.get_by_role("button", name="Previous match").click()
    expect(_count(page)).to_have_text("20/20")

    _field(page).press("Escape")
    expect(_field(page)).to_be_hidden()
    expect(page.locator(".log-row.hit, .log-row.now, .log-row mark")).to_have_count(0)
    expect(page.locator('[data-log="scroll"]')).to_be_focused()


def test_case_and_expressions(visit: Callable[..., Visitor], server: Server, live: str) -> None:
    visitor = visit().allow("422")  # the bad expression, on purpose
    page = visitor.page
    _opened(page, live)
    _find(page, "ROW 7")
    expect(_count(page)).to_have_text(re.compile(r"^\d+/111$"))
    page.get_by_role("button", name="Match case").click()
    expect(_count(page)).to_have_text("no match")

    expression = r"row \d{3}: f\w+"
    _field(page).fill(expression)
    with page.expect_response(lambda answer: _asked(answer.url).get("q") == [expression]):
        page.get_by_role("button", name="Regular expression").click()
    expect(_count(page)).to_have_text("no match")  # an expression sees the line as it was written: there are colours
    _field(page).fill(r"after [1-3]00 ms$")
    expect(_count(page)).to_have_text("1/3")
    expect(_now(page).locator("mark")).to_have_text("after 100 ms")

    _field(page).fill("(")
    error = page.locator("#find-error")
    expect(error).to_contain_text("This search is not possible: missing )")
    expect(error).not_to_contain_text("(?m)")
    expect(_field(page)).to_have_attribute("aria-invalid", "true")
    _field(page).fill("loaded")
    expect(error).to_be_hidden()
    expect(_count(page)).to_have_text(re.compile("/1,980$"))


def test_an_expression_that_backtracks_for_ever_holds_nothing_up(page: Page, server: Server, live: str) -> None:
    """RE2 finds the line at once; JavaScript's backtracking would not end."""
    _opened(page, live)
    _find(page, "(x+x+)+ needle z?|(x+x+)+y")
    page.get_by_role("button", name="Regular expression").click()
    expect(_count(page)).to_have_text("1/1")
    expect(_now(page)).to_contain_text("a much longer line")
    logview.focus(page)
    page.keyboard.press("g")  # the page still answers
    expect(logview.row(page, 1)).to_be_in_viewport()


def test_a_match_past_the_cut_of_a_long_line_is_shown(page: Page, server: Server, live: str) -> None:
    _opened(page, live)
    _find(page, "needle")
    expect(_count(page)).to_have_text("1/1")
    expect(_now(page).locator("mark")).to_be_in_viewport()
    for wrapped in (True, False):
        page.get_by_role("button", name="Wrap long lines").click()
        _field(page).press("Enter")
        expect(_now(page).locator("mark")).to_be_in_viewport()
        expect(page.get_by_role("button", name="Wrap long lines")).to_have_attribute(
            "aria-pressed", str(wrapped).lower()
        )


def test_ctrl_f_is_the_logs_only_while_it_has_the_focus(page: Page, server: Server, live: str) -> None:
    page.goto(f"/runs/{live}/")
    pressed = """(key) => {
      const event = new KeyboardEvent('keydown', { key, ctrlKey: true, bubbles: true, cancelable: true });
      document.activeElement.dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    for place in ("main", "#run-acts button", "aside", "a.brand"):
        page.locator(place).first.focus()
        assert page.evaluate(pressed, "f") is True
        expect(_field(page)).to_be_focused()
        page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    search = page.locator("#palette input")
    expect(search).to_be_focused()
    page.keyboard.type("g?/")
    expect(search).to_have_value("g?/")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()

    logview.focus(page)
    assert page.evaluate(pressed, "f") is True
    expect(_field(page)).to_be_focused()
    assert page.evaluate(pressed, "f") is False  # the second time is the browser's own
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(_field(page)).to_be_focused()
    page.keyboard.type("a/b")
    expect(_field(page)).to_have_value("a/b")


def test_what_is_looked_for_is_asked_once_and_dropped_with_the_field(page: Page, server: Server, live: str) -> None:
    page.clock.install()
    _opened(page, live)
    asked: list[dict[str, list[str]]] = []
    page.on("request", lambda request: asked.append(_asked(request.url)) if _asked(request.url) else None)
    page.keyboard.press("/")
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    for letter in "loaded":
        page.keyboard.type(letter)
        page.clock.run_for(150)
    assert asked == []
    page.clock.resume()
    expect(_count(page)).to_have_text(re.compile("/1,980$"))
    assert [one for one in asked if one["after"] == ["0"]] == asked[:1]  # the other requests continue after an answer
    assert len({str(one["q"]) for one in asked}) == 1
    page.keyboard.press("Escape")
    expect(_count(page)).to_be_hidden()


def test_it_goes_on_with_the_lines_of_a_live_run(page: Page, server: Server) -> None:
    run_id = server.run(
        python("print('one failed')\ngate('more')\nfor n in range(5): print(f'late failed {n}')\ngate('end')"),
        "python",
        timeout_seconds=300,
    )
    page.goto(f"/runs/{run_id}/")
    expect(logview.text(page, 1)).to_have_text("one failed", timeout=60_000)
    logview.focus(page)
    _find(page, "failed")
    expect(_count(page)).to_have_text("1/1")
    open_gate(server, run_id, "more")
    expect(_count(page)).to_have_text("1/6")
    expect(page.locator(".log-row.hit")).to_have_count(6)
    _field(page).press("Shift+Enter")
    expect(_now(page)).to_contain_text("late failed 4")
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 6)
    expect(_count(page)).to_have_text("6/6")


def test_letters_reach_the_log_from_anywhere_on_the_page_until_they_are_turned_off(
    page: Page, server: Server, live: str
) -> None:
    _opened(page, live)
    follow = page.locator('[data-log="follow"]')
    page.locator("aside").focus()
    page.keyboard.press("g")
    expect(logview.row(page, 1)).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("f")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("/")
    expect(_field(page)).to_be_focused()
    page.keyboard.type("row 7")
    expect(_count(page)).to_contain_text("/")
    first = _count(page).text_content()
    page.locator("aside").focus()
    page.keyboard.press("n")
    expect(_count(page)).not_to_have_text(first or "")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Letter keys work on the whole page").uncheck()
    dialog.get_by_role("button", name="Close").click()
    page.reload()
    expect(logview.status(page)).to_contain_text("live")
    page.locator("aside").focus()
    page.keyboard.press("g")
    page.keyboard.press("?")
    expect(dialog).to_be_hidden()
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("/")
    expect(_field(page)).to_be_hidden()
