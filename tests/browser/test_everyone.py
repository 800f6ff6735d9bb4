"""Each flow of daily work as an operator, a developer, a viewer, and a member of another project only."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.browser.scripts import python
from tests.browser.visitor import PASSWORD, Visitor
from tests.engine.server import Server, environment, manage

Visit = Callable[..., Visitor]
NAME = "Book invoices of everyone"
MAKE = f"""
from cronium_admin.accounts.models import Membership, Project, User
User.objects.create_user('otto', password={PASSWORD!r}, role='operator')
user = User.objects.create_user('nora', password={PASSWORD!r}, role='')
Membership.objects.create(user=user, project=Project.objects.create(name='North', slug='north'), role='editor')
"""
SCHEMA = {"type": "object", "properties": {"rows": {"type": "integer", "title": "Rows"}}}
SCRIPT = python("""
    import cronium
    print('reading the books of everyone')
    if cronium.input().get('rows') == 13:
        raise KeyError('vat_id')
""")


@dataclass(frozen=True)
class Place:
    slug: str
    good: str
    bad: str


@pytest.fixture(scope="module")
def place(server: Server) -> Place:
    """A job with a typed input, a run that succeeded, and after it one that failed."""
    manage(environment(server.folder), "shell", "-c", MAKE)
    slug = server.job(SCRIPT, "python", name=NAME, slug="everyone", input_schema=SCHEMA, input={"rows": 1})
    good, bad = server.launch(slug), server.launch(slug, {"input": {"rows": 13}})
    assert [server.ended(run)["status"] for run in (good, bad)] == ["succeeded", "failed"]
    return Place(slug, good, bad)


@pytest.mark.parametrize(("who", "may_run", "may_edit"), [("otto", 1, 0), ("edwin", 1, 1), ("vera", 0, 0)])
class TestMembers:
    """What the role does not allow has no button, and its address names the role that is needed."""

    def test_why_it_failed_and_what_changed(
        self, visit: Visit, place: Place, who: str, may_run: int, may_edit: int
    ) -> None:
        page = visit(who).page
        page.goto("/")
        row = page.locator("#home-needs tr", has_text=NAME)
        expect(row).to_contain_text("KeyError: 'vat_id'")
        page.goto(f"/runs/{place.bad}/")
        expect(page.locator("#run-reason")).to_contain_text("KeyError: 'vat_id'")
        for name, allowed in (("Edit line", may_edit), ("Compare with #1", 1)):
            expect(page.locator("#run-reason").get_by_role("link", name=name)).to_have_count(allowed)
        expect(page.locator("#run-acts").get_by_role("button", name="Run again")).to_have_count(may_run)
        expect(page.locator("#run-acts").get_by_role("button", name="Delete…")).to_have_count(may_edit)
        page.get_by_role("link", name="Compare with #1").click()
        expect(page.locator("main")).to_contain_text("rows")
        page.goto(f"/runs/{place.bad}/receipt/")
        expect(page.locator("main")).to_contain_text("KeyError")

    def test_finds_it(self, visit: Visit, place: Place, who: str, may_run: int, may_edit: int) -> None:
        page = visit(who).page
        page.goto("/jobs/?q=invoices+vat_id")
        row = page.locator("#job-list [data-row]", has_text=NAME)
        expect(row).to_have_count(1)
        expect(row.get_by_role("button", name="Run")).to_have_count(may_run)
        expect(row.get_by_role("checkbox")).to_have_count(may_run)
        expect(page.get_by_role("link", name="New job")).to_have_count(may_edit)
        page.goto("/runs/?input.rows=13")
        expect(page.locator("#run-rows tr")).to_have_count(1)
        page.goto(f"/runs/search/?q=books+of+everyone&job={place.slug}")
        expect(page.locator("#log-results")).to_contain_text("reading the books of everyone")
        page.keyboard.press("Control+k")
        page.keyboard.type("run invoices of everyone")
        expect(page.locator("#palette .entry", has_text=NAME).first).to_be_visible()
        expect(page.locator("#palette button.entry", has_text=NAME)).to_have_count(may_run)

    def test_runs_it_with_other_input(self, visit: Visit, place: Place, who: str, may_run: int, may_edit: int) -> None:
        page = visit(who).allow("status of 403").page
        page.goto(f"/jobs/{place.slug}/")
        expect(page.get_by_role("link", name="Run with…")).to_have_count(may_run)
        if not may_run:
            expect_refusal(page, f"/runs/launch/{place.slug}/", "Operator")
            return
        page.goto(f"/runs/launch/{place.slug}/")
        page.get_by_label("Rows").fill("7")
        page.get_by_role("button", name="Run", exact=True).click()
        page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/$"))
        expect(page.locator(".facts")).to_contain_text(who)

    def test_changes_it(
        self, visit: Visit, server: Server, place: Place, who: str, may_run: int, may_edit: int
    ) -> None:
        page = visit(who).allow("status of 403").page
        page.goto(f"/jobs/{place.slug}/script/")
        expect(page.locator("main")).to_contain_text("reading the books of everyone")
        page.goto(f"/jobs/{place.slug}/")
        expect(page.get_by_role("link", name="Edit", exact=True)).to_have_count(may_edit)
        if not may_edit:
            expect_refusal(page, f"/jobs/{place.slug}/edit/", "Editor")
            expect_refusal(page, "/jobs/new/", "Editor")
            return
        page.goto(f"/jobs/{place.slug}/edit/")
        page.get_by_role("button", name="Try without saving").click()
        expect(page.locator("#run-pane, .run-pane").first).to_contain_text("Succeeded", timeout=60_000)
        assert server.call("GET", f"/jobs/{place.slug}")["revision"] == 1


def test_a_member_of_another_project_learns_nothing(visit: Visit, place: Place) -> None:
    page = visit("nora").allow("status of 404").page
    lists = ("/", "/jobs/", "/jobs/?q=everyone", "/runs/", f"/runs/?job={place.slug}", "/palette/?q=everyone")
    for path in (*lists, "/runs/search/results/?q=books", "/schedules/"):
        page.goto(path)
        expect(page.locator("main")).not_to_contain_text(NAME)
        expect(page.locator("main")).not_to_contain_text("vat_id")
    of_run = [f"/runs/{place.bad}/{part}" for part in ("", "script/", "details/", "receipt/", "logs.txt")]
    of_job = [f"/jobs/{place.slug}/{part}" for part in ("", "script/", "history/", "settings/", "edit/")]
    compare = f"/runs/compare/?a={place.good}&b={place.bad}"
    for path in (*of_run, *of_job, compare, f"/runs/launch/{place.slug}/"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404, path
        assert NAME not in answer.text(), path


def expect_refusal(page: Page, path: str, role: str) -> None:
    answer = page.goto(path)
    assert answer is not None
    assert answer.status == 403
    expect(page.locator("main")).to_contain_text(role)
