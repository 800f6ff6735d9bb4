"""Live data move nothing on the page: no layout shift while a run writes output, and nothing moves by itself."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.scripts import open_gate, python
from tests.browser.visitor import Visitor
from tests.engine.server import Server

MOST = 0.01  # the score of a page; browsers call 0.1 good
# Counts from the moment at which `shifts` is set to 0, without those that follow a key or a click. The lines of a log
# that follows its end move, and the bar of the phases is to scale.
_COUNT_SHIFTS = """window.shifts = 0; window.sources = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  const elements = entry.sources.map(({ node }) => node?.closest ? node : node?.parentElement);
  const moved = elements.filter((element) => element && !element.closest(".log, .phases"));
  if (entry.hadRecentInput || !moved.length) return;
  window.shifts += entry.value;
  window.sources.push(...moved.map((element) => element.outerHTML.slice(0, 120)));
})).observe({ type: "layout-shift", buffered: true })"""
SCRIPT = python(
    """
    print('first line')
    gate('write')
    for number in range(120):
        print('line', number, 'of a longer text' * (number % 7))
        if number % 20 == 0: time.sleep(0.3)
    print('last line')
    gate('end')
    """
)
# The page, and what is visible when its first data are shown.
PAGES = {
    "home": ("/", "#home-live tr:has-text('Shifting')"),
    "jobs": ("/jobs/?q=shifting", "#job-list tr:has-text('Running')"),
    "job": ("/jobs/shifting/", "#run-rows tr:has-text('Running')"),
    "runs": ("/runs/?job=shifting", "#run-rows tr:has-text('Running')"),
    "run": ("/runs/{run}/", ".log-row:has-text('first line')"),
}


@pytest.fixture(scope="module")
def job(server: Server) -> str:
    return server.job(SCRIPT, "python", name="Shifting", slug="shifting")


def read_shifts(page: Page) -> tuple[float, list[str]]:
    found = page.evaluate("[window.shifts, window.sources]")
    return float(found[0]), list(found[1])


@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_while_data_arrive(visit: Callable[..., Visitor], server: Server, job: str, name: str) -> None:
    run = server.launch(job)
    with server.watch(run) as watch:
        watch.until_line("first line")
        visitor = visit("admin")
        visitor.context.add_init_script(_COUNT_SHIFTS)
        page = visitor.page
        path, ready = PAGES[name]
        page.goto(path.format(run=run))
        expect(page.locator(ready).first).to_be_visible()
        page.wait_for_timeout(1500)  # what the page loads later has its place
        page.evaluate("window.shifts = 0; window.sources = []")
        open_gate(server, run, "write")
        watch.until_line("last line")
        page.wait_for_timeout(4500)  # a refresh of the lists
        shifts, sources = read_shifts(page)
    open_gate(server, run, "end")
    server.ended(run)
    assert shifts < MOST, sources


def test_reduced_motion_stops_what_turns(visit: Callable[..., Visitor], server: Server, job: str) -> None:
    run = server.launch(job)
    page = visit("admin", reduced_motion="reduce").page
    page.goto(f"/runs/{run}/")
    expect(page.locator(".state .spin").first).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
    for gate in ("write", "end"):
        open_gate(server, run, gate)
    server.ended(run)
