"""The list of jobs: filters that survive Back, acts on many jobs, saved views, duplicates, and who may what."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_filters_survive_back_and_reload(page: Page, server: Server) -> None:
    for name, tags in (("Invoice north", ["money"]), ("Invoice south", ["money"]), ("Backup", ["disk"])):
        server.job("true", name=name, slug=name.lower().replace(" ", "-"), tags=tags)
    page.goto("/jobs/")
    rows = page.locator("#job-list tbody tr")
    page.locator("#by-tag").select_option("money")
    expect(rows).to_have_count(2)
    page.get_by_role("navigation", name="State").get_by_role("link", name="Never run").click()
    page.locator("#job-q").fill("NORTH invoice")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/jobs/\?q=NORTH\+invoice&state=never&tag=money$"))
    page.get_by_role("link", name="Invoice north", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Invoice north")
    page.go_back()
    expect(rows).to_have_count(1)
    expect(page.locator("#by-tag")).to_have_value("money")
    page.reload()
    expect(rows).to_have_count(1)
    expect(page.locator("#job-q")).to_have_value("NORTH invoice")


def test_acts_on_many_jobs(page: Page, server: Server) -> None:
    slugs = [server.job("true", name=f"Gyroscope {letter}", slug=f"gyroscope-{letter}") for letter in "abc"]
    page.goto("/jobs/?q=gyroscope&sort=name")
    bar = page.locator("#bulk-form")
    expect(bar).to_be_hidden()
    page.get_by_label("Choose Gyroscope a", exact=True).check()
    page.get_by_label("Choose Gyroscope b", exact=True).check()
    expect(bar).to_contain_text("2 jobs chosen")
    bar.get_by_label("What to do").select_option("disable")
    bar.get_by_role("button", name="Continue…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Disable 2 jobs?")
    page.get_by_role("button", name="Disable 2 jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 jobs disabled")
    assert [server.call("GET", f"/jobs/{slug}")["enabled"] for slug in slugs] == [False, False, True]
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator("#job-list tbody tr")).to_have_count(3)
    expect(page.locator("#job-q")).to_have_value("gyroscope")


def test_a_view_is_saved_and_opened(page: Page, server: Server) -> None:
    server.job("true", name="Periscope", slug="periscope")
    page.goto("/jobs/?q=periscope")
    page.locator(".job-views summary").click()
    page.get_by_label("Save this view as").fill("What I see")
    page.get_by_role("button", name="Save this view").click()
    tab = page.get_by_role("navigation", name="Views").get_by_role("link", name="What I see")
    expect(tab).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="All jobs", exact=True).click()
    expect(tab).not_to_have_attribute("aria-current", "page")
    tab.click()
    expect(page.locator("#job-list tbody tr")).to_have_count(1)


def test_a_developer_duplicates_a_job(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo original", name="Original", slug="original", tags=["x"])
    visitor = visit("edwin")
    page = visitor.page
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="Duplicate").click()
    expect(page.locator("#id_name")).to_have_value("Original (copy)")
    expect(page.locator(".cm-content")).to_contain_text("echo original")
    assert len(server.call("GET", "/jobs?q=original")["items"]) == 1
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url(re.compile(r"/jobs/original-copy/"))
    assert server.call("GET", "/jobs/original-copy")["tags"] == ["x"]


def test_a_viewer_filters_and_pins_and_changes_nothing(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("true", name="Telescope", slug="telescope")
    page = visit("vera").page
    page.goto("/jobs/?q=telescope")
    expect(page.get_by_role("link", name="Telescope", exact=True)).to_be_visible()
    expect(page.locator(".pick, #bulk-form")).to_have_count(0)
    page.get_by_role("button", name="Pin Telescope").click()
    expect(page.get_by_role("button", name="Pin Telescope")).to_have_attribute("aria-pressed", "true")
    page.locator(".chip", has_text="Pinned").click()
    expect(page.locator("#job-list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("pinned=true"))
    page.goto(f"/jobs/{slug}/")
    expect(page.get_by_role("link", name="Duplicate")).to_have_count(0)
