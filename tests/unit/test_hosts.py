"""Hosts: which may claim runs, the effect of the canary's verdict, and the displayed messages."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch
from cronium_admin.runs.models import Run
from cronium_admin.workers import heartbeat
from cronium_admin.workers.gc import collector
from cronium_admin.workers.health import canary, runner
from cronium_admin.workers.hosts.models import Host
from cronium_admin.workers.hosts.names import parse_host_name
from cronium_admin.workers.runner import Runner
from cronium_admin.workers.status import get_own_host_name
from executor.checks.isolation import CanaryFailed, Probe, make_host_label
from executor.docker.errors import EngineUnreachable
from executor.naming import name_main
from executor.sandbox.options import build_main_container
from tests.conftest import Api
from tests.fakes.engine import FakeEngine
from tests.fakes.specs import make_spec
from tests.users import get_admin

HELD = Probe("host", True, "")
THROUGH = Probe("vsock", False, "a <socket> was opened")
UNTRIED = Probe("ptrace", None, "no memory")


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def seen_now(**more: Any) -> Host:
    return Host.objects.create(**({"name": "east", "heartbeat_at": timezone.now()} | more))


def get(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("probes", "unsafe"), [([HELD], False), ([HELD, THROUGH], True), ([HELD, UNTRIED], False), ([], False)]
)
def test_only_what_got_through_makes_a_host_unsafe(db: None, probes: list[Probe], unsafe: bool) -> None:
    seen_now(unsafe=not unsafe)
    assert canary.store_verdict("east", probes) is unsafe
    assert canary.is_unsafe("east") is unsafe
    row = Host.objects.get()
    assert [one["name"] for one in row.canary] == [probe.name for probe in probes]
    assert row.canary_at is not None


class TestPages:
    def test_an_unsafe_host_is_red_with_word_and_mend(self, client: Client) -> None:
        seen_now()
        canary.store_verdict("east", [HELD, THROUGH])
        page = get(client, "/hosts/")
        assert "Unsafe" in page
        assert "a &lt;socket&gt; was opened" in page
        assert "so this host takes no runs" in page
        assert "dockerd" in page  # the mend
        assert 'aria-current="page"' in page
        assert "is unsafe: its isolation test failed at vsock" in get(client, "/hosts/unsafe/")

    def test_a_host_that_held_is_not(self, client: Client) -> None:
        seen_now()
        canary.store_verdict("east", [HELD])
        page = get(client, "/hosts/")
        assert "Isolation test passed" in page
        assert "Unsafe" not in page
        assert get(client, "/hosts/unsafe/").strip() == ""

    def test_no_host_says_how_to_get_one(self, client: Client) -> None:
        assert "manage.py worker" in get(client, "/hosts/")

    @pytest.mark.parametrize(
        ("hosts", "words"),
        [
            ([], "no host has sent a heartbeat"),
            ([{}], ""),
            ([{"unsafe": True}], "host east failed the isolation check"),
            ([{"unsafe": True}, {"name": "west", "unsafe": True}], "hosts east, west failed"),
            ([{"unsafe": True}, {"name": "west"}], ""),
            ([{"draining": True}], "host east is draining and takes no new runs"),
            ([{"draining": True}, {"name": "west", "draining": True}], "hosts east, west are draining"),
            (
                [{"draining": True}, {"name": "west", "unsafe": True}],
                "host west failed the isolation check; host east",
            ),
            ([{"queues": ["gpu"]}, {"name": "west", "queues": ["night"]}], "The active hosts serve gpu, night"),
            ([{"queues": ["gpu"]}], "manage.py worker --queues default"),
            ([{"queues": ["gpu", "default"]}], ""),
            ([{"cpus": 0.25}], "It needs 0.5 CPU and 512 MB, including its sidecar"),
            ([{"cpus": 4.0, "memory_bytes": 400 * 2**20}], "east has 4 CPU and 400 MB"),
            ([{"cpus": 4.0, "memory_bytes": 512 * 2**20}], ""),
            ([{"capacity": 2, "running": 2}], "All slots are in use (east 2 of 2)"),
            ([{"heartbeat_at": timezone.now() - timedelta(hours=1)}], "no host has sent a heartbeat"),
            ([{"heartbeat_at": None}], "no host has sent a heartbeat"),
        ],
    )
    def test_who_waits_is_told_why(self, client: Client, run: Run, hosts: list[dict[str, Any]], words: str) -> None:
        Run.objects.update(cpu="0.5", memory_mb=256, network="isolated")
        for host in hosts:
            seen_now(**host)
        text = get(client, f"/hosts/waiting/{run.pk}/")
        assert words in text
        assert bool(text.strip()) == bool(words)

    def test_who_waits_for_room_is_told_so(self, client: Client, run: Run, make_job: Callable[..., Job]) -> None:
        seen_now(capacity=4, running=1, memory_bytes=600 * 2**20)
        other = launch(make_job(), get_admin())
        Run.objects.filter(pk=run.pk).update(memory_mb=256)
        Run.objects.filter(pk=other.pk).update(status="running", host="east", memory_mb=256)
        assert "It waits for free resources" in get(client, f"/hosts/waiting/{run.pk}/")

    def test_queues_that_nobody_serves_stand_above_the_hosts(self, client: Client, run: Run) -> None:
        seen_now(queues=["default"])
        assert "of the queue <span" not in get(client, "/hosts/")
        Run.objects.update(queue="gpu")
        text = get(client, "/hosts/")
        assert "1 run of the queue <span" in text
        assert "manage.py worker --queues gpu" in text

    def test_an_administrator_drains_and_resumes(self, client: Client) -> None:
        row = seen_now(running=2)
        client.post(f"/hosts/{row.pk}/drain/", {"draining": "on"})
        text = get(client, "/hosts/")
        assert "Draining: 2 runs left" in text
        assert "Resume" in text
        assert "takes no runs" in text
        client.post(f"/hosts/{row.pk}/drain/", {"draining": "off"})
        assert not Host.objects.get().draining

    def test_others_see_no_button(self, people: dict[str, User]) -> None:
        seen_now()
        client = Client()
        client.force_login(people["editor"])
        assert "/drain/" not in get(client, "/hosts/")

    def test_with_the_override_nobody_waits_for_it(self, client: Client, run: Run, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"allow_unsafe_host": True})
        seen_now(unsafe=True, canary=[])
        assert get(client, f"/hosts/waiting/{run.pk}/").strip() == ""
        assert "CRONIUM_ALLOW_UNSAFE_HOST is set" in get(client, "/hosts/")

    def test_a_waiting_run_asks_for_it_and_an_ended_one_does_not(self, client: Client, run: Run) -> None:
        assert "/hosts/waiting/" in get(client, f"/runs/{run.pk}/")
        Run.objects.update(status="failed", finished_at=timezone.now())
        assert "/hosts/waiting/" not in get(client, f"/runs/{run.pk}/")


def test_the_api_tells_all_of_a_host(viewer: Api) -> None:
    seen_now(capacity=4, runtimes=["runc", "runsc"])
    canary.store_verdict("east", [HELD, THROUGH, UNTRIED])
    (host,) = viewer.get("/hosts").json()["items"]
    assert (host["name"], host["alive"], host["unsafe"], host["takes_runs"]) == ("east", True, True, False)
    assert host["runtimes"] == ["runc", "runsc"]
    assert [probe["held"] for probe in host["canary"]] == [True, False, None]
    assert [bool(probe["mend"]) for probe in host["canary"]] == [False, True, False]


def test_the_api_tells_which_queues_nobody_serves_and_why_a_run_waits(viewer: Api, run: Run) -> None:
    seen_now(queues=["default"])
    assert viewer.get("/hosts").json()["unserved"] == []
    waits = viewer.get(f"/runs/{run.pk}/waiting").json()
    assert waits == {"queue": "default", "runs": 0, "why": "", "stuck": False, "position": 0, "behind": []}
    Run.objects.update(queue="gpu")
    (one,) = viewer.get("/hosts").json()["unserved"]
    assert (one["queue"], one["runs"]) == ("gpu", 1)
    assert "manage.py worker --queues gpu" in one["why"]
    waits = viewer.get(f"/runs/{run.pk}/waiting").json()
    assert waits == {"queue": "gpu", "runs": 1, "why": one["why"], "stuck": True, "position": 1, "behind": []}
    Run.objects.update(status="failed")
    assert viewer.get(f"/runs/{run.pk}/waiting").json()["why"] == ""
    assert viewer.get("/runs/00000000-0000-4000-8000-000000000000/waiting").status_code == 404


def test_the_api_drains_a_host(admin: Api) -> None:
    seen_now(queues=["night"])
    answer = admin.call("PATCH", "/hosts/east", {"draining": True}).json()
    assert (answer["draining"], answer["takes_runs"], answer["queues"]) == (True, False, ["night"])
    assert admin.call("PATCH", "/hosts/east", {"draining": False}).json()["takes_runs"]
    assert admin.call("PATCH", "/hosts/west", {"draining": True}).status_code == 404
    assert admin.call("PATCH", "/hosts/east", {"drain": True}).status_code == 422


@pytest.mark.parametrize("name", ["", "x" * 101, "a/b", "a b", "-a", "hôte", "a\n", "canary@east"])
@pytest.mark.parametrize(("command", "option"), [("worker", "--host"), ("serve", "--host-name"), ("doctor", "--host")])
def test_what_can_be_no_hosts_name_is_refused(command: str, option: str, name: str) -> None:
    with pytest.raises(CommandError, match="is not a host name"):
        call_command(command, f"{option}={name}")


@pytest.mark.parametrize("name", ["a", "x" * 100, "Build-01.example_org"])
def test_others_are_taken(name: str) -> None:
    assert parse_host_name(name) == name


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
class TestRunner:
    @pytest.fixture
    def engine(self) -> Iterator[FakeEngine]:
        made = FakeEngine()
        yield made
        made.close()

    @pytest.fixture
    def runner(self, engine: FakeEngine, transactional_db: None) -> Iterator[Runner]:
        made = Runner("east", engine)
        made.context.supervisor.start = lambda spec, handler, *rest, **more: started.append(spec.run_id)  # type: ignore[method-assign]
        started: list[str] = []
        made.started = started  # type: ignore[attr-defined]
        made.context.leadership.is_leader = made.context.leadership.acquire()
        yield made
        made.close()

    @pytest.fixture
    def waits(self, transactional_db: None, make_job: Callable[..., Job]) -> Run:
        return launch(make_job(), get_admin())

    def test_an_unsafe_host_takes_no_runs(self, runner: Runner, waits: Run) -> None:
        runner.context.is_unsafe = True
        runner.dispatch()
        waits.refresh_from_db()
        assert waits.status == "queued"

    def test_unless_it_is_told_to(self, runner: Runner, waits: Run, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"allow_unsafe_host": True, "max_concurrent": 1})
        runner.context.is_unsafe = True
        runner.context.supervisor.count_free = lambda: 1 - len(runner.started)  # type: ignore[attr-defined, method-assign]
        runner.dispatch()
        assert runner.started == [str(waits.pk)]  # type: ignore[attr-defined]

    def test_a_run_that_waits_again_is_taken_once_its_slot_is_free(self, runner: Runner, waits: Run) -> None:
        """Its old slot may still remove its sandbox."""
        runner.context.supervisor.count_free = lambda: 1 - len(runner.started)  # type: ignore[attr-defined, method-assign]
        runner.context.supervisor.list_active = lambda: frozenset({str(waits.pk)})  # type: ignore[method-assign]
        runner.dispatch()
        waits.refresh_from_db()
        assert waits.status == "queued"
        runner.context.supervisor.list_active = frozenset  # type: ignore[method-assign]
        runner.dispatch()
        assert runner.started == [str(waits.pk)]  # type: ignore[attr-defined]

    def test_the_heartbeat_brings_the_doctors_verdict_and_the_runtimes(
        self, runner: Runner, engine: FakeEngine
    ) -> None:
        engine.offered = ("runc", "runsc")
        runner.status.run_once()
        runner.heartbeat.beat()
        assert (Host.objects.get().runtimes, runner.context.is_unsafe) == (["runc", "runsc"], False)
        canary.store_verdict("east", [THROUGH])
        runner.heartbeat.beat()
        assert runner.context.is_unsafe is True
        canary.store_verdict("east", [HELD])
        runner.heartbeat.beat()
        assert runner.context.is_unsafe is False

    def test_a_beat_of_an_idle_host_asks_for_no_runs(
        self, runner: Runner, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner.context.database, "call", lambda function, *args, **named: function(*args, **named))
        runner.heartbeat.beat()  # counts the hosts
        with django_assert_num_queries(2):
            runner.heartbeat.beat()

    def test_large_columns_are_written_only_when_they_have_changed(
        self, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[set[str]] = []
        renew, pool = runner.context.leadership.renew, {"limit": 4}

        def note(facts: dict[str, Any]) -> bool:
            written.append({"counters", "warm"} & facts.keys())
            return renew(facts)

        monkeypatch.setattr(runner.context.leadership, "renew", note)
        monkeypatch.setattr(runner.heartbeat, "_describe_pool", lambda: dict(pool))
        monkeypatch.setattr(heartbeat.metrics, "take_snapshot", lambda registry: {"families": {}})
        for _ in range(2):
            runner.heartbeat.beat()
        pool["limit"] = 3
        runner.heartbeat.beat()
        assert Host.objects.get().warm == {"limit": 3}
        Host.objects.update(owner="another process")
        runner.heartbeat.beat()  # loses the lease
        Host.objects.update(lease_expires_at=None, counters={}, warm=None)
        for _ in range(2):
            runner.heartbeat.beat()
        assert written == [{"counters", "warm"}, set(), {"warm"}, set(), {"counters", "warm"}, set()]
        assert Host.objects.get().warm == {"limit": 3}

    def test_the_leases_of_runs_are_renewed_every_third_of_their_time(
        self, runner: Runner, waits: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert state_machine.claim_next("east", runner.context.owner)
        monkeypatch.setattr(runner.context.supervisor, "list_active", lambda: frozenset({str(waits.pk)}))
        clock = [1000.0]
        monkeypatch.setattr("cronium_admin.workers.heartbeat.time.monotonic", lambda: clock[0])
        expired = timezone.now() - timedelta(seconds=1)
        renewed = []
        for second in range(0, 24, 2):
            clock[0] = 1000.0 + second
            Run.objects.filter(pk=waits.pk).update(lease_expires_at=expired)
            runner.heartbeat.beat()
            if Run.objects.values_list("lease_expires_at", flat=True).get(pk=waits.pk) != expired:
                renewed.append(second)
        assert renewed == [0, 10, 20]
        assert state_machine.LEASE_DURATION.total_seconds() >= heartbeat.RENEW_SECONDS * 3

    def test_one_that_stands_by_tries_nothing_and_writes_no_verdict(
        self, runner: Runner, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        canary.store_verdict("east", [THROUGH])
        before = Host.objects.get()
        runner.context.leadership.is_leader = False
        engine.calls.clear()
        assert not runner.canary.check_isolation()
        assert runner.gc.run_once() == collector.SOON_SECONDS
        assert runner.canary.run_once() == canary.STANDBY_SECONDS
        assert not engine.calls

        def loses_the_lease(_: object) -> list[Probe]:
            runner.context.leadership.is_leader = False
            return [HELD]

        monkeypatch.setattr("executor.checks.isolation.Canary.run", loses_the_lease)
        runner.context.leadership.is_leader = True
        assert not runner.canary.check_isolation()
        after = Host.objects.get()
        assert (after.unsafe, after.canary, after.canary_at) == (True, before.canary, before.canary_at)

    def test_one_that_begins_to_act_removes_what_a_trial_left_before_it_makes_its_own(
        self, runner: Runner, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = make_spec(host=make_host_label("east"), instance=runner.context.instance)
        engine.create_container(name_main(spec.run_id), build_main_container(spec, None, "local"))
        tried: list[list[str]] = []
        monkeypatch.setattr("executor.checks.isolation.Canary.run", lambda _: tried.append(engine.left) or [HELD])
        engine.fail("list_own_objects", EngineUnreachable("no answer"))
        runner.gc.run_once()
        assert runner.canary.run_once() == canary.STANDBY_SECONDS
        assert (tried, len(engine.left)) == ([], 1)
        runner.gc.run_once()
        assert runner.canary.run_once() == canary.SECONDS
        assert tried == [[]]
        runner.context.leadership.is_leader = False
        runner.gc.run_once()
        assert not runner.gc.cleared.is_set(), "another process may leave something meanwhile"

    def test_its_canary_is_kept(self, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("executor.checks.isolation.Canary.run", lambda self: [HELD, THROUGH])
        assert runner.canary.check_isolation()
        assert Host.objects.get().unsafe is True

    def test_a_canary_that_does_not_run_changes_no_verdict(
        self, runner: Runner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(self: Any) -> list[Probe]:
            raise CanaryFailed("no image")

        monkeypatch.setattr("executor.checks.isolation.Canary.run", fails)
        canary.store_verdict("east", [HELD])
        assert not runner.canary.check_isolation()
        assert Host.objects.get().unsafe is False


class TestDoctor:
    @pytest.fixture(autouse=True)
    def _only_isolation(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "CHECKS", {})

    def test_a_row_each_and_the_verdict_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("executor.checks.isolation.Canary.run", lambda self: [HELD, THROUGH, UNTRIED])
        out = StringIO()
        with pytest.raises(SystemExit):
            call_command("doctor", "--json", "--host", "east", stdout=out)
        rows = json.loads(out.getvalue())["checks"]
        assert [(row["name"], row["state"]) for row in rows] == [
            ("isolation: host", "ok"),
            ("isolation: vsock", "failed"),
            ("isolation: ptrace", "warning"),
        ]
        assert rows[0]["found"] == "held"
        assert rows[1]["found"].startswith("escaped: ")
        assert rows[1]["mend"]
        assert Host.objects.get(name="east").unsafe is True

    def test_the_host_of_this_machine_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("executor.checks.isolation.Canary.run", lambda self: [HELD])
        call_command("doctor", stdout=StringIO())
        assert Host.objects.get().name == get_own_host_name()

    def test_a_canary_that_does_not_run_is_a_warning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(self: Any) -> list[Probe]:
            raise CanaryFailed("There is no image.")

        monkeypatch.setattr("executor.checks.isolation.Canary.run", fails)
        (row,) = runner.check_isolation("local")
        assert (row.state, row.found) == ("warning", "There is no image.")
        assert row.mend
        assert not Host.objects.exists()
