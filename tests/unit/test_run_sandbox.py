"""A run's sandbox on its page and in the API."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cronium_admin.accounts.models import User
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run
from cronium_admin.workers.gc.runs import mark_cleaned
from executor.sandbox.inspection import Row, to_json
from tests.conftest import Api

FINE = Row("main", "memory", "512 MB", "512 MB", False)
OTHER = Row("sidecar", "DNS", "127.0.0.1", "<b>8.8.8.8</b>", True)


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


@pytest.fixture
def claimed(run: Run) -> Run:
    found = state_machine.claim_next("here", "here:1")
    assert found == run
    return found


def test_before_it_is_built_nothing_is_claimed_of_it(client: Client, viewer: Api, run: Run) -> None:
    assert "Verified before the script starts" in client.get(f"/runs/{run.pk}/details/").content.decode()
    assert "Sandbox</dt>" not in client.get(f"/runs/{run.pk}/").content.decode()
    assert viewer.get(f"/runs/{run.pk}/sandbox").json() == {
        "reported": False,
        "version": "",
        "count": 0,
        "drifted": 0,
        "rows": [],
    }


def test_all_as_asked_is_one_line_with_the_rows_behind_it(client: Client, viewer: Api, claimed: Run) -> None:
    assert state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, to_json([FINE]))
    for address in (f"/runs/{claimed.pk}/details/", f"/runs/{claimed.pk}/live/?tab=details"):
        page = client.get(address).content.decode()
        assert "Sandbox verified" in page
        assert 'all <span class="num">1</span> settings as requested' in page
        assert "not as requested" not in page
    for address in (f"/runs/{claimed.pk}/", f"/runs/{claimed.pk}/live/"):
        page = client.get(address).content.decode()
        assert "<dt>Isolation</dt><dd>verified, all 1 settings</dd>" in page
        assert "not as requested" not in page
    told = viewer.get(f"/runs/{claimed.pk}/sandbox").json()
    assert (told["reported"], told["count"], told["drifted"]) == (True, 1, 0)
    assert told["rows"][0]["reported"] == "512 MB"


def test_drift_is_named_and_is_text(client: Client, viewer: Api, claimed: Run) -> None:
    state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, to_json([FINE, OTHER]))
    assert "1 of 2 settings not as requested" in client.get(f"/runs/{claimed.pk}/").content.decode()
    page = client.get(f"/runs/{claimed.pk}/details/").content.decode()
    assert "1 of 2 sandbox settings are not as requested" in page
    assert "sidecar: DNS is" in page
    assert "&lt;b&gt;8.8.8.8" in page
    assert "<b>8.8.8.8" not in page
    assert viewer.get(f"/runs/{claimed.pk}/sandbox").json()["rows"][1]["drift"] is True


def test_a_report_is_kept_once_and_by_the_leases_holder_only(claimed: Run) -> None:
    assert not state_machine.record_sandbox(claimed.pk, claimed.lease_epoch + 1, to_json([OTHER]))
    assert state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, to_json([FINE]))
    assert not state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, to_json([OTHER]))
    report = Run.objects.get().sandbox_report
    assert report is not None
    assert report["drifted"] == 0


def test_the_api_refuses_what_is_not_there(viewer: Api) -> None:
    answer = viewer.get("/runs/00000000-0000-4000-8000-000000000000/sandbox")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_lists_do_not_read_the_report(viewer: Api, client: Client, claimed: Run) -> None:
    for ask in (lambda: viewer.get("/runs"), lambda: client.get("/runs/"), lambda: viewer.get(f"/runs/{claimed.pk}")):
        with CaptureQueriesContext(connection) as seen:
            assert ask().status_code == 200
        assert not [one for one in seen if '"sandbox"' in one["sql"]]


def test_the_report_is_stored_by_the_update_that_begins_the_run(claimed: Run) -> None:
    assert state_machine.mark_running(claimed.pk, claimed.lease_epoch, "sha256:x", to_json([FINE]))
    claimed.refresh_from_db()
    assert (claimed.status, claimed.sandbox_report and claimed.sandbox_report["count"]) == ("running", 1)


def test_a_run_that_does_not_begin_stores_no_report(claimed: Run) -> None:
    Run.objects.update(cancel_requested_at=claimed.created_at)
    assert not state_machine.mark_running(claimed.pk, claimed.lease_epoch, "sha256:x", to_json([FINE]))
    claimed.refresh_from_db()
    assert (claimed.status, claimed.sandbox) == ("starting", None)


def test_a_second_attempt_stores_the_report_of_its_own_sandbox(claimed: Run) -> None:
    state_machine.record_sandbox(claimed.pk, claimed.lease_epoch, to_json([OTHER]))
    assert state_machine.mark_running(claimed.pk, claimed.lease_epoch, "sha256:x", to_json([FINE]))
    report = Run.objects.get().sandbox_report
    assert report is not None
    assert report["drifted"] == 0


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_each_step_of_a_run_is_one_transaction(
    run: Run, django_assert_num_queries: Any, people: dict[str, User]
) -> None:
    """Counted with begin and commit."""
    state_machine.store_report(str(run.pk), to_json([FINE]))  # its table exists from the second run of a kind on
    with django_assert_num_queries(5):  # the oldest run, begin, update, commit, the run
        claimed = state_machine.claim_next("here", "here:1")
    assert claimed is not None
    with django_assert_num_queries(4):  # begin, the table, update, commit
        assert state_machine.mark_running(claimed.pk, 1, "sha256:x", to_json([FINE]))
    ending = state_machine.Ending(state_machine.Status.SUCCEEDED, "exit_code", "It exited.", 0)
    with django_assert_num_queries(4):  # begin, update, the health of its job, commit
        assert state_machine.finish(claimed.pk, 1, ending)
    with django_assert_num_queries(4):  # begin, update, its receipts, commit
        mark_cleaned(claimed.pk)
