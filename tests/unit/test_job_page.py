"""The page of a job: its tabs, what is wrong in one sentence, changes between the runs, comparison and restore."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs import revision_rows
from cronium_admin.jobs.duration_bars import build_duration_bars, fetch_duration_bars
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.revision_rows import list_revision_rows
from cronium_admin.jobs.service import save_job
from cronium_admin.logs.codec import IndexEntry, pack_index, pack_text
from cronium_admin.logs.models import LogChunk
from cronium_admin.logs.preview import MAX_ENDED_BYTES, fetch_ended_lines
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.state_machine import Ending
from tests.users import get_admin

TABS = ("", "script/", "history/", "settings/", "use/")
ERROR = {"text": "KeyError: 'b' <b>", "line": 31, "script_line": 8, "file": "script.py"}


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    stored = make_job(name="Report", slug="report", language="python")
    return save_job(stored, {"script": "one\ntwo\n", "env": {"A": "1"}}, get_admin())


@pytest.fixture
def show(client: Client, people: dict[str, User]) -> Callable[..., str]:
    def show(path: str = "", role: str = "editor") -> str:
        client.force_login(people[role])
        answer = client.get(f"/jobs/report/{path}")
        assert answer.status_code == 200
        return answer.content.decode()

    return show


def _end(job: Job, status: str = "failed", **facts: Any) -> Run:
    run = launch(job, get_admin())
    Run.objects.filter(pk=run.pk).update(
        status="running", lease_epoch=1, started_at=run.created_at, claimed_at=run.created_at
    )
    facts = {"error": ERROR, **facts} if status == "failed" else facts
    ending = Ending(Status(status), "exit_code", "The script exited.", int(status == "failed"), facts)
    assert state_machine.finish(run.pk, 1, ending)
    run.refresh_from_db()
    return run


def test_the_sentence_says_what_is_wrong_and_since_when(job: Job, show: Callable[..., str]) -> None:
    assert "Never run" in show()
    _end(job, "succeeded")
    assert "The last run succeeded" in show()
    job = save_job(job, {"script": "one\n2\n"}, get_admin())
    assert f"Revision {job.revision} has not run yet" in show()
    for _ in range(3):
        last = _end(job)
    broken = job.revision
    job = save_job(job, {"script": "one\n3\n"}, get_admin())
    for tab in TABS:
        text = show(tab, "viewer")
        for shown in (
            "3 runs in a row failed",
            f'href="/runs/{last.pk}/">KeyError: &#x27;b&#x27; &lt;b&gt; (line 8)</a>',
            f">revision {broken}</a>",
            f"Revision {job.revision} has not run yet",
            'class="spark"',
        ):
            assert shown in text, (tab, shown)


def test_runs_say_why_and_changes_stand_between_them(job: Job, show: Callable[..., str]) -> None:
    old = job.revision
    first = _end(job, "succeeded")
    job = save_job(job, {"script": "one\n2\nthree\n", "timeout_seconds": 77}, get_admin())
    second = _end(job)
    job = save_job(job, {"env": {}}, get_admin())
    for text in (show(), show("runs/")):
        order = [
            text.index(f"Revision {job.revision}</strong> by admin"),
            text.index(f"run-{second.pk}"),
            text.index("KeyError: &#x27;b&#x27; &lt;b&gt; (line 8)", text.index(f"run-{second.pk}")),
            text.index(f"Revision {old + 1}</strong> by admin"),
            text.index(f"run-{first.pk}"),
        ]
        assert order == sorted(order)
        assert '<span class="plus">+2</span> <span class="minus">−1</span>' in text
        assert " · Timeout · " in text
        assert f"/jobs/report/history/?before={old}&amp;after={old + 1}" in text


def test_rows_of_revisions_cost_the_same(job: Job, django_assert_num_queries: Any) -> None:
    old = job.revision
    for number in range(8):
        job = save_job(job, {"script": f"one\n{number}\n"}, get_admin())
    revision_rows._counts.clear()
    with django_assert_num_queries(2):  # the revisions, the scripts
        rows = list_revision_rows(job, 1, job.revision)
    assert [row.revision.number for row in rows] == list(range(job.revision, old - 1, -1))
    assert {(row.added, row.removed) for row in rows[:7]} == {(1, 1)}
    assert rows[-1].before is None
    with django_assert_num_queries(1):  # the counts are kept
        assert list_revision_rows(job, 1, job.revision) == rows
    assert len(list_revision_rows(job, 1, job.revision, limit=3)) == 3
    assert [row.before for row in list_revision_rows(job, 5, 5)] == [4]
    assert list_revision_rows(job, 6, 5) == []


def test_two_revisions_side_by_side(job: Job, show: Callable[..., str]) -> None:
    old = job.revision
    job = save_job(job, {"script": "one\n<b>\n", "env": {"A": "private", "B": "2"}, "tags": ["x"]}, get_admin())
    path = f"history/?before={old}&after={job.revision}"
    text = show(path)
    for shown in ('d-added">+&lt;b&gt;', 'd-removed">-two', "private", ">Tags<"):
        assert shown in text, shown
    assert "private" not in show(path, "viewer")
    assert "d-added" not in show(f"history/?before={old}&after={old}")


@pytest.mark.parametrize("query", ["before=1&after=999", "before=0&after=1"])
def test_a_revision_that_does_not_exist(job: Job, client: Client, people: dict[str, User], query: str) -> None:
    client.force_login(people["viewer"])
    assert client.get(f"/jobs/report/history/?{query}").status_code == 404
    assert client.get("/jobs/report/history/?before=x&after=-1&to=99999999999").status_code == 200


def test_restore(job: Job, client: Client, people: dict[str, User]) -> None:
    old = job.revision
    job = save_job(job, {"script": "newer\n"}, get_admin())
    client.force_login(people["editor"])
    url, form = "/jobs/report/history/restore/", {"number": old, "revision": job.revision}
    text = client.post(url, form, follow=True).content.decode()
    assert f"Revision {old} is restored as revision {job.revision + 1}." in text
    job.refresh_from_db()
    assert job.script == "one\ntwo\n"
    text = client.post(url, {"number": old, "revision": job.revision}, follow=True).content.decode()
    assert "nothing was changed" in text
    for number, status in (("999", 404), ("x", 302), ("", 302)):
        assert client.post(url, {"number": number, "revision": job.revision}).status_code == status


def test_restore_over_a_newer_revision_is_refused(job: Job, client: Client, people: dict[str, User]) -> None:
    shown = job.revision
    job = save_job(job, {"script": "newer\n"}, get_admin())
    client.force_login(people["editor"])
    client.post("/jobs/report/history/restore/", {"number": 1, "revision": shown}, follow=True)
    job.refresh_from_db()
    assert job.script == "newer\n"


def test_who_may_restore(job: Job, show: Callable[..., str], client: Client, people: dict[str, User]) -> None:
    save_job(job, {"script": "newer\n"}, get_admin())
    assert "history/restore/" in show("history/", "editor")
    for role in ("viewer", "operator"):
        assert "history/restore/" not in show("history/", role)
        assert client.post("/jobs/report/history/restore/", {"number": 1}).status_code == 403


def test_the_tabs_are_refused_to_those_who_may_not_see_the_job(
    job: Job, client: Client, people: dict[str, User]
) -> None:
    outsider = User.objects.create(username="outsider", role="")
    Membership.objects.create(user=outsider, project=Project.objects.create(slug="other", name="Other"), role="admin")
    for tab in (*TABS, "runs/"):
        client.logout()
        assert client.get(f"/jobs/report/{tab}").status_code == 302
        client.force_login(outsider)
        assert client.get(f"/jobs/report/{tab}").status_code == 404
    assert client.post("/jobs/report/history/restore/", {"number": 1}).status_code == 404


def test_how_it_is_run_from_elsewhere(job: Job, show: Callable[..., str]) -> None:
    text = show("use/")
    assert "curl -fsS -X POST http://testserver/api/v1/jobs/report/runs" in text
    assert "0 2 * * * curl" in text


def test_what_the_right_column_shows(job: Job, show: Callable[..., str]) -> None:
    Run.objects.filter(pk=_end(job, "succeeded").pk).update(
        output={"booked": 1204}, output_at=job.updated_at + timedelta(seconds=1)
    )
    text = show()
    assert "Last output" in text
    assert "1204" in text


def test_the_queries_of_the_tabs(job: Job, client: Client, people: dict[str, User]) -> None:
    _end(job, "succeeded")
    for number in range(5):
        job = save_job(job, {"script": f"one\n{number}\n"}, get_admin())
        _end(job)
    client.force_login(people["editor"])
    client.get("/jobs/report/")
    counts = {}
    for tab in (*TABS, "runs/"):
        with CaptureQueriesContext(connection) as captured:
            client.get(f"/jobs/report/{tab}")
        counts[tab] = len(captured)
    assert counts == {"": 14, "script/": 9, "history/": 10, "settings/": 14, "use/": 8, "runs/": 6}


def test_a_failure_began_with_the_revision_of_the_first_run_that_failed(job: Job, show: Callable[..., str]) -> None:
    _end(job, "succeeded")
    changed = save_job(job, {"script": "one\n2\n"}, get_admin())
    cancelled = launch(changed, get_admin())
    Run.objects.filter(pk=cancelled.pk).update(status="cancelled", finished_at=cancelled.created_at)
    changed = save_job(changed, {"script": "one\n3\n"}, get_admin())
    first = _end(changed)
    assert f">revision {changed.revision}</a>" in show()
    _end(save_job(changed, {"script": "one\n4\n"}, get_admin()))
    assert f">revision {changed.revision}</a>" in show()
    first.delete()
    assert "It began with" not in show()


def _fill_durations(job: Job, *seconds: float) -> list[Run]:
    runs = [_end(job, "succeeded") for _ in seconds]
    for run, took in zip(runs, seconds, strict=True):
        Run.objects.filter(pk=run.pk).update(finished_at=run.created_at + timedelta(seconds=took))
    job.refresh_from_db()
    return runs


class TestDurations:
    def test_each_run_is_a_bar_that_leads_to_it(self, job: Job, show: Callable[..., str]) -> None:
        runs = _fill_durations(job, 1, 2, 9)
        failed = _end(job)
        Run.objects.filter(pk=failed.pk).update(finished_at=failed.created_at + timedelta(seconds=4))
        page = show()
        chart = page[page.index('class="run-bars"') : page.index("</svg>", page.index('class="run-bars"'))]
        places = [chart.index(f'href="/runs/{run.pk}/" tabindex="-1"') for run in (*runs, failed)]
        assert places == sorted(places)
        assert chart.count('class="mark"') == 1
        assert f"#{failed.number}: 4.0 s, Failed" in chart
        assert "usually 2.0 s, longest 9.0 s" in page
        assert "1 did not succeed" in page
        assert 'd="M281 0.0h8v64.0h-8z"' in chart  # the longest

    def test_few_runs_have_no_chart(self, job: Job, show: Callable[..., str]) -> None:
        _fill_durations(job, 1, 2)
        assert "run-bars" not in show()

    def test_live_runs_and_tries_are_omitted(self, job: Job) -> None:
        runs = _fill_durations(job, 1, 2, 3, 4)
        Run.objects.filter(pk=runs[1].pk).update(trigger="try")
        launch(job, get_admin())
        job.refresh_from_db()
        bars = fetch_duration_bars(job)
        assert bars is not None
        assert [bar.run for bar in bars.newest_first] == [runs[3], runs[2], runs[0]]

    def test_the_chart_alone_is_sent_only_if_it_has_changed(self, job: Job, people: dict[str, User]) -> None:
        client = Client()
        client.force_login(people["viewer"])
        _fill_durations(job, 1, 2)
        assert client.get("/jobs/report/durations/").status_code == 204
        _fill_durations(job, 3)
        chart = client.get("/jobs/report/durations/").content.decode()
        assert chart.count('class="hit"') == 3
        [version] = re.findall(r'name="v" value="(\w+)"', chart)
        assert client.get(f"/jobs/report/durations/?v={version}").status_code == 204
        launch(job, get_admin())
        assert client.get(f"/jobs/report/durations/?v={version}").status_code == 204, "a live run has no bar"
        _end(job)
        later = client.get(f"/jobs/report/durations/?v={version}")
        assert later.content.decode().count('class="hit"') == 4

    def test_runs_without_a_duration_and_without_success(self, job: Job) -> None:
        runs = _fill_durations(job, 0, 0, 0)
        Run.objects.update(status="failed")
        bars = build_duration_bars(list(Run.objects.all()))
        assert bars is not None
        assert len(bars.bars) == len(runs)
        assert (bars.usual, bars.bad, {bar.height for bar in bars.bars}) == (None, 3, {2.0})


class TestLastOutput:
    def test_only_the_beginning_of_a_long_output_is_read(self, job: Job, show: Callable[..., str]) -> None:
        run = _end(job, "succeeded", output=["x" * 100] * 1000, output_at=timezone.now())
        with CaptureQueriesContext(connection) as captured:
            page = show()
        assert "Only its beginning." in page
        assert page.count("x" * 100) < 50
        [sql] = [each["sql"] for each in captured if "SUBSTR" in each["sql"].upper()]
        assert '"runs_run"."output",' not in sql
        Run.objects.filter(pk=run.pk).update(output={"rows": 12})
        page = show()
        assert "&quot;rows&quot;: 12" in page
        assert "Only its beginning." not in page

    def test_a_null_is_an_output(self, job: Job, show: Callable[..., str]) -> None:
        _end(job, "succeeded", output_at=timezone.now())
        assert 'aria-label="Last output">null</pre>' in show()


@pytest.mark.parametrize("tab", TABS)
def test_each_tab_shows_a_problem_with_the_image(tab: str, job: Job, show: Callable[..., str]) -> None:
    words = "node:20 looks like an image for Node; this job is written in Python."
    assert words not in show(tab)
    Job.objects.filter(pk=job.pk).update(image="node:20")
    assert show(tab).count(words) == 1
    assert show(tab, "viewer").count(words) == 1


class TestLastLine:
    @pytest.fixture
    def ended(self, job: Job) -> Run:
        run = _end(job, "succeeded", log_lines=2)
        text = b"reading\ndone, <b>12</b> rows\n"
        LogChunk.objects.create(
            run=run, first_seq=1, lines=2, byte_offset=0, bytes=len(text), first_ns=1, last_ns=1,
            index=pack_index([IndexEntry(1, 2, 1)]), data=pack_text(text),
        )  # fmt: skip
        return run

    @pytest.mark.parametrize("path", ["/jobs/report/", "/jobs/report/runs/", "/jobs/", "/job-states/?id={job}"])
    def test_a_run_that_succeeded_shows_it(
        self, path: str, ended: Run, client: Client, people: dict[str, User]
    ) -> None:
        client.force_login(people["viewer"])
        line = "done, &lt;b&gt;12&lt;/b&gt; rows"
        address = path.format(job=ended.job_id)
        assert line in client.get(address).content.decode()
        Run.objects.filter(pk=ended.pk).update(log_pruned_at=timezone.now())
        assert line not in client.get(address).content.decode()

    def test_a_large_end_and_other_projects_are_omitted(self, ended: Run) -> None:
        assert fetch_ended_lines([ended.pk], get_admin()) == {ended.pk: "done, <b>12</b> rows"}
        stranger = User.objects.create(username="stranger", role="")
        assert fetch_ended_lines([ended.pk], stranger) == {}
        LogChunk.objects.update(bytes=MAX_ENDED_BYTES + 1)
        assert fetch_ended_lines([ended.pk], get_admin()) == {}

    def test_a_failed_run_shows_why_instead(self, ended: Run, show: Callable[..., str]) -> None:
        Run.objects.filter(pk=ended.pk).update(status="failed", error=ERROR)
        page = show("runs/")
        assert "KeyError" in page
        assert "12&lt;" not in page
