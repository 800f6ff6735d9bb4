"""Each page with the permission, without the permission, and unauthenticated."""

import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.expectations.check_models import Check
from cronium_admin.image_builds.launch import start_build
from cronium_admin.images.image_tests import request_test
from cronium_admin.jobs.models import Job, JobView
from cronium_admin.registries.models import Registry
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Calendar, Heartbeat, Occurrence, Schedule
from cronium_admin.variables import service
from cronium_admin.workers.hosts.models import Host
from tests.custom_images import make_ready_image
from tests.users import get_admin

ORDER = ("viewer", "operator", "editor", "admin")
# (method, view, text of its page, the least role)
PAGES = [
    ("get", "home", "", "viewer"),
    ("get", "home-now", "", "viewer"),
    ("get", "home-figures", "", "viewer"),
    ("get", "home-figures-part", "", "viewer"),
    ("get", "jobs:list", "", "viewer"),
    ("get", "jobs:rows", "", "viewer"),
    ("get", "jobs:live", "", "viewer"),
    ("get", "jobs:runs", "job", "viewer"),
    ("get", "jobs:durations", "job", "viewer"),
    ("get", "jobs:numbered", "numbered", "viewer"),
    ("get", "jobs:job", "job", "viewer"),
    ("get", "jobs:script", "job", "viewer"),
    ("get", "jobs:history", "job", "viewer"),
    ("post", "jobs:restore", "job", "editor"),
    ("get", "jobs:settings", "job", "viewer"),
    ("get", "jobs:use", "job", "viewer"),
    ("get", "jobs:new", "", "editor"),
    ("post", "jobs:new", "", "editor"),
    ("get", "jobs:edit", "job", "editor"),
    ("post", "jobs:edit", "job", "editor"),
    ("post", "jobs:image-info", "", "editor"),
    ("post", "jobs:try-key", "", "editor"),
    ("get", "images:missing-module", "run", "editor"),
    ("post", "jobs:delete", "job", "editor"),
    ("post", "jobs:pin", "job", "viewer"),
    ("get", "job_views:list", "", "viewer"),
    ("post", "job_views:new", "", "viewer"),
    ("post", "job_views:rename", "job view", "editor"),
    ("post", "job_views:delete", "job view", "editor"),
    ("post", "job_views:default", "job view", "viewer"),
    ("get", "runs:list", "", "viewer"),
    ("get", "runs:rows", "", "viewer"),
    ("get", "runs:job-options", "", "viewer"),
    ("get", "runs:count", "", "viewer"),
    ("get", "runs:run", "run", "viewer"),
    ("get", "runs:receipt", "run", "viewer"),
    ("get", "runs:compare", "two runs", "viewer"),
    ("get", "logs:compare", "two runs", "viewer"),
    ("get", "logs:compare-part", "two runs", "viewer"),
    ("get", "logs:search", "", "viewer"),
    ("get", "logs:search-part", "", "viewer"),
    ("get", "logs:search-results", "", "viewer"),
    ("get", "runs:live", "run", "viewer"),
    ("get", "runs:launch", "job", "operator"),
    ("get", "runs:script", "run", "viewer"),
    ("get", "runs:details", "run", "viewer"),
    ("post", "runs:launch", "job", "operator"),
    ("get", "runs:launch-form", "job", "operator"),
    ("post", "runs:launch-form", "job", "operator"),
    ("post", "runs:launch-in-editor", "job", "operator"),
    ("post", "runs:try", "job", "editor"),
    ("get", "runs:pane", "run", "viewer"),
    ("get", "runs:pane-state", "run", "viewer"),
    ("post", "runs:bulk", "", "operator"),
    ("post", "runs:bulk-runs", "", "operator"),
    ("post", "runs:input-fields", "", "editor"),
    ("post", "runs:cancel", "run", "operator"),
    ("post", "runs:rerun", "run", "operator"),
    ("post", "retention:one", "run", "editor"),
    ("get", "retention:many", "", "admin"),
    ("post", "retention:many", "", "admin"),
    ("get", "logs:last", "", "viewer"),
    ("get", "images:list", "", "viewer"),
    ("post", "images:override", "language", "admin"),
    ("post", "images:reset", "language", "admin"),
    ("get", "images:disk", "", "viewer"),
    ("get", "images:presence", "", "viewer"),
    ("get", "images:test", "image test", "admin"),
    ("post", "images:pull", "", "admin"),
    ("post", "images:policy", "", "admin"),
    ("get", "images:builds", "", "viewer"),
    ("get", "images:build-rows", "", "viewer"),
    ("get", "images:image-new", "", "editor"),
    ("post", "images:image-new", "", "editor"),
    ("get", "images:image", "built image", "viewer"),
    ("get", "images:image", "custom image", "viewer"),
    ("get", "images:image-live", "build", "viewer"),
    ("get", "images:build-steps", "build run", "viewer"),
    ("get", "images:image-edit", "custom image", "editor"),
    ("post", "images:image-edit", "custom image", "editor"),
    ("post", "images:image-delete", "custom image", "editor"),
    ("post", "images:image-build", "custom image", "editor"),
    ("post", "images:build-cancel", "build", "operator"),
    ("post", "images:version-pin", "image version", "editor"),
    ("post", "images:version-remove", "image version", "editor"),
    ("get", "images:version-sbom", "image version", "viewer"),
    ("get", "images:registries", "", "viewer"),
    ("get", "images:checks", "", "viewer"),
    ("post", "images:check-all", "", "admin"),
    ("get", "images:registry-new", "", "admin"),
    ("post", "images:registry-new", "", "admin"),
    ("get", "images:registry", "registry", "admin"),
    ("post", "images:registry", "registry", "admin"),
    ("post", "images:registry-delete", "registry", "admin"),
    ("post", "images:check", "registry", "admin"),
    ("get", "profiles:list", "", "viewer"),
    ("post", "profiles:create", "", "admin"),
    ("post", "profiles:edit", "profile", "admin"),
    ("post", "profiles:delete", "profile", "admin"),
    ("get", "secrets:list", "", "viewer"),
    ("post", "secrets:create", "", "admin"),
    ("post", "secrets:replace", "secret", "admin"),
    ("post", "secrets:delete", "secret", "admin"),
    ("get", "variables:list", "", "viewer"),
    ("get", "variables:variable", "variable", "viewer"),
    ("get", "variables:download", "variable", "viewer"),
    ("get", "variables:new", "", "editor"),
    ("post", "variables:new", "", "editor"),
    ("get", "variables:edit", "variable", "editor"),
    ("post", "variables:edit", "variable", "editor"),
    ("get", "variables:delete", "variable", "editor"),
    ("post", "variables:delete", "variable", "editor"),
    ("get", "schedules:list", "", "viewer"),
    ("get", "schedules:downtime", "", "viewer"),
    ("post", "schedules:run-rest", "", "operator"),
    ("post", "schedules:preview", "", "editor"),
    ("get", "planning:week", "", "viewer"),
    ("post", "planning:hint", "", "editor"),
    ("get", "schedules:import", "", "editor"),
    ("post", "schedules:import", "", "editor"),
    ("get", "schedules:schedule", "schedule", "viewer"),
    ("get", "schedules:ledger", "schedule", "viewer"),
    ("get", "schedules:single-times", "planned time", "viewer"),
    ("get", "schedules:edit", "schedule", "editor"),
    ("post", "schedules:edit", "schedule", "editor"),
    ("post", "schedules:switch", "schedule", "editor"),
    ("get", "schedules:delete", "schedule", "editor"),
    ("post", "schedules:delete", "schedule", "editor"),
    ("post", "schedules:run-missed", "schedule", "operator"),
    ("get", "schedules:new", "job", "editor"),
    ("post", "schedules:new", "job", "editor"),
    ("get", "schedules:of-job", "job", "viewer"),
    ("get", "calendars:list", "", "viewer"),
    ("get", "calendars:calendar", "calendar", "viewer"),
    ("get", "calendars:new", "", "admin"),
    ("post", "calendars:new", "", "admin"),
    ("post", "calendars:preview", "", "admin"),
    ("get", "calendars:edit", "calendar", "admin"),
    ("post", "calendars:edit", "calendar", "admin"),
    ("get", "calendars:delete", "calendar", "admin"),
    ("post", "calendars:delete", "calendar", "admin"),
    ("get", "expectations:list", "", "viewer"),
    ("get", "expectations:of-job", "job", "viewer"),
    ("get", "runs:advice", "job", "viewer"),
    ("get", "styleguide", "", "admin"),
    ("get", "help:list", "", "viewer"),
    ("get", "palette:page", "", "viewer"),
    ("get", "palette:entries", "", "viewer"),
    ("get", "expectations:checks", "", "viewer"),
    ("get", "expectations:check", "check", "viewer"),
    ("get", "expectations:check-new", "", "editor"),
    ("post", "expectations:check-new", "", "editor"),
    ("get", "expectations:check-edit", "check", "editor"),
    ("post", "expectations:check-edit", "check", "editor"),
    ("post", "expectations:check-switch", "check", "editor"),
    ("post", "expectations:check-rotate", "check", "editor"),
    ("get", "expectations:check-delete", "check", "editor"),
    ("post", "expectations:check-delete", "check", "editor"),
    ("get", "hosts:list", "", "viewer"),
    ("get", "hosts:waiting", "run", "viewer"),
    ("post", "hosts:drain", "host", "admin"),
    ("post", "hosts:queue", "queue", "admin"),
    ("post", "hosts:delete", "host", "admin"),
    ("get", "hosts:unsafe", "", "viewer"),
    ("get", "hosts:warm", "", "viewer"),
    ("get", "access:tokens", "", "viewer"),
    ("post", "access:tokens", "", "viewer"),
    ("get", "access:people", "", "admin"),
    ("get", "access:add", "", "admin"),
    ("post", "access:add", "", "admin"),
    ("get", "access:person", "person", "admin"),
    ("post", "access:person", "person", "admin"),
    ("post", "access:switch", "person", "admin"),
    ("post", "access:reset-password", "person", "admin"),
    ("post", "access:end-sessions", "person", "admin"),
    ("post", "access:delete", "person", "admin"),
    ("get", "account:page", "", "viewer"),
    ("get", "account:password", "", "viewer"),
    ("post", "account:password", "", "viewer"),
    ("post", "account:end-others", "", "viewer"),
]


@pytest.fixture
def address(run: Run) -> Callable[[str, str], str]:
    parts: dict[str, list[Any]] = {"": [], "job": [run.job_slug], "run": [run.pk], "language": ["bash"]}
    parts["profile"] = ["medium"]
    parts["numbered"] = [run.job_slug, run.number]
    parts["host"] = [Host.objects.create(name="east").pk]
    parts["secret"], parts["queue"] = ["API_KEY"], ["default"]
    parts["image test"] = [request_test("bash", "corp/bash:1").pk]
    parts["custom image"] = [make_ready_image("reports", (1, 2)).pk]
    parts["image version"] = [*parts["custom image"], 1]
    built = make_ready_image("tools", (), last_version=6)
    parts["build run"] = [start_build(built, get_admin())[1].pk]
    parts["built image"], parts["build"] = [built.pk], [built.pk, 7]
    parts["registry"] = [Registry.objects.get().pk]
    parts["person"] = [User.objects.create(username="pat").pk]
    parts["variable"] = ["report", "day"]
    service.set_variable(service.VariableRef(run.job, "day"), 1, get_admin())
    schedule = Schedule.objects.create(pk=1, job=run.job, name="nightly", rule="0 2 * * *")
    at = run.created_at
    missed = Occurrence.objects.create(
        schedule=schedule,
        nominal_at=at,
        last_nominal_at=at,
        rule_number=1,
        state="missed",
        reason="Cronium did not run",
    )
    down = {"down_from": at - timedelta(hours=1), "down_until": at + timedelta(seconds=1)}
    Heartbeat.objects.update_or_create(pk=1, defaults={"ticked_at": at, **down})
    parts["schedule"], parts["planned time"] = [schedule.pk], [schedule.pk, missed.pk]
    view = JobView.objects.create(pk=1, name="late ones", query={"state": "failing"}, project_id=run.project_id)
    parts["job view"] = [view.pk]
    parts["check"] = [Check.objects.create(pk=1, name="backup", period_seconds=3600).pk]
    parts["calendar"] = [Calendar.objects.create(name="berlin", weekdays="sat,sun", country="DE").name]
    parts["two runs"] = []
    queries = {"two runs": f"?a={run.pk}&b={run.pk}"}
    return lambda view, kind: reverse(view, args=parts[kind]) + queries.get(kind, "")


@pytest.mark.parametrize(("method", "view", "kind", "least"), PAGES)
def test_each_role_at_each_page(
    method: str, view: str, kind: str, least: str, address: Callable[[str, str], str], people: dict[str, User]
) -> None:
    url = address(view, kind)
    for role in ORDER:
        client = Client()
        client.force_login(people[role])
        point = transaction.savepoint()
        answer = getattr(client, method)(url)
        transaction.savepoint_rollback(point)
        if ORDER.index(role) < ORDER.index(least):
            assert answer.status_code == 403, role
            assert "admin can change that" in answer.content.decode()
        else:
            assert answer.status_code in (200, 204, 302, 409, 422), role


@pytest.mark.parametrize(("method", "view", "kind", "least"), PAGES)
def test_a_stranger_is_led_to_the_sign_in_page(
    method: str, view: str, kind: str, least: str, address: Callable[[str, str], str]
) -> None:
    url = address(view, kind)
    answer = getattr(Client(), method)(url)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("sign-in") + "?next=")


@pytest.mark.parametrize("view", [name for method, name, _, _ in PAGES if method == "post" and name != "jobs:new"])
def test_changes_need_post_and_a_csrf_token(
    view: str, address: Callable[[str, str], str], people: dict[str, User]
) -> None:
    kind = next(kind for _, name, kind, _ in PAGES if name == view)
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["admin"])
    answer = client.post(address(view, kind))
    assert answer.status_code == 403
    assert "This form is too old" in answer.content.decode()
    has_page = {*("access:tokens", "access:add", "access:person", "account:password")}
    has_page |= {*("jobs:edit", "variables:new", "variables:edit", "variables:delete")}
    has_page |= {
        "retention:many",
        "runs:launch",
        "runs:launch-form",
        "images:registry-new",
        "images:registry",
        "images:image-new",
        "images:image-edit",
    }
    has_page |= {"schedules:edit", "schedules:delete", "schedules:new", "schedules:import"}
    has_page |= {f"expectations:check-{act}" for act in ("new", "edit", "delete")}
    has_page |= {f"calendars:{act}" for act in ("new", "edit", "delete")}
    if view not in has_page:
        assert client.get(address(view, kind)).status_code == 405


def test_buttons_one_may_not_press_are_not_shown(job: Job, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    listing, page = client.get("/jobs/").content.decode(), client.get("/jobs/report/").content.decode()
    for text in (listing, page):
        assert "/runs/launch/" not in text
        assert "New job" not in text
        assert "/edit/" not in text
    client.force_login(people["operator"])
    page = client.get("/jobs/report/").content.decode()
    assert "/runs/launch/" in page
    assert "/edit/" not in page


def test_sign_in_goes_on_where_one_was(people: dict[str, User]) -> None:
    people["viewer"].set_password("a long secret")
    people["viewer"].save()
    client = Client()
    wrong = client.post("/sign-in/", {"username": "viewer", "password": "guess", "next": "/runs/"})
    assert "Wrong user name or password" in wrong.content.decode()
    right = client.post("/sign-in/", {"username": "viewer", "password": "a long secret", "next": "/runs/"})
    assert right["Location"] == "/runs/"
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert client.get("/runs/").status_code == 302


def test_sign_in_leads_to_no_other_site(people: dict[str, User]) -> None:
    people["viewer"].set_password("a long secret")
    people["viewer"].save()
    answer = Client().post("/sign-in/", {"username": "viewer", "password": "a long secret", "next": "//evil.example/"})
    assert answer["Location"] == "/"


def test_a_token_is_shown_once_and_only_its_owner_revokes_it(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    assert "No tokens yet" in client.get("/access/").content.decode()
    assert client.post("/access/", {"name": "deploy <b>", "expires": "30d"})["Location"] == "/access/"
    assert "crn_" not in str(dict(client.session.items()))
    shown = client.get("/access/").content.decode()
    token = ApiToken.objects.get()
    assert shown.count("crn_") >= 2  # the token itself, and how it begins in the list
    assert "deploy &lt;b&gt;" in shown
    assert token.digest not in shown
    assert "made-token" not in client.get("/access/").content.decode()
    other = Client()
    other.force_login(people["admin"])
    assert other.post(f"/access/{token.pk}/revoke/").status_code == 404
    assert client.post(f"/access/{token.pk}/revoke/").status_code == 302
    token.refresh_from_db()
    assert token.revoked_at is not None
    empty = client.post("/access/", {"name": " ", "expires": "30d"})
    assert empty.status_code == 422
    assert "Enter a name, such as the program" in empty.content.decode()


@pytest.mark.parametrize(("chosen", "days"), [("7d", 7), ("30d", 30), ("365d", 365), ("never", None)])
def test_a_token_ends_when_it_was_chosen_to(people: dict[str, User], chosen: str, days: int | None) -> None:
    client = Client()
    client.force_login(people["viewer"])
    assert '<option value="30d" selected>' in client.get("/access/").content.decode()
    client.post("/access/", {"name": "ci", "expires": chosen})
    ends = ApiToken.objects.get().expires_at
    if days is None or ends is None:
        assert (days, ends) == (None, None)
    else:
        assert abs(ends - timezone.now() - timedelta(days=days)) < timedelta(minutes=1)


def test_a_name_is_no_second_tokens_until_the_first_has_ended(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    typed = {"name": "ci", "expires": "30d"}
    client.post("/access/", typed)
    again = client.post("/access/", typed)
    assert again.status_code == 422
    assert "You have a token ci already" in again.content.decode()
    assert "data-reopen" in again.content.decode()
    assert ApiToken.objects.count() == 1
    assert client.post("/access/", {**typed, "expires": "yesterday"}).status_code == 422
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post("/access/", typed).status_code == 302
    assert ">expired<" in client.get("/access/").content.decode()


def test_what_is_not_there_is_a_page_of_its_own(people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    for url in ("/nope/", "/jobs/nope/", f"/runs/{uuid4()}/"):
        answer = client.get(url)
        assert answer.status_code == 404
        assert "Page not found" in answer.content.decode()


def test_no_fragment_shares_the_address_of_a_page(
    address: Callable[[str, str], str], people: dict[str, User], run: Run
) -> None:
    """The browser may show a stored response as the page of its URL, for example on Back."""
    client = Client()
    client.force_login(people["admin"])
    pages, asked = set(), set()
    for method, view, kind, _ in PAGES:
        if method != "get":
            continue
        url = address(view, kind)
        text = b"".join(client.get(url)).decode(errors="replace")
        asked |= {unescape(found) for found in re.findall(r'hx-get="([^"]+)"', text)}
        if "<html" in text:
            pages.add(url)
    assert len(asked) > 5
    assert not {url.split("?")[0] for url in asked} & pages
    for url in asked:
        answer = client.get(url, headers={"HX-Request": "true"})
        assert answer["Cache-Control"] == "no-store", url
        assert "HX-Request" in answer["Vary"], url
        assert "<html" not in answer.content.decode(), url
