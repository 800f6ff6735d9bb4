"""Fixtures of the browser tests: a server, Chromium, and visitors that record errors of a page."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.visitor import PASSWORD, Visitor
from tests.engine.server import ROOT, Server, Template, alive, environment, manage

RESULTS = ROOT / "test-results"
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
# The headless shell has the same engine without windows, and takes less CPU time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PEOPLE = {"vera": "viewer", "edwin": "editor"}
expect.set_options(timeout=40_000)  # a machine may be slow, and busy with something else
_MAKE_PEOPLE = "\n".join(
    [
        "from cronium_admin.accounts.models import User",
        *(f"User.objects.create_user({who!r}, password={PASSWORD!r}, role={role!r})" for who, role in PEOPLE.items()),
        "from cronium_admin.jobs.models import Job",
        "Job.objects.all().delete()",
    ]
)


def chromium_path() -> str:
    """The browser of CRONIUM_TEST_BROWSER, else of PATH."""
    named = os.environ.get("CRONIUM_TEST_BROWSER")
    found = named or next((path for name in BROWSERS if (path := shutil.which(name))), "")
    assert found, (
        "no Chromium: install it (Debian: apt-get install chromium-headless-shell) or name it in CRONIUM_TEST_BROWSER"
    )
    return found


def launch_chromium(playwright: Playwright) -> Browser:
    steady = Path(__file__).with_name("steady_chromium.py")
    env = {**os.environ, "CRONIUM_STEADY_BROWSER": chromium_path()}
    return playwright.chromium.launch(executable_path=steady, args=FLAGS, env=env)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def template(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Template:
    made = Template(tmp_path_factory.mktemp("template"), migrated)
    manage(environment(made.folder), "shell", "-c", _MAKE_PEOPLE)
    return made


def _serving(template: Template, folder: Path, **env: str) -> Iterator[Server]:
    template.copy_to(folder)
    server = Server(folder, template.token, **env)
    server.start()
    try:
        yield server
        server.stop()
        assert server.left() == []
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
        server.sweep()


@pytest.fixture(scope="session")
def server(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share; it starts without a job."""
    yield from _serving(template, tmp_path_factory.mktemp("server"), CRONIUM_MAX_CONCURRENT="12")


@pytest.fixture(scope="session")
def narrow(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that executes one run at a time."""
    yield from _serving(template, tmp_path_factory.mktemp("narrow"), CRONIUM_MAX_CONCURRENT="1")


@pytest.fixture(scope="session")
def empty(narrow: Server) -> Server:
    """The server `narrow` while it has no job and no run."""
    assert narrow.call("GET", "/runs")["items"] == narrow.call("GET", "/jobs")["items"] == []
    return narrow


# The files that take longest: a long file that starts last would keep one process busy alone.
LONGEST = ["test_pages.py", "test_access.py", "test_silence.py", "test_recovery.py", "test_log_large.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of empty pages run first, before other tests fill the pages. Then long files, then the rest."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> tuple[bool, int]:
    name = item.path.name
    needs_empty = "empty" in getattr(item, "fixturenames", ())
    return not needs_empty, LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.fixture
def visit(chromium: Browser, server: Server) -> Iterator[Callable[..., Visitor]]:
    """Makes a visitor, signed in as `who` (admin; vera, a viewer; edwin, an editor) or not signed in (None).

    At the end of the test no visitor may have recorded an error in the console, a violation of the content policy, a
    request to another host, or a dialog that the test did not allow.
    """
    made: list[Visitor] = []
    lent: list[Visitor] = []

    def open_one(who: str | None = "admin", at: Server | None = None, **context: object) -> Visitor:
        made.append(Visitor(chromium, at or server, who, **context))
        return made[-1]

    def use(one: Visitor) -> Visitor:
        """Records the errors of a visitor that a fixture shares between tests."""
        one.problems.clear()
        one.allowed.clear()
        lent.append(one)
        return one

    open_one.use, open_one.made, open_one.lent = use, made, lent  # type: ignore[attr-defined]
    yield open_one
    problems = [problem for one in [*made, *lent] for problem in one.unexpected()]
    for one in made:
        one.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    """The administrator's page at 1440 x 900."""
    return visit().page


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if not report.failed:
        return
    RESULTS.mkdir(exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", item.name)
    visit = getattr(item, "funcargs", {}).get("visit")
    for number, one in enumerate([*getattr(visit, "made", []), *getattr(visit, "lent", [])], 1):
        one.keep(RESULTS / f"{name}-{number}.png")
    for number, one in enumerate(alive, 1):
        (RESULTS / f"{name}-server-{number}.log").write_text(one.report())
