"""Output of a job on every page that shows some of it: no layout breaks, nothing runs, and no text is reordered."""

from collections.abc import Callable

import pytest

from tests.browser.scripts import python
from tests.browser.test_pages import sideways
from tests.browser.visitor import Visitor
from tests.engine.server import Server

OUTPUT = python(
    r"""
    import sys
    print("needle \u202eright to left\u202c <img src=x onerror=alert(1)> \x1b[31mred")
    print("needle " + "W" * 60_000)
    sys.exit("<script>alert(1)</script>\u202e\x1b[31m" + "Z" * 5000)
    """
)


@pytest.fixture(scope="module")
def failed(server: Server) -> tuple[str, str]:
    """The ids of two failed runs of the job "hostile"."""
    slug = server.job(
        OUTPUT, "python", slug="hostile", name='<b>"' + "N" * 110, description=f"{'D' * 900} <script>alert(1)</script>"
    )
    runs = [server.launch(slug) for _ in range(2)]
    for run in runs:
        assert server.ended(run)["status"] == "failed"
    return runs[0], runs[1]


@pytest.mark.parametrize("width", [390, 1440])
def test_it_breaks_no_page(visit: Callable[..., Visitor], server: Server, failed: tuple[str, str], width: int) -> None:
    page = visit("edwin", viewport={"width": width, "height": 900}).page
    first, last = failed
    for path, awaited in (
        ("/", "#home-needs .title"),
        ("/jobs/?q=hostile", ".title"),
        ("/jobs/hostile/", ".job-sentence"),
        ("/jobs/hostile/script/", ".script"),
        ("/runs/", ".title"),
        (f"/runs/{last}/", ".log-row"),
        (f"/runs/{last}/details/", "main dt"),
        (f"/runs/{last}/receipt/", ".receipt"),
        (f"/runs/compare/?a={first}&b={last}", "#log-diff p"),
        ("/runs/search/?q=needle", ".found-lines li"),
        ("/palette/?q=run%20hostile", "main"),
    ):
        page.goto(path)
        page.locator(awaited).first.wait_for()
        assert sideways(page) == 0, path
        assert page.locator('main img[src="x"]').count() == 0, path
        assert "\u202e" not in page.locator("main").inner_text(), path
