"""The filter of jobs: the same on the page, in addresses and in the API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.core.paging import make_cursor
from cronium_admin.jobs.job_filter import JobFilter, Sort
from cronium_admin.jobs.job_listing import list_matching, list_matching_ids
from cronium_admin.jobs.job_search import list_tags
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.pins import set_pin
from cronium_admin.jobs.service import save_job
from cronium_admin.runs.health_models import JobHealth
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.users import get_admin

pytestmark = pytest.mark.django_db


def _slugs(user: User, **fields: Any) -> list[str]:
    names, chosen = dict(Job.objects.values_list("pk", "slug")), JobFilter(**fields)
    listing = list_matching(user, chosen)
    ids = [job.pk for job in listing.fetch(0, 100)]
    # As on pages of one job
    assert ids == [job.pk for place in range(len(ids)) for job in listing.fetch(place, place + 1)]
    assert sorted(ids) == sorted(list_matching_ids(user, chosen, 100))
    assert listing.number == len(ids)
    return [names[pk] for pk in ids]


def _end(job: Job, status: str, seconds: int = 1, failures: int = 0) -> Run:
    run, now = launch(job, get_admin()), timezone.now()
    job.refresh_from_db()
    Run.objects.filter(pk=run.pk).update(status=status, started_at=now - timedelta(seconds=seconds), finished_at=now)
    values = {"last_run_id": run.pk, "last_status": status, "last_ended_at": now, "failures": failures}
    values["last_seconds"] = seconds
    JobHealth.objects.update_or_create(job=job, defaults=values)
    return run


class TestAddresses:
    def test_a_filter_is_read_back_from_its_address(self) -> None:
        chosen = JobFilter("a b&c", "failing", "bash", "nightly", "south", "open", True, True, "name")
        assert JobFilter.parse(chosen.to_query()) == chosen
        assert chosen.to_address().startswith("?q=a+b%26c&state=failing&")
        assert JobFilter().to_address() == ""
        assert JobFilter(sort="name").to_address() == "?sort=name"
        assert not JobFilter(sort="name").is_filtering

    @pytest.mark.parametrize(
        "query",
        [
            {"state": "x", "language": "perl", "network": "", "sort": "-name", "tag": "A B", "project": "../x"},
            {"mine": "yes", "pinned": "1", "q": " \0 ", "page": "2"},
        ],
    )
    def test_what_no_filter_has_is_omitted(self, query: dict[str, str]) -> None:
        assert JobFilter.parse(query) == JobFilter()


class TestWords:
    @pytest.fixture(autouse=True)
    def rows(self, make_job: Callable[..., Job]) -> None:
        make_job(
            name="Größe prüfen", slug="size", tags=["billing"], description="Für den **Abschluss**", script="a=1\n"
        )
        make_job(name="Rotate logs", slug="rotate", script="true\n# STRASSE and Ärger\ncurl invoices\n")

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", ["size", "rotate"]),
            ("GRÖSSE", ["size"]),
            ("prüfen größe", ["size"]),
            ("billing abschluss", ["size"]),
            ("logs invoices", ["rotate"]),
            ("straße", ["rotate"]),
            ("ÄRGER rotate", ["rotate"]),
            ("logs billing", []),
            ("100%", []),
            ("a_1", []),
            ("image:default a=1", ["size"]),
            ("language:bash", ["size", "rotate"]),
            ("language:node", []),
        ],
    )
    def test_all_words_must_match_in_any_order_and_without_case(self, query: str, found: list[str]) -> None:
        assert sorted(_slugs(get_admin(), q=query)) == sorted(found)

    def test_the_script_is_searched_as_it_is_saved(self) -> None:
        save_job(Job.objects.get(slug="size"), {"script": "echo fresh"}, get_admin())
        assert _slugs(get_admin(), q="FRESH") == ["size"]
        assert _slugs(get_admin(), q="a=1") == []

    def test_a_row_says_where_only_the_script_matched(self, client: Client) -> None:
        client.force_login(get_admin())
        page = client.get("/jobs/", {"q": "INVOICES rotate"}).content.decode()
        assert "line 3: curl invoices</div>" in page
        assert "line " not in client.get("/jobs/", {"q": "rotate logs"}).content.decode().split("<tbody")[1]


def test_each_field_filters_and_the_counters_ignore_the_chosen_state(
    make_job: Callable[..., Job], people: dict[str, User]
) -> None:
    editor = people["editor"]
    bad, good = make_job(slug="bad", tags=["nightly"]), make_job(slug="good", created_by=editor, language="python")
    make_job(slug="off", enabled=False, network="none")
    make_job(slug="fresh", tags=["nightly-2"])
    launch(make_job(slug="busy"), get_admin())
    _end(bad, "failed", failures=2)
    _end(good, "succeeded")
    set_pin(editor, bad, True)
    for fields, found in (
        ({"state": "failing"}, ["bad"]),
        ({"state": "ok"}, ["good"]),
        ({"state": "waiting"}, ["busy"]),
        ({"state": "never"}, ["fresh"]),
        ({"state": "disabled"}, ["off"]),
        ({"tag": "nightly"}, ["bad"]),
        ({"language": "python"}, ["good"]),
        ({"network": "none"}, ["off"]),
        ({"mine": True}, ["good"]),
        ({"pinned": True}, ["bad"]),
        ({"project": "nowhere"}, []),
    ):
        assert _slugs(editor, **fields) == found, fields
        names = {name: str(value).lower() for name, value in fields.items()}
        answer = Api(editor).get("/jobs?" + "&".join(f"{name}={value}" for name, value in names.items()))
        assert [item["slug"] for item in answer.json()["items"]] == found, fields
    listing = list_matching(editor, JobFilter(state="failing"))
    assert listing.counts == {"disabled": 1, "failing": 1, "running": 0, "waiting": 1, "never": 1, "ok": 1}
    assert listing.total == 5
    assert list_tags(editor, "gone") == ["gone", "nightly", "nightly-2"]


@pytest.mark.parametrize(
    "query", ["state=x", "language=perl", "network=x", "tag=A%20B", "project=..", "mine=maybe", "q=%00"]
)
def test_the_api_refuses_other_values(query: str, admin: Api) -> None:
    answer = admin.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert query.partition("=")[0] in answer.json()["fields"]


def test_the_order(make_job: Callable[..., Job]) -> None:
    a, b, c, _ = (make_job(name=name, slug=name) for name in "abcd")
    _end(c, "failed", 5, failures=3)
    _end(a, "failed", 9, failures=1)
    _end(b, "failed", 7, failures=0)
    _end(b, "succeeded", 7)
    user = get_admin()
    assert _slugs(user) == ["c", "a", "b", "d"]
    assert _slugs(user, sort="name") == ["a", "b", "c", "d"]
    assert _slugs(user, sort="last") == ["b", "a", "c", "d"]
    assert _slugs(user, sort="duration") == ["a", "b", "c", "d"]
    assert _slugs(user, sort="success") == ["a", "c", "b", "d"]
    api = Api(user)
    for sort in Sort.values:
        assert [slug for page in _list_pages(api, f"sort={sort}") for slug in page] == _slugs(user, sort=sort), sort
    assert _list_pages(api, "sort=failing&state=failing") == [["c"], ["a"]]


def _list_pages(api: Api, query: str) -> list[list[str]]:
    pages, after = list[list[str]](), ""
    while not pages or after:
        answer = api.get(f"/jobs?{query}&limit=1&after={after}").json()
        pages.append([item["slug"] for item in answer["items"]])
        after = answer["next"]
    return pages


def test_a_job_added_before_the_cursor_shifts_no_rows(make_job: Callable[..., Job]) -> None:
    api, (a, b) = Api(get_admin()), (make_job(name=name, slug=name) for name in ("b", "d"))
    _end(a, "failed", failures=2)
    _end(b, "failed", failures=1)
    first = api.get("/jobs?sort=failing&limit=1").json()
    assert [item["slug"] for item in first["items"]] == ["b"]
    _end(make_job(name="a", slug="a"), "failed", failures=2)
    make_job(name="e", slug="e")
    second = api.get(f"/jobs?sort=failing&after={first['next']}").json()
    assert [item["slug"] for item in second["items"]] == ["d", "e"]
    assert second["next"] is None


def test_a_cursor_of_another_order_is_refused(make_job: Callable[..., Job], admin: Api) -> None:
    make_job(slug="a"), make_job(slug="b")
    cursor = admin.get("/jobs?sort=last&limit=1").json()["next"]
    by_name = admin.get("/jobs?limit=1").json()["next"]
    for query in (f"sort=failing&after={cursor}", f"after={cursor}", f"sort=last&after={by_name}", "sort=last&after=x"):
        answer = admin.get(f"/jobs?{query}")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["after"]), query
    for rank in ("nan", "x", ""):
        answer = admin.get(f"/jobs?sort=last&after={make_cursor('last', rank, 'a', 1)}")
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["after"]), rank
    refused = admin.get("/jobs?sort=size")
    assert refused.status_code == 422
    assert all(name in refused.json()["fields"]["sort"][0] for name in Sort.values)


def test_a_member_sees_and_counts_the_own_project_only(job: Job, make_job: Callable[..., Job]) -> None:
    south = Project.objects.create(name="South", slug="south")
    make_job(slug="own", project=south, tags=["mine"])
    Job.objects.filter(pk=job.pk).update(tags=["theirs"])
    member = User.objects.create(username="member", role="")
    Membership.objects.create(user=member, project=south, role="viewer")
    listing = list_matching(member, JobFilter(q="e"))
    assert (len(listing.fetch(0, 50)), listing.total, sum(listing.counts.values())) == (1, 1, 1)
    assert list_tags(member, "") == ["mine"]
    assert _slugs(get_admin(), project="south") == ["own"]


def test_the_page_says_how_many_match_and_why_a_job_failed(client: Client, make_job: Callable[..., Job]) -> None:
    client.force_login(get_admin())
    bad = make_job(name="Bad", slug="bad")
    make_job(name="Other", slug="other")
    run = _end(bad, "failed", failures=1)
    error = {"text": "KeyError: '<b>'", "line": 7, "script_line": 4, "file": "script"}
    Run.objects.filter(pk=run.pk).update(error=error, reason="exit_code")
    page = client.get("/jobs/", {"state": "failing"}).content.decode()
    assert "1 of 2 jobs</p>" in page
    assert "KeyError: &#x27;&lt;b&gt;&#x27; (line 4)" in page
    assert 'href="/jobs/?state=never"' in page
    assert 'aria-current="true"><b class="num">1</b> <span>Failing</span>' in page
    assert '<input type="hidden" name="state" form="job-filters" value="failing">' in page
    rows = client.get("/job-rows/", {"state": "failing", "q": "bad"})
    assert rows["HX-Replace-Url"] == "/jobs/?q=bad&state=failing"
    assert "(line 4)" in client.get("/job-states/", {"id": bad.pk}).content.decode()
