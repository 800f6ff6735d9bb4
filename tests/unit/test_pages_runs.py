"""The list of runs, the run page, and launch, cancel and rerun from it."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.phases import build_phases
from tests.users import get_admin

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["operator"])
    return client


@pytest.mark.parametrize(
    ("claimed", "started", "finished", "now", "expected"),
    [
        (None, None, None, 5, [("queued", 5, True, 100)]),
        (1, None, None, 4, [("queued", 1, False, 25), ("sandbox", 3, True, 75)]),
        (1, 2, None, 10, [("queued", 1, False, 10), ("sandbox", 1, False, 10), ("running", 8, True, 80)]),
        (1, 2, 10, 99, [("queued", 1, False, 10), ("sandbox", 1, False, 10), ("running", 8, False, 80)]),
        (None, None, 3, 99, [("queued", 3, False, 100)]),  # cancelled in the queue
        (1, None, 4, 99, [("queued", 1, False, 25), ("sandbox", 3, False, 75)]),  # no image, say
        (0, 0, 0, 0, [("queued", 0, False, 1), ("sandbox", 0, False, 1), ("running", 0, False, 1)]),
        (-1, 2, 3, 9, [("queued", 0, False, 1), ("sandbox", 3, False, 75), ("running", 1, False, 25)]),
        (0.01, 0.02, 100, 9, [("queued", 0.01, False, 1), ("sandbox", 0.01, False, 1), ("running", 99.98, False, 100)]),
    ],
)  # fmt: skip
def test_phases(claimed: Any, started: Any, finished: Any, now: float, expected: list[Any]) -> None:
    times = [None if value is None else _at(value) for value in (claimed, started, finished)]
    found = build_phases(START, *times, _at(now))
    shown = [(phase.name, phase.length.total_seconds(), phase.end is None, phase.share) for phase in found]
    assert shown == [(name, pytest.approx(length), lasts, share) for name, length, lasts, share in expected]


def test_no_runs_yet(client: Client, people: dict[str, User]) -> None:
    assert "No runs yet" in client.get("/runs/").content.decode()
    assert "No run matches" in client.get("/runs/", {"status": "failed"}).content.decode()


def test_filters_by_state_and_job(client: Client, run: Run, make_job: Any) -> None:
    other = launch(make_job(name="Other", slug="other"), get_admin())
    state_machine.cancel_queued(other.pk, "anna")
    live = client.get("/runs/", {"status": "live"}).content.decode()
    assert f"run-{run.pk}" in live
    assert f"run-{other.pk}" not in live
    assert f"run-{other.pk}" in client.get("/runs/", {"job": "other", "status": "cancelled"}).content.decode()
    assert client.get("/runs/", {"job": "\x00", "status": "junk", "after": "junk"}).status_code == 200


def test_what_filters_nothing_is_named_and_not_called_a_filter(client: Client, run: Run) -> None:
    for bad in ("yesterday", "2026-13-01", "0001-01-01T00:00:00+14:00"):
        text = client.get("/runs/", {"since": bad, "status": "junk"}).content.decode()
        assert "is not a time such as" in text
        assert "Launched since:" not in text
        assert f'hx-get="{reverse("runs:rows")}?"' in text, "a filter without effect is not passed to the next page"
    chip = client.get("/runs/", {"since": "2020-01-31"}).content.decode()
    assert 'Launched since: <time datetime="2020-01-31T00:00:00Z"' in chip
    assert "No job gone" in client.get("/runs/", {"job": "gone"}).content.decode()


def test_pages_by_cursor_keep_the_filter_and_cost_the_same(
    client: Client, job: Job, django_assert_num_queries: Any
) -> None:
    for _ in range(60):
        launch(job, get_admin())
    first = client.get("/runs/", {"job": "report"}).content.decode()
    link = first.split('rel="next" href="')[1].split('"')[0]
    assert "job=report" in link
    # session, user, the job, runs, their number, hosts, projects and people to choose from, live runs; for waiting runs
    # the limits, and two of hosts
    with django_assert_num_queries(13):
        second = client.get("/runs/" + link.replace("&amp;", "&")).content.decode()
    assert 'class="num">#10<' in second
    assert 'class="num">#11<' not in second
    with django_assert_num_queries(7):
        rows = client.get("/runs/rows/").content.decode()
    assert "<html" not in rows


def test_a_waiting_run(client: Client, run: Run, django_assert_num_queries: Any) -> None:
    client.get("/runs/")
    with django_assert_num_queries(7):  # session, user, run, the runs before and after it, re-runs, live runs
        text = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Queued" in text
    assert 'data-live="true"' in text
    assert 'data-lines="0"' in text
    assert "Cancel this run?" in text
    assert "the language&#x27;s default" in text
    assert "REGION" in text
    assert "north" not in text  # a run shows the names of its variables


def test_a_finished_run_is_whole_on_the_page(client: Client, run: Run, people: dict[str, User]) -> None:
    Run.objects.filter(pk=run.pk).update(
        status="failed", reason="oom", message="Killed for memory at 512 MB. Choose medium, or set memory.",
        exit_code=137, claimed_at=run.created_at, started_at=run.created_at, peak_memory_bytes=511 * 1024 * 1024,
        finished_at=run.created_at + timedelta(seconds=83), log_lines=812, log_bytes=4096, log_digest="ab" * 32,
        host="a", output={"rows": 0}, output_at=timezone.now(),
    )  # fmt: skip
    text = client.get(f"/runs/{run.pk}/").content.decode()
    for shown in ("Failed", "Killed for memory at 512 MB", "137", "in 1:23", "peak 511 MB of 512 MB", "ab" * 32, "&quot;rows&quot;: 0", 'data-live="false"', 'data-expected="812"'):  # noqa: E501 # fmt: skip
        assert shown in text, shown
    assert "4.0\xa0KB" in client.get(f"/runs/{run.pk}/details/").content.decode()
    assert "Cancel this run?" not in text


def test_falsy_input_and_output_are_shown_as_themselves(client: Client, run: Run) -> None:
    for value, shown in ((0, "0"), (False, "false"), ("", "&quot;&quot;"), ([], "[]")):
        Run.objects.filter(pk=run.pk).update(differs={"input": value}, output=value, output_at=timezone.now())
        assert client.get(f"/runs/{run.pk}/").content.decode().count(f">{shown}</pre>") == 2
    Run.objects.filter(pk=run.pk).update(output=None)
    assert 'aria-label="Output">null</pre>' in client.get(f"/runs/{run.pk}/").content.decode()


def test_a_huge_output_does_not_flood_the_page(client: Client, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(output="x" * 500_000, output_at=timezone.now())
    answer = client.get(f"/runs/{run.pk}/")
    assert len(answer.content) < 60_000
    assert "The first 20000 characters" in answer.content.decode()


def test_the_live_part_holds_everything_but_the_log(client: Client, run: Run) -> None:
    state_machine.claim_next("a", "owner")
    text = client.get(f"/runs/{run.pk}/live/").content.decode()
    for part in ("run-acts", "run-facts", "run-phases", "run-reason", "run-details", "run-since"):
        assert f'id="{part}"' in text
    details = client.get(f"/runs/{run.pk}/live/?tab=details").content.decode()
    for part in ("run-details", "run-timeline", "run-sandbox", "run-live"):
        assert f'id="{part}"' in details
    assert "Claimed by host a" in details
    script = client.get(f"/runs/{run.pk}/live/?tab=script").content.decode()
    for part, is_in in {"run-acts": True, "run-facts": True, "run-live": True, "run-details": False}.items():
        assert (f'id="{part}"' in script) is is_in
    assert "data-log=" not in text
    assert "<html" not in text


@pytest.mark.parametrize("tab", ["script", "details"])
def test_the_page_asks_until_nothing_more_comes_and_gets_only_what_is_new(client: Client, run: Run, tab: str) -> None:
    def find_address(path: str) -> str:
        found = re.search(r'id="run-live"[^>]* hx-get="([^"]+)"', client.get(path).content.decode())
        return html.unescape(found[1]) if found else ""

    address = find_address(f"/runs/{run.pk}/{tab}/")
    assert client.get(address).status_code == 204
    claim = state_machine.claim_next("a", "owner")
    assert claim
    assert client.get(address).status_code == 200
    newer = find_address(address)
    assert client.get(newer).status_code == 204
    assert newer != address
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(status="succeeded", finished_at=now)
    ended = client.get(newer).content.decode()
    assert ended.startswith("<title>Succeeded · ")
    assert bool(find_address(newer)) == (tab == "details")  # which gets the row of the removed sandbox
    Run.objects.filter(pk=run.pk).update(finished_at=now - timedelta(minutes=2))
    assert find_address(newer) == ""
    Run.objects.filter(pk=run.pk).update(finished_at=now, cleaned_at=now)
    assert find_address(newer) == ""


def test_cancel_a_waiting_run(client: Client, run: Run) -> None:
    text = client.post(f"/runs/{run.pk}/cancel/", follow=True).content.decode()
    assert "Cancelled by operator before it started." in text
    again = client.post(f"/runs/{run.pk}/cancel/", follow=True).content.decode()
    assert "already ended" in again


def test_a_running_run_is_cancelling_until_it_stopped(client: Client, run: Run) -> None:
    claimed = state_machine.claim_next("a", "owner")
    assert claimed is not None
    state_machine.request_cancel(run.pk, get_admin().pk, "anna")
    text = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Cancelling…" in text
    assert "s-cancelled" not in text
    assert "Cancelling…" in client.get("/jobs/").content.decode()


def test_run_again_names_its_parent(client: Client, run: Run) -> None:
    answer = client.post(f"/runs/{run.pk}/rerun/")
    again = Run.objects.get(parent=run)
    assert answer["Location"] == f"/runs/{again.pk}/"
    assert "repeat of #1" in client.get(f"/runs/{again.pk}/").content.decode()
    assert f'href="/runs/{again.pk}/"' in client.get(f"/runs/{run.pk}/").content.decode()


def test_run_with_other_values(client: Client, job: Job) -> None:
    client.post("/runs/launch/report/", {"with": "yes", "profile": "large", "timeout_seconds": "5", "input": "0"})
    run = Run.objects.get()
    assert (run.profile_name, run.timeout_seconds, run.input) == ("large", 5, 0)
    client.post("/runs/launch/report/", {"with": "yes", "profile": "", "timeout_seconds": "", "input": ""})
    run = Run.objects.get(number=2)
    assert (run.profile_name, run.timeout_seconds, run.input) == ("small", 3600, {"day": 1})


def test_run_with_wrong_values_keeps_them(client: Client, job: Job) -> None:
    for field, value, says in (
        ("timeout_seconds", "99999999", "86,400 seconds at most"),
        ("timeout_seconds", "soon", "Must be a whole number."),
        ("profile", "huge", "There is no profile"),
        ("input", '{"half": ', "not valid JSON"),
    ):
        answer = client.post("/runs/launch/report/", {"with": "yes", "input": "[1]", field: value})
        text = answer.content.decode()
        assert answer.status_code == 422, field
        assert says in text, field
        assert field == "input" or "[1]" in text
    assert not Run.objects.exists()


def test_a_disabled_job_is_not_run(client: Client, make_job: Any) -> None:
    make_job(slug="off", enabled=False)
    text = client.post("/runs/launch/off/", follow=True).content.decode()
    assert "is disabled. Enable it" in text
    assert not Run.objects.exists()
