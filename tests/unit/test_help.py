"""The documentation inside the product: pages, links, search, and the short help of each page."""

import re
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.help import documents
from cronium_admin.help.page_help import PAGE_HELP, find_page_help
from tests.browser.pages import PAGES

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer_page(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


def read(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return answer.content.decode()


def test_every_document_is_a_page_whose_links_work_offline(viewer_page: Client) -> None:
    anchors: dict[str, set[str]] = {}
    pages = {name: read(viewer_page, f"/help/{name}/") for name in documents.load_documents()}
    assert len(pages) > 20
    for name, html in pages.items():
        anchors[f"/help/{name}/"] = set(re.findall(r'<h[2-6] id="([^"]+)"', html))
    for name, html in pages.items():
        article = html.partition('<article class="md doc">')[2].partition("</article>")[0]
        assert "<script" not in article
        assert "<img" not in article
        for link in re.findall(r'<a href="([^"]+)"', article):
            if link.startswith(("http://", "https://")):
                continue
            page, _, anchor = link.partition("#")
            target = page or f"/help/{name}/"
            assert target in anchors, (name, link)
            assert not anchor or anchor in anchors[target], (name, link)


def test_the_list_names_and_searches_the_documents(viewer_page: Client) -> None:
    assert 'href="/help/runs/"' in read(viewer_page, "/help/")
    found = read(viewer_page, "/help/?q=compare+two+runs")
    assert 'href="/help/runs/#doc-compare-two-runs"' in found
    assert "No part of the documentation has all of these words" in read(viewer_page, "/help/?q=zzz+yyy")
    assert read(viewer_page, "/help/?q=%00%3Cscript%3E")


def test_strangers_are_sent_to_sign_in_and_unknown_names_are_not_found(client: Client, viewer_page: Client) -> None:
    for path in ("/help/", "/help/runs/"):
        assert client.get(path).headers["Location"].startswith("/sign-in/")
    for name in ("no-such-document", "settings.py", "README"):
        assert viewer_page.get(f"/help/{name}/").status_code == 404


def test_a_hostile_document_is_sanitised(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, settings: Any) -> None:
    (tmp_path / "docs").mkdir()
    text = "# Bad\n\n<script>alert(1)</script>\n\n[a](javascript:alert(1)) ![b](http://x/y.png) [c](../../etc/passwd)\n"
    (tmp_path / "docs" / "bad.md").write_text(text)
    settings.BASE_DIR = tmp_path
    documents.load_documents.cache_clear()
    documents.render_document.cache_clear()
    try:
        html = documents.render_document("bad")
    finally:
        documents.load_documents.cache_clear()
        documents.render_document.cache_clear()
    assert "<script" not in html
    assert "<img" not in html
    assert "javascript:" not in re.sub(r">[^<]*<", "><", html)
    assert re.findall(r"href=\"([^\"]+)", html) == ["http://x/y.png"]  # as a link, not loaded


def test_each_page_has_help_whose_links_exist() -> None:
    routes = [shown.route for shown in PAGES.values() if shown.route and shown.who]
    assert [route for route in routes if find_page_help(route) is None] == []
    for name, page_help in PAGE_HELP.items():
        assert len(page_help.links) == len(page_help.documents), name
        assert len(page_help.text) < 260


def test_a_page_shows_its_help(viewer_page: Client) -> None:
    html = read(viewer_page, "/runs/")
    assert "The filters are in the address" in html
    assert 'href="/help/runs/#doc-find-runs"' in html
    assert 'data-dialog="page-keys"' in html


def test_the_palette_finds_parts_of_the_documentation(viewer_page: Client) -> None:
    assert "/help/runs/#doc-compare-two-runs" in read(viewer_page, "/palette/entries/?q=compare+two")
