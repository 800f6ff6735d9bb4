"""Every page in light and dark, wide and on a phone: no accessibility violation, no error, no sideways scrolling.

The fixture `visit` checks the console in every test.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser import demo, logview
from tests.browser.job_editor import open_settings
from tests.browser.pages import PAGES
from tests.browser.scenery import Scenery, build
from tests.browser.visitor import Visitor
from tests.engine.server import Server, Template

STILL = {"reduced_motion": "reduce"}  # no transition between the themes
WIDE = {"viewport": {"width": 1440, "height": 900}, **STILL}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    **STILL,
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 1,
}
WIDTHS = {"1440": WIDE, "390": PHONE}


# Colours during the transition between themes do not count.
_SETTLED = """() => Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition)
  .map((one) => one.finished.catch(() => {})))"""


@pytest.fixture(scope="session")
def scenery(server: Server) -> Scenery:
    return build(server)


def barriers(page: Page, **options: object) -> list[str]:
    """The violations that axe reports, with their elements."""
    page.evaluate(_SETTLED)
    axe = Axe("" if page.evaluate("'axe' in window") else AXE_SCRIPT)  # half a megabyte, once per page
    found = axe.run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{one['id']} ({one['impact']}) at {node['target']}: {node.get('failureSummary', '')}"
        for one in found
        for node in one["nodes"][:3]
    ]


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.scrollingElement.scrollWidth - document.documentElement.clientWidth"))


def examine(page: Page) -> None:
    """Runs all rules in light; in dark only the rules about colours, because only these differ."""
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    assert barriers(page) == []
    assert sideways(page) == 0
    page.emulate_media(color_scheme="dark")
    expect(root).to_have_attribute("data-bs-theme", "dark")
    assert barriers(page, runOnly=["color-contrast", "link-in-text-block"]) == []


@pytest.fixture(scope="module")
def windows() -> Iterator[dict[tuple[str, str | None, str], Visitor]]:
    """By server, user and width: a window that stays open, so that scripts and styles are fetched once."""
    made: dict[tuple[str, str | None, str], Visitor] = {}
    yield made
    for one in made.values():
        one.close()


@pytest.fixture
def look(
    visit: Callable[..., Visitor],
    windows: dict[tuple[str, str | None, str], Visitor],
    server: Server,
    chromium: Browser,
) -> Callable[..., Page]:
    """Opens a page and waits until it is rendered."""

    def open_page(
        path: str, who: str | None, ready: str, width: str, at: Server | None = None, allowed: tuple[str, ...] = ()
    ) -> Page:
        key = ((at or server).url, who, width)
        if key not in windows:
            windows[key] = Visitor(chromium, at or server, who, **WIDTHS[width])
        visitor = visit.use(windows[key])  # type: ignore[attr-defined]
        visitor.allow(*(("status of 404",) if "no-such" in path else ()), *allowed)
        visitor.page.emulate_media(color_scheme="light")
        visitor.page.goto(path)
        expect(visitor.page.locator(ready).first).to_be_visible()
        return visitor.page

    return open_page


@pytest.fixture(scope="session")
def places(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with the demo data, and the parts of the addresses of its pages."""
    with demo.serve(template, tmp_path_factory.mktemp("demo"), with_data=True) as server:
        yield server, demo.build(server)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name, shown in PAGES.items() if not shown.is_empty])
def test_a_page(
    look: Callable[..., Page],
    places: tuple[Server, dict[str, str]],
    visit: Callable[..., Visitor],
    name: str,
    width: str,
) -> None:
    shown, (server, names) = PAGES[name], places
    page = look(
        shown.path.format(**names), shown.who, shown.ready, width, server, (*shown.problems, "dialog: beforeunload")
    )
    if shown.act:
        shown.act(page)
    examine(page)
    if width == "1440":  # a screen of 2560 pixels, and a zoom of 200 %
        for pixels in (2560, 720):
            page.set_viewport_size({"width": pixels, "height": 900})
            assert sideways(page) == 0
        page.set_viewport_size(WIDE["viewport"])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name, shown in PAGES.items() if shown.is_empty])
def test_an_empty_page(look: Callable[..., Page], empty: Server, name: str, width: str) -> None:
    shown = PAGES[name]
    page = look(shown.path, shown.who, shown.ready, width, empty)
    if shown.ready == ".empty":
        expect(page.locator(".empty .btn.main-act")).to_have_count(1)  # the next step
    examine(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_log_in_every_state(look: Callable[..., Page], scenery: Scenery, width: str) -> None:
    """With the find bar and matches, one stream, times, an invalid expression, and the list of keys."""
    page = look(
        f"/runs/{scenery.succeeded}/", "admin", ".log-row:has-text('other stream')", width, allowed=("status of 422",)
    )
    page.evaluate("location.hash = '#L1-2'")
    logview.focus(page)
    page.keyboard.press("t")
    page.keyboard.press("/")
    page.keyboard.type("o")
    expect(page.locator(".log-row.now mark").first).to_be_visible()
    examine(page)
    page.emulate_media(color_scheme="light")
    page.keyboard.type("(")
    page.get_by_role("button", name="Regular expression").click()
    expect(page.locator("#find-error")).to_be_visible()
    page.get_by_role("group", name="Lines").get_by_role("button", name=re.compile("^stderr")).click()
    expect(logview.status(page)).to_contain_text("shown (stderr)")
    examine(page)
    page.emulate_media(color_scheme="light")
    page.keyboard.press("Escape")
    logview.focus(page)
    for _ in range(3):  # off again
        page.keyboard.press("t")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    examine(page)


def test_dialogs_menus_and_errors_have_no_barriers(visit: Callable[..., Visitor], scenery: Scenery) -> None:
    visitor = visit().allow("status of 422")
    page = visitor.page
    page.goto(f"/runs/{scenery.running}/")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Keep running")).to_be_visible()
    assert barriers(page) == []
    page.get_by_role("button", name="Keep running").click()
    page.get_by_label("Account", exact=True).click()
    assert barriers(page) == []
    page.goto("/jobs/new/")
    open_settings(page)
    page.get_by_role("button", name="Add variable").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#problems")).to_be_visible()
    assert barriers(page) == []


def test_tab_reaches_run_and_enter_presses_it(page: Page, scenery: Scenery) -> None:
    page.goto(f"/jobs/{scenery.job}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    run = page.locator("main").get_by_role("button", name="Run", exact=True)
    for _ in range(12):
        page.keyboard.press("Tab")
        if run.evaluate("button => button === document.activeElement"):
            break
    expect(run).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/runs/[0-9a-f-]{36}/$"))
    logview.expect_state(page, "Succeeded")


def test_the_chosen_theme_stays(page: Page) -> None:
    page.goto("/jobs/")
    page.locator("summary[aria-label=Theme]").click()
    page.get_by_role("radio", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.goto("/profiles/")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
