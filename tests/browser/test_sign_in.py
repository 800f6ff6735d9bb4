"""Signing in and out, and the pages of an unauthenticated client."""

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.visitor import PASSWORD, Visitor, sign_in


def test_a_stranger_signs_in_and_gets_where_they_wanted(visit: Callable[..., Visitor]) -> None:
    page = visit(None).page
    page.goto("/runs/?status=live")
    expect(page).to_have_url(re.compile(r"/sign-in/\?next="))

    sign_in(page, "admin", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("Wrong user name or password")
    expect(page.get_by_label("User name")).to_have_value("admin")
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Password")).to_be_focused()

    sign_in(page, "admin", PASSWORD)
    expect(page).to_have_url(re.compile(r"/runs/\?status=live$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


def test_signing_out_closes_the_dashboard(visit: Callable[..., Visitor]) -> None:
    page = visit(None).page
    sign_in(page, "edwin")  # not the shared session of the others
    expect(page).to_have_url(re.compile(r"//[^/]+/$"))
    page.get_by_label("Account", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in/"))
    page.goto("/jobs/")
    expect(page).to_have_url(re.compile(r"/sign-in/\?next=/jobs/"))
