"""Leadership of a host, and the runs of a process that is gone."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run, RunEvent, Status
from cronium_admin.runs.state_machine import LEASE_DURATION
from cronium_admin.secrets.models import RetiredSecret, Secret
from cronium_admin.secrets.service import delete_secret, rotate_secrets, save_secret
from cronium_admin.workers import abandoned, lease, run_spec, takeover
from cronium_admin.workers.clock_steps import ClockStepDetector
from cronium_admin.workers.gc import runs as gc_runs
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.leadership import Leadership
from executor.docker.errors import EngineUnreachable
from executor.spec import RunSpec
from tests.users import get_admin

pytestmark = pytest.mark.django_db
PAST = timedelta(seconds=-700)


def put(run: Run, status: Status, **more: Any) -> None:
    values = {"host": "a", "lease_owner": "dead", "lease_epoch": 2, "claimed_at": timezone.now()} | more
    Run.objects.filter(pk=run.pk).update(status=status, **values)


def take_over(run: Run, removed: list[str] | None = None) -> list[takeover.AdoptedRun]:
    taken = takeover.take_over_runs(
        "a", "new", "inst", frozenset(), lambda spec: removed.append(spec.run_id) if removed is not None else None
    )
    run.refresh_from_db()
    return taken


class TestLease:
    def test_one_has_it_and_keeps_it(self) -> None:
        assert lease.acquire_lease("a", "one")
        assert not lease.acquire_lease("a", "two")
        assert lease.renew_lease("a", "one", {"running": 3})
        assert Host.objects.get(name="a").running == 3
        assert lease.acquire_lease("b", "two")

    def test_it_passes_on_when_it_is_over_and_the_old_one_learns_of_it(self) -> None:
        lease.acquire_lease("a", "one")
        Host.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert lease.renew_lease("a", "one", {})  # without another owner, a process whose machine slept continues
        Host.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert lease.acquire_lease("a", "two")
        assert not lease.renew_lease("a", "one", {"running": 9})
        assert Host.objects.get(name="a").running == 0

    def test_who_gives_up_leaves_it_free_and_another_one_can_not(self) -> None:
        lease.acquire_lease("a", "one")
        lease.release_lease("a", "two")
        assert not lease.acquire_lease("a", "two")
        lease.release_lease("a", "one")
        assert lease.acquire_lease("a", "two")

    def test_the_next_process_on_a_machine_knows_that_the_one_before_is_dead(
        self, settings: Any, tmp_path: Any
    ) -> None:
        settings.DATA_DIR = tmp_path
        one, two = Leadership("a"), Leadership("a")
        assert one.acquire()
        assert not two.acquire()
        one._release_lock()  # as its death does
        assert two.acquire()
        assert not one.renew({})

    def test_one_that_was_frozen_takes_nothing_from_the_one_that_followed(self, settings: Any, tmp_path: Any) -> None:
        """It held the lock file all the time, so the lock says nothing about the leader that acts without it."""
        settings.DATA_DIR = tmp_path
        old, new, third = Leadership("a"), Leadership("a"), Leadership("a")
        assert old.acquire()
        assert old.renew({})
        Host.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert new.acquire()
        assert not old.renew({})
        assert not old.acquire()
        assert not third.acquire()
        assert new.renew({})  # it has the lock from now on
        assert not old.acquire()
        new._release_lock()  # as its death does
        assert third.acquire()

    def test_a_process_on_another_data_folder_may_live(self, settings: Any, tmp_path: Any) -> None:
        """Even on the same machine with the same name: it has another lock file, so only its lease shows that it is
        dead."""
        settings.DATA_DIR = tmp_path / "one"
        one = Leadership("a")
        settings.DATA_DIR = tmp_path / "two"
        two = Leadership("a")
        assert one.acquire()
        assert not two.acquire()
        assert one.renew({})
        three = Leadership("a")  # is a standby with the second, and shares its lock file
        assert not three.acquire()
        assert not two.acquire()
        Host.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert three.acquire()
        assert not two.acquire()
        assert three.renew({})


class TestTakeOver:
    @pytest.fixture(autouse=True)
    def _acts(self, db: None) -> None:
        assert lease.acquire_lease("a", "new")

    @pytest.mark.parametrize("status", [Status.STARTING, Status.RUNNING])
    @pytest.mark.parametrize("flagged", [False, True])
    def test_who_has_lost_the_hosts_lease_changes_nothing(self, run: Run, status: Status, flagged: bool) -> None:
        """The process was frozen, and has not noticed the loss."""
        put(run, status, started_at=timezone.now(), cancel_requested_at=timezone.now() if flagged else None)
        expired = timezone.now() - timedelta(seconds=1)
        for lost in ({"owner": "another"}, {"owner": "new", "lease_expires_at": expired}):
            Host.objects.filter(name="a").update(**lost)
            assert take_over(run) == []
            assert (run.status, run.lease_epoch, run.lease_owner) == (status, 2, "dead")

    def test_what_had_not_begun_waits_again(self, run: Run) -> None:
        put(run, Status.STARTING)
        assert take_over(run) == []
        assert (run.status, run.host, run.lease_owner) == (Status.QUEUED, "", "")

    def test_a_cancel_is_not_forgotten(self, run: Run) -> None:
        put(run, Status.STARTING, cancel_requested_at=timezone.now())
        take_over(run)
        assert (run.status, run.reason) == (Status.CANCELLED, "cancelled")

    def test_what_runs_goes_on_with_the_time_it_has_left(self, run: Run) -> None:
        put(run, Status.RUNNING, started_at=timezone.now() - timedelta(seconds=20), timeout_seconds=60)
        (one,) = take_over(run)
        assert (one.epoch, one.spec.epoch, one.spec.run_id) == (3, 3, str(run.pk))
        assert 38 < one.seconds_left < 41
        assert (run.status, run.lease_owner, run.lease_epoch) == (Status.RUNNING, "new", 3)
        assert RunEvent.objects.filter(run=run, kind="adopted").count() == 1

    def test_other_hosts_and_what_runs_here_are_left_alone(self, run: Run) -> None:
        put(run, Status.RUNNING, host="b")
        assert take_over(run) == []
        put(run, Status.RUNNING)
        assert takeover.take_over_runs("a", "new", "inst", {str(run.pk)}, lambda spec: None) == []
        run.refresh_from_db()
        assert run.lease_epoch == 2

    def test_a_run_whose_value_was_replaced_unseen_is_stopped(self, run: Run) -> None:
        """An older version replaced it, without storing the replaced value."""
        Secret.objects.create(name="KEY", encrypted="x", value_changed_at=timezone.now() + timedelta(seconds=5))
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        removed: list[str] = []
        assert take_over(run, removed) == []
        assert removed == [str(run.pk)]
        assert (run.status, run.reason) == (Status.ERRORED, "secret_unavailable")
        assert "KEY that the script was given is no longer stored" in run.message

    @pytest.mark.parametrize("lost", [{"owner": "another"}, {"owner": "new", "lease_expires_at": timezone.now()}])
    def test_a_worker_without_the_hosts_lease_stops_no_run_for_its_secrets(
        self, run: Run, lost: dict[str, Any]
    ) -> None:
        Secret.objects.create(name="KEY", encrypted="x", value_changed_at=timezone.now() + timedelta(seconds=5))
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        Host.objects.filter(name="a").update(**lost)
        removed: list[str] = []
        assert take_over(run, removed) == []
        assert (removed, run.status) == ([], Status.RUNNING)

    def test_a_worker_that_loses_the_lease_during_the_removal_writes_no_result(self, run: Run) -> None:
        Secret.objects.create(name="KEY", encrypted="x", value_changed_at=timezone.now() + timedelta(seconds=5))
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})

        def lose(spec: RunSpec) -> None:
            Host.objects.filter(name="a").update(owner="another")

        takeover.take_over_runs("a", "new", "inst", frozenset(), lose)
        run.refresh_from_db()
        assert run.status == Status.RUNNING

    def test_an_edited_description_stops_no_run(self, run: Run) -> None:
        save_secret("KEY", "the first value", "old words", get_admin())
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        save_secret("KEY", None, "new words", get_admin())
        (adopted,) = take_over(run)
        assert adopted.spec.masked == ("the first value",)
        assert not RetiredSecret.objects.exists()

    def test_a_replaced_or_deleted_value_stops_no_run_and_stays_masked(self, run: Run) -> None:
        save_secret("KEY", "the first value", None, get_admin())
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        for value in ("the second value", "the third value"):
            save_secret("KEY", value, None, get_admin())
        (adopted,) = take_over(run)
        assert set(adopted.spec.masked) == {"the first value", "the second value", "the third value"}
        assert adopted.spec.secrets == {}  # its script has begun: it is sent nothing
        assert "value" not in repr(adopted.spec)
        delete_secret("KEY", get_admin())
        (adopted,) = take_over(run)
        assert set(adopted.spec.masked) == {"the first value", "the second value", "the third value"}

    def test_replaced_values_can_be_decrypted_after_the_keys_were_changed(self, run: Run, settings: Any) -> None:
        old, new = (Fernet.generate_key().decode() for _ in range(2))
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": old})
        save_secret("KEY", "the first value", None, get_admin())
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        save_secret("KEY", "the second value", None, get_admin())
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": f"{new},{old}"})
        assert rotate_secrets() == (1, [])
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": new})
        (adopted,) = take_over(run)
        assert set(adopted.spec.masked) == {"the first value", "the second value"}

    def test_a_replaced_value_is_deleted_once_no_run_can_have_been_given_it(self, run: Run) -> None:
        claimed = timezone.now() - timedelta(hours=2)
        put(
            run,
            Status.RUNNING,
            differs={"secrets": ["KEY"]},
            claimed_at=claimed,
            lease_expires_at=timezone.now() + LEASE_DURATION,
        )
        for name, age in (("KEY", 3), ("KEY", 1), ("OTHER", 1), ("OTHER", 0)):
            RetiredSecret.objects.create(name=name, encrypted="x", retired_at=timezone.now() - timedelta(hours=age))
        abandoned.settle_abandoned_runs()
        kept = RetiredSecret.objects.order_by("pk").values_list("name", "retired_at")
        assert [(name, round((timezone.now() - at) / timedelta(hours=1))) for name, at in kept] == [
            ("KEY", 1),
            ("OTHER", 0),  # a run may be starting with it at this moment
        ]
        Run.objects.update(status=Status.SUCCEEDED)
        abandoned.settle_abandoned_runs()
        assert [name for name, _ in RetiredSecret.objects.values_list("name", "retired_at")] == ["OTHER"]

    def test_a_clock_that_is_set_back_gives_no_run_more_than_its_time(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(run, Status.RUNNING, started_at=timezone.now() + timedelta(hours=1))
        (adopted,) = take_over(run)
        assert adopted.seconds_left == run.timeout_seconds
        assert adopted.started_at <= time.monotonic()

    def test_the_token_is_the_one_that_the_script_was_given(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        put(run, Status.RUNNING, started_at=timezone.now())
        given = run_spec.build_spec(run, "inst", "a")
        later = given.token_expires_at + 5000
        monkeypatch.setattr("time.time", lambda: later)
        (adopted,) = take_over(run)
        assert adopted.spec.token == given.token

    def test_an_engine_that_is_away_holds_up_no_other_run(self, run: Run, make_job: Callable[..., Job]) -> None:
        """A run that cannot be stopped yet is retried, and is not counted as adopted."""
        Secret.objects.create(name="KEY", encrypted="x", value_changed_at=timezone.now() + timedelta(seconds=5))
        put(run, Status.RUNNING, started_at=timezone.now(), differs={"secrets": ["KEY"]})
        other = launch(make_job(), get_admin())
        put(other, Status.RUNNING, started_at=timezone.now())

        def away(spec: RunSpec) -> None:
            raise EngineUnreachable("no answer")

        taken = takeover.take_over_runs("a", "new", "inst", frozenset(), away)
        assert [one.spec.run_id for one in taken] == [str(other.pk)]
        run.refresh_from_db()
        assert (run.status, run.lease_owner, run.lease_epoch) == (Status.RUNNING, "dead", 2)
        removed: list[str] = []
        takeover.take_over_runs("a", "new", "inst", {str(other.pk)}, lambda spec: removed.append(spec.run_id))
        run.refresh_from_db()
        assert (removed, run.reason) == ([str(run.pk)], "secret_unavailable")


def hour_later(self: Any, compiler: Any, connection: Any, seconds: int = 3600, **extra: Any) -> Any:
    template = f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f001', 'NOW', '+{seconds} seconds')"
    return self.as_sql(compiler, connection, template=template, **extra)


class TestAbandoned:
    def test_a_host_that_stays_away_loses_its_runs(self, run: Run) -> None:
        put(run, Status.RUNNING, lease_expires_at=timezone.now() + PAST)
        assert abandoned.settle_abandoned_runs() == 1
        run.refresh_from_db()
        assert (run.status, run.reason) == (Status.LOST, "host_gone")
        assert abandoned.settle_abandoned_runs() == 0

    @pytest.mark.parametrize("seconds", [5, -60, -590])
    def test_not_before_its_time(self, run: Run, seconds: int) -> None:
        put(run, Status.RUNNING, lease_expires_at=timezone.now() + timedelta(seconds=seconds))
        assert abandoned.settle_abandoned_runs() == 0

    def test_what_had_not_begun_is_free_for_others_at_once(self, run: Run) -> None:
        put(run, Status.STARTING, lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert abandoned.settle_abandoned_runs() == 1
        run.refresh_from_db()
        assert run.status == Status.QUEUED

    def test_a_clock_that_is_set_forward_ends_no_run_of_a_living_host(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a step of an hour all leases seem expired, for the seconds until the workers renew them."""
        monkeypatch.setattr(abandoned, "clock_steps", ClockStepDetector())
        put(run, Status.RUNNING, lease_expires_at=timezone.now() + LEASE_DURATION)
        lease.acquire_lease("a", "living")
        assert abandoned.settle_abandoned_runs() == 0
        monkeypatch.setattr(takeover.Now, "as_sqlite", hour_later)
        assert abandoned.settle_abandoned_runs() == 0
        assert "set forward by 3600 s" in caplog.text
        run.refresh_from_db()
        assert run.status == Status.RUNNING
        monotonic = time.monotonic()
        monkeypatch.setattr(takeover.time, "monotonic", lambda: monotonic + lease.LEASE_DURATION.total_seconds() + 1)
        monkeypatch.setattr(
            takeover.Now, "as_sqlite", lambda self, *args, **more: hour_later(self, *args, seconds=3621)
        )
        assert abandoned.settle_abandoned_runs() == 1, "nobody has renewed its lease"

    def test_its_own_process_sees_to_it_while_there_is_one(self, run: Run) -> None:
        put(run, Status.RUNNING, lease_expires_at=timezone.now() + PAST)
        lease.acquire_lease("a", "new")
        assert abandoned.settle_abandoned_runs() == 0


def test_the_reaper_leaves_what_lives_and_what_has_just_ended(run: Run) -> None:
    ids = {str(run.pk), "canary", "00000000-0000-4000-8000-000000000000"}
    put(run, Status.RUNNING)
    assert gc_runs.find_still_active("a", ids) == {str(run.pk)}
    assert gc_runs.find_still_active("b", ids) == set()  # it was restarted on another host
    put(run, Status.QUEUED, host="")
    assert gc_runs.find_still_active("a", ids) == set()
    put(run, Status.FAILED, finished_at=timezone.now())
    assert gc_runs.find_still_active("a", ids) == {str(run.pk)}
    put(run, Status.FAILED, finished_at=timezone.now() - timedelta(seconds=30))
    assert gc_runs.find_still_active("a", ids) == set()
