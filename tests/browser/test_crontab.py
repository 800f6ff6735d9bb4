"""A crontab is pasted, checked and imported in the browser."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import Visitor


def test_a_crontab_is_imported(visit: Callable[..., Visitor]) -> None:
    page = visit("edwin").page
    page.goto("/schedules/")
    page.get_by_role("link", name="Import a crontab").click()
    page.get_by_label("Text", exact=True).fill(
        "API_TOKEN=hunter2-long\n# Paste and import\n0,30 2 * * * echo one\n#@daily echo two\n61 * * * * x\n"
    )
    page.get_by_label("Time zone of its host").fill("Europe/Berlin")
    page.get_by_role("button", name="Show entries").click()
    expect(page.get_by_role("heading", name="2 entries")).to_be_visible()
    expect(page.get_by_text("cron refuses '61' as minute")).to_be_visible()
    first = page.get_by_role("article", name="Line 3")
    expect(first.get_by_text("cron starts 2 runs for the skipped times, Cronium one.")).to_be_visible()
    assert barriers(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert sideways(page) == 0
    page.get_by_role("article", name="Line 4").get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Import the chosen entries").click()
    page.wait_for_url(re.compile(r"/schedules/\?q=crontab$"))
    expect(page.get_by_role("status").filter(has_text="1 job is created.")).to_be_visible()
    expect(page.locator("#schedule-list")).to_contain_text("Paste and import")
    expect(page.locator("#schedule-list")).not_to_contain_text("echo two")
