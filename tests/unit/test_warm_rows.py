"""The rows of waiting sandboxes: which one a launch takes, at once or beside others; who may claim the run then."""

import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.jobs.models import Job
from cronium_admin.profiles.models import Profile
from cronium_admin.runs import launch as launch_module
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.runs.overrides import Overrides
from cronium_admin.warm import rows
from cronium_admin.warm.models import Kind, State, WarmSandbox
from cronium_admin.warm.shapes import SHAPE_COLUMNS, WarmShape
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.scheduling import capacity
from cronium_admin.workers.scheduling.capacity import MB, Capacity
from tests.conftest import Api
from tests.users import get_admin

OWNER = "east@machine:1"


def lead(name: str = "east", owner: str = OWNER, seconds: float = 20, **more: Any) -> Host:
    facts = {"owner": owner, "lease_expires_at": timezone.now() + timedelta(seconds=seconds)} | more
    return Host.objects.update_or_create(name=name, defaults=facts)[0]


def shape_of(job: Job) -> WarmShape:
    """The shape of a run of the job, from a launch that is undone."""
    with transaction.atomic():
        shape = WarmShape.from_row(launch(job, get_admin()))
        transaction.set_rollback(True)
    return shape


def wait(job: Job, *, ready: bool = True, host: str = "east", owner: str = OWNER, **columns: Any) -> uuid.UUID:
    """A sandbox that waits for a run of the job."""
    sandbox_id = uuid.uuid4()
    kind, image_id = columns.pop("kind", Kind.WHOLE), columns.pop("image_id", "sha256:one")
    queues = columns.pop("queues", ("default", "night"))
    columns = shape_of(job).columns | columns
    rows.insert_building(sandbox_id, host, owner, queues, kind, **columns)
    if ready:
        assert rows.mark_ready(sandbox_id, owner, kind, "a digest", image_id)
    return sandbox_id


def state_of(sandbox_id: uuid.UUID) -> str:
    return WarmSandbox.objects.get(pk=sandbox_id).state


class TestTake:
    def test_the_run_gets_its_id(self, job: Job) -> None:
        lead()
        waiting = wait(job)
        run = launch(job, get_admin())
        assert run.pk == waiting
        stored = Run.objects.get()
        assert (stored.pk, stored.warm_host, stored.status) == (waiting, "east", "queued")
        assert stored.warm_until is not None
        assert timedelta(seconds=1) < stored.warm_until - stored.created_at <= timedelta(seconds=2.1)
        assert (stored.start_kind, stored.is_warm) == (None, None)
        assert state_of(waiting) == State.TAKEN

    def test_each_is_taken_once(self, job: Job) -> None:
        lead()
        waiting = {wait(job), wait(job)}
        runs = [launch(job, get_admin()) for _ in range(3)]
        assert {run.pk for run in runs[:2]} == waiting
        assert runs[2].pk not in waiting
        assert runs[2].warm_host is None

    def test_the_newest_and_a_whole_one_first(self, job: Job) -> None:
        lead()
        old, new = wait(job), wait(job)
        WarmSandbox.objects.filter(pk=old).update(ready_at=timezone.now() - timedelta(minutes=5))
        stem = wait(job, kind=Kind.STEM)
        assert [launch(job, get_admin()).pk for _ in range(3)] == [new, old, stem]

    @pytest.mark.parametrize(
        "columns",
        [
            {"image": "other"},
            {"language": "python"},
            {"cpu": "0.75"},
            {"memory_mb": 511},
            {"pids": 99},
            {"log_limit_mb": 7},
            {"network": "open"},
            {"runtime": "runsc"},
            {"read_only_root": False},
            {"queues": ("night",)},
            {"queues": ("defaults", "my-default")},
        ],
    )
    def test_one_of_another_shape_or_queue_is_left(self, job: Job, columns: dict[str, Any]) -> None:
        lead()
        waiting = wait(job, **columns)
        assert launch(job, get_admin()).pk != waiting
        assert state_of(waiting) == State.READY

    def test_all_columns_of_a_shape_are_columns_of_a_run_and_of_a_row(self) -> None:
        for model in (Run, WarmSandbox):
            assert {field.name for field in model._meta.get_fields()} >= set(SHAPE_COLUMNS)

    def test_values_of_one_launch_count(self, job: Job) -> None:
        lead()
        wait(job)
        larger = wait(job, memory_mb=600)
        assert launch(job, get_admin(), Overrides(memory_mb=600)).pk == larger

    @pytest.mark.parametrize(
        "host",
        [
            {"owner": "east@machine:2"},
            {"owner": ""},
            {"seconds": -1},
            {"draining": True},
            {"unsafe": True},
        ],
    )
    def test_one_whose_worker_may_be_gone_or_takes_no_runs_is_left(self, job: Job, host: dict[str, Any]) -> None:
        lead()
        waiting = wait(job)
        lead(**host)
        assert launch(job, get_admin()).pk != waiting

    def test_one_that_is_not_ready_or_has_no_slot_is_left(self, job: Job) -> None:
        lead()
        building, gone, busy = wait(job, ready=False), wait(job), wait(job)
        assert rows.mark_gone(gone, OWNER)
        WarmSandbox.objects.filter(pk=busy).update(is_takeable=False)
        assert launch(job, get_admin()).pk not in (building, gone, busy)

    def test_a_rerun_takes_one_of_the_same_image(self, job: Job) -> None:
        lead()
        first = launch(job, get_admin())
        Run.objects.filter(pk=first.pk).update(image_digest="sha256:two")
        first.refresh_from_db()
        wait(job, image_id="sha256:one")
        right = wait(job, image_id="sha256:two")
        WarmSandbox.objects.filter(pk=right).update(ready_at=timezone.now() - timedelta(minutes=5))
        assert rerun(first, get_admin()).pk == right
        assert rerun(first, get_admin()).warm_host is None

    def test_a_launch_that_fails_leaves_it(self, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
        lead()
        waiting = wait(job)

        def fail(*given: Any, **more: Any) -> None:
            raise RuntimeError("the event could not be stored")

        with monkeypatch.context() as patched:
            patched.setattr(launch_module.events, "record_event", fail)
            with pytest.raises(RuntimeError):
                launch(job, get_admin())
        assert state_of(waiting) == State.READY
        assert launch(job, get_admin()).pk == waiting

    def test_a_repeated_key_takes_none(self, job: Job) -> None:
        lead()
        first = launch(job, get_admin(), idempotency_key="k")
        waiting = wait(job)
        assert launch(job, get_admin(), idempotency_key="k").pk == first.pk
        assert state_of(waiting) == State.READY

    def test_switched_off_nothing_is_taken(self, job: Job, settings: Any) -> None:
        lead()
        waiting = wait(job)
        settings.CONFIG = settings.CONFIG.model_copy(update={"warm": "0"})
        assert launch(job, get_admin()).pk != waiting

    def test_to_look_takes_one_query_and_to_take_one_more(self, operator: Api, job: Job) -> None:
        lead()
        numbers = []
        for has_one in (False, False, True):
            waiting = wait(job) if has_one else None
            with CaptureQueriesContext(connection) as queries:
                run = operator.post("/jobs/report/runs").json()
            assert (run["id"] == str(waiting)) == has_one
            numbers.append(len(queries))
        asked = [query["sql"] for query in queries if "warm_warmsandbox" in query["sql"]]
        assert [sql.split()[0] for sql in asked] == ["SELECT", "UPDATE"]
        assert numbers[2] == numbers[1] + 1


class TestTransitions:
    def test_without_the_lease_nothing_becomes_ready(self, job: Job) -> None:
        lead()
        building = wait(job, ready=False)
        for host in ({"owner": "east@machine:2"}, {"seconds": -1}):
            lead(**host)  # type: ignore[arg-type]
            assert not rows.mark_ready(building, OWNER, Kind.WHOLE, "x", "y")
        lead()
        assert rows.mark_ready(building, OWNER, Kind.WHOLE, "x", "y")
        assert not rows.mark_ready(building, OWNER, Kind.WHOLE, "x", "y")

    def test_a_taken_one_does_not_become_gone(self, job: Job) -> None:
        lead()
        waiting = wait(job)
        launch(job, get_admin())
        assert not rows.mark_gone(waiting, OWNER)
        assert rows.mark_all_gone(OWNER) == 0
        assert not rows.mark_gone(uuid.uuid4(), OWNER)

    def test_the_rows_of_a_host_are_deleted_by_its_new_leader_only(self, job: Job) -> None:
        lead()
        wait(job)
        assert rows.delete_rows_of_host("east", "east@machine:2") == 0, "it does not lead"
        lead(owner="east@machine:2")
        lead("west", "west@machine:1")
        others = wait(job, host="west", owner="west@machine:1")
        wait(job, owner="east@machine:2")
        assert rows.delete_rows_of_host("east", "east@machine:2") == 2
        assert {*WarmSandbox.objects.values_list("pk", flat=True)} == {others}

    def test_garbage_collection_keeps_those_of_the_present_leader(self, job: Job) -> None:
        lead()
        waiting, building = wait(job), wait(job, ready=False)
        taken = wait(job)
        assert launch(job, get_admin()).pk == taken
        ids = [waiting, building, taken, uuid.uuid4()]
        assert rows.find_living("east", ids) == {waiting, building, taken}
        assert rows.find_living("west", ids) == set()
        lead(owner="east@machine:2")
        assert rows.find_living("east", ids) == set()

    def test_the_rows_go_with_their_host(self, job: Job) -> None:
        lead()
        wait(job)
        Host.objects.all().delete()
        assert not WarmSandbox.objects.exists()


class TestPromise:
    @pytest.fixture
    def promised(self, job: Job) -> Run:
        lead()
        wait(job)
        return launch(job, get_admin())

    def test_the_run_is_left_to_the_host_of_its_sandbox(self, promised: Run) -> None:
        assert capacity.choose_next_run("west", Capacity()) is None
        assert capacity.choose_next_run("east", Capacity()) == promised.pk

    def test_for_two_seconds(self, promised: Run) -> None:
        Run.objects.update(warm_until=timezone.now() - timedelta(seconds=0.1))
        assert capacity.choose_next_run("west", Capacity()) == promised.pk

    @pytest.mark.parametrize(
        "host", [{"owner": "east@machine:2"}, {"owner": ""}, {"seconds": -1}, {"draining": True}, {"unsafe": True}]
    )
    def test_and_only_while_that_host_may_claim_it(self, promised: Run, host: dict[str, Any]) -> None:
        lead(**host)
        assert capacity.choose_next_run("west", Capacity()) == promised.pk

    def test_a_deleted_host_promises_nothing(self, promised: Run) -> None:
        Host.objects.all().delete()
        assert capacity.choose_next_run("west", Capacity()) == promised.pk

    def test_others_pass_it_over(self, promised: Run, job: Job) -> None:
        later = launch(job, get_admin())
        assert capacity.choose_next_run("west", Capacity()) == later.pk
        assert capacity.choose_next_run("east", Capacity()) == promised.pk

    def test_its_owner_claims_it_under_the_epoch_of_the_sandbox(self, promised: Run) -> None:
        claimed = state_machine.claim_next("east", OWNER)
        assert claimed
        assert claimed.lease_epoch == 1

    @pytest.mark.parametrize("lost", ["other host", "next worker", "unclaimed", "deleted"])
    def test_any_other_claim_has_a_later_epoch(self, promised: Run, lost: str) -> None:
        """The owner of the sandbox, which may be frozen, then cannot remove the objects of the claimed run."""
        host, owner = "east", OWNER
        if lost == "other host":
            host, owner = "west", "west@machine:1"
        elif lost == "next worker":
            owner = "east@machine:2"
        elif lost == "unclaimed":
            assert rows.mark_lost(promised.pk, OWNER)
            assert not rows.mark_lost(promised.pk, OWNER)
        else:
            WarmSandbox.objects.all().delete()
        claimed = state_machine.claim_next(host, owner)
        assert claimed
        assert claimed.lease_epoch == 2

    def test_a_run_without_one_has_the_first_epoch(self, job: Job) -> None:
        launch(job, get_admin())
        claimed = state_machine.claim_next("east", OWNER)
        assert claimed
        assert claimed.lease_epoch == 1

    def test_a_requeued_run_is_anybodys(self, promised: Run) -> None:
        assert state_machine.claim_next("east", OWNER)
        assert state_machine.requeue(promised.pk, 1, "Its worker stopped")
        assert capacity.choose_next_run("west", Capacity()) == promised.pk


def test_waiting_sandboxes_go_when_a_run_fits_only_without_them(run: Run) -> None:
    asked: list[int] = []
    exactly = Capacity(memory_bytes=(run.memory_mb + 256) * MB)
    assert capacity.choose_next_run("east", exactly, frozenset(), 0, lambda: asked.append(1)) == run.pk
    assert asked == []
    assert capacity.choose_next_run("east", exactly, frozenset(), 20 * MB, lambda: asked.append(1)) == run.pk
    assert asked == [1]
    ample = Capacity(memory_bytes=(run.memory_mb + 300) * MB)
    assert capacity.choose_next_run("east", ample, frozenset(), 20 * MB, lambda: asked.append(1)) == run.pk
    assert asked == [1]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_twenty_launches_at_once_four_take_the_four_that_wait(transactional_db: None) -> None:
    small, _ = Profile.objects.get_or_create(name="small", defaults={"cpu": "0.5", "memory_mb": 512, "pids": 100})
    jobs = [
        Job.objects.create(name=f"J{n}", slug=f"j{n}", language="bash", script="true", profile=small) for n in range(5)
    ]
    lead(seconds=600)
    waiting = {wait(jobs[0]) for _ in range(4)}
    by, barrier, runs = get_admin(), threading.Barrier(20), list[Any]()

    def work(job: Job) -> None:
        try:
            barrier.wait(20)
            runs.append(launch(job, by))
        except Exception as error:  # noqa: BLE001 - the test looks at it
            runs.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(jobs[index % 5],)) for index in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [run for run in runs if not isinstance(run, Run)] == []
    ids = [run.pk for run in runs]
    assert len(set(ids)) == 20
    assert {run.pk for run in runs if run.warm_host} == waiting
    assert {*WarmSandbox.objects.values_list("state", flat=True)} == {State.TAKEN}
