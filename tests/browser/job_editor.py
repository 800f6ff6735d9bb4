"""Saves and runs in the job editor, which stays open, and opens the page of the job or of the run."""

import re

from playwright.sync_api import Locator, Page, expect


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text(re.compile(r"^Saved, revision \d+\.$")).first).to_be_visible()


def save_and_show_job(page: Page) -> None:
    save(page)
    page.get_by_role("navigation", name="Path").get_by_role("link").nth(1).click()
    expect(page).to_have_url(re.compile(r"/jobs/[^/]+/$"))


def save_and_show_settings(page: Page) -> Locator:
    """The tab of the job's page that shows its settings."""
    save_and_show_job(page)
    page.get_by_role("navigation", name="Job", exact=True).get_by_role("link", name="Settings").click()
    settings = page.get_by_role("region", name="Settings")
    expect(settings).to_be_visible()
    return settings


def show_run(page: Page) -> None:
    """From the pane below the script to the page of its run."""
    page.goto(str(page.get_by_role("link", name="Open the page of the run").get_attribute("href")))


def save_and_show_run(page: Page) -> None:
    page.get_by_role("button", name="Save and run").click()
    show_run(page)


def open_settings(page: Page) -> None:
    """Opens all groups of settings. Without script, too."""
    for summary in page.locator(".settings details > summary").all():
        if not summary.evaluate("summary => summary.parentElement.open"):
            summary.click()
