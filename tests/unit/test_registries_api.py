"""The routes of registries and of pull policies: what they show to whom, and that no answer contains a secret."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.registries import checks
from cronium_admin.registries.models import ImagePolicy, Registry
from cronium_admin.web.api import api
from tests.conftest import Api

SECRET = "correct-horse-battery"
pytestmark = pytest.mark.django_db


def add(admin: Api, **data: Any) -> dict[str, Any]:
    answer = admin.post("/registries", {"address": "ghcr.io/acme", **data})
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


class TestRegistries:
    def test_a_secret_goes_in_and_never_comes_out(self, admin: Api) -> None:
        answer = admin.post("/registries", {"address": "GHCR.io/acme/", "username": "bot", "secret": SECRET})
        added = answer.json()
        assert (added["address"], added["username"], added["has_secret"]) == ("ghcr.io/acme", "bot", True)
        path = f"/registries/{added['id']}"
        changed = admin.patch(path, {"may_push": True})
        moved = admin.patch(path, {"address": "ghcr.io/other"})
        assert (moved.status_code, list(moved.json()["fields"])) == (422, ["secret"])
        wrong = admin.patch(path, {"secret": [SECRET], "policy": "always"})
        assert wrong.status_code == 422
        answers = (answer, changed, moved, wrong, admin.get(path), admin.get("/registries"))
        assert not any(SECRET in one.content.decode() for one in answers)
        without = admin.patch(path, {"username": ""}).json()
        assert (without["username"], without["has_secret"], without["may_push"]) == ("", False, True)

    def test_the_document_calls_it_write_only(self) -> None:
        schemas = api.get_openapi_schema()["components"]["schemas"]
        for name in ("RegistryIn", "RegistryChange"):
            assert schemas[name]["properties"]["secret"]["writeOnly"] is True
        assert "secret" not in schemas["RegistryOut"]["properties"]

    def test_only_administrators_see_users_certificates_and_projects(self, admin: Api, people: dict[str, User]) -> None:
        add(admin, username="bot", secret=SECRET, projects=["default"], is_shared=False, check_image="ghcr.io/acme/x")
        shown = next(row for row in admin.get("/registries").json()["items"] if row["address"] == "ghcr.io/acme")
        assert (shown["projects"], shown["check_image"], shown["updated_by"]) == (
            ["default"],
            "ghcr.io/acme/x",
            "admin",
        )
        private = ("username", "has_secret", "helper", "ca", "allow_http", "projects", "check_image", "updated_by")
        for role in ("viewer", "operator", "editor"):
            row = Api(people[role]).get(f"/registries/{shown['id']}").json()
            assert {name: row[name] for name in private} == dict.fromkeys(private)
            assert (row["address"], row["may_pull"], row["may_push"], row["is_shared"]) == (
                "ghcr.io/acme",
                True,
                False,
                False,
            )

    def test_wrong_fields_are_named(self, admin: Api) -> None:
        answer = admin.post("/registries", {"address": "https://ghcr.io", "policy": "always", "projects": ["nope"]})
        assert answer.status_code == 422
        assert set(answer.json()["fields"]) == {"address", "policy", "projects"}
        add(admin)
        taken = admin.post("/registries", {"address": "ghcr.io/acme"})
        assert (taken.status_code, taken.json()["code"], list(taken.json()["fields"])) == (
            *(409, "address_taken"),
            ["address"],
        )
        assert admin.get("/registries/99999").status_code == 404
        assert admin.post("/registries", {"address": "x.io", "password": "x"}).status_code == 422

    def test_a_registry_that_comes_back_continues_its_versions(self, admin: Api) -> None:
        first = add(admin)
        admin.patch(f"/registries/{first['id']}", {"may_push": True})
        assert admin.delete(f"/registries/{first['id']}?version=2").status_code == 204
        assert add(admin)["version"] == 3


class TestCheck:
    def test_its_states(self, admin: Api) -> None:
        path = f"/registries/{add(admin)['id']}"
        assert admin.get(path).json()["check"]["state"] == "never"
        asked = admin.post(f"{path}/check")
        assert (asked.status_code, asked.json()["check"]["state"]) == (202, "requested")
        taken = checks.take_check("h1")
        assert taken is not None
        assert admin.get(path).json()["check"]["state"] == "requested"
        results = [{"step": "sign-in", "ok": False, "text": "401"}, {"step": "pull", "ok": None, "text": "not made"}]
        checks.store_check(taken, "h1", results)
        check = admin.get(path).json()["check"]
        assert (check["state"], check["host"], check["results"]) == ("done", "h1", results)
        assert check["at"]

    def test_only_administrators_read_the_registrys_words(self, admin: Api, people: dict[str, User]) -> None:
        path = f"/registries/{add(admin, username='bot-4711', secret=SECRET)['id']}"
        admin.post(f"{path}/check")
        taken = checks.take_check("h1")
        assert taken is not None
        results = [
            {"step": "sign-in", "ok": True, "text": "Signed in as bot-4711."},
            {"step": "pull", "ok": False, "text": "ghcr.io/acme/x: no bot-4711", "reason": "image_not_found"},
            {"step": "push", "ok": False, "text": "docker-credential-bot-4711 failed"},  # stored by an older version
        ]
        checks.store_check(taken, "h1", results)
        assert "bot-4711" in admin.get(path).content.decode()
        answer = Api(people["viewer"]).get(path)
        assert "bot-4711" not in answer.content.decode()
        assert [step["text"] for step in answer.json()["check"]["results"]] == [
            "The sign-in works.",
            "The image to check with can't be pulled: the registry has no such image. Administrators see the details.",
            "The push failed. Administrators see the details.",
        ]
        for name in ("viewer", "editor"):
            browser = Client()
            browser.force_login(people[name])
            page = browser.get("/images/registries/").content.decode()
            assert "bot-4711" not in page
            assert "The image to check with can&#x27;t be pulled: the registry has no such image." in page

    def test_a_check_that_no_host_makes_says_so_and_can_be_repeated(self, admin: Api) -> None:
        path = f"/registries/{add(admin)['id']}"
        admin.post(f"{path}/check")
        assert checks.take_check("dies") is not None
        Registry.objects.update(check_requested_at=database_now() - timedelta(seconds=121))
        assert admin.get(path).json()["check"]["state"] == "no_host"
        assert checks.take_check("late") is None
        assert admin.post(f"{path}/check").json()["check"]["state"] == "requested"
        taken = checks.take_check("h2")
        assert taken is not None
        checks.store_check(taken, "dies", [])
        assert admin.get(path).json()["check"]["state"] == "requested"
        checks.store_check(taken, "h2", [])
        assert admin.get(path).json()["check"]["host"] == "h2"

    def test_a_second_request_does_not_interrupt_the_host(self, admin: Api) -> None:
        path = f"/registries/{add(admin)['id']}"
        admin.post(f"{path}/check")
        taken = checks.take_check("h1")
        admin.post(f"{path}/check")
        assert checks.take_check("h2") is None
        assert taken is not None
        checks.store_check(taken, "h1", [])
        assert admin.get(path).json()["check"]["state"] == "done"

    def test_a_change_while_a_host_checks_repeats_the_check(self, admin: Api) -> None:
        path = f"/registries/{add(admin)['id']}"
        admin.post(f"{path}/check")
        old = checks.take_check("h1")
        assert old is not None
        admin.patch(path, {"may_push": True})
        checks.store_check(old, "h1", [{"step": "push", "ok": None, "text": "not allowed"}])
        assert admin.get(path).json()["check"]["state"] == "requested"
        assert checks.take_check("h1") is not None

    def test_all_at_once(self, admin: Api) -> None:
        add(admin)
        checks.request_all_checks()
        assert {row["check"]["state"] for row in admin.get("/registries").json()["items"]} == {"requested"}


class TestPolicies:
    PATH = "/images/policies/ghcr.io/acme/tools:9"

    def test_an_image_has_the_policy_of_its_registry_or_its_own(self, admin: Api) -> None:
        assert admin.get(self.PATH).json()["effective"] == "never"
        add(admin, policy="newer")
        read = admin.get(self.PATH).json()
        expected = {"image": "ghcr.io/acme/tools", "policy": None, "effective": "newer", "rule": "registry"}
        assert read == {**expected, "version": 0, "updated_by": None, "updated_at": None}
        own = admin.put(self.PATH, {"policy": "missing", "version": 0}).json()
        assert (own["policy"], own["effective"], own["rule"], own["version"]) == ("missing", "missing", "image", 1)
        assert admin.put(self.PATH, {"policy": "never", "version": 0}).status_code == 409
        assert [row["image"] for row in admin.get("/images/policies").json()["items"]] == ["ghcr.io/acme/tools"]
        assert admin.delete(self.PATH).status_code == 204
        assert admin.delete(self.PATH).status_code == 204
        assert admin.put(self.PATH, {"policy": "never"}).json()["version"] == 2

    @pytest.mark.parametrize(
        ("image", "body", "field"),
        [
            ("UPPER", {"policy": "never"}, "image"),
            ("cronium/runner:python-debian", {"policy": "newer"}, "image"),
            ("ghcr.io/x", {"policy": "always"}, "policy"),
        ],
    )
    def test_wrong_ones_are_named(self, admin: Api, image: str, body: Any, field: str) -> None:
        answer = admin.put(f"/images/policies/{image}", body)
        assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
        assert not ImagePolicy.objects.exists()


def test_a_time_in_the_future_is_a_request(admin: Api) -> None:
    """The clock that a page uses may be behind that of the database."""
    Registry.objects.update(check_requested_at=timezone.now() + timedelta(seconds=3))
    assert admin.get("/registries").json()["items"][0]["check"]["state"] == "requested"
