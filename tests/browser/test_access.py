"""The pages People, Your account and API tokens."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, expect

from tests.browser.test_pages import WIDTHS, examine
from tests.browser.visitor import PASSWORD, Visitor, sign_in
from tests.engine.server import ROOT, Server, manage

NEW = "a fine long one 42"
GONE = """from cronium_admin.accounts.models import User
User.objects.filter(username__in=["bob", "zoe", "ida"]).delete()"""
# A user of one test: other tests share the sessions of vera and edwin.
MAKE_IDA = f"""from cronium_admin.accounts.models import User
User.objects.create_user("ida", password={PASSWORD!r}, role="editor")"""
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"  # as over plain http
REFUSES = NO_CLIPBOARD + "; document.execCommand = () => false"


@pytest.fixture
def cleared(server: Server) -> Iterator[None]:
    yield
    manage(server.env, "shell", "-c", GONE)


def add_person(page: Page, name: str, role: str) -> str:
    """Adds a user on the page; returns the displayed password."""
    page.goto("/access/people/")
    page.get_by_role("link", name="Add person").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("radio", name=re.compile(f"^{role}")).check(force=True)
    page.get_by_role("button", name="Add person").click()
    return page.locator("#made-password").inner_text()


@pytest.mark.usefixtures("cleared")
def test_a_colleague_is_added_chooses_a_password_and_is_switched_off(
    visit: Callable[..., Visitor], server: Server
) -> None:
    page = visit().page
    given = add_person(page, "bob", "Operator")
    page.reload()
    expect(page.locator("#made-password")).to_have_count(0)

    theirs = visit(None).page
    sign_in(theirs, "bob", given)
    expect(theirs.get_by_role("heading", level=1)).to_have_text("Choose your own password")
    theirs.goto("/jobs/")
    expect(theirs).to_have_url(re.compile("/account/password/$"))
    theirs.get_by_label("Current password").fill(given)
    theirs.get_by_label("New password", exact=True).fill(NEW)
    theirs.get_by_label("New password again").fill(NEW)
    theirs.get_by_role("button", name="Change password").click()
    expect(theirs.get_by_text("Your password is changed.")).to_be_visible()
    run_id = server.run("echo begun; sleep 300", timeout_seconds=400)
    theirs.goto(f"/runs/{run_id}/")
    expect(theirs.locator(".log-row", has_text="begun")).to_be_visible()

    page.get_by_role("link", name="bob", exact=True).click()
    page.get_by_role("button", name="Switch off…").click()
    page.get_by_role("dialog").get_by_role("button", name="Switch off").click()
    expect(page.get_by_text("bob is switched off")).to_be_visible()
    expect(theirs).to_have_url(re.compile("/sign-in/"), timeout=30_000)  # its live page polls, and is redirected
    sign_in(theirs, "bob", NEW)
    expect(theirs.get_by_role("alert")).to_contain_text("Wrong user name or password")
    server.cancel(run_id)


@pytest.mark.usefixtures("cleared")
def test_a_role_is_changed_and_felt_at_once(visit: Callable[..., Visitor]) -> None:
    page = visit().page
    given = add_person(page, "zoe", "Viewer")
    theirs = visit(None).allow("status of 403").page
    sign_in(theirs, "zoe", given)
    theirs.get_by_label("Current password").fill(given)
    theirs.get_by_label("New password", exact=True).fill(NEW)
    theirs.get_by_label("New password again").fill(NEW)
    theirs.get_by_role("button", name="Change password").click()
    theirs.goto("/jobs/new/")
    expect(theirs.locator("main")).to_contain_text("You need the role Editor for this. You are a Viewer; admin can")
    page.get_by_role("link", name="zoe", exact=True).click()
    page.get_by_role("radio", name=re.compile("^Editor")).check(force=True)
    page.get_by_role("button", name="Save role").click()
    expect(page.get_by_text("zoe has the role Editor now.")).to_be_visible()
    theirs.goto("/jobs/new/")
    expect(theirs.locator(".cm-content")).to_be_visible()


@pytest.mark.usefixtures("cleared")
def test_sessions_are_seen_and_ended(visit: Callable[..., Visitor], server: Server) -> None:
    manage(server.env, "shell", "-c", MAKE_IDA)
    here, there = visit(None).page, visit(None).page
    for page in (here, there):
        sign_in(page, "ida")
        expect(page).to_have_url(re.compile(r"//[^/]+/$"))
    here.goto("/account/")
    expect(here.get_by_text("this session")).to_have_count(1)
    here.get_by_role("button", name="End all other sessions").click()
    expect(here.get_by_text("1 other session ended")).to_be_visible()
    expect(here.get_by_role("button", name=re.compile("^End the session"))).to_have_count(0)
    with suppress(Error):  # the page may go to the sign-in page by itself at the same moment
        there.goto("/runs/")
    expect(there).to_have_url(re.compile("/sign-in/"))


def test_a_token_is_made_once_however_often_the_page_is_loaded(visit: Callable[..., Visitor], server: Server) -> None:
    visitor = visit("vera").allow("status of 422")
    page = visitor.page
    page.goto("/access/")
    page.get_by_role("button", name="New token").click()
    expect(page.get_by_label("Expires")).to_have_value("30d")
    page.get_by_label("Name").fill("nightly")
    page.get_by_label("Name").press("Enter")
    expect(page.locator("#made-token")).to_have_text(re.compile("^crn_"))
    page.reload()
    expect(page.locator("#made-token")).to_have_count(0)
    expect(page.locator("tbody tr")).to_have_count(1)

    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill("nightly")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("dialog")).to_contain_text("You have a token nightly already")
    examine(page)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Revoke nightly").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("heading", name="No tokens yet")).to_be_visible()


@pytest.mark.parametrize("script", [NO_CLIPBOARD, REFUSES])
def test_copying_works_over_plain_http_or_says_that_it_did_not(visit: Callable[..., Visitor], script: str) -> None:
    visitor = visit("edwin")
    visitor.context.add_init_script(script)
    page = visitor.page
    page.goto("/access/")
    page.get_by_role("button", name="New token").click()
    page.get_by_label("Name").fill(f"copied {len(script)}")
    page.get_by_role("button", name="Create token").click()
    token = page.locator("#made-token").inner_text()
    page.get_by_role("button", name="Copy").click()
    if script is REFUSES:
        expect(page.get_by_role("button", name="Not copied: press Ctrl+C")).to_be_visible()
        assert page.evaluate("getSelection().toString().trim()") == token
    else:
        expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
        page.locator("#top-search").focus()
        page.keyboard.press("Control+v")
        expect(page.locator("#top-search")).to_have_value(token)


def test_a_hidden_page_asks_for_nothing(page: Page) -> None:
    """Every trigger that polls uses `every`, beside any other trigger."""
    texts = [path.read_text() for path in (ROOT / "templates").rglob("*.html")]
    triggers = sorted({found for text in texts for found in re.findall(r'hx-trigger="([^"]*\bevery\b[^"]*)"', text)})
    assert len(triggers) >= 4
    page.goto("/jobs/")
    asks = """(triggers) => triggers.map((trigger) => {
      const one = document.body.appendChild(document.createElement("div"));
      one.setAttribute("hx-trigger", trigger);
      const goes = one.dispatchEvent(new CustomEvent("htmx:beforeRequest", { bubbles: true, cancelable: true }));
      one.remove();
      return goes;
    })"""
    assert page.evaluate(asks, triggers) == [True] * len(triggers)
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    assert page.evaluate(asks, triggers) == [False] * len(triggers)
    assert page.evaluate(asks, ["load", "input changed delay:200ms, search"]) == [True, True]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("path", "button"),
    [
        ("/access/", "New token"),
        ("/profiles/", "New profile"),
        ("/profiles/", "Edit medium"),
        ("/secrets/", re.compile("New secret|Store the first secret")),
        ("/images/", "Edit… override for bash"),
        ("/hosts/", "Drain local"),
    ],
)
def test_dialogs_have_no_barriers(
    visit: Callable[..., Visitor], path: str, button: str | re.Pattern[str], width: str
) -> None:
    page = visit(**WIDTHS[width]).page
    page.emulate_media(color_scheme="light")
    page.goto(path)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    examine(page)


def test_the_back_office_has_an_icon_and_no_button_that_changes(visit: Callable[..., Visitor]) -> None:
    page = visit().page
    page.goto("/admin/profiles/profile/")
    expect(page.locator("head link[rel=icon]")).to_have_attribute("href", re.compile("favicon"))
    expect(page.get_by_text("Add profile")).to_have_count(0)
    page.get_by_role("link", name="small", exact=True).click()
    expect(page.get_by_role("button", name=re.compile("Save|Delete"))).to_have_count(0)
