"""The list of jobs, a job's page, reruns, and the limits of a viewer."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python, run_id_of
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def test_the_list_follows_a_running_job_without_reload(page: Page, server: Server) -> None:
    slug = server.job(python("gate('go')"), "python", name="Followed in the list", slug="followed", timeout_seconds=300)
    page.goto("/jobs/?q=followed")
    page.evaluate("window.sameDocument = true")
    row = page.locator("#job-list tr", has=page.get_by_role("link", name="Followed in the list", exact=True))
    expect(row).to_contain_text("Never run")
    run_id = server.launch(slug)
    expect(row).to_contain_text("Running", timeout=60_000)
    open_gate(server, run_id)
    expect(row).to_contain_text("Succeeded", timeout=60_000)
    assert page.evaluate("window.sameDocument") is True


def test_the_lists_show_what_a_running_job_said_last(page: Page, server: Server) -> None:
    """As plain text without colours; of a run that succeeded, its last line stays."""
    script = python(r"""
        print("\033[32mreading\033[0m <b>north</b> \u202etxt")
        gate("on")
        print("\r10 %\r60 %", end="", flush=True)
        gate("go")
    """)
    slug = server.job(script, "python", name="Talks while it works", slug="talks", timeout_seconds=300)
    page.goto("/jobs/?q=talks")
    row = page.locator("#job-list tr", has=page.get_by_role("link", name="Talks while it works", exact=True))
    said = row.locator(".said")
    run_id = server.launch(slug)
    expect(said).to_have_text("reading <b>north</b> txt", timeout=60_000)
    open_gate(server, run_id, "on")
    expect(said).to_have_text("60 %", timeout=60_000)

    for address in ("/runs/?status=live", f"/jobs/{slug}/"):
        page.goto(address)
        shown = page.locator("#run-rows tr", has=page.locator(f'a[href="/runs/{run_id}/"]')).locator(".at-why")
        expect(shown).to_have_text("60 %")
    page.goto("/jobs/?q=talks")
    open_gate(server, run_id)
    expect(row).to_contain_text("Succeeded", timeout=60_000)
    expect(said).to_have_text("60 %")
    expect(page.locator("#last-lines")).not_to_have_attribute("hx-get", re.compile("."))


def test_run_again_makes_a_run_that_names_its_parent(page: Page, server: Server) -> None:
    slug = server.job("echo again", name="Again", slug="again")
    page.goto("/jobs/?q=again")
    page.get_by_role("button", name="Run Again", exact=True).click()
    page.wait_for_url(re.compile("/runs/"))
    first = run_id_of(page.url)
    logview.expect_state(page, "Succeeded")
    page.get_by_role("button", name="Run again").click()
    page.wait_for_url(lambda url: "/runs/" in url and first not in url)
    second = run_id_of(page.url)
    logview.expect_state(page, "Succeeded")
    expect(page.locator("#run-details").get_by_role("link", name="repeat of #1")).to_have_attribute(
        "href", f"/runs/{first}/"
    )
    assert server.get(second)["parent"] == first

    page.goto(f"/jobs/{slug}/")
    expect(page.locator("#run-rows tr")).to_have_count(2)
    expect(page.locator("#run-rows tr").first).to_contain_text("#2")
    page.locator("#run-rows").get_by_role("link", name="#1", exact=True).click()
    expect(page.locator("#run-details").get_by_role("link", name="#2")).to_be_visible()


def test_the_search_filters_as_one_types_and_lives_in_the_address(page: Page, server: Server) -> None:
    for name in ("Zebra crossing", "Zebra stripes", "Yak wool"):
        server.job("true", name=name, slug=name.lower().replace(" ", "-"))
    page.goto("/jobs/")
    expect(page.get_by_role("link", name="Yak wool")).to_be_visible()
    page.locator("#job-q").press_sequentially("zebra")
    expect(page.get_by_role("link", name="Yak wool")).to_have_count(0)
    expect(page.locator("#job-list tbody tr")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"/jobs/\?q=zebra$"))
    page.reload()
    expect(page.locator("#job-q")).to_have_value("zebra")
    expect(page.locator("#job-list tbody tr")).to_have_count(2)
    page.locator("#job-q").fill("no such beast")
    expect(page.get_by_role("heading", name="No job matches")).to_be_visible()


def test_back_shows_the_page_and_not_its_fragment(visit: Callable[..., Visitor], server: Server) -> None:
    """Goes back so far that the browser has dropped the page and loads the response from its cache."""
    page = visit().page
    slug = server.job("true", name="Far back", slug="far-back")
    page.goto("/jobs/")
    page.locator("#job-q").press_sequentially("far")
    expect(page).to_have_url(re.compile(r"/jobs/\?q=far$"))
    page.get_by_role("link", name="Far back", exact=True).click()
    page.wait_for_selector("#run-rows, .empty")
    page.wait_for_timeout(2500)  # the rows poll their own URL
    pages = (
        "/runs/",
        "/images/",
        "/profiles/",
        "/secrets/",
        "/variables/",
        "/hosts/",
        "/access/",
        "/runs/?status=live",
    )
    for address in pages:
        page.goto(address)
    for steps, title in ((-len(pages), "Far back"), (-1, "Jobs")):
        page.evaluate("steps => history.go(steps)", steps)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.locator("#job-q")).to_have_value("far")
    assert page.evaluate("document.styleSheets.length") > 0, slug


def test_run_with_changes_this_run_only(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit().allow("status of 422").page
    slug = server.job("cronium_input", name="With", slug="with", input={"day": 1})
    page.goto(f"/jobs/{slug}/")
    page.get_by_role("link", name="Run with…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Input").fill('{"day": ')
    dialog.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#with-input-error")).to_be_visible()
    expect(page.get_by_label("Input")).to_have_value('{"day": ')
    page.get_by_label("Input").fill('{"day": 2}')
    page.get_by_label("Profile").select_option("medium")
    page.locator("form:has(#with-input)").get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/runs/[0-9a-f]"))
    logview.expect_state(page, "Succeeded")
    expect(logview.text(page, 1)).to_have_text(re.compile(r'\{"day": ?2\}'))
    expect(page.locator("#run-details")).to_contain_text("medium")
    assert server.call("GET", f"/jobs/{slug}")["input"] == {"day": 1}


def test_a_viewer_sees_no_buttons(visit: Callable[..., Visitor], server: Server) -> None:
    slug = server.job("echo looked at", name="Looked at", slug="looked-at")
    run_id = server.launch(slug)
    page = visit("vera").page
    page.goto("/jobs/?q=looked")
    expect(page.get_by_role("link", name="Looked at", exact=True)).to_be_visible()
    page.goto(f"/jobs/{slug}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Looked at")
    page.goto(f"/runs/{run_id}/")
    logview.expect_complete(page, 1)
    for path in ("/jobs/", f"/jobs/{slug}/", f"/runs/{run_id}/", "/images/", "/profiles/"):
        page.goto(path)
        for name in (r"^Run\b", r"^Cancel", r"^Save", r"^Reset"):
            expect(page.locator("main").get_by_role("button", name=re.compile(name))).to_have_count(0)
        for name in ("New job", "Edit"):
            expect(page.locator("main").get_by_role("link", name=name, exact=True)).to_have_count(0)


@pytest.mark.parametrize("path", ["/jobs/new/", "/jobs/forbidden/edit/"])
def test_a_viewer_is_told_what_is_not_theirs(visit: Callable[..., Visitor], server: Server, path: str) -> None:
    if server.client.get("/jobs/forbidden").status_code == 404:
        server.job("true", name="Forbidden", slug="forbidden")
    page = visit("vera").allow("status of 403").page
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_role("heading", level=1)).to_have_text("You may not do this")
