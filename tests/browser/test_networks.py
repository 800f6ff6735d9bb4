"""The choice of a job's network in the editor: dependent fields, errors, and the choices of each role."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.job_editor import open_settings, save_and_show_settings
from tests.browser.test_pages import PHONE, WIDE, barriers
from tests.browser.visitor import Visitor
from tests.engine.server import Server


def choose(page: Page, network: str) -> None:
    page.locator(f'input[name="network"][value="{network}"]').check()


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without"])
def test_hosts_are_asked_for_with_egress_only(visit: Callable[..., Visitor], server: Server, script: bool) -> None:
    page = visit(java_script_enabled=script).allow("status of 422").page
    name = f"Fetch {'with' if script else 'without'} scripts"
    page.goto("/jobs/new/")
    open_settings(page)
    hosts = page.get_by_label("Allowed hosts")
    expect(page.locator('input[name="network"][value="isolated"]')).to_be_checked()
    expect(hosts).to_be_hidden()
    choose(page, "egress")
    expect(hosts).to_be_visible()
    page.get_by_label("Name", exact=True).fill(name)
    hosts.fill("api.example.com:443\n10.0.0.1:80")
    page.get_by_role("button", name="Save", exact=True).click()

    page.locator("#problems").get_by_role("link", name="Allowed hosts").click()
    expect(page.locator("#egress_text-error")).to_contain_text("'10.0.0.1:80'")
    expect(hosts).to_have_attribute("aria-invalid", "true")
    expect(hosts).to_have_value("api.example.com:443\n10.0.0.1:80")
    choose(page, "none")
    expect(hosts).to_be_visible()  # the user can read and fix the error
    choose(page, "egress")
    hosts.fill("API.example.com:443\n*.example.org:*")
    save_and_show_settings(page)

    settings = page.get_by_role("region", name="Settings")
    expect(settings.locator(".n-egress")).to_have_text("listed hosts only")
    expect(settings.locator(".hosts li")).to_have_text(["api.example.com:443", "*.example.org:*"])
    job = server.call("GET", f"/jobs/{name.lower().replace(' ', '-')}")
    assert (job["network"], job["egress"]) == ("egress", ["api.example.com:443", "*.example.org:*"])


def test_the_open_network_is_the_administrators(visit: Callable[..., Visitor], server: Server) -> None:
    page = visit(color_scheme="light").page
    page.goto("/jobs/new/")
    open_settings(page)
    page.get_by_label("Name", exact=True).fill("Opened")
    choose(page, "open")
    save_and_show_settings(page)
    shown = page.locator(".job-settings .n-open")
    expect(shown).to_have_text("open network")
    assert shown.evaluate("one => getComputedStyle(one).color") == "rgb(179, 38, 30)"
    page.goto("/jobs/")
    expect(page.locator("tr", has_text="Opened").locator("td .n-open:visible")).to_have_text("open network")

    editor = visit("edwin").allow("status of 403")
    page = editor.page
    page.goto("/jobs/new/")
    open_settings(page)
    choice = page.locator('input[name="network"][value="open"]')
    expect(choice).to_be_disabled()
    expect(page.locator("#network-open-hint")).to_contain_text("Only an administrator may choose it.")

    page.goto("/jobs/opened/edit/")
    open_settings(page)
    expect(page.locator('input[name="network"][value="open"]')).to_be_checked()
    page.get_by_label("Timeout", exact=True).fill("77")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#timeout_seconds-error")).to_contain_text("needs the role Administrator")
    assert server.call("GET", "/jobs/opened")["timeout_seconds"] == 3600
    open_settings(page)
    choose(page, "isolated")
    save_and_show_settings(page)
    expect(page.locator(".job-settings .n-isolated")).to_be_visible()
    job = server.call("GET", "/jobs/opened")
    assert (job["timeout_seconds"], job["network"]) == (77, "isolated")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["1440", "390"])
@pytest.mark.parametrize("who", ["admin", "edwin"])
def test_the_choice_is_no_barrier(
    visit: Callable[..., Visitor], window: dict[str, object], theme: str, who: str
) -> None:
    page = visit(who, color_scheme=theme, **window).page
    page.goto("/jobs/new/")
    open_settings(page)
    expect(page.locator(".cm-content")).to_be_visible()
    choose(page, "egress")
    expect(page.get_by_label("Allowed hosts")).to_be_visible()
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
