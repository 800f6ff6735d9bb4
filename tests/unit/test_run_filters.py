"""The filters of lists of runs: the same object for the page and the API."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.runs import filters
from cronium_admin.runs.filters import RunFilter, count_bounded, has_visible_runs
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.test_projects import make_job_in, make_member, sign_in, south  # noqa: F401 - a fixture
from tests.users import get_admin


@pytest.fixture
def many(make_job: Callable[..., Job], people: dict[str, User]) -> dict[str, Run]:
    day = timedelta(days=1)
    rows: dict[str, dict[str, Any]] = {
        "oom": {"status": "failed", "reason": "oom", "host": "east", "age": day * 2},
        "code": {"status": "failed", "reason": "exit_code", "host": "west", "age": day / 2, "trigger": "manual"},
        "good": {"status": "succeeded", "reason": "exit_code", "host": "west", "age": day / 48, "trigger": "schedule"},
        "waits": {"status": "queued", "age": day * 0, "by": people["operator"]},
    }
    found = {}
    for name, values in rows.items():
        job = make_job(name=f"Job {name}", slug=name, language="python" if name == "oom" else "bash", tags=[name])
        at, by = timezone.now() - values.pop("age"), values.pop("by", get_admin())
        run = launch(job, by)
        Run.objects.filter(pk=run.pk).update(created_at=at, **values)
        found[name] = run
    return found


CASES = [
    ("", "oom code good waits"),
    ("job=oom&job=good", "oom good"),
    ("tag=code&tag=waits", "code waits"),
    ("status=failed&status=live", "oom code waits"),
    ("reason=oom", "oom"),
    ("reason=exit_code", "code"),  # a run that succeeded has no reason to be filtered by
    ("reason=exit_code&status=succeeded", ""),
    ("trigger=manual&trigger=schedule", "code good"),
    ("by=operator", "waits"),
    ("by=operator&by=admin&status=failed", "oom code"),
    ("by=nobody", ""),
    ("host=west", "code good"),
    ("language=python", "oom"),
    ("period=24h", "code good waits"),
    ("period=1h&status=succeeded", "good"),
    ("project=default", "oom code good waits"),
    ("project=none", ""),
]


@pytest.mark.parametrize(("query", "expected"), CASES)
def test_page_and_api_filter_in_the_same_way(
    many: dict[str, Run], people: dict[str, User], query: str, expected: str
) -> None:
    assert Project.objects.get().slug == "default"
    wanted = {many[name].pk for name in expected.split()}
    api = Api(people["viewer"])
    assert {row["id"] for row in api.get(f"/runs?{query}").json()["items"]} == {str(pk) for pk in wanted}
    client = sign_in(people["viewer"])
    for path in ("/runs/", "/runs/rows/"):
        page = client.get(f"{path}?{query}").content.decode()
        assert {run.pk for run in many.values() if f'id="run-{run.pk}"' in page} == wanted


def test_tags_of_many_runs_find_the_same(
    many: dict[str, Run], people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "_FREQUENT", 0)
    Job.objects.update(last_run_number=5)
    items = Api(people["viewer"]).get("/runs?tag=code&tag=waits").json()["items"]
    assert {row["id"] for row in items} == {str(many[name].pk) for name in ("code", "waits")}


def test_times_are_in_the_zone_of_the_form() -> None:
    chosen, unread = RunFilter.from_query(QueryDict("since=2026-11-28T08:00&until=2026-11-29&zone=Europe/Berlin"))
    assert chosen.since == datetime(2026, 11, 28, 7, tzinfo=UTC)
    assert chosen.until == datetime(2026, 11, 28, 23, tzinfo=UTC)
    assert unread == []
    assert RunFilter.from_query(QueryDict(chosen.to_query()))[0] == chosen


def test_an_address_says_the_same_again() -> None:
    query = "job=a&job=b&tag=x&status=failed&by=anna+b&host=east&period=7d&since=2026-11-28T07%3A00%3A00Z"
    chosen, _ = RunFilter.from_query(QueryDict(query))
    assert chosen.to_query() == query
    assert "job=a" not in chosen.to_query(without="job", value="a")
    assert "job=b" in chosen.to_query(without="job", value="a")
    assert "since" not in chosen.to_query(without="since", value="2026-11-28T07:00:00Z")


@pytest.mark.parametrize("query", ["status=x", "trigger=x", "language=x", "period=x", "job=", "reason=%00", "by=%00"])
def test_the_page_ignores_what_is_no_value(many: dict[str, Run], people: dict[str, User], query: str) -> None:
    page = sign_in(people["viewer"]).get(f"/runs/?{query}").content.decode()
    assert all(f'id="run-{run.pk}"' in page for run in many.values())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *[("status=x", "status"), ("trigger=x", "trigger"), ("language=x", "language"), ("period=x", "period")],
        *[("job=none", "job"), ("until=x", "until"), ("who=admin", "who"), ("by=" + "x" * 151, "by")],
        ("&".join(["host=x"] * 21), "host"),
    ],
)
def test_the_api_names_the_filter_that_is_wrong(viewer: Api, query: str, field: str) -> None:
    answer = viewer.get(f"/runs?{query}")
    assert (answer.status_code, [*answer.json()["fields"]]) == (422, [field])


def test_chips_say_what_is_filtered_and_remove_it(many: dict[str, Run], people: dict[str, User]) -> None:
    page = sign_in(people["viewer"]).get("/runs/?job=oom&status=failed&status=lost&by=admin").content.decode()
    for words in ("Job: Job oom", "State: Failed", "State: Lost", "Launched by: admin"):
        assert words in page
    assert 'href="/runs/?job=oom&amp;status=failed&amp;status=lost"' in page
    assert 'href="/runs/?job=oom&amp;status=lost&amp;by=admin"' in page
    assert '<input type="hidden" name="job" value="oom">' in page


def test_the_total_is_bounded(many: dict[str, Run], people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_bounded(Run.objects.all()) == (4, False)
    assert "1–4 of 4 runs" in sign_in(people["viewer"]).get("/runs/").content.decode()
    monkeypatch.setattr(filters, "MAX_COUNTED", 3)
    assert count_bounded(Run.objects.all()) == (3, True)


def test_a_waiting_run_has_neither_started_nor_taken(many: dict[str, Run], people: dict[str, User]) -> None:
    row = sign_in(people["viewer"]).get("/runs/rows/?job=waits").content.decode()
    assert "queued <span data-since=" in row
    assert "data-rel" not in row


def test_the_reason_is_in_the_row(many: dict[str, Run], people: dict[str, User]) -> None:
    Run.objects.filter(pk=many["code"].pk).update(error={"text": "KeyError: <b>", "line": 9, "script_line": 8})
    page = sign_in(people["viewer"]).get("/runs/rows/?status=failed").content.decode()
    assert "KeyError: &lt;b&gt; (line 8)" in page
    assert "Out of memory" in page


def test_suggestions_are_jobs_that_the_user_sees(
    many: dict[str, Run],
    people: dict[str, User],
    south: Project,  # noqa: F811
) -> None:
    make_job_in(south, name="Secret job oom", slug="hidden")
    page = sign_in(people["viewer"]).get("/runs/job-options/?job=JOB+oom").content.decode()
    assert 'value="oom"' in page
    assert 'value="good"' not in page
    other = sign_in(make_member("viewer", south)).get("/runs/job-options/?job=job").content.decode()
    assert 'value="hidden"' in other
    assert 'value="oom"' not in other


def test_a_member_of_a_project_sees_no_names_of_others(many: dict[str, Run], south: Project) -> None:  # noqa: F811
    client: Client = sign_in(make_member("admin", south))
    page = client.get("/runs/?job=oom&by=operator&host=west").content.decode()
    assert "No job oom" in page
    assert 'value="editor"' not in page
    assert ">East<" not in page
    assert not any(str(run.pk) in page for run in many.values())


def test_a_member_of_several_quiet_projects_reads_only_their_runs(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [Project.objects.create(name=name, slug=name.lower()) for name in ("East", "West", "North")]
    east, west, north = (launch(make_job(slug=place.slug, project=place), get_admin()) for place in places)
    hidden = launch(make_job(slug="hidden"), get_admin())
    member = User.objects.create(username="of-two", role="")
    for place in places[:2]:
        Membership.objects.create(user=member, project=place, role="viewer")

    def select() -> "QuerySet[Run]":
        return RunFilter().select(Run.objects.visible_to(member), member).order_by("-created_at", "-id")

    assert list(select()) == [west, east]
    assert has_visible_runs(member)
    if connection.vendor == "sqlite":
        assert "run_of_project_newest" in select()[:51].explain()
        monkeypatch.setattr(filters, "_FREQUENT", 2)
        assert "run_newest" in select()[:51].explain(), "many runs: the newest are read until a page is full"
    assert list(select()) == [west, east]
    both = RunFilter(project=("east", "west", "north")).select(Run.objects.all(), get_admin())
    assert set(both) == {east, west, north}
    assert hidden not in both
    Run.objects.filter(pk__in=[east.pk, west.pk]).delete()
    assert not has_visible_runs(member)
