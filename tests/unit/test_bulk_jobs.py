"""Acts on many jobs: confirmed with their number, told per job, with the rights on each job."""

from collections.abc import Callable

import pytest
from django.http import HttpResponse
from django.test import Client

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.runs import bulk_jobs
from cronium_admin.runs.bulk_jobs import apply_to_jobs
from cronium_admin.runs.models import Run
from tests.users import get_admin

pytestmark = pytest.mark.django_db


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> list[Job]:
    made = [make_job(name=name, slug=name.lower(), tags=["old"]) for name in ("Alpha", "Beta", "Gamma")]
    make_job(name="Other", slug="other")
    return made


def _post(user: User, jobs: list[Job], act: str, **fields: str) -> HttpResponse:
    client = Client()
    client.force_login(user)
    return client.post("/job-acts/", {"job": [job.pk for job in jobs], "act": act, **fields})


def test_the_first_page_says_what_will_happen_and_changes_nothing(jobs: list[Job], people: dict[str, User]) -> None:
    jobs[0].enabled = False
    jobs[0].save()
    text = _post(people["operator"], jobs, "run", filter="tag=old&state=ok").content.decode()
    assert "<h1>Run 2 jobs?</h1>" in text
    assert "Alpha: It is disabled." in text
    assert 'href="/jobs/?state=ok&amp;tag=old"' in text
    assert not Run.objects.exists()


def test_each_act_makes_a_revision_and_repeating_it_changes_nothing(jobs: list[Job], people: dict[str, User]) -> None:
    editor = people["editor"]
    for act, tag, (enabled, tags) in (
        ("disable", "", (False, ["old"])),
        ("enable", "", (True, ["old"])),
        ("add_tag", "new", (True, ["old", "new"])),
        ("remove_tag", "old", (True, ["new"])),
    ):
        before = jobs[0].revision
        text = _post(editor, jobs, act, tag=tag, confirmed="yes").content.decode()
        assert "<h1>3 jobs " in text
        again = _post(editor, jobs, act, tag=tag, confirmed="yes").content.decode()
        assert "3 already so" in again
        for job in jobs:
            job.refresh_from_db()
            assert (job.enabled, job.tags, job.revision) == (enabled, tags, before + 1)
            assert job.revisions.latest("number").by == editor


def test_a_run_is_launched_once_for_each_key(jobs: list[Job], people: dict[str, User]) -> None:
    for _ in range(2):
        assert "3 launched" in _post(people["operator"], jobs, "run", key="k" * 32, confirmed="yes").content.decode()
    assert sorted(Run.objects.values_list("job__slug", "trigger")) == [
        ("alpha", "manual"),
        ("beta", "manual"),
        ("gamma", "manual"),
    ]


def test_all_that_match_the_filter(jobs: list[Job], people: dict[str, User]) -> None:
    text = _post(people["editor"], [], "disable", scope="all", filter="tag=old").content.decode()
    assert "<h1>Disable 3 jobs?</h1>" in text
    assert all(f'name="job" value="{job.pk}"' in text for job in jobs)


def test_rights_are_checked_for_each_job(jobs: list[Job], make_job: Callable[..., Job]) -> None:
    south = Project.objects.create(name="South", slug="south")
    own, seen = make_job(slug="own", project=south), jobs[0]
    member = User.objects.create(username="member", role="viewer")
    Membership.objects.create(user=member, project=south, role="editor")
    results = apply_to_jobs(member, [own, seen], "disable")
    assert [(result.is_changed, bool(result.refused)) for result in results] == [(True, False), (False, True)]
    seen.refresh_from_db()
    assert seen.enabled
    stranger = User.objects.create(username="stranger", role="")
    Membership.objects.create(user=stranger, project=south, role="operator")
    text = _post(stranger, jobs, "run", confirmed="yes").content.decode()
    assert "3 of the chosen jobs were not found." in text, "jobs of other projects"
    assert _post(User.objects.create(username="vera", role="viewer"), jobs, "run").status_code == 403


def test_one_refusal_holds_up_no_other(jobs: list[Job], people: dict[str, User]) -> None:
    Job.objects.filter(pk=jobs[1].pk).delete()
    results = apply_to_jobs(people["editor"], jobs, "disable")
    assert [result.is_changed for result in results] == [True, False, True]
    assert "deleted" in results[1].refused


def test_a_job_that_was_deleted_is_left_out_in_words(jobs: list[Job], people: dict[str, User]) -> None:
    editor, deleted = people["editor"], jobs[0]
    Job.objects.filter(pk=deleted.pk).delete()
    words = "1 of the chosen jobs was not found. It may have been deleted."
    first = _post(editor, jobs, "disable").content.decode()
    assert "<h1>Disable 2 jobs?</h1>" in first
    assert words in first
    done = _post(editor, jobs, "disable", confirmed="yes").content.decode()
    assert "<h1>2 jobs disabled</h1>" in done
    assert words in done
    for confirmed in ({}, {"confirmed": "yes"}):
        none = _post(editor, jobs[:1], "disable", **confirmed)
        assert none.status_code == 422
        assert words in none.content.decode()
    gone = _post(editor, [], "disable", scope="all", filter="tag=none")
    assert (gone.status_code, "No job matches the filter any more." in gone.content.decode()) == (422, True)


@pytest.mark.parametrize(("act", "tag"), [("run", ""), ("enable", ""), ("add_tag", "old"), ("remove_tag", "new")])
def test_an_act_that_changes_nothing_is_not_asked_for(
    jobs: list[Job], people: dict[str, User], act: str, tag: str
) -> None:
    if act == "run":
        Job.objects.update(enabled=False)
    text = _post(people["editor"], jobs, act, tag=tag).content.decode()
    assert "<h1>Nothing to do</h1>" in text
    assert "3 of the chosen jobs are left out:" in text
    assert ("It is disabled." if act == "run" else "Nothing to change.") in text
    assert 'name="confirmed"' not in text


def test_a_tag_is_added_to_what_is_stored(jobs: list[Job], people: dict[str, User]) -> None:
    stale = Job.objects.get(pk=jobs[0].pk)
    save_job(jobs[0], {"tags": ["theirs"]}, get_admin())
    assert apply_to_jobs(people["editor"], [stale], "add_tag", "mine")[0].is_changed
    assert Job.objects.get(pk=stale.pk).tags == ["theirs", "mine"]


@pytest.mark.parametrize(
    ("act", "fields", "words"),
    [
        ("drop", {}, "Choose what to do."),
        ("add_tag", {"tag": "No Tag"}, "Enter a tag"),
        ("remove_tag", {}, "Enter a tag"),
    ],
)
def test_bad_acts(jobs: list[Job], people: dict[str, User], act: str, fields: dict[str, str], words: str) -> None:
    answer = _post(people["editor"], jobs, act, **fields)
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_the_number_is_bounded(jobs: list[Job], people: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.runs.bulk_views.MAX_JOBS", 2)
    monkeypatch.setattr(bulk_jobs, "MAX_JOBS", 2)
    answer = _post(people["editor"], jobs, "disable", confirmed="yes")
    assert "More than 2 jobs match" in answer.content.decode()
    assert Job.objects.filter(enabled=False).count() == 0


def test_the_list_offers_what_the_role_may(jobs: list[Job], people: dict[str, User], client: Client) -> None:
    for role, acts in (("viewer", []), ("operator", ["run"]), ("editor", ["run", "disable"])):
        client.force_login(people[role])
        page = client.get("/jobs/").content.decode()
        assert ('class="pick"' in page) == bool(acts)
        found = client.get("/jobs/?q=a").content.decode().partition('class="bulk-bar"')[2]
        assert ('name="filter" value="q=a">' in found) == bool(acts)
        assert [act for act in ("run", "disable") if f'<option value="{act}">' in page] == acts
