"""The commands bootstrap, token, images build and doctor, as an operator sees them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.core.database.clock import database_now
from cronium_admin.images import build
from cronium_admin.images.errors import ImageBuildError
from cronium_admin.images.models import BuiltImage, OwnImage
from cronium_admin.images.own_images import read_sbom
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.ops.image_commands import build as build_command
from cronium_admin.ops.image_commands import output
from cronium_admin.runs.launch import launch
from cronium_admin.settings import VERSION
from cronium_admin.workers.health import runner
from cronium_admin.workers.health.checks import docker_engine as engine_checks
from cronium_admin.workers.health.checks import machine
from cronium_admin.workers.health.probe import HealthProbe
from tests.conftest import Api
from tests.users import get_admin


def run(*words: str, **more: Any) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO(), **more)
    return out.getvalue()


class TestBootstrap:
    def test_makes_an_administrator_whose_password_is_shown_once(self, db: None) -> None:
        shown = run("bootstrap")
        password = next(line.split()[-1] for line in shown.splitlines() if "password" in line)
        person = User.objects.get()
        assert (person.username, person.is_superuser, person.role) == ("admin", True, "admin")
        assert person.check_password(password)
        assert password not in person.password
        assert run("bootstrap") == ""
        assert User.objects.count() == 1

    def test_takes_the_password_it_is_given_and_does_not_show_it(self, db: None, settings: Any) -> None:
        given = {"admin_user": "ada", "admin_password": "a-good-one-42"}
        settings.CONFIG = settings.CONFIG.model_copy(update=given)
        assert "a-good-one-42" not in run("bootstrap")
        assert User.objects.get(username="ada").check_password("a-good-one-42")

    def test_says_what_to_do_when_the_name_is_taken(self, db: None) -> None:
        User.objects.create(username="admin")
        with pytest.raises(CommandError, match="CRONIUM_ADMIN_USER"):
            run("bootstrap")

    @pytest.mark.parametrize("name", [".ada", "ad\u202ea", "ada lovelace", "ada\n"])
    def test_a_name_that_no_person_can_have_is_refused(self, db: None, settings: Any, name: str) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"admin_user": name})
        with pytest.raises(CommandError, match="CRONIUM_ADMIN_USER="):
            run("bootstrap")
        with pytest.raises(CommandError):
            run("createsuperuser", interactive=False, username=name, email="")
        assert not User.objects.exists()

    def test_createsuperuser_makes_no_second_person_of_a_name_in_other_capitals(self, db: None) -> None:
        User.objects.create(username="ada")
        with pytest.raises(CommandError, match="already"):
            run("createsuperuser", interactive=False, username="Ada", email="")
        run("createsuperuser", interactive=False, username="bob", email="")
        assert User.objects.get(username="bob").role == "admin"

    def test_loads_an_example_of_each_language_that_can_run(self, db: None) -> None:
        run("bootstrap")
        assert sorted(Job.objects.values_list("language", flat=True)) == ["bash", "node", "python"]
        for job in Job.objects.all():
            job.full_clean()
            assert launch(job, get_admin()).status == "queued"

    def test_does_not_bring_deleted_examples_back(self, db: None) -> None:
        run("bootstrap")
        Job.objects.all().delete()
        run("bootstrap")
        assert not Job.objects.exists()

    def test_needs_an_active_administrator_only_to_load_examples(self, db: None) -> None:
        User.objects.create(username="ada", role="admin", is_active=False)
        with pytest.raises(CommandError, match="There is no active administrator"):
            run("bootstrap")
        second = User.objects.create(username="bob", role="admin")
        run("bootstrap")
        assert {job.created_by for job in Job.objects.all()} == {second}
        User.objects.update(is_active=False)
        assert run("bootstrap") == ""

    def test_leaves_a_dashboard_with_jobs_alone(self, job: Job) -> None:
        run("bootstrap")
        assert Job.objects.count() == 1


class TestToken:
    def test_create_prints_a_token_that_works_and_nothing_else(self, people: dict[str, User]) -> None:
        out = run("token", "create", "--user", "viewer", "--name", "ci")
        assert out.endswith("\n")
        assert out.count("\n") == 1
        caller = Api(None)
        caller.headers["Authorization"] = f"Bearer {out.strip()}"
        assert caller.get("/jobs").status_code == 200

    @pytest.mark.parametrize(("user", "name", "told"), [("nobody", "x", "viewer"), ("viewer", " ", "1 to 100")])
    def test_create_says_what_is_wrong(self, people: dict[str, User], user: str, name: str, told: str) -> None:
        with pytest.raises(CommandError, match=told):
            run("token", "create", "--user", user, "--name", name)
        assert not ApiToken.objects.exists()

    @pytest.mark.parametrize(
        ("expires", "days"), [("30d", 30), ("12h", 0.5), ("2w", 14), ("1440m", 1), ("never", None), ("", None)]
    )
    def test_create_takes_a_lifetime(self, people: dict[str, User], expires: str, days: float | None) -> None:
        before = database_now()
        run("token", "create", "--user", "viewer", "--name", "ci", "--expires", expires)
        after, ends = database_now(), ApiToken.objects.get().expires_at
        assert (ends is None) == (days is None)
        if days is not None:
            assert before <= ends - timedelta(days=days) <= after
        assert ("never expires" in run("token", "list")) == (days is None)

    @pytest.mark.parametrize("years", [1, 9])
    def test_create_takes_a_time(self, people: dict[str, User], years: int) -> None:
        year = timezone.now().year + years
        for text in (f"{year}-01-31", f"{year}-01-31T01:00:00+01:00", f"{year}-01-31 00:00"):
            run("token", "create", "--user", "viewer", "--name", "ci", "--expires", text)
        assert {token.expires_at for token in ApiToken.objects.all()} == {datetime(year, 1, 31, tzinfo=UTC)}

    @pytest.mark.parametrize(
        "expires",
        [*("30", "d", "-1d", "0d", "1y", "2001-01-01", "9999-12-31", "999999w", "soon", "2027-13-01", "1d\x00")],
    )
    def test_create_refuses_what_is_no_lifetime(self, people: dict[str, User], expires: str) -> None:
        with pytest.raises(CommandError, match="expires_at: "):
            run("token", "create", "--user", "viewer", "--name", "ci", f"--expires={expires}")
        assert not ApiToken.objects.exists()

    def test_an_expired_token_opens_nothing(self, people: dict[str, User]) -> None:
        caller = Api(None)
        token = run("token", "create", "--user", "viewer", "--name", "ci", "--expires", "1m").strip()
        caller.headers["Authorization"] = f"Bearer {token}"
        assert caller.get("/jobs").status_code == 200
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert (caller.get("/jobs").status_code, caller.get("/jobs").json()["code"]) == (401, "token_expired")

    def test_list_shows_beginnings_only_and_revoke_ends_one(self, people: dict[str, User]) -> None:
        token = run("token", "create", "--user", "viewer", "--name", "ci").strip()
        listed = run("token", "list")
        assert token[:10] in listed
        assert token not in listed
        assert run("token", "revoke", token[:10]) == "Revoked.\n"
        assert "revoked" in run("token", "list", "--user", "viewer")
        with pytest.raises(CommandError):
            run("token", "revoke", "crn_")


class TestImagesBuild:
    @pytest.fixture
    def built(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Replaces the engine's part by a fake that reports two steps and then succeeds or fails."""

        def stand_in(ending: Callable[[], list[build.BuiltImage]]) -> None:
            def build_all(client: Any, *, report: build.Report, **more: Any) -> list[build.BuiltImage]:
                assert (more["family"], more["force"]) == ("auto", False)
                report(build.Progress("bash", 0, 4, "Step 1/2"))
                report(build.Progress("bash", 1, 4, ""))
                return ending()

            monkeypatch.setattr(build, "build_all", build_all)
            monkeypatch.setattr(output, "connect_engine", lambda seconds: None)
            monkeypatch.setattr(build_command, "store_missing_sboms", lambda client, images, report: None)

        return stand_in

    def test_notes_what_became_each_languages_default(self, db: None, built: Callable[..., None]) -> None:
        BuiltImage.objects.create(language="bash", reference="old")
        names: list[Any] = ["bash", "python", "node", "runtime-api"]
        made = [build.BuiltImage(name, f"made/{name}:1", "sha256:1", "debian", 10**7, False) for name in names]
        built(lambda: made)
        out = run("images", "build")
        assert "[0/4] bash: Step 1/2" in out
        assert "\x1b" not in out
        assert dict(BuiltImage.objects.values_list("language", "reference")) == {
            name: f"made/{name}:1" for name in ("bash", "python", "node")
        }
        assert resolve_image("bash").reference == "made/bash:1"
        assert set(OwnImage.objects.values_list("reference", "image_id", "version")) == {
            (f"made/{name}:1", "sha256:1", VERSION) for name in names
        }

    def test_keeps_when_an_unchanged_image_was_built(self, db: None, built: Callable[..., None]) -> None:
        sbom = b'{"components": []}'
        images = [build.BuiltImage("bash", "made/bash:1", "sha256:1", "debian", 10**7, False, "base:1", sbom)]
        built(lambda: images)
        run("images", "build")
        updates = [{"name": "curl", "installed": "1", "candidate": "2", "is_security": True}]
        OwnImage.objects.update(built_at=datetime(2026, 1, 1, tzinfo=UTC), updates=updates)
        images[0] = replace(images[0], skipped=True, sbom=b"")
        run("images", "build")
        stored = OwnImage.objects.get()
        assert (stored.built_at.year, stored.updates, read_sbom(stored)) == (2026, updates, sbom)
        images[0] = replace(images[0], skipped=False, image_id="sha256:2")
        run("images", "build")
        stored = OwnImage.objects.get()
        assert (stored.image_id, stored.updates, stored.sbom_digest) == ("sha256:2", None, "")
        assert stored.built_at.month != 1 or stored.built_at.year != 2026

    def test_an_image_that_was_there_before_the_database_is_as_old_as_its_name(
        self, db: None, built: Callable[..., None]
    ) -> None:
        image = build.BuiltImage("bash", "made/bash:1", "sha256:1", "debian", 10**7, True)
        images = [replace(image, tagged_at=datetime(2026, 2, 3, tzinfo=UTC))]
        built(lambda: images)
        run("images", "build")
        assert OwnImage.objects.get().built_at == datetime(2026, 2, 3, tzinfo=UTC)
        assert BuiltImage.objects.get().built_at == datetime(2026, 2, 3, tzinfo=UTC)
        images[0] = replace(image, image_id="sha256:2", tagged_at=datetime(9999, 2, 3, tzinfo=UTC))
        run("images", "build")
        assert OwnImage.objects.get().built_at.year < 9999, "a time in the future is the engine's wrong clock"

    def test_ends_with_one_sentence_when_it_fails(self, db: None, built: Callable[..., None]) -> None:
        def fail() -> list[build.BuiltImage]:
            raise ImageBuildError("The image bash could not be built: no space left.", "log")

        built(fail)
        with pytest.raises(CommandError, match="no space left"):
            run("images", "build")
        assert not BuiltImage.objects.exists()

    def test_without_an_engine_says_how_to_get_one(self, db: None, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"docker_host": "tcp://127.0.0.1:9"})
        with pytest.raises(CommandError, match="CRONIUM_DOCKER_HOST"):
            run("images", "build")


class TestDoctor:
    @pytest.fixture
    def no_engine(self, settings: Any) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"docker_host": "tcp://127.0.0.1:9"})

    def test_without_an_engine_fails_with_the_mend_and_still_checks_the_rest(self, db: None, no_engine: None) -> None:
        rows = {row.name: row for row in runner.run_checks()}
        assert rows["engine"].state == "failed"
        assert "CRONIUM_DOCKER_HOST" in rows["engine"].mend
        assert {rows[name].state for name in ("images", "address pool", "clock")} == {"warning"}
        assert (rows["database"].state, rows["broker"].state) == ("ok", "ok")

    def test_ends_with_1_and_speaks_json(self, db: None, no_engine: None) -> None:
        out = StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("doctor", "--json", stdout=out)
        assert ended.value.code == 1
        told = json.loads(out.getvalue())
        assert told["ok"] is False
        assert set(told["checks"][0]) == {"name", "state", "found", "mend"}
        assert all(row["mend"] for row in told["checks"] if row["state"] != "ok")

    def test_a_redis_that_is_away_fails(self, db: None, no_engine: None, settings: Any) -> None:
        away = "redis://127.0.0.1:9"
        settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": away})
        assert {row.name: row.state for row in runner.run_checks()}["broker"] == "failed"

    def test_a_full_disk_fails(self, db: None, no_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 10**7, "total": 10**12, "used": 0})
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage)
        assert {row.name: row.state for row in runner.run_checks()}["disk"] == "failed"

    def test_reads_the_hosts_routes_and_leaves_the_default_one_out(self, tmp_path: Path) -> None:
        table = tmp_path / "route"
        table.write_text(
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
            "eth0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n"
            "tun0 0000D50A 00000000 0001 0 0 0 0000FFFF 0 0 0\n"
        )
        assert [str(net) for net in engine_checks.read_host_routes(table)] == ["10.213.0.0/16"]

    @pytest.mark.parametrize(
        ("networks", "state"),
        [
            ([], "ok"),
            ([{"Name": "lan", "IPAM": {"Config": [{"Subnet": "192.168.0.0/24"}]}}], "ok"),
            ([{"Name": "part", "IPAM": {"Config": [{"Subnet": "10.213.7.0/24"}]}}], "warning"),
            ([{"Name": "all", "IPAM": {"Config": [{"Subnet": "10.0.0.0/8"}]}}], "failed"),
            (
                [
                    {
                        "Name": "ours",
                        "Labels": {"cronium.instance": "x"},
                        "IPAM": {"Config": [{"Subnet": "10.213.0.0/29"}]},
                    }
                ],
                "ok",
            ),
            ([{"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}}, {"Name": "none", "IPAM": None}], "ok"),
        ],
    )
    def test_finds_what_overlaps_the_pool(
        self, networks: list[Any], state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patient = HealthProbe.__new__(HealthProbe)
        patient.client = type("Client", (), {"networks": lambda self: networks})()
        monkeypatch.setattr(engine_checks, "read_host_routes", lambda: iter(()))
        assert [row.state for row in engine_checks.check_address_pool(patient)] == [state]

    @pytest.mark.parametrize(("route", "state"), [("10.213.0.8/29", "ok"), ("10.213.0.16/29", "warning")])
    def test_the_route_of_its_own_network_overlaps_nothing(
        self, route: str, state: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A network with a way out has a route on the host, and one of a waiting sandbox stays."""
        own = {"Name": "own", "Labels": {"cronium.instance": "x"}, "IPAM": {"Config": [{"Subnet": "10.213.0.8/29"}]}}
        patient = HealthProbe.__new__(HealthProbe)
        patient.client = type("Client", (), {"networks": lambda self: [own]})()
        monkeypatch.setattr(engine_checks, "read_host_routes", lambda: iter((IPv4Network(route),)))
        assert [row.state for row in engine_checks.check_address_pool(patient)] == [state]

    @pytest.mark.parametrize(
        ("said", "state"),
        [
            ("1970-01-01T00:16:40.123456789Z", "ok"),
            ("1970-01-01T01:16:40.1+01:00", "ok"),
            ("1970-01-01T00:16:50.5Z", "warning"),
            ("1970-01-01T02:00:00Z", "failed"),
            ("", "warning"),
        ],
    )
    def test_compares_the_clocks(self, said: str, state: str) -> None:
        patient = HealthProbe.__new__(HealthProbe)
        patient.info, patient.asked_at = {"SystemTime": said}, 1000.0
        assert [row.state for row in engine_checks.check_clock(patient)] == [state]
