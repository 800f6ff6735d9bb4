"""The page of a run: its tabs, the banner of a failed run, what differs from the last success, and who may act."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import Membership, Project, User
from cronium_admin.jobs.line_map import find_line_in
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.service import save_job
from cronium_admin.runs.input_form import list_recent_sources
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.attempts import list_reruns
from cronium_admin.runs.run_views import _find_neighbours
from tests.users import get_admin

OLD = (
    "import sys\n\nrows = {}\n\n\ndef add(row):\n    total = 0\n    total += row['b']\n    return total\n\n\nadd({})\n"
)
MOVED = OLD.replace("import sys\n", "import os\nimport sys\n")
CHANGED = OLD.replace("row['b']", "row.get('b', 0)")
ERROR = {"text": "KeyError: 'b' <b>", "line": 31, "script_line": 8, "file": "script.py"}


@pytest.mark.parametrize(
    ("old", "new", "line", "mapped"),
    [
        ("a\nb\nc", "a\nb\nc", 2, 2),
        ("a\nb\nc", "x\na\nb\nc", 2, 3),
        ("a\nb\nc", "a\nc", 3, 2),
        ("a\nb\nc", "a\nx\nc", 2, None),
        ("a\nb\nc", "a\nc", 2, None),
        ("a\nb\nc\nd\ne", "a\nX\nb\nY\nd\ne", 2, 3),
        ("a\r\nb\r\nc", "a\nq\nb\nc", 2, 3),
        ("\ufeffa\nb", "a\nb", 1, 1),
        ("a", "a", 5, None),
        ("a", "a", 0, None),
        ("a\na\na", "a\na", 2, 2),
        ("", "", 1, 1),
        ("\n".join(f"l{n}" for n in range(5000)), "\n".join(f"m{n}" for n in range(5000)), 9, None),
    ],
)
def test_where_a_line_is_in_another_version(old: str, new: str, line: int, mapped: int | None) -> None:
    assert find_line_in(old, new, line) == mapped


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return save_job(make_job(name="Report", slug="report", language="python"), {"script": OLD}, get_admin())


def _end(run: Run, status: str, **columns: Any) -> Run:
    at = run.created_at
    ending = {"claimed_at": at, "started_at": at, "finished_at": at + timedelta(seconds=9), "host": "a"}
    reason = {"reason": "exit_code", "message": "The script exited with code 1.", "exit_code": 1}
    Run.objects.filter(pk=run.pk).update(**{**ending, **reason, "status": status, **columns})
    run.refresh_from_db()
    return run


def _fail(job: Job, status: str = "failed", **columns: Any) -> Run:
    return _end(launch(job, get_admin()), status, **{"error": ERROR, **columns})


@pytest.fixture
def show(client: Client, people: dict[str, User]) -> Callable[..., str]:
    def show(run: Run, tab: str = "", role: str = "editor") -> str:
        client.force_login(people[role])
        answer = client.get(f"/runs/{run.pk}/{tab}")
        assert answer.status_code == 200
        return answer.content.decode()

    return show


def test_the_banner_says_why_where_and_how_often(job: Job, show: Callable[..., str]) -> None:
    good = _end(launch(job, get_admin()), "succeeded")
    _fail(job)
    failed = _fail(job)
    text = show(failed)
    for shown in (
        "KeyError: &#x27;b&#x27; &lt;b&gt;",
        f'href="/runs/{failed.pk}/script/#line-8">script.py line 8',
        f'href="/runs/{failed.pk}/#L31">Show in log, line 31',
        "2 times in a row",
        f'href="/runs/{good.pk}/">#1</a>',
        'href="/jobs/report/edit/#line-8"',
        "Edit line 8",
        'data-error-line="31"',
        "The script exited with code 1.",
    ):
        assert shown in text, shown
    assert "This run used revision" not in text


@pytest.mark.parametrize(("script", "act", "note"), [(MOVED, "Edit line 9", False), (CHANGED, "Edit job", True)])
def test_the_line_is_that_of_the_newest_revision(
    job: Job, show: Callable[..., str], script: str, act: str, note: bool
) -> None:
    failed = _fail(job)
    job = save_job(job, {"script": script}, get_admin())
    text = show(failed)
    assert act in text
    assert ("Line 8 was changed or removed in it." in text) == note
    assert f"Revision {job.revision} by admin" in text
    assert "has not run" in text
    assert "differs from the newest" in text
    assert text.index("Run newest (rev") < text.index("Repeat exactly (rev")
    launch(job, get_admin())
    assert "has run since" in show(failed)


def test_who_sees_which_act(job: Job, show: Callable[..., str]) -> None:
    failed = _fail(job)
    assert "Edit line 8" in show(failed, role="editor")
    for role in ("viewer", "operator"):
        text = show(failed, role=role)
        assert "KeyError" in text
        assert "/edit/" not in text
        assert ("Run again" in text) == (role == "operator")


def test_the_tabs_are_refused_to_those_who_may_not_see_the_run(
    job: Job, client: Client, people: dict[str, User]
) -> None:
    failed = _fail(job)
    outsider = User.objects.create(username="outsider", role="")
    Membership.objects.create(user=outsider, project=Project.objects.create(slug="other", name="Other"), role="admin")
    for tab in ("", "script/", "details/", "live/"):
        client.logout()
        assert client.get(f"/runs/{failed.pk}/{tab}").status_code == 302
        client.force_login(outsider)
        assert client.get(f"/runs/{failed.pk}/{tab}").status_code == 404


def test_what_differs_from_the_last_success(job: Job, show: Callable[..., str]) -> None:
    job = save_job(job, {"env": {"A": "1", "B": "2"}}, get_admin())
    good = _end(launch(job, get_admin()), "succeeded", image_digest="sha256:" + "a" * 64, log_lines=100)
    job = save_job(
        job, {"script": CHANGED, "env": {"A": "secret-value", "C": "3"}, "timeout_seconds": 77, "input": 5}, get_admin()
    )
    failed = _fail(job, image_digest="sha256:" + "b" * 64, host="b", log_lines=31)
    text = show(failed)
    table = text[text.index("Since the last success") : text.index("</aside>")]
    assert f'href="/runs/{good.pk}/"' in table
    for shown in ("+1", "−1", "a" * 12, "b" * 12, "+C", "A changed", "77 s", "none", "Host", "100"):
        assert shown in table, shown
    assert "secret-value" not in text
    same = table[table.index("Unchanged:") :]
    for unchanged in ("network", "limits", "profile"):
        assert unchanged in same
    seen = show(failed, role="viewer")
    assert "A changed" in seen
    assert "+C" in seen
    assert "secret-value" not in seen
    assert "names of secrets" in same


def test_without_a_success_there_is_nothing_to_compare(job: Job, show: Callable[..., str]) -> None:
    failed = _fail(job)
    text = show(failed)
    assert "Since the last success" not in text
    assert "No success known before it" in text


def test_the_script_that_ran_with_its_line_marked(job: Job, show: Callable[..., str]) -> None:
    failed = _fail(job)
    save_job(job, {"script": CHANGED}, get_admin())
    text = show(failed, "script/")
    assert '<li id="line-8" class="fault"' in text
    assert "row[&#x27;b&#x27;]" in text
    assert "row.get" not in text
    assert "has another script" in text


def test_the_runs_before_and_after(job: Job, show: Callable[..., str]) -> None:
    first, second, third = (launch(job, get_admin()) for _ in range(3))
    for tab in ("", "script/", "details/"):
        text = show(second, tab)
        assert f'rel="prev" href="/runs/{first.pk}/"' in text
        assert f'rel="next" href="/runs/{third.pk}/"' in text
    assert 'rel="prev"' not in show(first)
    assert 'rel="next"' not in show(third)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"status": "timed_out", "reason": "timeout", "message": "Stopped at its time limit."}, "Stopped at its time"),
        ({"status": "errored", "reason": "image_missing", "message": "No image.", "error": None}, "No image."),
        (
            {"status": "lost", "reason": "host_gone", "message": "", "exit_code": None, "error": None},
            "Lost: host gone.",
        ),
        ({"status": "failed", "error": None, "message": ""}, "The script exited with code 1."),
        ({"status": "failed", "error": {**ERROR, "script_line": None, "file": ""}}, "KeyError"),
    ],
)
def test_other_ends(job: Job, show: Callable[..., str], columns: dict[str, Any], shown: str) -> None:
    failed = _fail(job, **{**columns})
    for tab in ("", "script/", "details/", "live/"):
        assert shown in show(failed, tab)


def test_what_is_not_set_has_no_row(job: Job, show: Callable[..., str]) -> None:
    failed = _fail(job)
    text, details = show(failed), show(failed, "details/")
    for label in ("Priority", "Queue", "Streams", "Root filesystem", "Input"):
        assert f"<dt>{label}</dt>" not in text
        assert f"<dt>{label}</dt>" in details


def test_the_queries_of_a_failed_run_do_not_grow(job: Job, client: Client, people: dict[str, User]) -> None:
    _end(launch(job, get_admin()), "succeeded")
    for _ in range(5):
        failed = _fail(job)
    save_job(job, {"script": CHANGED}, get_admin())
    client.force_login(people["editor"])
    client.get(f"/runs/{failed.pk}/")
    # session, user, run; newest revision, its runs; last success, streak; scripts; neighbours, reruns, live runs
    counts = []
    for tab in ("", "script/", "details/"):
        with CaptureQueriesContext(connection) as captured:
            client.get(f"/runs/{failed.pk}/{tab}")
        counts.append(len(captured))
    assert counts == [13, 12, 14]


def test_neighbours_repeats_and_recent_runs_cost_no_query_for_each(job: Job, django_assert_num_queries: Any) -> None:
    first, second, third = (launch(job, get_admin()) for _ in range(3))
    again = [rerun(second, get_admin()) for _ in range(3)]
    second = Run.objects.select_related("job").get(pk=second.pk)
    with django_assert_num_queries(2):
        assert _find_neighbours(second) == {"previous": first, "next": third}
    with django_assert_num_queries(1):
        assert list(list_reruns(second)) == again
    with django_assert_num_queries(1):
        assert len(list_recent_sources(job)) == 6


def test_a_streak_ends_at_a_deleted_run(job: Job, show: Callable[..., str]) -> None:
    runs = [_fail(job) for _ in range(5)]
    assert "5 times in a row" in show(runs[4])
    Run.objects.filter(pk=runs[2].pk).update(status="succeeded")
    assert "2 times in a row" in show(runs[4])
    Run.objects.filter(pk=runs[2].pk).delete()  # with it, its success is unknown
    text = show(runs[4])
    assert "2 times in a row" in text
    assert "No success known before it" in text
