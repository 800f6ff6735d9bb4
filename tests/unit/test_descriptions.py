"""Descriptions of jobs: stored with the revision, and rendered as sanitised Markdown."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.markdown import render_markdown
from cronium_admin.jobs.models import Job
from tests.conftest import Api
from tests.users import get_admin

FORM = {"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"}
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "[x](JAVA&#115;CRIPT:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](https://e.example "a\\" onmouseover=alert(1) b")',
    '```html" onclick=alert(1)\n<b>\n```',
    "<style>body{display:none}</style>",
    "<a href='https://e.example' onclick='x'>y</a>",
    "<!-- --><svg><script>x</script></svg>",
    "&lt;script&gt;x&lt;/script&gt;",
    "| a <script>x</script> |\n|---|\n| <iframe src=x> |",
]
ALLOWED = {"a": {"href", "title", "rel"}, "ol": {"start"}}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def _parse(html: str) -> list[tuple[str, dict[str, str | None]]]:
    tags = _Tags()
    tags.feed(html)
    return tags.found


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_becomes_text(text: str) -> None:
    for tag, attributes in _parse(render_markdown(text)):
        assert tag not in ("script", "style", "img", "svg", "iframe", "html", "body"), text
        assert set(attributes) <= ALLOWED.get(tag, set()), text
        if tag == "a":
            assert re.match("https?://|mailto:|/", attributes["href"] or ""), text
            assert attributes["rel"] == "noopener nofollow"


def test_markdown_is_rendered_below_the_headings_of_the_page() -> None:
    html = render_markdown("# A\n\n###### B\n\n- **b** [x](https://e.example)\n\n1. c\n\n|a|\n|-|\n|b|")
    assert "<h3>A</h3>" in html
    assert "<h6>B</h6>" in html
    assert '<strong>b</strong> <a href="https://e.example" rel="noopener nofollow">x</a>' in html
    assert "<ol>" in html
    assert "<td>b</td>" in html


def test_it_is_a_setting_of_the_job_and_of_its_revision(db: None, people: dict[str, User]) -> None:
    api = Api(people["editor"])
    api.post("/jobs", {"name": "Report", "language": "bash", "script": "true"})
    assert api.get("/jobs/report").json()["description"] == ""
    digest = api.get("/jobs/report/revisions/1").json()["digest"]
    changed = api.patch("/jobs/report", {"description": "Makes **the** report"}).json()
    assert (changed["description"], changed["revision"]) == ("Makes **the** report", 2)
    assert api.get("/jobs/report/revisions/2").json()["settings"]["description"] == "Makes **the** report"
    restored = api.post("/jobs/report/revisions/1/restore", {}).json()
    assert (restored["description"], restored["revision"]) == ("", 3)
    assert api.get("/jobs/report/revisions/3").json()["digest"] == digest


@pytest.mark.parametrize(
    ("value", "words"), [("x" * 20_001, "20,001 characters"), ("a\0b", "NUL"), ("\ud800", "surrogate"), (7, "string")]
)
def test_it_is_checked(db: None, job: Job, admin: Api, value: Any, words: str) -> None:
    answer = admin.patch("/jobs/report", {"description": value})
    assert answer.status_code == 422
    assert words in str(answer.json()["fields"])


def test_the_page_shows_it_and_the_editor_keeps_it(db: None, job: Job, client: Client) -> None:
    client.force_login(get_admin())
    text = "<b>Line</b> one\r\n\r\n- two"
    assert client.post("/jobs/report/edit/", FORM | {"description": text, "enabled": "on"}).status_code == 302
    job.refresh_from_db()
    assert job.description == "<b>Line</b> one\n\n- two"
    assert client.post("/jobs/report/edit/", FORM | {"enabled": "on"}).status_code == 302  # a form without the field
    assert Job.objects.get().description == job.description
    page = client.get("/jobs/report/").content.decode()
    assert '<div class="md" id="description"><p>&lt;b&gt;Line&lt;/b&gt; one</p>' in page
    assert "&lt;b&gt;Line&lt;/b&gt; one\n\n- two</textarea>" in client.get("/jobs/report/edit/").content.decode()
