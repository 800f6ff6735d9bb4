"""The log viewer: complete at any time, no scrolling against the user, and hostile lines have no effect."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

COUNT = 3000
THOUSANDS = python(f"""
    for n in range(1, {COUNT} + 1):
        print(f"line {{n}} " + "x" * (n % 60), file=sys.stderr if n % 50 == 0 else sys.stdout)
        if n == 1500: gate("go")
""")
EARLY_AND_LATE = python("""
    for n in range(200): print("early", n)
    gate("go")
    for n in range(14): print("late", n)
    gate("end")
""")
HOSTILE = r"""
printf '<img src=x onerror=alert(1)><script>alert(2)</script>\n'
printf '\033]0;title\007\033]8;;http://evil.invalid/\033\\link\033]8;;\033\\ after osc\n'
printf 'abc\342\200\256dcba\342\200\254 javascript:alert(3)\n'
printf '<a href="http://evil.invalid/">x</a><iframe src="http://evil.invalid/"></iframe><style>*{display:none}</style>\n'
printf '\033[2J\033[H\033[1;31mred and bold\033[0m plain \033[38;2;1;2;3mtrue\033[0m\n'
printf '\033P+q\033\\{{7*7}} ${x} &lt;b&gt;\n'
"""


def _same_as_stored(page: Page, server: Server, run_id: str) -> None:
    logview.expect_complete(page, COUNT)
    assert logview.read_all(page) == server.text(run_id).decode().splitlines()


def test_the_log_is_whole_whether_opened_before_during_or_after(visit: Callable[..., Visitor], narrow: Server) -> None:
    """The server executes one run at a time, so the second run waits for the end of the first."""
    first = narrow.run(python("gate('go')"), "python", timeout_seconds=300)
    run_id = narrow.run(THOUSANDS, "python", timeout_seconds=300)
    before = visit(at=narrow).page
    before.goto(f"/runs/{run_id}/")
    logview.expect_state(before, "Queued")
    expect(before.locator('[data-log="empty"]')).to_contain_text("No output yet")

    narrow.until(lambda: narrow.get(first)["status"] == "running", 90)
    open_gate(narrow, first)
    expect(logview.status(before)).to_contain_text("1,500 lines · live", timeout=60_000)
    during = visit(at=narrow).page
    during.goto(f"/runs/{run_id}/")
    expect(logview.status(during)).to_contain_text("1,500 lines · live")
    open_gate(narrow, run_id)
    _same_as_stored(before, narrow, run_id)
    _same_as_stored(during, narrow, run_id)

    after = visit(at=narrow).page
    after.goto(f"/runs/{run_id}/")
    _same_as_stored(after, narrow, run_id)


def test_following_yields_to_the_reader_and_counts_what_waits(page: Page, server: Server) -> None:
    script = python(
        "for n in range(200): print('early', n)\ngate('go')\nfor n in range(14): print('late', n)\ngate('end')"
    )
    run_id = server.run(script, "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    expect(logview.status(page)).to_contain_text("200 lines · live", timeout=60_000)
    expect(logview.row(page, 200)).to_be_in_viewport()
    follow = page.get_by_role("button", name="Follow the end")
    expect(follow).to_have_attribute("aria-pressed", "true")

    page.locator('[data-log="scroll"]').hover()
    end = logview.place(page)
    page.mouse.wheel(0, -1500)
    expect(follow).to_have_attribute("aria-pressed", "false")
    page.wait_for_function("(end) => document.querySelector('[data-log=scroll]').scrollTop < end", arg=end)
    place = logview.place(page)
    open_gate(server, run_id)
    pill = page.locator('[data-log="pill"]')
    expect(pill).to_have_text("14 new lines")
    assert logview.place(page) == place

    pill.click()
    expect(logview.row(page, 214)).to_be_in_viewport()
    expect(pill).to_be_hidden()
    expect(follow).to_have_attribute("aria-pressed", "true")
    open_gate(server, run_id, "end")
    logview.expect_complete(page, 214)


def test_times_since_the_start_are_the_servers_however_wrong_the_browsers_clock(
    visit: Callable[..., Visitor], narrow: Server
) -> None:
    """The page is opened before the run begins, and the log has no new line when the start time arrives."""
    page = visit(at=narrow).page
    page.add_init_script("{ const now = Date.now; Date.now = () => now() + 3_600_000; }")
    held = logview.Held()
    head = re.compile(r"/runs/[0-9a-f-]+/live/")
    first = narrow.run(python("gate('go')"), "python", timeout_seconds=300)
    run_id = narrow.run(python("print('at work')\ngate('end')"), "python", timeout_seconds=300)
    page.goto(f"/runs/{run_id}/")
    logview.expect_state(page, "Queued")
    logview.choose_times(page, "Since the start")
    page.route(head, held)
    narrow.until(lambda: narrow.get(first)["status"] == "running", 90)
    open_gate(narrow, first)
    time = logview.row(page, 1).locator(".log-time")
    expect(time).to_have_attribute("data-t", re.compile(r"^-(59|1:00):"), timeout=60_000)
    held.release()
    expect(time).to_have_attribute("data-t", re.compile(r"^-?0:0\d\."))
    open_gate(narrow, run_id, "end")
    logview.expect_complete(page, 1)


def test_a_line_number_is_a_link_that_opens_there(page: Page, server: Server) -> None:
    run_id = server.run("seq 1 900")
    server.ended(run_id)
    page.goto(f"/runs/{run_id}/#L412")
    expect(logview.row(page, 412)).to_be_in_viewport()
    expect(logview.row(page, 412)).to_have_class(re.compile("marked"))
    expect(logview.text(page, 412)).to_have_text("412")
    logview.row(page, 414).locator("a.log-no").click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("#L412-414$"))
    logview.expect_marked(page, [412, 413, 414])


def test_hostile_lines_are_text_and_colours_are_classes(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit()
    page = visitor.page
    run_id = server.run(HOSTILE)
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 6)
    block = page.locator('[data-log="block"]')
    expect(logview.text(page, 1)).to_have_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    expect(logview.text(page, 2)).to_contain_text("link after osc")
    expect(logview.row(page, 3).locator(".ctl")).to_have_count(2)  # the turn and its end are shown, not obeyed
    assert "\u202e" not in (logview.text(page, 3).text_content() or "")
    expect(logview.text(page, 5).locator(".f1")).to_have_text("red and bold")
    expect(logview.text(page, 5).locator(".f1")).to_have_class(re.compile("a-b"))
    expect(logview.text(page, 6)).to_contain_text("{{7*7}} ${x} &lt;b&gt;")
    expect(block.locator("img, script, iframe, style, form, [onerror], [style*='url']")).to_have_count(0)
    links = block.locator("a:not(.log-no)").evaluate_all("all => all.map((a) => [a.href, a.rel, a.target])")
    assert (
        links == [["http://evil.invalid/", "noopener noreferrer nofollow", "_blank"]] * 2
    )  # text that says so, as text
    expect(page).to_have_title(re.compile("^Succeeded"))
    assert visitor.dialogs == []


# Everything a script can put before people's eyes, beside its log.
EVERYWHERE = """
import json, os, sys, cronium
evil = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b]0;owned\x07{{7*7}}"
cronium.output({evil: [evil, {"link": "javascript:alert(3)"}]})
cronium.set_variable("evil", evil)
os.write(2, evil.encode() + b"\\x00\\xff\\n")
print(evil * 50)
print("<!--", evil, "--></textarea></pre></script><script>alert(4)</script>", flush=True)
sys.exit(3)
"""


def test_hostile_text_is_inert_on_every_page_that_shows_it(visit: Callable[..., Visitor], server: Server) -> None:
    """The pages of the failed run, the lists, its job and its variable, and the raw log."""
    visitor = visit()
    page = visitor.page
    slug = server.job(EVERYWHERE, "python")
    run_id = server.launch(slug)
    image = "<img src=x onerror=alert(1)>"
    pages = {f"/runs/{run_id}/": "</textarea></pre></script><script>alert(4)</script>"}
    pages |= {"/runs/": slug, "/jobs/": slug, f"/jobs/{slug}/": slug, "/variables/": "evil"}
    pages[f"/variables/{slug}/evil/"] = image
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 3)
    for address, words in pages.items():
        page.goto(address)
        expect(page.locator("main")).to_contain_text(words)  # it is all there
        expect(page.locator("img[src='x'], script:not([src]), [onerror], a[href^='javascript']")).to_have_count(0)
        assert "owned" not in page.title()
        assert page.url == server.url + address
    page.goto(f"/runs/{run_id}/")
    with page.expect_download() as raw:
        page.get_by_role("link", name="Download as text").click()
    assert b"<script>alert(4)</script>" in raw.value.path().read_bytes()
    assert visitor.dialogs == []
