"""The log filtered by stream, and links to lines: line numbers, scroll position, and both together."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

COUNT = 40_000
MANY = python(f"""
    out, err = sys.stdout, sys.stderr
    for n in range(1, {COUNT} + 1):
        print(f"row {{n}}", file=err if n % 49 == 0 else out)
        if n % 4900 == 0: out.flush(); err.flush()
""")
# The order of the streams is not fixed: each prints after the other's line is stored.
IN_TURN = python("""
    for n in range(1, 101): print("out", n)
    gate("err 101")
    print("err 101", file=sys.stderr)
    gate("out 102")
    print("out 102")
    gate("err 104")
    print("err 103\\nerr 104", file=sys.stderr)
    gate("out 205")
    for n in range(105, 206): print("out", n)
    gate("err 206")
    print("err 206", file=sys.stderr)
    gate("end")
""")


@pytest.fixture(scope="module")
def many(server: Server) -> str:
    run_id = server.run(MANY, "python")
    assert server.ended(run_id)["log_lines"] == COUNT
    return run_id


@pytest.fixture(scope="module")
def errors(server: Server, many: str) -> dict[int, str]:
    """The lines of stderr by number, as the server returns them."""
    page: dict[str, Any] = server.call("GET", f"/runs/{many}/logs?stream=stderr&limit=5000")
    assert len(page["lines"]) == COUNT // 49
    return {line["seq"]: line["text"] for line in page["lines"]}


def _stream(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name="Lines").get_by_role("button", name=re.compile(f"^{name}"))


def _say(server: Server, run_id: str, after: str, *lines: str) -> None:
    """Lets the run print these lines after `after` is stored, each after the previous line is stored."""
    with server.watch(run_id) as watch:
        watch.until_line(after)
        for line in lines:
            open_gate(server, run_id, line)
            watch.until_line(line)


def test_one_stream_is_shown_with_its_true_numbers(page: Page, many: str, errors: dict[int, str]) -> None:
    page.goto(f"/runs/{many}/#L20000")
    expect(logview.row(page, 20_000)).to_be_in_viewport()
    _stream(page, "stderr").click()
    expect(logview.status(page)).to_have_text(f"{len(errors)} of 40,000 lines shown (stderr) · complete")
    # The view stays at its position, at the nearest line of the stream.
    near = min(seq for seq in errors if seq >= 19_990)
    expect(logview.row(page, near)).to_be_in_viewport()
    assert logview.read_some(page) == errors

    _stream(page, "stdout").click()
    expect(logview.status(page)).to_have_text(f"{COUNT - len(errors):,} of 40,000 lines shown (stdout) · complete")
    page.locator('[data-log="scroll"]').press("Home")
    first = [seq for seq in range(1, 100) if seq not in errors]
    expect(logview.row(page, first[0])).to_be_in_viewport()
    expect(page.locator(".log-row.stderr")).to_have_count(0)
    page.locator('[data-log="scroll"]').press("s")  # on to err
    page.locator('[data-log="scroll"]').press("Shift+S")
    expect(_stream(page, "stderr")).to_have_attribute("aria-pressed", "true")
    _stream(page, "All").click()
    logview.expect_complete(page, COUNT)


def test_find_looks_through_the_stream_that_is_shown(page: Page, many: str, errors: dict[int, str]) -> None:
    page.goto(f"/runs/{many}/")
    logview.focus(page)
    page.keyboard.press("/")
    page.keyboard.type("row 4")
    count = page.locator('[data-find="count"]')
    expect(count).to_have_text(re.compile(r"/1,112$"))  # 4, 4x, 4xx, 4xxx, 40000
    _stream(page, "stderr").click()
    within = [seq for seq, text in errors.items() if text.startswith("row 4")]
    expect(count).to_have_text(re.compile(rf"/{len(within)}$"))
    page.get_by_label("Find in the log").and_(page.locator("input")).press("Enter")
    expect(page.locator(".log-row.now")).to_be_in_viewport()
    expect(page.locator(".log-row.now")).to_contain_text("row 4")


def test_a_live_log_by_stream(page: Page, server: Server) -> None:
    run_id = server.run(IN_TURN, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    _say(server, run_id, "out 100", "err 101", "out 102")
    expect(logview.status(page)).to_contain_text("102 lines · live")
    _stream(page, "stderr").click()
    expect(logview.status(page)).to_have_text("1 of 102 lines shown (stderr) · live")
    expect(logview.text(page, 101)).to_have_text("err 101")
    _say(server, run_id, "out 102", "err 104", "out 205", "err 206")
    expect(logview.status(page)).to_have_text("4 of 206 lines shown (stderr) · live")
    assert logview.read_some(page) == {101: "err 101", 103: "err 103", 104: "err 104", 206: "err 206"}
    _stream(page, "stdout").click()
    expect(logview.row(page, 205)).to_be_in_viewport()  # it follows as before
    open_gate(server, run_id, "end")
    expect(logview.status(page)).to_have_text("202 of 206 lines shown (stdout) · complete")
    expect(page.get_by_role("button", name="Follow the end")).to_be_hidden()


def test_links_to_lines_far_away_by_press_reload_and_history(page: Page, many: str) -> None:
    page.goto(f"/runs/{many}/#L35000-35004")
    expect(logview.row(page, 35_002)).to_be_in_viewport()
    logview.expect_marked(page, [35_000, 35_001, 35_002, 35_003, 35_004])
    logview.row(page, 35_006).locator("a.log-no").click()
    expect(page).to_have_url(re.compile("#L35006$"))
    logview.row(page, 35_002).locator("a.log-no").click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("#L35002-35006$"))
    logview.row(page, 35_008).locator("a.log-no").click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("#L35006-35008$"))  # from where it began, as with any selection
    assert page.evaluate("String(getSelection())") == ""

    page.reload()
    expect(logview.row(page, 35_007)).to_be_in_viewport()
    page.evaluate("location.hash = '#L12'")
    expect(logview.row(page, 12)).to_be_in_viewport()
    logview.expect_marked(page, [12])
    page.go_back()
    expect(logview.row(page, 35_007)).to_be_in_viewport()
    logview.expect_marked(page, [35_006, 35_007, 35_008])
    page.go_forward()
    expect(logview.row(page, 12)).to_be_in_viewport()
    page.evaluate("location.hash = ''")
    expect(page.locator(".log-row.marked")).to_have_count(0)
    page.evaluate("location.hash = '#L40001'")
    logview.expect_toast(page, "This log ends at line 40,000.")


def test_links_and_a_filter(page: Page, many: str, errors: dict[int, str]) -> None:
    far = sorted(errors)[500]
    page.goto(f"/runs/{many}/")
    _stream(page, "stderr").click()
    expect(logview.status(page)).to_contain_text("shown (stderr)")
    page.evaluate(f"location.hash = '#L{far - 2}-{far + 2}'")
    expect(logview.row(page, far)).to_be_in_viewport()
    logview.expect_marked(page, [seq for seq in errors if far - 2 <= seq <= far + 2])
    expect(_stream(page, "stderr")).to_have_attribute("aria-pressed", "true")

    hidden = min(set(range(1, COUNT + 1)) - errors.keys(), key=lambda seq: abs(seq - far))
    logview.focus(page)
    page.keyboard.press("/")
    page.keyboard.type("row 4")
    count = page.locator('[data-find="count"]')
    expect(count).to_have_text(re.compile(rf"/{sum(text.startswith('row 4') for text in errors.values())}$"))
    page.evaluate(f"location.hash = '#L{hidden}'")
    logview.expect_toast(page, "on the other stream. All lines are shown now.")
    expect(_stream(page, "All")).to_have_attribute("aria-pressed", "true")
    # Find also searches all lines, and the view stays at the found line.
    expect(count).to_have_text("–/1,112")
    expect(logview.row(page, hidden)).to_be_in_viewport()


def test_a_link_to_a_line_that_is_not_written_yet(page: Page, server: Server) -> None:
    run_id = server.run(IN_TURN, "python", timeout_seconds=300)
    _say(server, run_id, "out 100", "err 101", "out 102")
    page.goto(f"/runs/{run_id}/#L150-152")
    logview.expect_toast(page, "Line 150 is not written yet.")
    expect(logview.row(page, 102)).to_be_in_viewport()  # until then it follows
    _say(server, run_id, "out 102", "err 104", "out 205", "err 206")
    expect(logview.row(page, 151)).to_be_in_viewport()
    logview.expect_marked(page, [150, 151, 152])
    expect(page.get_by_role("button", name="Follow the end")).to_have_attribute("aria-pressed", "false")
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 206)
    expect(logview.row(page, 151)).to_be_in_viewport()


def test_a_copy_waits_until_all_lines_of_the_stream_are_known(
    visit: Callable[..., Visitor], many: str, errors: dict[int, str]
) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page
    held = logview.Held()
    find = re.compile(r"/logs/find\?")
    page.route(find, held)
    page.goto(f"/runs/{many}/")
    with page.expect_request(find):
        _stream(page, "stderr").click()
    expect(logview.status(page)).to_have_text("0 of 40,000 lines shown (stderr) · searching… · complete")
    page.get_by_role("button", name="Copy the lines on stderr").click()
    page.wait_for_timeout(200)
    assert page.evaluate("toasts") == []
    held.release()
    logview.expect_toast(page, f"{len(errors)} lines copied.")
    assert page.evaluate("navigator.clipboard.readText()").split("\n") == [*errors.values(), ""]


def test_a_match_comes_into_view_once_the_filter_knows_its_place(page: Page, many: str, errors: dict[int, str]) -> None:
    known = sorted(errors)[:100]
    begun = {"ranges": [[seq, seq] for seq in known], "count": 100, "next": known[-1], "lines": COUNT, "ended": False}
    held = logview.Held()

    def answer(route: Route) -> None:
        if "q=" in route.request.url:
            route.continue_()
        elif route.request.url.endswith("after=0"):
            route.fulfill(json=begun)
        else:
            held(route)

    page.route(re.compile(r"/logs/find\?"), answer)
    page.goto(f"/runs/{many}/#L{known[-1]}")
    expect(logview.row(page, known[-1])).to_be_in_viewport()
    logview.focus(page)
    page.keyboard.press("/")
    _stream(page, "stderr").click()
    expect(logview.status(page)).to_have_text("100 of 40,000 lines shown (stderr) · searching… · complete")
    page.locator('[data-log="scroll"]').press("End")
    expect(logview.row(page, known[-1])).to_be_in_viewport(ratio=1)  # the last that is known
    last = max(errors)
    page.locator('[data-find="input"]').fill(errors[last])
    expect(page.locator('[data-find="count"]')).to_have_text("1/1")
    held.release()
    expect(logview.row(page, last)).to_be_in_viewport()
    expect(page.locator(".log-row.now")).to_contain_text(errors[last])


def test_a_filter_that_gets_no_answer_says_so(visit: Callable[..., Visitor], many: str, errors: dict[int, str]) -> None:
    page = visit().allow("status of 503").page
    find = re.compile(r"/logs/find\?")
    page.route(find, lambda route: route.fulfill(status=503, json={}))
    page.goto(f"/runs/{many}/")
    _stream(page, "stderr").click()
    silent = "0 of 40,000 lines shown (stderr) · the server does not answer, trying again… · complete"
    expect(logview.status(page)).to_have_text(silent)
    expect(logview.status(page)).to_have_attribute("data-kind", "wait")
    expect(page.locator('[data-log="empty"]')).to_have_text("The server does not answer, trying again…")
    page.unroute(find)
    expect(logview.status(page)).to_have_text(f"{len(errors)} of 40,000 lines shown (stderr) · complete")


def test_a_copy_takes_what_is_marked_or_shown(visit: Callable[..., Visitor], many: str, errors: dict[int, str]) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"]).page
    page.goto(f"/runs/{many}/")
    _stream(page, "stderr").click()
    expect(logview.status(page)).to_contain_text("shown (stderr)")
    page.get_by_role("button", name="Copy the lines on stderr").click()
    logview.expect_toast(page, f"{len(errors)} lines copied.")
    assert page.evaluate("navigator.clipboard.readText()").split("\n") == [*errors.values(), ""]
    _stream(page, "All").click()
    page.evaluate("location.hash = '#L5-7'")
    expect(page.locator(".log-row.marked")).to_have_count(3)  # the browser reports a new URL a moment later
    logview.focus(page)
    page.keyboard.press("c")
    logview.expect_toast(page, "3 lines copied.")


def test_a_copy_where_the_browser_gives_no_clipboard(page: Page, server: Server, many: str) -> None:
    """As with plain HTTP from another machine."""
    lines = server.call("GET", f"/runs/{many}/logs?after=4&limit=3")["lines"]
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', { get: () => undefined })")
    page.goto(f"/runs/{many}/#L5-7")
    logview.expect_marked(page, [5, 6, 7])
    logview.focus(page)
    page.keyboard.press("c")
    logview.expect_toast(page, "3 lines copied.")
    expect(page.locator('[data-log="scroll"]')).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.press("Control+v")
    expect(page.locator('[data-find="input"]')).to_have_value(" ".join(line["text"] for line in lines))
