"""The home page in the browser: who sees what, the way to the log of a failure, and rows that hold still."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser import logview
from tests.browser.scripts import open_gate, python
from tests.browser.test_pages import barriers, sideways
from tests.browser.visitor import PASSWORD, Visitor
from tests.engine.server import Server, environment, manage

Visit = Callable[..., Visitor]
FAILS = python(
    """
    for number in range(40):
        print('line', number + 1)
    raise KeyError('vat_id')
    """
)
MAKE_MEMBER = f"""
from cronium_admin.accounts.models import Membership, Project, User
user = User.objects.create_user('south-sam', password={PASSWORD!r}, role='')
Membership.objects.create(user=user, project=Project.objects.create(name='South', slug='south'), role='operator')
"""


@pytest.fixture(scope="module")
def failed(server: Server) -> str:
    """The name of a job that has failed twice."""
    slug = server.job(FAILS, "python", name="Home invoice import")
    for _ in range(2):
        server.ended(server.launch(slug))
    return "Home invoice import"


def test_one_click_from_home_to_the_log_at_the_error(visit: Visit, failed: str) -> None:
    page = visit("edwin").page
    page.goto("/")
    row = page.locator("#home-needs tr", has_text=failed)
    expect(row).to_contain_text("KeyError: 'vat_id'")
    expect(row).to_contain_text("2×")
    row.get_by_role("link", name=f"Log of {failed}").click()
    expect(page).to_have_url(re.compile(r"/runs/[0-9a-f-]+/#L\d+$"))
    expect(page.locator(".log-row.marked")).to_contain_text("KeyError: 'vat_id'")


def test_who_may_only_look_gets_no_buttons(visit: Visit, failed: str) -> None:
    page = visit("vera").page
    page.goto("/")
    row = page.locator("#home-needs tr", has_text=failed)
    expect(row.get_by_role("link", name=f"Log of {failed}")).to_be_visible()
    expect(page.locator(".home form")).to_have_count(0)
    expect(page.locator(".home").get_by_role("link", name="Edit")).to_have_count(0)


def test_a_member_of_another_project_sees_none_of_it(visit: Visit, failed: str, server: Server) -> None:
    manage(environment(server.folder), "shell", "-c", MAKE_MEMBER)
    page = visit("south-sam").page
    page.goto("/")
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text(failed)
    expect(page.get_by_role("link", name="Hosts")).to_have_count(0)


def test_a_run_appears_with_its_last_line_and_goes(visit: Visit, server: Server, failed: str) -> None:
    page = visit().page
    page.goto("/")
    slug = server.job(python("print('at work')\ngate('go')"), "python", name="Home rebuild")
    run = server.launch(slug)
    row = page.locator("#home-live tr", has_text="Home rebuild")
    expect(row).to_contain_text("at work")
    # While the pointer rests on the row, it stays where it is, though the run has ended.
    row.hover()
    open_gate(server, run)
    server.ended(run)
    page.wait_for_timeout(5000)
    expect(row).to_be_visible()
    page.mouse.move(5, 5)
    expect(row).to_have_count(0)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barriers(visit: Visit, failed: str, scheme: str, width: int) -> None:
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 900}).page
    page.goto("/")
    expect(page.locator(".figure").first).to_be_visible()
    assert barriers(page) == []
    assert sideways(page) == 0


def test_first_steps(visit: Visit, empty: Server) -> None:
    """From the first sign-in to a first live line in one press."""
    name = "Example: weather in bash"
    empty.job("echo a first line; sleep 1", name=name, slug="home-example")
    page = visit(at=empty).page
    page.goto("/")
    expect(page.get_by_role("heading", name="First steps")).to_be_visible()
    page.get_by_role("button", name=f"Run {name}").click()
    expect(logview.row(page, 1)).to_contain_text("a first line")
    page.get_by_role("link", name="Cronium", exact=True).click()
    expect(page.locator("#home-welcome .step.done")).to_have_count(2)
    run = empty.call("GET", "/runs")["items"][0]["id"]
    empty.ended(run)
    # For the other tests of empty pages.
    remove = "from cronium_admin.runs.models import Run; Run.objects.all().delete(); Job.objects.all().delete()"
    manage(environment(empty.folder), "shell", "-c", f"from cronium_admin.jobs.models import Job; {remove}")
