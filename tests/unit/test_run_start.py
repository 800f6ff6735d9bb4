"""The run page says how a run got its sandbox; every code of `cold_reason` has words and a row in the docs."""

import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils.html import strip_tags

from cronium_admin.accounts.models import User
from cronium_admin.core import metrics
from cronium_admin.runs.models import Run, StartKind
from cronium_admin.runs.presentation import starts
from tests.conftest import Api

DOCS = Path(__file__).resolve().parents[2] / "docs"
CODES = {*metrics.COLD_REASONS, starts.OFF}


def shown(people: dict[str, User], run: Run, path: str, title: str) -> str:
    """The settings of the run: `Details` on the tab of that name, `This run` beside the log."""
    client = Client()
    client.force_login(people["viewer"])
    answer = client.get(f"/runs/{run.pk}/{path}")
    assert answer.status_code == 200
    details = answer.content.decode().split(f"<h2>{title}</h2>")[1].split("</dl>")[0]
    return " ".join(strip_tags(re.sub(r"</d[dt]>", " ", details)).split())


def begin(run: Run, kind: str | None, reason: str | None = None) -> Run:
    Run.objects.filter(pk=run.pk).update(start_kind=kind, cold_reason=reason)
    return run


def test_every_code_and_kind_has_words() -> None:
    assert starts.COLD_REASONS.keys() == CODES
    assert starts.STARTS.keys() == set(StartKind)


def test_the_words_are_short_sentences() -> None:
    for code, reason in starts.COLD_REASONS.items():
        assert reason.sentence.endswith("."), code
        assert reason.sentence[0].islower(), f"{code}: it follows a colon"
        assert len(reason.label) <= 24, code
        assert not reason.mend or reason.mend.endswith("."), code


def test_the_docs_list_every_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (DOCS / "warm.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(CODES)


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        ("warm", None, "Sandbox Started in a waiting sandbox"),
        ("stem", None, "Sandbox Started on a waiting network and sidecar"),
        ("cold", "off", "Built for this run: waiting sandboxes are off. CRONIUM_WARM sets how many each host keeps."),
        ("cold", "requeued", "Built for this run: the run was queued again, and a waiting sandbox is used only once."),
        ("cold", "of_the_future", "Built for this run: of the future."),
        ("cold", None, "Sandbox Built for this run"),
    ],
)
@pytest.mark.parametrize(
    ("path", "title", "following"),
    [
        *[("details/", "Details", "Root"), ("live/?tab=details", "Details", "Root")],
        *[("", "This run", "Environment"), ("live/", "This run", "Environment")],
    ],
)
def test_the_page_says_how_it_started(
    people: dict[str, User],
    run: Run,
    kind: str,
    reason: str | None,
    words: str,
    path: str,
    title: str,
    following: str,
) -> None:
    assert f"{words} {following} " in shown(people, begin(run, kind, reason), path, title)


@pytest.mark.parametrize("kind", [None, "of_the_future"])
def test_the_page_says_nothing_of_an_earlier_or_queued_run(people: dict[str, User], run: Run, kind: str | None) -> None:
    page = shown(people, begin(run, kind), "details/", "Details")
    assert "Sandbox" not in page
    assert "Root" in page
    assert "Sandbox" not in shown(people, run, "", "This run")


@pytest.mark.parametrize(
    ("kind", "reason", "is_warm", "code"),
    [(None, None, None, ""), ("warm", None, True, ""), ("stem", None, True, ""), ("cold", "gone", False, "gone")],
)
def test_the_api_returns_the_code(
    viewer: Api, run: Run, kind: str | None, reason: str | None, is_warm: bool | None, code: str
) -> None:
    body = viewer.get(f"/runs/{begin(run, kind, reason).pk}").json()
    assert (body["warm"], body["cold_reason"]) == (is_warm, code)
