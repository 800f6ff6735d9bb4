"""A log of five million lines: opens at its end, scrolls anywhere, is searched and filtered, with constant memory.

CRONIUM_TEST_LOG_LINES sets another number of lines; `pytest -s` prints the measurements.
"""

import os
import random
import re
import subprocess
import sys
import time

import pytest
from playwright.sync_api import CDPSession, Page, expect

from tests.browser import logview
from tests.browser.biglog import ERRORS, text_of
from tests.engine.server import ROOT, Server

LINES = int(os.environ.get("CRONIUM_TEST_LOG_LINES", "5000000"))
JUMPS = 50
# The lines on the screen, by number, after all of them are loaded.
_SHOWN = """async (top) => {
  const scroll = document.querySelector('[data-log="scroll"]');
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  if (top !== null) scroll.scrollTop = top * (scroll.scrollHeight - scroll.clientHeight);
  const box = scroll.getBoundingClientRect();
  const shown = () => [...document.querySelectorAll('.log-row')].filter((row) => {
    const at = row.getBoundingClientRect();
    return at.bottom > box.top + 1 && at.top < box.bottom - 1;
  });
  const until = performance.now() + 30000;
  do {
    await frame();
    if (performance.now() > until) throw new Error('rows stay empty at ' + scroll.scrollTop);
  } while (!shown().length || shown().some((row) => row.classList.contains('none')));
  const said = (row) => [Number(row.querySelector('.log-no').dataset.n), row.querySelector('.log-text').textContent];
  return shown().map(said);
}"""


@pytest.fixture(scope="module")
def huge(server: Server) -> str:
    """A run whose log is written into the database; no host serves its queue."""
    run_id = server.run("true", queue="nobody")
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.browser.biglog", run_id, str(LINES)]
    subprocess.run(command, cwd=ROOT, env=server.env, check=True, timeout=600)
    print(f"\n  {LINES:,} lines were written in {time.monotonic() - began:.1f} s")
    return run_id


def _heap(session: CDPSession) -> float:
    """Megabytes of JavaScript's heap in use after a garbage collection."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1024 / 1024


def _check(rows: list[list[object]]) -> None:
    """The rows fill the screen, are in order, and have the expected text."""
    numbers = [int(str(number)) for number, _ in rows]
    assert len(numbers) > 20
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert [text for _, text in rows] == [text_of(number) for number in numbers]


def test_it_opens_at_its_end_and_goes_anywhere_in_flat_memory(page: Page, server: Server, huge: str) -> None:
    page.goto("/runs/")  # all shared files are loaded
    began = time.monotonic()
    page.goto(f"/runs/{huge}/", wait_until="commit")
    expect(logview.text(page, LINES)).to_have_text(text_of(LINES))
    opened = time.monotonic() - began
    logview.expect_complete(page, LINES)

    session = page.context.new_cdp_session(page)
    before, rng, slowest = _heap(session), random.Random(7), 0.0
    reached = []
    for _ in range(JUMPS):
        began = time.monotonic()
        rows = page.evaluate(_SHOWN, rng.random())
        slowest = max(slowest, time.monotonic() - began)
        _check(rows)
        reached.append(rows[0][0])
    assert max(reached) - min(reached) > LINES * 0.8  # anywhere, and not the same corner again
    after = _heap(session)
    nodes = page.evaluate("document.querySelectorAll('*').length")
    print(f"\n  first line of the end after {opened * 1000:.0f} ms; {JUMPS} jumps, the slowest {slowest * 1000:.0f} ms")
    print(f"  heap {before:.1f} MB, after the jumps {after:.1f} MB; {nodes} nodes in the page")
    assert after < before + 12
    assert nodes < 3000

    page.locator('[data-log="scroll"]').press("Home")
    _check(page.evaluate(_SHOWN, None))
    expect(logview.row(page, 1)).to_be_in_viewport()
    page.locator('[data-log="scroll"]').press("PageDown")
    _check(page.evaluate(_SHOWN, None))
    page.locator('[data-log="scroll"]').press("End")
    expect(logview.row(page, LINES)).to_be_in_viewport()


def test_a_link_into_it_a_filter_and_find(page: Page, server: Server, huge: str) -> None:
    middle = LINES // 2 + 7
    page.goto(f"/runs/{huge}/#L{middle}-{middle + 2}")
    expect(logview.row(page, middle + 1)).to_be_in_viewport()
    _check(page.evaluate(_SHOWN, None))
    expect(page.locator(".log-row.marked")).to_have_count(3)

    page.get_by_role("group", name="Lines").get_by_role("button", name=re.compile("^stderr")).click()
    count = LINES // ERRORS
    expect(logview.status(page)).to_have_text(f"{count:,} of {LINES:,} lines shown (stderr) · complete", timeout=60_000)
    near = (middle // ERRORS + 1) * ERRORS
    expect(logview.text(page, near)).to_have_text(text_of(near))
    expect(logview.row(page, near)).to_be_in_viewport()
    page.locator('[data-log="scroll"]').press("End")
    expect(logview.text(page, LINES)).to_have_text(text_of(LINES))

    page.get_by_role("group", name="Lines").get_by_role("button", name="All").click()
    logview.focus(page)
    page.keyboard.press("/")
    began = time.monotonic()
    page.keyboard.type(f"ROW {LINES - 1} ")
    expect(page.locator('[data-find="count"]')).to_have_text("1/1", timeout=60_000)
    print(f"\n  found in {LINES:,} lines after {time.monotonic() - began:.1f} s")
    expect(page.locator(".log-row.now mark")).to_have_text(f"row {LINES - 1} ")
