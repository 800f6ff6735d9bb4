"""The search across the logs of many runs: what it finds, how far it says it looked, and its bounds."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from cronium_admin.accounts.models import Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.logs import run_search
from cronium_admin.logs.run_search import search_runs, split_matches
from cronium_admin.logs.search import Query
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.log_storage import give_log
from tests.unit.test_projects import make_job_in, make_member, sign_in, south  # noqa: F401 - a fixture
from tests.users import get_admin


@pytest.fixture
def logs(job: Job, make_job: Callable[..., Job]) -> list[Run]:
    found = []
    for number, owner in enumerate([job, job, make_job(name="Other", slug="other")]):
        text = b"start\n" + b"KeyError: 'b' in row %d\n" % number * (2 if number else 0) + b"end <b>\n"
        found.append(give_log(launch(owner, get_admin()), text))
        Run.objects.filter(pk=found[-1].pk).update(started_at=timezone.now())
    return found


def test_it_finds_lines_newest_run_first(logs: list[Run], viewer: Api) -> None:
    found = viewer.get("/logs/search?q=KeyError").json()
    assert [(row["job"], [line["seq"] for line in row["lines"]]) for row in found["items"]] == [
        ("other", [2, 3]),
        ("report", [2, 3]),
    ]
    assert (found["searched"], found["next"], found["unread"]) == (3, None, [])
    assert found["items"][0]["lines"][0]["text"] == "KeyError: 'b' in row 2"
    assert [row["number"] for row in viewer.get("/logs/search?q=key&ignore_case=true&job=report").json()["items"]] == [
        2
    ]
    assert len(viewer.get("/logs/search?q=row%20[01]$&regex=true").json()["items"]) == 1


def test_it_continues_where_it_stopped(logs: list[Run], viewer: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_search, "SECONDS", 0)
    runs, seen, after = Run.objects.all(), [], ""
    for _ in range(3):
        result = search_runs(runs, Query("start"), after, seconds=-1)
        seen += [found.run.pk for found in result.found]
        assert result.searched == 1
        after = result.next
    assert seen == [run.pk for run in reversed(logs)]
    assert after == ""


def test_it_is_bounded(logs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_search, "MAX_LINES", 1)
    result = search_runs(Run.objects.all(), Query("KeyError"))
    assert [(len(found.lines), found.is_cut) for found in result.found] == [(1, True), (1, True)]
    monkeypatch.setattr(run_search, "MAX_RUNS", 2)
    assert search_runs(Run.objects.all(), Query("x")).next != ""


def test_a_removed_log_is_left_out_and_a_damaged_one_is_named(logs: list[Run], viewer: Api) -> None:
    Run.objects.filter(pk=logs[2].pk).update(log_pruned_at=timezone.now())
    Run.objects.filter(pk=logs[1].pk).update(log_lines=9)
    found = viewer.get("/logs/search?q=not there").json()
    assert found["searched"] == 2
    assert found["unread"] == [{"run": str(logs[1].pk), "reason": "Only its first 4 of 9 lines were searched."}]


def test_a_wrong_expression_cursor_or_filter_is_refused(logs: list[Run], viewer: Api) -> None:
    for query, field in (("q=(&regex=true", "q"), ("q=a&after=x", "after"), ("q=a&status=x", "status"), ("x=1", "x")):
        answer = viewer.get(f"/logs/search?{query}")
        assert (answer.status_code, [*answer.json()["fields"]]) == (422, [field])


def test_the_page_shows_the_lines_and_how_far_it_looked(logs: list[Run], people: dict[str, User]) -> None:
    client = sign_in(people["viewer"])
    form = client.get("/runs/search/?q=KeyError&job=report").content.decode()
    assert "/runs/search/part/?q=KeyError&amp;job=report" in form
    part = client.get("/runs/search/part/?q=KeyError&job=report", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "<mark>KeyError</mark>" in part
    assert f'href="/runs/{logs[1].pk}/#L2"' in part
    assert "All 2 runs with a log searched" in part
    assert "&lt;b&gt;" in client.get("/runs/search/part/?q=end").content.decode()
    assert "is not possible" in client.get("/runs/search/part/?q=(&regex=1").content.decode()
    assert client.get("/runs/search/part/?q=a&after=x&done=x&step=-1").status_code == 200


def test_the_first_part_of_the_page_is_short_and_the_next_follows(
    logs: list[Run], people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cronium_admin.logs.search_views.FIRST_RUNS", 1)
    client = sign_in(people["viewer"])
    part = client.get("/runs/search/part/?q=start").content.decode()
    assert "1 of 3 runs searched" in part
    following = part.split('hx-get="/runs/search/part/?')[1].split('"')[0].replace("&amp;", "&")
    assert "All 3 runs with a log searched" in client.get(f"/runs/search/part/?{following}").content.decode()


def test_logs_of_other_projects_are_not_searched(logs: list[Run], south: Project) -> None:  # noqa: F811
    member = make_member("admin", south)
    make_job_in(south)
    assert Api(member).get("/logs/search?q=KeyError").json()["searched"] == 0
    assert "KeyError: " not in sign_in(member).get("/runs/search/part/?q=KeyError").content.decode()


def test_matches_are_marked() -> None:
    assert split_matches("a Key key", Query("key", ignore_case=True)) == [
        ("a ", False),
        ("Key", True),
        (" ", False),
        ("key", True),
    ]
    assert split_matches("abc", Query("b", regex=True)) == [("abc", False)]


def test_hidden_characters_are_shown_as_codes(job: Job, people: dict[str, User]) -> None:
    run = give_log(launch(job, get_admin()), "\x1b[1mneedle\x1b[0m \u202eright to left\n\tneedle a\rb\n".encode())
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now())
    text = sign_in(people["viewer"]).get("/runs/search/part/?q=needle").content.decode()
    assert "<mark>needle</mark> [U+202E]right to left" in text
    assert "\t<mark>needle</mark> a[U+000D]b" in text


def test_a_time_that_is_none_is_named_and_not_passed_over(logs: list[Run], people: dict[str, User]) -> None:
    text = sign_in(people["viewer"]).get("/runs/search/results/?q=end&since=yesterday").content.decode()
    assert "“yesterday” is not a time" in text
