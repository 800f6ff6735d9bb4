"""Registries: addresses, which registry an image belongs to, who may use it, and what happens to its secret."""

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.db import connection

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project
from cronium_admin.core.edit_versions import EditConflict
from cronium_admin.core.errors import ApiError
from cronium_admin.images.custom import make_repository_name
from cronium_admin.images.reference import validate_reference
from cronium_admin.registries import checks, service
from cronium_admin.registries.addresses import find_server, is_local_name, is_loopback, list_prefixes, parse_address
from cronium_admin.registries.credentials import (
    CredentialsUnavailable,
    ask_helper,
    find_transport_problem,
    read_stored_login,
)
from cronium_admin.registries.models import PullPolicy, Registry
from cronium_admin.registries.policies import delete_image_policy, set_image_policy
from cronium_admin.registries.rules import (
    check_use,
    find_push_problem,
    find_registry,
    find_use_problem,
    resolve_policy,
)
from cronium_admin.secrets.models import SealedValue
from cronium_admin.secrets.service import rotate_secrets
from executor.docker.image_calls import is_in_networks
from tests.fakes.certificates import Certificates
from tests.users import get_admin

SECRET = "correct-horse-battery"


def add(address: str, **data: Any) -> Registry:
    return service.add_registry({"address": address, **data}, get_admin())


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("ghcr.io", "ghcr.io"),
        (" GHCR.io/Acme/ ", "ghcr.io/acme"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("localhost:5000/a/b", "localhost:5000/a/b"),
        ("index.docker.io/acme", "docker.io/acme"),
        ("registry:5000", "registry:5000"),
    ],
)
def test_an_address_has_one_form(typed: str, canonical: str) -> None:
    assert parse_address(typed) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "acme",
        "https://ghcr.io",
        "ghcr.io:0",
        "ghcr.io:70000",
        "a b.c",
        "ghcr.io/a:1",
        "-x.io",
        "x.io/..",
        "u:p@x.io",
    ],
)
def test_a_wrong_address_is_refused(typed: str) -> None:
    with pytest.raises(ValidationError):
        parse_address(typed)


def test_prefixes_of_a_name_come_longest_first() -> None:
    assert list_prefixes("ghcr.io/acme/tools:9") == ["ghcr.io/acme/tools", "ghcr.io/acme", "ghcr.io"]
    assert list_prefixes("alpine") == ["docker.io/library/alpine", "docker.io/library", "docker.io"]
    assert list_prefixes("127.0.0.1:5000/x@sha256:" + "a" * 64) == ["127.0.0.1:5000/x", "127.0.0.1:5000"]


def test_names_of_cronium_are_local_and_never_those_of_docker_hub() -> None:
    assert is_local_name("cronium/runner:python-alpine")
    assert is_local_name("docker.io/cronium/runner:1")
    assert not is_local_name("ghcr.io/cronium/runner:1")
    assert not is_local_name("acme/cronium:1")


def test_loopback_and_server_names() -> None:
    assert [is_loopback(text) for text in ("127.0.0.1:5000", "localhost:5000/x", "ghcr.io", "10.0.0.1:5000")] == [
        *(True, True),
        *(False, False),
    ]
    assert find_server("docker.io/acme") == "https://index.docker.io/v1/"
    assert find_server("ghcr.io/acme") == "ghcr.io"


@pytest.mark.django_db
class TestRules:
    def test_the_longest_address_wins(self) -> None:
        host, team = add("ghcr.io"), add("ghcr.io/acme")
        assert find_registry("ghcr.io/acme/tools:1") == team
        assert find_registry("ghcr.io/acmefoo/tools:1") == host
        assert find_registry("quay.io/x") is None
        found = find_registry("alpine:3")
        assert found is not None
        assert found.address == "docker.io"

    def test_presence_is_not_permission(self) -> None:
        other = Project.objects.create(name="Other", slug="other")
        add("ghcr.io/acme", is_shared=False, projects=["other"])
        assert find_use_problem("ghcr.io/acme/x:1", other.pk) == ""
        assert "not for this project" in find_use_problem("ghcr.io/acme/x:1", DEFAULT_PROJECT_ID)
        assert find_use_problem("ghcr.io/other/x:1", DEFAULT_PROJECT_ID) == ""
        with pytest.raises(ValidationError, match="add the project to the registry"):
            check_use("ghcr.io/acme/x:1", DEFAULT_PROJECT_ID)

    @pytest.mark.parametrize("end", ["deleted", "moved"])
    def test_presence_is_no_permission_after_the_registry_has_gone(self, end: str) -> None:
        other = Project.objects.create(name="Other", slug="other")
        add("ghcr.io")
        registry = add("ghcr.io/acme", is_shared=False, projects=["other"])
        if end == "deleted":
            service.delete_registry(registry)
        else:
            service.save_registry(registry, {"address": "quay.io/acme", "is_shared": True, "projects": []}, get_admin())
        assert find_use_problem("ghcr.io/acme/x:1", other.pk) == ""
        assert "add the registry again" in find_use_problem("ghcr.io/acme/x:1", DEFAULT_PROJECT_ID)
        assert find_use_problem("ghcr.io/other/x:1", DEFAULT_PROJECT_ID) == ""
        again = add("ghcr.io/acme")
        assert find_use_problem("ghcr.io/acme/x:1", DEFAULT_PROJECT_ID) == ""
        service.delete_registry(again)
        assert find_use_problem("ghcr.io/acme/x:1", DEFAULT_PROJECT_ID) == ""

    @pytest.mark.parametrize("value", ["sha256:" + "0" * 64, "sha256:0123", "0123456789ab", "beef"])
    def test_an_id_names_no_image_that_one_may_use(self, value: str) -> None:
        assert "image's id" in find_use_problem(value, DEFAULT_PROJECT_ID)
        with pytest.raises(ValidationError, match="image's id"):
            validate_reference(value)

    def test_a_longer_address_of_everybody_opens_a_part(self) -> None:
        add("ghcr.io/acme", is_shared=False)
        add("ghcr.io/acme/public")
        assert find_use_problem("ghcr.io/acme/public/x", DEFAULT_PROJECT_ID) == ""
        assert find_use_problem("ghcr.io/acme/x", DEFAULT_PROJECT_ID)

    def test_a_push_needs_the_registry_itself(self) -> None:
        Project.objects.create(name="Other", slug="other")
        own, part = add("ghcr.io/acme", is_shared=False, projects=["other"]), add("ghcr.io/acme/x")
        assert "not for this project" in find_push_problem(own, "x", DEFAULT_PROJECT_ID)
        assert find_push_problem(part, "x", DEFAULT_PROJECT_ID) == ""
        Registry.objects.update(is_shared=True)
        own.refresh_from_db()
        assert find_push_problem(own, "y", DEFAULT_PROJECT_ID) == ""
        assert "belongs to another registry" in find_push_problem(own, "x", DEFAULT_PROJECT_ID)

    def test_images_of_two_projects_have_two_names_in_a_registry(self) -> None:
        names = {make_repository_name(project, "reports") for project in (DEFAULT_PROJECT_ID, 2, 3)}
        assert names == {"reports", "project-2/reports", "project-3/reports"}
        registry = add("ghcr.io/acme")
        add("ghcr.io/acme/project-2")
        assert find_push_problem(registry, make_repository_name(3, "reports"), 3) == ""
        assert "belongs to another registry" in find_push_problem(registry, make_repository_name(2, "reports"), 2)

    def test_local_names_cost_no_query(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert find_use_problem("cronium/runner:python-alpine", DEFAULT_PROJECT_ID) == ""
            assert find_registry("cronium/runner:python-alpine") is None

    def test_a_use_costs_one_query(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            find_use_problem("ghcr.io/acme/x", DEFAULT_PROJECT_ID)

    def test_a_job_can_only_be_stricter(self) -> None:
        add("ghcr.io", policy="newer")
        assert resolve_policy("ghcr.io/x:1").policy == PullPolicy.NEWER
        assert resolve_policy("ghcr.io/x:1", "missing").policy == PullPolicy.NEWER
        stricter = resolve_policy("ghcr.io/x:1", "never")
        assert (stricter.policy, stricter.rule) == (PullPolicy.NEVER, "job")

    def test_the_policy_of_an_image_precedes_its_registrys(self) -> None:
        add("ghcr.io")
        set_image_policy("ghcr.io/x:1", "newer", get_admin())
        assert (resolve_policy("ghcr.io/x:2").policy, resolve_policy("ghcr.io/x:2").rule) == ("newer", "image")
        assert resolve_policy("ghcr.io/y").policy == "missing"
        assert delete_image_policy("ghcr.io/x")
        assert resolve_policy("ghcr.io/x:2").policy == "missing"
        with pytest.raises(ValidationError, match="Choose one of"):
            set_image_policy("ghcr.io/x", "always", get_admin())

    def test_nothing_is_pulled_from_an_unknown_registry(self) -> None:
        add("quay.io", may_pull=False)
        for reference in ("ghcr.io/x", "quay.io/x", "10.0.0.1:5000/x", "cronium/runner:python-debian"):
            assert resolve_policy(reference).policy == PullPolicy.NEVER


@pytest.mark.django_db
class TestSecret:
    def test_it_is_encrypted_and_bound_to_its_address(self) -> None:
        registry = add("ghcr.io", username="bot", secret=SECRET)
        [row] = SealedValue.objects.all()
        assert SECRET not in row.encrypted
        login = read_stored_login(registry)
        assert login is not None
        assert (login.server, login.username, login.password) == ("ghcr.io", "bot", SECRET)
        assert SECRET not in repr(login)
        SealedValue.objects.update(name="registry:evil.example")
        Registry.objects.filter(pk=registry.pk).update(address="evil.example")
        with pytest.raises(CredentialsUnavailable, match="can't be decrypted"):
            read_stored_login(Registry.objects.get(pk=registry.pk))

    @pytest.mark.parametrize(
        "change", [{"address": "evil.example"}, {"username": "x"}, {"allow_http": True}, {"ca": "x"}]
    )
    def test_it_is_not_sent_elsewhere_without_being_entered_again(self, change: dict[str, Any], tmp_path: Path) -> None:
        registry = add("ghcr.io", username="bot", secret=SECRET)
        if "ca" in change:
            Certificates(tmp_path)
            change = {"ca": (tmp_path / "server" / "ca.pem").read_text()}
        with pytest.raises(ValidationError, match="Enter the secret again"):
            service.save_registry(registry, change, get_admin())
        service.save_registry(registry, {**change, "secret": "another-one"}, get_admin())
        login = read_stored_login(Registry.objects.get(pk=registry.pk))
        assert login is not None
        assert login.password == "another-one"
        assert SealedValue.objects.count() == 1

    def test_it_goes_with_its_user_and_with_its_registry(self) -> None:
        registry = add("ghcr.io", username="bot", secret=SECRET)
        registry = service.save_registry(registry, {"username": ""}, get_admin())
        assert not SealedValue.objects.exists()
        registry = service.save_registry(registry, {"username": "bot", "secret": SECRET}, get_admin())
        service.delete_registry(registry)
        assert not SealedValue.objects.exists()
        assert not Registry.objects.filter(address="ghcr.io").exists()

    def test_rotation_encrypts_it_with_the_new_key(self, settings: Any) -> None:
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": old})
        registry = add("ghcr.io", username="bot", secret=SECRET)
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": f"{new},{old}"})
        assert rotate_secrets() == (1, [])
        settings.CONFIG = settings.CONFIG.model_copy(update={"encryption_keys": new})
        login = read_stored_login(registry)
        assert login is not None
        assert login.password == SECRET

    def test_no_column_holds_it(self) -> None:
        add("ghcr.io", username="bot", secret=SECRET)
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names():
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                assert SECRET not in repr(cursor.fetchall()), table


@pytest.mark.django_db
class TestService:
    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"secret": SECRET}, "secret"),
            ({"username": "a", "secret": "  "}, "secret"),
            ({"username": "a\nb"}, "username"),
            ({"helper": "../sh"}, "helper"),
            ({"helper": "ecr-login", "username": "a"}, "helper"),
            ({"policy": "always"}, "policy"),
            ({"ca": "hello"}, "ca"),
            ({"ca": "-----BEGIN PRIVATE KEY-----"}, "ca"),
            ({"projects": ["nope"]}, "projects"),
            ({"check_image": "UPPER"}, "check_image"),
            ({"check_image": "ghcr.io.evil.example/x:1"}, "check_image"),
            ({"check_image": "alpine:3"}, "check_image"),
        ],
    )
    def test_bad_fields_are_named(self, data: dict[str, Any], field: str) -> None:
        with pytest.raises(ValidationError) as caught:
            add("ghcr.io", **data)
        assert list(caught.value.message_dict) == [field]
        assert not Registry.objects.filter(address="ghcr.io").exists()

    def test_an_address_is_taken_once(self) -> None:
        add("ghcr.io")
        with pytest.raises(ApiError, match="already"):
            add("GHCR.io")

    def test_an_edit_of_an_old_version_is_refused(self) -> None:
        registry = add("ghcr.io")
        service.save_registry(registry, {"may_push": True}, get_admin(), 1)
        with pytest.raises(EditConflict):
            service.save_registry(registry, {"may_pull": False}, get_admin(), 1)

    def test_a_check_is_made_by_one_host_and_forgotten_after_a_change(self) -> None:
        registry = add("ghcr.io")
        assert checks.take_check("h1") is None
        checks.request_check(registry)
        taken = checks.take_check("h1")
        assert taken is not None
        assert checks.take_check("h2") is None
        checks.store_check(taken, "h1", [{"step": "sign-in", "ok": True, "text": "signed in"}])
        registry.refresh_from_db()
        assert (registry.checked_on, registry.results[0]["ok"]) == ("h1", True)
        service.save_registry(registry, {"username": "a", "secret": SECRET}, get_admin())
        registry.refresh_from_db()
        assert (registry.checked_at, registry.results) == (None, [])
        checks.store_check(taken, "h1", [{"step": "sign-in", "ok": True, "text": "of the old settings"}])
        registry.refresh_from_db()
        assert registry.results == []


class TestHelper:
    @pytest.fixture
    def helper(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        def make(body: str) -> None:
            program = tmp_path / "docker-credential-test"
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

        return make

    def test_it_is_asked_for_the_server_on_standard_input(self, helper: Any) -> None:
        helper("""read server; printf '{"Username":"<token>","Secret":"for %s"}' "$server" """)
        login = ask_helper("test", "ghcr.io/acme")
        assert login is not None
        assert (login.username, login.password) == ("<token>", "for ghcr.io")

    def test_a_helper_without_credentials_means_none(self, helper: Any) -> None:
        helper("echo credentials not found in native keychain; exit 1")
        assert ask_helper("test", "ghcr.io") is None

    @pytest.mark.parametrize("body", ["echo broken; exit 1", "echo not json", "echo '{}'"])
    def test_a_broken_helper_is_named(self, helper: Any, body: str) -> None:
        helper(body)
        with pytest.raises(CredentialsUnavailable, match="docker-credential-test"):
            ask_helper("test", "ghcr.io")

    def test_a_missing_helper_is_named(self) -> None:
        with pytest.raises(CredentialsUnavailable, match="Install the credential helper"):
            ask_helper("not-there", "ghcr.io")


def test_credentials_travel_over_plain_http_only_where_allowed() -> None:
    def find_problem(address: str, **more: Any) -> str:
        return find_transport_problem(Registry(address=address, **more), is_insecure=True, has_login=True)

    assert "insecure-registries" in find_problem("10.0.0.1:5000")
    assert find_problem("10.0.0.1:5000", allow_http=True) == ""
    assert find_problem("127.0.0.1:5000") == ""
    assert find_transport_problem(Registry(address="10.0.0.1:5000"), is_insecure=True, has_login=False) == ""


def test_an_engine_may_take_whole_networks_for_insecure() -> None:
    assert is_in_networks("10.1.2.3:5000", ["10.0.0.0/8", "127.0.0.0/8"])
    assert is_in_networks("localhost:5000", ["127.0.0.0/8", "::1/128"])
    assert not is_in_networks("10.1.2.3:5000", ["127.0.0.0/8"])
    assert not is_in_networks("no-such-host.invalid:5000", ["0.0.0.0/0"])
