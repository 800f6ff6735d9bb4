"""Secrets: written and never read, encrypted with a list of keys, named by jobs, decrypted for runs only."""

import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, User
from cronium_admin.accounts.permissions import Role
from cronium_admin.core.config import Config
from cronium_admin.core.data_folder import load_or_create_secret, pad_fernet_key
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.launch import launch, rerun
from cronium_admin.runs.models import Run
from cronium_admin.secrets import crypto, service
from cronium_admin.secrets.models import Secret
from cronium_admin.secrets.service import SecretUnavailable, decrypt_for_run, delete_secret, rotate_secrets, save_secret
from cronium_admin.workers.run_spec import build_spec
from tests.conftest import Api
from tests.fakes.engine import FakeEngine
from tests.users import get_admin

VALUE = "hunter2-correct-horse"


@pytest.fixture
def secret(db: None) -> Secret:
    return save_secret("API_KEY", VALUE, "for the shop", get_admin()).secret


@pytest.fixture
def keys(settings: Any) -> Callable[..., list[str]]:
    """Sets CRONIUM_ENCRYPTION_KEYS to these."""

    def put(*given: str) -> list[str]:
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": ",".join(given)})
        return list(given)

    return put


def new_key() -> str:
    return Fernet.generate_key().decode()


class TestKeys:
    def test_one_is_made_once_for_its_owner_alone(self, secret: Secret, settings: Any) -> None:
        file = settings.DATA_DIR / crypto.KEY_FILE
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(pad_fernet_key(file.read_text())) == 44
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": VALUE}
        assert [path.name for path in settings.DATA_DIR.iterdir()] == [crypto.KEY_FILE]

    def test_without_its_file_nothing_is_encrypted_or_decrypted(
        self, secret: Secret, admin: Api, settings: Any
    ) -> None:
        file = settings.DATA_DIR / crypto.KEY_FILE
        file.unlink()
        with pytest.raises(SecretUnavailable, match="API_KEY can't be decrypted"):
            decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID)
        answer = admin.put("/secrets/OTHER", {"value": "another value"})
        assert (answer.status_code, answer.json()["code"]) == (503, "key_unusable")
        assert "Restore the file from a backup" in answer.json()["detail"]
        assert not file.exists()

    def test_two_that_make_it_at_once_agree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process creates the file between our check and our link."""
        real, theirs = os.path.lexists, new_key()

        def late(path: Path) -> bool:
            found = real(path)
            Path(path).write_text(theirs)
            return found

        monkeypatch.setattr(os.path, "lexists", late)
        assert load_or_create_secret(tmp_path, crypto.KEY_FILE) == theirs

    @pytest.mark.parametrize("given", ["x", "{good},short", "{good},,{good}", "{good}!"])
    def test_a_wrong_one_stops_the_start_and_is_not_shown(
        self, given: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from cronium_admin.core import config

        good = new_key()
        monkeypatch.setenv("CRONIUM_ENCRYPTION_KEYS", given.format(good=good))
        config.load_config.cache_clear()
        with pytest.raises(SystemExit):
            config.load_config()
        said = capsys.readouterr().err
        assert "CRONIUM_ENCRYPTION_KEYS: (hidden) is not allowed: key" in said
        assert good not in said

    def test_good_ones_are_taken_and_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given = f"{new_key()}, {new_key().rstrip('=')}"
        monkeypatch.setenv("CRONIUM_ENCRYPTION_KEYS", given)
        made = Config()
        assert made.encryption_keys == given
        assert given[:20] not in repr(made)

    def test_the_first_encrypts_and_all_decrypt(self, db: None, keys: Callable[..., list[str]]) -> None:
        old, new = keys(new_key(), new_key())
        keys(old)
        save_secret("OLD", VALUE, None, get_admin())
        keys(new, old)
        save_secret("NEW", "another value", None, get_admin())
        assert decrypt_for_run(["OLD", "NEW"], DEFAULT_PROJECT_ID) == {"OLD": VALUE, "NEW": "another value"}
        keys(old)
        with pytest.raises(SecretUnavailable, match=r"NEW can't be decrypted.*CRONIUM_ENCRYPTION_KEYS"):
            decrypt_for_run(["OLD", "NEW"], DEFAULT_PROJECT_ID)

    def test_a_row_is_of_no_use_under_another_name(self, secret: Secret) -> None:
        Secret.objects.create(name="MINE", encrypted=Secret.objects.get().encrypted)
        with pytest.raises(SecretUnavailable, match="MINE"):
            decrypt_for_run(["MINE"], DEFAULT_PROJECT_ID)


class TestRotation:
    def test_all_get_the_first_key_in_batches(
        self, db: None, keys: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "BATCH_SIZE", 2)
        old, new = keys(new_key(), new_key())
        keys(old)
        names = [f"NAME_{number}" for number in range(5)]
        for name in names:
            save_secret(name, name + VALUE, None, get_admin())
        keys(new, old)
        assert rotate_secrets() == (5, [])
        assert rotate_secrets() == (0, [])
        keys(new)
        assert decrypt_for_run(names, DEFAULT_PROJECT_ID) == {name: name + VALUE for name in names}

    def test_ended_half_way_it_goes_on(
        self, db: None, keys: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "BATCH_SIZE", 2)
        old = keys(new_key())[0]
        for number in range(5):
            save_secret(f"NAME_{number}", VALUE, None, get_admin())
        keys(new_key(), old)
        real, calls = service.reencrypt, []

        def third_fails(name: str, token: str) -> str | None:
            calls.append(name)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return real(name, token)

        monkeypatch.setattr(service, "reencrypt", third_fails)
        with pytest.raises(KeyboardInterrupt):
            rotate_secrets()
        monkeypatch.setattr(service, "reencrypt", real)
        assert rotate_secrets() == (3, [])

    def test_what_no_key_opens_is_named_and_the_rest_is_done(
        self, db: None, keys: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        keys(new_key())
        save_secret("LOST", VALUE, None, get_admin())
        old = keys(new_key())[0]
        save_secret("KEPT", VALUE, None, get_admin())
        keys(new_key(), old)
        with pytest.raises(CommandError, match=r"No key decrypts LOST\. Add the key"):
            call_command("secrets", "rotate")
        assert "1 secrets were encrypted" in capsys.readouterr().out

    def test_a_value_replaced_meanwhile_stays(
        self, db: None, keys: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = keys(new_key())[0]
        save_secret("KEY", VALUE, None, get_admin())
        keys(new_key(), old)
        real = service.reencrypt

        def beside(name: str, token: str) -> str | None:
            save_secret("KEY", "the newest", None, get_admin())
            return real(name, token)

        monkeypatch.setattr(service, "reencrypt", beside)
        assert rotate_secrets() == (0, [])
        assert decrypt_for_run(["KEY"], DEFAULT_PROJECT_ID) == {"KEY": "the newest"}


class TestValue:
    def test_is_in_no_row_repr_or_answer(self, admin: Api, secret: Secret) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM secrets_secret")
            kept = repr(cursor.fetchall())
        shown = [kept, repr(secret), str(secret), repr(vars(Secret.objects.get()))]
        shown += [admin.get(path).content.decode() for path in ("/secrets", "/secrets/API_KEY")]
        shown.append(admin.put("/secrets/API_KEY", {"value": VALUE}).content.decode())
        shown.append(admin.put("/secrets/API_KEY", {"value": VALUE, "more": VALUE}).content.decode())
        shown.append(admin.put("/secrets/API_KEY", {"value": [VALUE]}).content.decode())
        for text in shown:
            assert VALUE not in text
            assert VALUE[:8] not in text
            assert Secret.objects.get().encrypted not in text or text in (kept, shown[3])

    def test_the_api_stores_replaces_and_describes(self, admin: Api) -> None:
        made = admin.put("/secrets/API_KEY", {"value": "abc", "description": "short"})
        assert (made.status_code, made.json()["masked"]) == (201, False)
        assert "not hidden in logs" in made.json()["notes"][0]
        again = admin.put("/secrets/API_KEY", {"value": VALUE})
        assert (again.status_code, again.json()["masked"], again.json()["notes"]) == (200, True, [])
        assert again.json()["updated_by"] == again.json()["created_by"] == "admin"
        described = admin.put("/secrets/API_KEY", {"description": " other "}).json()
        assert (described["masked"], described["description"]) == (None, "other")
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": VALUE}
        assert admin.get("/secrets/API_KEY").json()["last_used_at"] is not None
        assert admin.delete("/secrets/API_KEY").status_code == 204
        assert admin.get("/secrets/API_KEY").json()["code"] == "not_found"
        assert admin.delete("/secrets/API_KEY").status_code == 404

    @pytest.mark.parametrize(
        ("name", "body", "field", "says"),
        [
            ("NEW", {}, "value", "needs a value"),
            ("NEW", {"value": ""}, "value", "needs a value"),
            ("NEW", {"value": " \n"}, "value", "white space"),
            ("NEW", {"value": "a\x00b"}, "value", "NUL"),
            ("NEW", {"value": "x" * 40_000}, "value", "at most 32,768"),
            ("NEW", {"value": "x\n" * 300}, "value", "at most 200"),
            ("PATH", {"value": VALUE}, "name", "reserved"),
            ("CRONIUM_X", {"value": VALUE}, "name", "reserved"),
            ("1st", {"value": VALUE}, "name", "not a variable name"),
            ("a-b", {"value": VALUE}, "name", "not a variable name"),
            ("NEW", {"value": VALUE, "description": "x" * 201}, "description", "200"),
            ("NEW", {"value": VALUE, "description": "a\nb"}, "description", "one line"),
        ],
    )
    def test_what_is_refused_names_its_field(
        self, admin: Api, name: str, body: dict[str, Any], field: str, says: str
    ) -> None:
        answer = admin.put(f"/secrets/{name}", body)
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]
        assert says in answer.json()["fields"][field][0]
        assert not Secret.objects.exists()

    def test_notes_tell_what_is_not_hidden(self, db: None) -> None:
        assert save_secret("A", "key-line-one\n}\nkey-line-two", None, get_admin()).notes == (
            "its lines of fewer than 4 characters are not hidden in logs",
        )
        assert "white space" in save_secret("A", "token-with-newline\n", None, get_admin()).notes[0]


class TestCommand:
    def feed(self, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    def test_set_reads_standard_input(
        self, db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        admin = get_admin()
        self.feed(monkeypatch, VALUE.encode() + b"\n")
        call_command("secrets", "set", "API_KEY", "--description", "for the shop")
        assert Secret.objects.get().created_by == Secret.objects.get().updated_by == admin
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": VALUE}
        call_command("secrets", "list")
        out = capsys.readouterr().out
        assert "API_KEY  for the shop" in out
        assert VALUE not in out

    @pytest.mark.parametrize(("data", "says"), [(b"", "needs a value"), (b"\xff", "Byte 1 of the value is not UTF-8")])
    def test_set_refuses(self, db: None, monkeypatch: pytest.MonkeyPatch, data: bytes, says: str) -> None:
        get_admin()
        self.feed(monkeypatch, data)
        with pytest.raises(CommandError, match=says):
            call_command("secrets", "set", "API_KEY")

    def test_set_acts_as_an_active_administrator(
        self, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        second = User.objects.create(username="second", role=Role.ADMIN)
        self.feed(monkeypatch, VALUE.encode())
        call_command("secrets", "set", "API_KEY", "--as", "second")
        assert Secret.objects.get().updated_by == second
        for name in ("editor", "nobody"):
            with pytest.raises(CommandError, match=f"'{name}' is not an active administrator. There are: admin, sec"):
                call_command("secrets", "set", "API_KEY", "--as", name)
        User.objects.filter(username="admin").update(is_active=False)
        self.feed(monkeypatch, VALUE.encode() + b"2")
        call_command("secrets", "set", "API_KEY")
        assert Secret.objects.get().updated_by == second
        User.objects.update(is_active=False)
        for arguments in ([], ["--as", "admin"]):
            with pytest.raises(CommandError, match=r"There is no active administrator. Create one with"):
                call_command("secrets", "set", "API_KEY", *arguments)
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": f"{VALUE}2"}


class TestJob:
    def test_names_its_secrets(self, editor: Api, secret: Secret, job: Job) -> None:
        answer = editor.patch("/jobs/report", {"secrets": ["API_KEY"]})
        assert answer.json()["secrets"] == ["API_KEY"]
        assert answer.json()["revision"] == 2
        assert editor.get("/secrets/API_KEY").json()["jobs"] == ["report"]

    @pytest.mark.parametrize(
        ("body", "field", "says"),
        [
            ({"secrets": ["NOBODY"]}, "secrets", "There is no secret NOBODY"),
            ({"secrets": ["API_KEY", "API_KEY"]}, "secrets", "is listed twice"),
            ({"secrets": ["PATH"]}, "secrets", "reserved"),
            ({"secrets": ["no name"]}, "secrets", "not a variable name"),
            ({"secrets": "API_KEY"}, "secrets", "list"),
            ({"secrets": [1]}, "secrets.0", "string"),
            ({"secrets": ["a\x00"]}, "secrets", "not a variable name"),
            ({"secrets": [f"N{n}" for n in range(51)]}, "secrets", "at most 50"),
            ({"secrets": ["API_KEY"], "env": {"API_KEY": "x"}}, "secrets", "also an environment variable"),
        ],
    )
    def test_wrong_names_are_refused_at_the_field(
        self, editor: Api, secret: Secret, job: Job, body: dict[str, Any], field: str, says: str
    ) -> None:
        answer = editor.patch("/jobs/report", body)
        assert answer.status_code == 422
        assert list(answer.json()["fields"]) == [field]
        assert any(says in text for text in answer.json()["fields"][field])
        job.refresh_from_db()
        assert job.secrets == []

    def test_a_variable_of_the_same_name_is_refused_at_the_environment(self, editor: Api, secret: Secret) -> None:
        body = {"name": "N", "language": "bash", "script": "true", "secrets": ["API_KEY"]}
        assert editor.post("/jobs", body).status_code == 201
        answer = editor.patch("/jobs/n", {"env": {"API_KEY": "x"}})
        assert list(answer.json()["fields"]) == ["env"]
        launched = editor.post("/jobs/n/runs", {"env": {"API_KEY": "x"}})
        assert (launched.status_code, list(launched.json()["fields"])) == (422, ["env"])

    def test_keeps_its_secret_from_being_deleted(self, admin: Api, secret: Secret, job: Job) -> None:
        Job.objects.update(secrets=["API_KEY"])
        answer = admin.delete("/secrets/API_KEY")
        assert (answer.status_code, answer.json()["code"]) == (409, "secret_in_use")
        assert "report" in answer.json()["detail"]
        with pytest.raises(ApiError, match="used by report"):
            delete_secret("API_KEY", get_admin())
        Job.objects.update(secrets=[])
        assert admin.delete("/secrets/API_KEY").status_code == 204


class TestRun:
    @pytest.fixture
    def run(self, secret: Secret, job: Job) -> Run:
        Job.objects.update(secrets=["API_KEY"])
        return launch(Job.objects.get(), get_admin())

    def test_holds_names_and_gets_the_value_when_it_is_claimed(self, run: Run, admin: Api) -> None:
        assert Secret.objects.get().last_used_at is None
        spec = build_spec(run, "instance", "host")
        assert spec.secrets == {"API_KEY": VALUE}
        assert VALUE not in repr(spec)
        assert Secret.objects.get().last_used_at is not None
        assert admin.get(f"/runs/{run.pk}").json()["secrets"] == ["API_KEY"]
        assert rerun(run, get_admin()).secrets == ["API_KEY"]
        for row in (Run, Job):
            assert VALUE not in repr(list(row.objects.values()))

    def test_a_rerun_after_the_job_lost_its_secret_is_handed_no_value(self, run: Run, operator: Api) -> None:
        Job.objects.update(secrets=[])
        again = operator.post(f"/runs/{run.pk}/rerun")
        assert again.status_code == 202
        spec = build_spec(Run.objects.get(pk=again.json()["id"]), "instance", "host")
        assert spec.secrets == {}
        assert VALUE not in repr([spec.env, spec.secrets])
        assert Secret.objects.get().last_used_at is None

    @pytest.mark.parametrize("case", ["key lost", "deleted"])
    def test_without_its_secret_ends_before_it_starts(
        self, run: Run, case: str, keys: Callable[..., list[str]], admin: Api
    ) -> None:
        from cronium_admin.workers import dispatch, lease
        from cronium_admin.workers.context import HostContext
        from cronium_admin.workers.images.puller import ImagePuller
        from cronium_admin.workers.scheduling.capacity import Capacity
        from cronium_admin.workers.warm.arrivals import Arrivals
        from cronium_admin.workers.warm.pool import WarmPool
        from executor.spec import Limits

        assert lease.acquire_lease("host", "owner")
        keys(new_key())
        if case == "deleted":
            Secret.objects.all().delete()
        claimed = state_machine.claim_next("host", "owner")
        assert claimed is not None

        class Supervisor:
            def __init__(self) -> None:
                self.asked = 0

            def count_free(self) -> int:
                return 1

            def list_active(self) -> frozenset[str]:
                return frozenset()

            def sum_ended(self) -> Limits:
                return Limits(nano_cpus=0, memory_bytes=0, pids=0)

            def start(self, *_: Any) -> None:
                raise AssertionError("something was started")

        class Database:
            def call(self, what: Callable[..., Any], *arguments: Any) -> Any:
                return what(*arguments)

        leadership = SimpleNamespace(owner="owner", is_leader=True)
        wake, closing = threading.Event(), threading.Event()
        context = HostContext(
            *("host", "instance", FakeEngine(), Database(), None, leadership, Supervisor(), Capacity(), wake, closing),  # type: ignore[arg-type]
            *(WarmPool("host", Arrivals()), ImagePuller("host", FakeEngine(), Database())),  # type: ignore[arg-type]
        )
        Run.objects.update(status="queued")
        dispatch.Dispatcher(context).claim_waiting()
        told = admin.get(f"/runs/{run.pk}").json()
        assert (told["status"], told["reason"]) == ("errored", "secret_unavailable")
        assert "API_KEY" in told["message"]
        assert "nothing was started" in told["message"]
        mend = "CRONIUM_ENCRYPTION_KEYS" if case == "key lost" else "Store it again"
        assert mend in told["message"]
        assert told["started_at"] is None
        assert Run.objects.get().cleaned_at is not None


class TestPages:
    @pytest.fixture
    def client(self, people: dict[str, User]) -> Client:
        made = Client()
        made.force_login(people["admin"])
        return made

    def test_the_list_says_who_uses_what(
        self, client: Client, secret: Secret, job: Job, django_assert_num_queries: Any
    ) -> None:
        Job.objects.update(secrets=["API_KEY"])
        save_secret("OTHER", VALUE, None, get_admin())
        text = client.get("/secrets/").content.decode()
        for shown in ("API_KEY", "for the shop", '<a href="/jobs/report/">Report</a>', "no job", "never"):
            assert shown in text
        with django_assert_num_queries(5):  # session, user, secrets, their jobs, live runs
            client.get("/secrets/")

    def test_one_is_stored_replaced_and_deleted(self, client: Client) -> None:
        typed = {"name": "API_KEY", "value": "one\r\ntwo-lines", "description": "d"}
        text = client.post("/secrets/new/", typed, follow=True).content.decode()
        assert "The secret API_KEY is saved." in text
        assert "lines of fewer than 4 characters" in text
        assert "two-lines" not in text
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": "one\ntwo-lines"}
        text = client.post("/secret/API_KEY/", {"value": "abc"}, follow=True).content.decode()
        assert "fewer than 4 characters" in text
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": "abc"}
        client.post("/secret/API_KEY/", {"value": "", "description": "other"})
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": "abc"}
        assert Secret.objects.get().description == "other"
        text = client.post("/secret/API_KEY/delete/", follow=True).content.decode()
        assert "is deleted" in text
        assert "was deleted in the meantime" in client.post("/secret/API_KEY/", follow=True).content.decode()

    @pytest.mark.parametrize(
        ("url", "typed", "says"),
        [
            ("/secrets/new/", {"name": "PATH", "value": VALUE}, "reserved"),
            ("/secrets/new/", {"name": "", "value": VALUE}, "Give it a name"),
            ("/secrets/new/", {"name": "NEW", "value": ""}, "needs a value"),
            ("/secrets/new/", {"name": "API_KEY", "value": VALUE}, "There is a secret API_KEY already"),
            ("/secret/API_KEY/", {"value": VALUE + "x" * 40_000}, "at most 32,768"),
            ("/secret/API_KEY/", {"value": VALUE, "description": "x" * 201}, "200"),
        ],
    )
    def test_what_is_refused_never_brings_the_value_back(
        self, client: Client, secret: Secret, url: str, typed: dict[str, str], says: str
    ) -> None:
        answer = client.post(url, typed)
        text = answer.content.decode()
        assert answer.status_code == 422
        assert says in text
        assert "Enter the value again" in text
        assert VALUE not in text
        assert decrypt_for_run(["API_KEY"], DEFAULT_PROJECT_ID) == {"API_KEY": VALUE}
        assert Secret.objects.count() == 1

    def test_in_use_it_stays(self, client: Client, secret: Secret, job: Job) -> None:
        Job.objects.update(secrets=["API_KEY"])
        assert "is used by report" in client.post("/secret/API_KEY/delete/", follow=True).content.decode()

    def test_who_may_only_look_sees_no_button(self, secret: Secret, people: dict[str, User]) -> None:
        client = Client()
        client.force_login(people["editor"])
        text = client.get("/secrets/").content.decode()
        assert "API_KEY" in text
        assert "New secret" not in text
        assert "/secret/API_KEY/" not in text

    def test_the_editor_offers_them_by_name(self, client: Client, secret: Secret, job: Job) -> None:
        text = client.get("/jobs/report/edit/").content.decode()
        assert 'name="secrets" value="API_KEY">' in text
        values = {"name": "Report", "language": "bash", "script": "true", "profile": "small", "timeout_seconds": "60"}
        client.post("/jobs/report/edit/", {**values, "secrets": ["API_KEY"]})
        job.refresh_from_db()
        assert job.secrets == ["API_KEY"]
        assert 'name="secrets" value="API_KEY" checked>' in client.get("/jobs/report/edit/").content.decode()
        typed = {**values, "secrets": ["API_KEY"], "env_name": ["API_KEY"], "env_value": ["x"]}
        refused = client.post("/jobs/report/edit/", typed)
        assert refused.status_code == 422
        assert 'href="#secret-names"' in refused.content.decode()
        assert "is also an environment variable" in refused.content.decode()

    def test_job_run_and_back_office_show_names_only(self, secret: Secret, job: Job, db: None) -> None:
        Job.objects.update(secrets=["API_KEY"])
        run = launch(Job.objects.get(), get_admin())
        boss = User.objects.create_superuser("boss", password="x")
        client = Client()
        client.force_login(boss)
        row = Secret.objects.get()
        office = ("/admin/secrets/secret/", f"/admin/secrets/secret/{row.pk}/change/")
        for url in ("/jobs/report/", f"/runs/{run.pk}/", *office, f"/admin/runs/run/{run.pk}/change/"):
            text = client.get(url).content.decode()
            assert "API_KEY" in text, url
            assert VALUE not in text
            assert row.encrypted not in text
