"""A run's timeline: actors, actions and reasons, in order, for any clock of a host and any text."""

import json
import logging
import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.ops.log_format import ContextFilter, JsonLogFormatter
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, RunEvent, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.workers import lease, takeover
from cronium_admin.workers.hosts.models import Host
from tests.users import get_admin

pytestmark = pytest.mark.django_db
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)> "' {{ 7|add:7 }} \u202e\u2028 &lt;b&gt;"""


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


LIVE = "live/?tab=details"  # the fragment that is updated while the page is open


def timeline(client: Client, run: Run, part: str = "details/") -> list[str]:
    """The sentences of the page or of its `part`."""
    page = client.get(f"/runs/{run.pk}/{part}").content.decode()
    (shown,) = re.findall(r'<ol class="timeline">(.*?)</ol>', page, re.S)
    assert "<script" not in shown
    assert "<img" not in shown
    return [unescape(words) for words in re.findall(r"<span>(.*?)</span>", shown, re.S)]


def claim() -> int:
    claimed = state_machine.claim_next("east", "first")
    assert claimed is not None
    assert state_machine.mark_running(claimed.pk, claimed.lease_epoch, "sha256:x")
    return claimed.lease_epoch


def take_over(owner: str) -> int:
    lease.release_lease("east", Host.objects.get_or_create(name="east")[0].owner)
    assert lease.acquire_lease("east", owner)
    (one,) = takeover.take_over_runs("east", owner, "inst", frozenset(), lambda spec: None)
    return one.epoch


def test_who_took_it_over_and_why_is_told_in_order(client: Client, run: Run) -> None:
    state_machine.release_lease(run.pk, claim())
    take_over("second")
    epoch = take_over("third")
    state_machine.request_cancel(run.pk, get_admin().pk, "olga")
    state_machine.finish(run.pk, epoch, Ending(Status.CANCELLED, "cancelled", "The script was stopped."))
    new = "Adopted by the new worker of host east: the previous worker"
    assert timeline(client, run) == [
        "Queued by admin",
        "Claimed by host east",
        "The script began",
        "The worker was stopped; the script continues until another worker adopts the run",
        f"{new} was stopped and had released the run",
        f"{new} died",
        "Cancel requested by olga",
        "The script was stopped.",
    ]
    assert timeline(client, run) == timeline(client, run, LIVE)


def test_a_worker_that_wins_its_lease_back_is_not_called_new(client: Client, run: Run) -> None:
    claim()
    take_over("first")
    assert "Adopted again by the worker of host east, which had lost its lease" in timeline(client, run)


def test_a_host_whose_clock_is_wrong_does_not_change_the_order(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event has the database's time."""
    wrong = timezone.now() - timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: wrong)
    monkeypatch.setattr(RunEvent._meta.get_field("at"), "default", lambda: wrong)
    claim()
    monkeypatch.undo()
    assert timeline(client, run) == ["Queued by admin", "Claimed by host east", "The script began"]
    assert RunEvent.objects.order_by("at")[0].at > wrong + timedelta(minutes=59)


def test_claim_start_and_end_are_told_by_the_row_of_the_run_alone(client: Client, run: Run) -> None:
    """They have no rows of their own, and stay after retention has removed the events."""
    state_machine.finish(run.pk, claim(), Ending(Status.SUCCEEDED, "", "The script ended with exit code 0."))
    assert [event.kind for event in RunEvent.objects.all()] == ["queued"]
    told = ["Claimed by host east", "The script began", "The script ended with exit code 0."]
    assert timeline(client, run) == ["Queued by admin", *told]
    RunEvent.objects.all().delete()
    assert timeline(client, run) == told


def test_a_claim_that_was_given_back_stays_in_the_timeline(client: Client, run: Run) -> None:
    for host, why in (("east", "Its engine was away"), ("west", "Its worker went away")):
        claimed = state_machine.claim_next(host, "first")
        assert claimed is not None
        assert state_machine.requeue(run.pk, claimed.lease_epoch, why)
        assert not state_machine.requeue(run.pk, claimed.lease_epoch, why)
    claim()
    assert timeline(client, run) == [
        *("Queued by admin", "Claimed by host east", "Its engine was away", "Claimed by host west"),
        *("Its worker went away", "Claimed by host east", "The script began"),
    ]


def test_events_that_an_older_version_stored_are_told_once(client: Client, run: Run) -> None:
    state_machine.finish(run.pk, claim(), Ending(Status.FAILED, "exit_code", "It failed."))
    run.refresh_from_db()
    at = {"claimed": run.claimed_at, "started": run.started_at, "failed": run.finished_at}
    for kind, when in at.items():
        assert when is not None
        later = when + timedelta(milliseconds=1)
        RunEvent.objects.create(run=run, at=later, kind=kind, message=f"stored: {kind}")
    assert timeline(client, run) == [
        "Queued by admin",
        *(f"stored: {kind}" for kind in at),
    ]


def test_hostile_words_are_shown_as_they_are(client: Client, run: Run) -> None:
    epoch = claim()
    state_machine.record_note(run.pk, "network_refused", HOSTILE)
    state_machine.finish(run.pk, epoch, Ending(Status.ERRORED, "image_missing", HOSTILE))
    assert timeline(client, run)[-2:] == [HOSTILE, HOSTILE]
    assert timeline(client, run, LIVE)[-2:] == [HOSTILE, HOSTILE]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_each_event_has_a_line_in_the_log_without_its_words(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cronium.runs")
    state_machine.record_note(run.pk, "network_refused", HOSTILE)
    record = caplog.records[-1]
    ContextFilter().filter(record)
    line = JsonLogFormatter().format(record)
    assert json.loads(line)["run_id"] == str(run.pk)
    assert "network_refused" in line
    assert "script" not in line
