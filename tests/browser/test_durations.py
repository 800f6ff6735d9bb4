"""The chart of durations on the page of a job: bars that are links, the table, and its refresh when a run ends."""

from playwright.sync_api import Page, expect

from tests.browser.scripts import open_gate, python
from tests.engine.server import Server

SHIFTS = """() => { window.shifts = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: false }); }"""


def make_job(server: Server, slug: str) -> list[str]:
    """Three runs have ended, so the job has a chart."""
    server.job("true", name=slug.title(), slug=slug)
    runs = [server.launch(slug) for _ in range(3)]
    for run in runs:
        server.ended(run)
    return runs


def test_a_bar_is_added_when_a_run_ends(page: Page, server: Server) -> None:
    make_job(server, "sundial")
    server.call("PATCH", "/jobs/sundial", {"language": "python", "script": python("gate('go')")})
    live = server.launch("sundial")
    page.goto("/jobs/sundial/")
    bars = page.locator(".run-bars a")
    expect(bars).to_have_count(3)
    expect(page.locator("#run-rows")).to_contain_text("Running")
    page.evaluate(SHIFTS)
    chart = page.locator("#durations")
    chart.hover()
    open_gate(server, live)
    expect(page.locator("#run-rows")).not_to_contain_text("Running")
    with page.expect_response(lambda answer: "/durations/" in answer.url and answer.status == 200):
        pass
    expect(bars).to_have_count(3)  # nothing moves under the pointer
    page.mouse.move(0, 0)
    expect(bars).to_have_count(4)
    expect(page.locator(f'.run-bars a[href="/runs/{live}/"]')).to_have_count(1)
    expect(chart).to_contain_text("As a table: the last 4 runs that ended")
    assert page.evaluate("window.shifts") < 0.01


def test_a_bar_leads_to_its_run(page: Page, server: Server) -> None:
    runs = make_job(server, "hourglass")
    page.goto("/jobs/hourglass/")
    page.locator(".run-bars a").nth(1).locator(".hit").click()
    expect(page).to_have_url(f"{server.url}/runs/{runs[1]}/")


def test_the_keyboard_reaches_each_run_by_the_table(page: Page, server: Server) -> None:
    runs = make_job(server, "metronome")
    page.goto("/jobs/metronome/")
    page.locator("#durations summary").focus()
    page.keyboard.press("Enter")
    rows = page.locator("#durations tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("#3")
    page.keyboard.press("Tab")
    expect(rows.nth(0).get_by_role("link")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{server.url}/runs/{runs[1]}/")
