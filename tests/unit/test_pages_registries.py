"""The pages of registries: the list, the form, checks, and that no page contains a secret."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import Project, User
from cronium_admin.core.database.clock import database_now
from cronium_admin.registries import checks
from cronium_admin.registries.credentials import read_stored_login
from cronium_admin.registries.models import Registry
from cronium_admin.registries.service import add_registry
from tests.users import get_admin

SECRET = "correct-horse-battery"
TYPED = {
    **{"address": "GHCR.io/acme/", "sign_in": "user", "username": "bot", "secret": SECRET, "helper": "", "ca": ""},
    **{"may_pull": "on", "policy": "newer", "use": "all", "check_image": ""},
}


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def add(address: str = "ghcr.io/acme", **data: Any) -> Registry:
    return add_registry({"address": address, **data}, get_admin())


def fail(registry: Registry, step: str, text: str) -> None:
    checks.request_check(registry)
    taken = checks.take_check("east")
    assert taken is not None
    checks.store_check(taken, "east", [{"step": step, "ok": False, "text": text}])


def test_a_registry_is_added_and_checked(client: Client) -> None:
    answer = client.post("/images/registries/new/", TYPED, follow=True)
    page = answer.content.decode()
    registry = Registry.objects.get(address="ghcr.io/acme")
    assert answer.redirect_chain == [("/images/registries/", 302)]
    assert "The registry ghcr.io/acme is saved. A host checks it now." in page
    assert "Checking …" in page
    assert 'hx-get="/images/registries/checks/' in page
    assert (registry.policy, registry.may_push, registry.is_shared) == ("newer", False, True)
    login = read_stored_login(registry)
    assert login is not None
    assert login.password == SECRET
    assert SECRET not in page + client.get(f"/images/registries/{registry.pk}/").content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"address": "https://ghcr.io"}, "address", "without https://"),
        ({"address": ""}, "address", "Enter the address"),
        ({"username": ""}, "username", "Enter the user"),
        ({"secret": ""}, "secret", "Enter the secret"),
        ({"sign_in": "helper"}, "helper", "Enter the helper"),
        ({"sign_in": "helper", "helper": "../x"}, "helper", "Lower-case letters"),
        ({"use": "chosen"}, "projects", "Choose at least one project"),
        ({"ca": "hello"}, "ca", "Not a certificate"),
        ({"check_image": "UPPER"}, "check_image", "Not an image name"),
        ({"policy": "always"}, "policy", "is not one of the choices"),
    ],
)
def test_a_wrong_field_says_so_and_keeps_what_was_typed(
    client: Client, changes: dict[str, str], field: str, says: str
) -> None:
    answer = client.post("/images/registries/new/", {**TYPED, **changes})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f'id="{field}-error"' in page
    assert says in page
    assert f'value="{changes.get("username", "bot")}"' in page
    assert SECRET not in page
    assert not Registry.objects.filter(address__startswith="ghcr").exists()


def test_an_empty_secret_keeps_the_stored_one(client: Client) -> None:
    registry = add(username="bot", secret=SECRET)
    url = f"/images/registries/{registry.pk}/"
    assert "the stored secret does not change" in client.get(url).content.decode()
    assert client.post(url, {**TYPED, "secret": "", "may_push": "on"}).status_code == 302
    registry.refresh_from_db()
    login = read_stored_login(registry)
    assert login is not None
    assert (login.password, registry.may_push) == (SECRET, True)
    moved = client.post(url, {**TYPED, "secret": "", "address": "quay.io"})
    assert moved.status_code == 422
    assert "Enter the secret again" in moved.content.decode()
    assert client.post(url, {**TYPED, "sign_in": "none"}).status_code == 302
    registry.refresh_from_db()
    assert registry.username == ""
    assert read_stored_login(registry) is None


def test_projects_are_chosen_and_shown(client: Client, people: dict[str, User]) -> None:
    Project.objects.create(name="Finance", slug="finance")
    assert (
        client.post("/images/registries/new/", {**TYPED, "use": "chosen", "projects": ["finance"]}).status_code == 302
    )
    assert "for Finance only" in client.get("/images/registries/").content.decode()
    registry = Registry.objects.get(address="ghcr.io/acme")
    registry.projects.clear()
    assert "for no project yet<" in client.get("/images/registries/").content.decode()
    registry.projects.set(Project.objects.filter(slug="finance"))
    page = client.get(f"/images/registries/{registry.pk}/").content.decode()
    assert 'name="projects" value="finance" checked' in page
    assert "These stay for the projects that may use the registry now." in page
    viewer = Client()
    viewer.force_login(people["viewer"])
    shown = viewer.get("/images/registries/").content.decode()
    assert "for chosen projects only" in shown
    for hidden in ("Finance", "bot", "Add registry", "Check all now", ">Edit<"):
        assert hidden not in shown


class TestChecks:
    def test_a_failed_check_says_what_it_stops(self, client: Client, make_job: Any) -> None:
        fail(add(), "sign-in", "ghcr.io refused the user (401).")
        page = client.get("/images/registries/").content.decode()
        assert "ghcr.io refused the user (401)." in page
        assert "its images can&#x27;t be pulled" in page or "its images can't be pulled" in page
        make_job(image="ghcr.io/acme/tools:9")
        page = client.get("/images/registries/").content.decode()
        assert "ghcr.io/acme/tools:9" in page
        assert "(1 job)" in page

    def test_a_failed_push_stops_no_pull(self, client: Client) -> None:
        fail(add(may_push=True), "push", "denied")
        assert "Pulls work." in client.get("/images/registries/").content.decode()

    def test_a_check_that_no_host_made_says_so(self, client: Client) -> None:
        registry = add()
        assert client.post(f"/images/registries/{registry.pk}/check/").status_code == 302
        Registry.objects.update(check_requested_at=database_now() - timedelta(seconds=121))
        page = client.get("/images/registries/").content.decode()
        assert "No host answered" in page
        assert 'hx-get="/images/registries/checks/' not in page

    def test_the_page_asks_until_the_host_has_answered(self, client: Client) -> None:
        registry = add()
        client.post("/images/registries/check/")
        page = client.get("/images/registries/").content.decode()
        url = page.partition('hx-get="/images/registries/checks/')[2].partition('"')[0]
        assert client.get(f"/images/registries/checks/{url}").status_code == 204
        for _ in range(2):
            taken = checks.take_check("east")
            assert taken is not None
            checks.store_check(taken, "east", [{"step": "sign-in", "ok": True, "text": "fine"}])
        fragment = client.get(f"/images/registries/checks/{url}").content.decode()
        assert f'id="check-{registry.pk}" hx-swap-oob="true"' in fragment
        assert '<div id="check-poll" hx-swap-oob="true"></div>' in fragment


def test_deleting_names_the_jobs(client: Client, make_job: Any) -> None:
    registry = add(username="bot", secret=SECRET)
    url = f"/images/registries/{registry.pk}/"
    assert "No job names one of its images." in client.get(url).content.decode()
    make_job(image="ghcr.io/acme/tools:9", name="Ship access logs")
    assert "Ship access logs" in client.get(url).content.decode()
    page = client.post(f"{url}delete/", {"version": "1"}, follow=True).content.decode()
    assert "is deleted" in page
    assert not Registry.objects.filter(pk=registry.pk).exists()
    assert client.get(url).status_code == 404
    gone = client.post(url, TYPED)
    assert gone.status_code == 422
    assert "was deleted in the meantime" in gone.content.decode()
    assert 'action="/images/registries/new/"' in gone.content.decode()


def test_the_number_of_queries_does_not_grow(client: Client, django_assert_max_num_queries: Any, make_job: Any) -> None:
    for number in range(12):
        add(f"r{number}.example", is_shared=False, projects=["default"])
        make_job(image=f"r{number}.example/x:1")
    with django_assert_max_num_queries(22):
        client.get("/images/registries/")
