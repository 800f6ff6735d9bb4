"""Named leases with races, frozen and killed processes; and the task that runs in the process with the lease."""

import random
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from cronium_admin.core import leased_task
from cronium_admin.core.lease import (
    HeldLease,
    LeaseLost,
    acquire_lease,
    acquire_rows,
    holds_lease,
    is_held,
    release_lease,
    renew_lease,
)
from cronium_admin.core.leased_task import LeasedTask
from cronium_admin.core.models import Lease
from cronium_admin.logs import maintenance
from cronium_admin.logs.throttle import Stopped, Throttle
from cronium_admin.runs.models import Run
from cronium_admin.workers.hosts.models import Host
from tests.unit.other_process import OtherProcess

NAME = "sweep"


def expire(name: str = NAME) -> None:
    Lease.objects.filter(name=name).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def holds(owner: str, epoch: int | None = None) -> bool:
    return Lease.objects.filter(holds_lease(NAME, owner, epoch)).exists()


@pytest.mark.django_db
class TestLease:
    def test_one_owner_holds_it_and_other_names_are_free(self) -> None:
        assert acquire_lease(NAME, "one", 60) == 1
        assert acquire_lease(NAME, "two", 60) is None
        assert acquire_lease(NAME, "one", 60) == 1, "to acquire it again renews it"
        assert acquire_lease("other", "two", 60) == 1
        assert (holds("one"), holds("two"), holds("")) == (True, False, False)

    def test_an_expired_lease_is_held_by_nobody_and_goes_to_the_first_who_asks(self) -> None:
        acquire_lease(NAME, "one", 60)
        expire()
        assert not holds("one")
        assert acquire_lease(NAME, "two", 60) == 2
        assert not renew_lease(NAME, "one", 60)
        assert not release_lease(NAME, "one")
        assert (holds("one"), holds("two")) == (False, True)

    def test_rows_are_held_by_an_owner_until_the_lease_expires(self) -> None:
        later, earlier = timezone.now() + timedelta(seconds=60), timezone.now() - timedelta(seconds=1)
        for name, owner, until in (("held", "x", later), ("old", "x", earlier), ("free", "", None), ("no", "", later)):
            Lease.objects.create(name=name, owner=owner, lease_expires_at=until)

        def names(condition: Q) -> list[str]:
            return sorted(Lease.objects.filter(condition).values_list("name", flat=True))

        assert names(is_held()) == names(is_held("x")) == ["held"]
        assert names(~is_held()) == ["free", "no", "old"]
        assert names(is_held("y")) == []

    def test_an_expired_lease_that_nobody_took_is_renewed(self) -> None:
        acquire_lease(NAME, "one", 60)
        expire()
        assert renew_lease(NAME, "one", 60)
        assert holds("one", 1)

    def test_a_released_lease_is_free_at_once(self) -> None:
        acquire_lease(NAME, "one", 60)
        assert release_lease(NAME, "one")
        assert not holds("one")
        assert acquire_lease(NAME, "two", 60) == 2

    def test_the_epoch_tells_an_owner_that_held_it_without_a_break_from_one_that_holds_it_again(self) -> None:
        first = acquire_lease(NAME, "one", 60)
        expire()
        acquire_lease(NAME, "two", 60)
        release_lease(NAME, "two")
        assert acquire_lease(NAME, "one", 60) == 3
        assert (holds("one"), holds("one", first), holds("one", 3)) == (True, False, True)

    def test_a_lease_of_no_time_is_held_by_nobody(self) -> None:
        assert acquire_lease(NAME, "one", 0) == 1
        assert not holds("one")
        assert acquire_lease(NAME, "two", 60) == 2

    def test_the_condition_decides_in_the_update_of_another_table(self, run: Run) -> None:
        acquire_lease(NAME, "one", 60)
        mine = Run.objects.filter(holds_lease(NAME, "one", 1), pk=run.pk)
        assert mine.update(queue="a") == 1
        expire()
        assert mine.update(queue="b") == 0

    def test_the_clock_of_the_process_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        acquire_lease(NAME, "one", 60)
        for ahead in (-86400, 86400):
            monkeypatch.setattr("time.time", lambda ahead=ahead: 1_800_000_000.0 + ahead)
            assert acquire_lease(NAME, "two", 60) is None
            assert renew_lease(NAME, "one", 60)

    def test_the_same_functions_serve_any_row_with_the_columns(self) -> None:
        Host.objects.create(name="a")
        row, minute = Host.objects.filter(name="a"), timedelta(minutes=1)
        assert acquire_rows(row, "one", minute, owner_locked=True)
        assert not acquire_rows(row, "two", minute, owner_locked=False)
        assert row.get().owner_locked, "a refusal changes no column"

    def test_long_work_keeps_its_lease_and_learns_that_it_was_lost(self) -> None:
        epoch = acquire_lease(NAME, "one", 60)
        assert epoch is not None
        held = HeldLease(NAME, "one", epoch, 60)
        expire()
        held.keep()  # too early for a renewal
        assert not holds("one")
        held._renewed_at -= 20
        held.keep()
        assert holds("one", epoch)
        expire()
        acquire_lease(NAME, "two", 60)
        held._renewed_at -= 20
        with pytest.raises(LeaseLost, match="sweep"):
            held.keep()
        with pytest.raises(Stopped):
            Throttle(keep=held.keep).raise_if_stopped()

    @pytest.mark.parametrize("seed", range(20))
    def test_in_any_order_of_steps_one_owner_holds_it_at_most(self, seed: int) -> None:
        draw, owners, epochs = random.Random(seed), ["one", "two", "three"], []
        told: dict[str, int] = {}  # the processes that have acquired it, and have not been told of its loss since
        for _ in range(60):
            owner = draw.choice(owners)
            match draw.choice(["acquire", "acquire", "renew", "release", "expire"]):
                case "acquire":
                    if (epoch := acquire_lease(NAME, owner, 60)) is not None:
                        assert told.keys() <= {owner}
                        told = {owner: epoch}
                        epochs.append(epoch)
                case "renew":
                    if renew_lease(NAME, owner, 60):
                        assert told.keys() <= {owner}
                        told = {owner: Lease.objects.get(name=NAME).epoch}
                case "release":
                    if release_lease(NAME, owner):
                        told = {}
                case "expire":
                    expire()
                    told = {}
            assert [who for who in owners if holds(who)] == list(told)
            assert all(holds(who, epoch) for who, epoch in told.items())
        assert epochs == sorted(epochs)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestRace:
    @pytest.mark.parametrize("state", ["new", "expired", "released"])
    def test_of_many_that_ask_at_once_one_gets_it(self, state: str) -> None:
        if state != "new":
            acquire_lease(NAME, "before", 60)
            expire() if state == "expired" else release_lease(NAME, "before")
        start, epochs = threading.Barrier(8), list[int | None]()

        def ask(number: int) -> None:
            start.wait(10)
            try:
                epochs.append(acquire_lease(NAME, f"owner {number}", 60))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(epochs, key=str) == [1 if state == "new" else 2, *[None] * 7]

    def test_a_frozen_process_changes_nothing_once_its_lease_was_taken(self, run: Run, tmp_path: Path) -> None:
        code = f"""
from cronium_admin.core.lease import acquire_lease, holds_lease, release_lease, renew_lease
from cronium_admin.runs.models import Run
epoch = acquire_lease({NAME!r}, "frozen", 60)
print(epoch, flush=True)
wait()
print(Run.objects.filter(holds_lease({NAME!r}, "frozen"), pk={str(run.pk)!r}).update(queue="late"))
print(renew_lease({NAME!r}, "frozen", 60), release_lease({NAME!r}, "frozen"), flush=True)
"""
        with OtherProcess(code, tmp_path) as other:
            assert other.read_line() == "1"
            other.await_point()
            assert acquire_lease(NAME, "next", 60) is None
            other.freeze()
            other.go_on()  # it continues with its change the moment it wakes
            expire()
            assert acquire_lease(NAME, "next", 60) == 2
            other.thaw()
            assert [other.read_line(), other.read_line()] == ["0", "False False"]
        run.refresh_from_db()
        assert run.queue == "default"
        assert holds("next", 2)

    def test_a_killed_process_leaves_the_lease_until_it_expires(self, tmp_path: Path) -> None:
        code = f"""
from cronium_admin.core.lease import acquire_lease
print(acquire_lease({NAME!r}, "killed", 60), flush=True)
wait()
"""
        with OtherProcess(code, tmp_path) as other:
            assert other.read_line() == "1"
            other.kill()
        assert acquire_lease(NAME, "next", 60) is None
        expire()
        assert acquire_lease(NAME, "next", 60) == 2


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestLeasedTask:
    def test_only_the_process_that_holds_the_lease_works(self) -> None:
        done: list[str] = []
        one = LeasedTask(NAME, lambda lease: done.append("one") or 0.0, 0.0)
        two = LeasedTask(NAME, lambda lease: done.append("two") or 0.0, 0.0)
        for _ in range(3):
            one._take_turn()
            assert two._take_turn() == leased_task.LEASE_SECONDS / 3
        assert done == ["one"] * 3
        expire()
        two._take_turn()
        one._take_turn()
        assert done == ["one"] * 3 + ["two"]

    def test_the_lease_is_renewed_between_the_calls_and_the_work_waits_for_its_time(self) -> None:
        done: list[int] = []
        task = LeasedTask(NAME, lambda lease: done.append(lease.epoch) or 3600.0, 0.0)
        assert task._take_turn() == pytest.approx(leased_task.LEASE_SECONDS / 3, abs=1)
        expire()
        task._take_turn()
        assert Lease.objects.get(name=NAME).lease_expires_at > timezone.now()
        assert done == [1]
        task._due_at -= 3600
        task._take_turn()
        assert done == [1, 1]

    def test_who_gets_the_lease_back_works_at_once(self) -> None:
        done: list[int] = []
        task = LeasedTask(NAME, lambda lease: done.append(lease.epoch) or 3600.0, 0.0)
        task._take_turn()
        expire()
        acquire_lease(NAME, "another", 60)
        task._take_turn()
        release_lease(NAME, "another")
        task._take_turn()
        assert done == [1, 3]

    def test_work_that_finds_its_lease_lost_ends_without_an_error(self, caplog: pytest.LogCaptureFixture) -> None:
        def work(lease: HeldLease) -> float:
            expire()
            acquire_lease(NAME, "another", 60)
            lease._renewed_at -= 60
            lease.keep()
            raise AssertionError("it went on")

        task = LeasedTask(NAME, work, 0.0)
        assert task._take_turn() == leased_task.LEASE_SECONDS / 3
        assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]

    def test_a_thread_that_is_stopped_releases_the_lease(self) -> None:
        worked = threading.Event()
        task = LeasedTask(NAME, lambda lease: worked.set() or 3600.0, 0.0)
        task.start()
        assert worked.wait(10)
        task.stop(10)
        assert not task.thread.is_alive()
        assert acquire_lease(NAME, "next", 60) == 2

    def test_work_that_fails_keeps_the_lease_and_is_tried_again(self) -> None:
        tries, done = [], threading.Event()

        def work(lease: HeldLease) -> float:
            tries.append(lease.epoch)
            if len(tries) == 1:
                raise RuntimeError("the disk is full")
            done.set()
            return 3600.0

        task = LeasedTask(NAME, work, 0.0)
        task.start()
        assert done.wait(10)
        task.stop(10)
        assert tries == [1, 1]

    def test_the_removal_of_old_data_runs_in_one_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rounds: list[Any] = []
        monkeypatch.setattr(maintenance, "run_maintenance", rounds.append)
        one, two = maintenance.LogMaintenance(), maintenance.LogMaintenance()
        for keeper in (one, two, one, two):
            keeper._take_turn()
        assert len(rounds) == 1
        expire("log-keeper")
        two._take_turn()
        assert len(rounds) == 2
