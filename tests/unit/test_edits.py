# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""Every form and API route that edits a row refuses an edit of an older version, and loses no input.

Every form and every PATCH and PUT route is in a table here: as an edit, or with the reason why it is none.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.images.models import CustomImage, ImageOverride, ImageVersion
from cronium_admin.jobs.models import Job, JobView, QueueLimit
from cronium_admin.profiles.models import Profile
from cronium_admin.registries.models import ImagePolicy, Registry
from cronium_admin.runs.models import Run
from cronium_admin.schedules.models import Calendar, Schedule
from cronium_admin.secrets.crypto import encrypt
from cronium_admin.secrets.models import Secret
from cronium_admin.variables import service
from cronium_admin.workers.hosts.models import Host
from tests.conftest import Api
from tests.unit.test_api_access import ROUTES, furnished  # noqa: F401 - a fixture
from tests.unit.test_pages_rights import PAGES, address  # noqa: F401 - a fixture
from tests.users import get_admin

JOB = {"name": "Mine", "language": "bash", "script": "echo mine", "profile": "small", "timeout_seconds": "60"}
REGISTRY = {"address": "docker.io", "sign_in": "user", "username": "mine", "secret": "my own value", "use": "all"}
REGISTRY |= {"policy": "missing"}
CHECK = {
    "name": "backup of mail",
    "rhythm": "period",
    "period": "1",
    "period_unit": "h",
    "grace": "5",
    "grace_unit": "min",
}
SCHEDULE = {"name": "nightly", "kind": "cron", "rule": "0 6 * * *", "timezone": "UTC", "overlap": "skip"}
SCHEDULE |= {"missed": "latest", "acts_as": "owner", "enabled": "on"}
PROFILE = {"name": "medium", "cpu": "0.75", "memory_mb": "777", "pids": "77"}
# view: (the input, how the next page shows it; the other user's change by the API)
FORMS: dict[str, tuple[dict[str, str], str, tuple[str, str, Any]]] = {
    "jobs:edit": (JOB, "echo mine", ("PATCH", "/jobs/report", {"script": "echo theirs"})),
    "profiles:edit": (PROFILE, 'value="777"', ("PATCH", "/profiles/medium", {"memory_mb": 900})),
    "secrets:replace": (
        {"value": "my own value", "description": "mine it is"},
        'value="mine it is"',
        ("PUT", "/secrets/API_KEY", {"value": "theirs, newer"}),
    ),
    "variables:edit": ({"text": '"mine"'}, "&quot;mine&quot;", ("PUT", "/variables/report/day", {"value": 7})),
    "variables:delete": ({}, "", ("PUT", "/variables/report/day", {"value": 7})),
    "images:override": (
        {"reference": "corp/mine:1", "confirmed": "all"},
        'value="corp/mine:1"',
        ("PUT", "/images/bash", {"reference": "corp/theirs:2"}),
    ),
    "images:policy": (
        {"image": "ubuntu", "policy": "never"},
        'value="never" checked',
        ("PUT", "/images/policies/ubuntu", {"policy": "missing"}),
    ),
    "images:registry": (REGISTRY, 'value="mine"', ("PATCH", "/registries/1", {"may_push": True})),
    "images:registry-delete": ({}, "", ("PATCH", "/registries/1", {"may_push": True})),
    "images:image-edit": (
        {"base": "python", "python": "requests\nmine"},
        "requests\nmine</textarea>",
        ("PATCH", "/custom-images/reports", {"description": "theirs"}),
    ),
    "images:image-delete": ({}, "", ("PATCH", "/custom-images/reports", {"description": "theirs"})),
    "images:version-pin": ({"pinned": "on"}, "", ("PATCH", "/custom-images/reports/versions/1", {"pinned": True})),
    "images:version-remove": ({}, "", ("PATCH", "/custom-images/reports/versions/1", {"pinned": True})),
    "schedules:edit": (SCHEDULE, 'value="0 6 * * *"', ("PATCH", "/schedules/1", {"rule": "0 5 * * *"})),
    "schedules:switch": ({"enabled": "off"}, "", ("PATCH", "/schedules/1", {"rule": "0 5 * * *"})),
    "schedules:delete": ({}, "", ("PATCH", "/schedules/1", {"rule": "0 5 * * *"})),
    "calendars:edit": (
        {"name": "berlin", "weekdays": "sun", "dates": "2026-12-24 mine"},
        "2026-12-24 mine</textarea>",
        ("PATCH", "/calendars/berlin", {"dates": ["2026-12-31 theirs"]}),
    ),
    "calendars:delete": ({}, "", ("PATCH", "/calendars/berlin", {"dates": ["2026-12-31 theirs"]})),
    "expectations:check-edit": (CHECK, 'value="backup of mail"', ("PATCH", "/checks/1", {"grace_seconds": 900})),
    "expectations:check-switch": ({"enabled": "off"}, "", ("PATCH", "/checks/1", {"grace_seconds": 900})),
    "expectations:check-rotate": ({}, "", ("PATCH", "/checks/1", {"grace_seconds": 900})),
    "expectations:check-delete": ({}, "", ("PATCH", "/checks/1", {"grace_seconds": 900})),
    "images:reset": ({}, "", ("PUT", "/images/bash", {"reference": "corp/theirs:2"})),
    "hosts:drain": ({"draining": "on"}, "", ("PATCH", "/hosts/east", {"draining": True})),
    "hosts:queue": ({"max_running": "7"}, 'value="7"', ("PATCH", "/queues/default", {"max_running": 4})),
    "access:person": (
        {"role": "operator"},
        'value="operator" checked',
        ("PATCH", "/people/pat", {"role": "editor"}),
    ),
    "access:switch": ({"active": "off"}, "", ("PATCH", "/people/pat", {"role": "editor"})),
    "job_views:rename": ({"name": "mine"}, 'value="mine"', ("PATCH", "/job-views/1", {"name": "theirs"})),
    "job_views:delete": ({}, "", ("PATCH", "/job-views/1", {"name": "theirs"})),
    "jobs:delete": ({}, "", ("PATCH", "/jobs/report", {"script": "echo theirs"})),
    "profiles:delete": ({}, "", ("PATCH", "/profiles/medium", {"memory_mb": 900})),
    "secrets:delete": ({}, "", ("PUT", "/secrets/API_KEY", {"value": "theirs, newer"})),
    "hosts:delete": ({}, "", ("PATCH", "/hosts/east", {"draining": True})),
    "access:delete": ({}, "", ("PATCH", "/people/pat", {"role": "editor"})),
    "access:reset-password": ({}, "", ("POST", "/people/pat/reset-password", None)),
}
# Forms that edit nothing that another person may have edited in between.
NO_EDIT = {
    "makes a row": {
        "jobs:new",
        "job_views:new",
        "profiles:create",
        "secrets:create",
        "variables:new",
        "access:tokens",
        "access:add",
    }
    | {"images:registry-new", "images:image-new", "images:image-build", "schedules:new", "calendars:new"}
    | {"expectations:check-new", "schedules:import"},
    "asks hosts for a check or a pull": {"images:check", "images:check-all", "images:pull"},
    "acts on a run": {
        "runs:launch",
        "runs:launch-form",
        "runs:launch-in-editor",
        "runs:try",
        "runs:bulk",
        "runs:bulk-runs",
        "runs:cancel",
        "images:build-cancel",
        "runs:rerun",
        "retention:one",
        "retention:many",
    },
    "restores a revision, with the job's own: see test_job_page": {"jobs:restore"},
    "runs missed times, each once": {"schedules:run-missed", "schedules:run-rest"},
    "only reads": {
        "runs:input-fields",
        "jobs:image-info",
        "jobs:try-key",
        "schedules:preview",
        "planning:hint",
        "calendars:preview",
    },
    "is one's own, or ends sessions": {"access:end-sessions", "account:password", "account:end-others", "jobs:pin"}
    | {"job_views:default"},
}


def _counter(view: str) -> str:
    return "revision" if view.startswith("jobs:") else "version"


@pytest.fixture
def stored(
    people: dict[str, User], run: Run, address: Callable[[str, str], str], make_job: Callable[..., Job]
) -> Callable[[str], str]:
    """Rows behind every form; gives the URL of a view."""
    Secret.objects.create(name="API_KEY", encrypted=encrypt("API_KEY", "the first"))
    ImageOverride.objects.create(language="bash", reference="corp/first:1")
    for image in ("library/ubuntu", "corp/first"):  # those of all images on the page
        ImagePolicy.objects.create(image=f"docker.io/{image}", policy="newer")
    make_job(image="ubuntu")
    kinds = {name: kind for _, name, kind, _ in PAGES}
    return lambda view: address(view, kinds[view])


@pytest.fixture
def browser(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["admin"])
    return client


def _rows() -> list[Any]:
    models = (Job, Profile, Secret, ImageOverride, Host, Registry, ImagePolicy, CustomImage, ImageVersion, Schedule)
    models = (*models, Calendar, JobView)
    models = (*models, QueueLimit)
    found = [list(model.objects.order_by("pk").values()) for model in models]
    return [*found, list(User.objects.order_by("pk").values("role", "is_active", "password", "version"))]


def test_every_form_and_route_is_in_a_table() -> None:
    posts = {view for method, view, _, _ in PAGES if method == "post"}
    assert posts == set(FORMS) | set().union(*NO_EDIT.values())


@pytest.mark.parametrize("view", FORMS)
class TestForms:
    def test_the_page_carries_the_version(self, view: str, stored: Callable[[str], str], browser: Client) -> None:
        """In each of its forms with this URL."""
        url = stored(view)
        lists = {"profiles:edit": "/profiles/", "secrets:replace": "/secrets/", "hosts:drain": "/hosts/"}
        lists |= {"hosts:queue": "/hosts/"}
        lists |= dict.fromkeys(("images:override", "images:reset", "images:policy"), "/images/")
        lists |= {"profiles:delete": "/profiles/", "secrets:delete": "/secrets/", "hosts:delete": "/hosts/"}
        lists |= {"images:registry-delete": url.replace("/delete/", "/")}
        image = "/".join(url.split("/")[:4]) + "/"
        lists |= dict.fromkeys(("images:image-delete", "images:version-pin", "images:version-remove"), image)
        lists |= {"schedules:switch": url.replace("/switch/", "/")}
        lists |= {f"expectations:check-{act}": url.replace(f"/{act}/", "/") for act in ("switch", "rotate")}
        lists |= dict.fromkeys(("job_views:rename", "job_views:delete"), "/job-views/")
        lists |= {"jobs:delete": url.replace("/delete/", "/edit/")}
        lists |= dict.fromkeys(
            ("access:switch", "access:reset-password", "access:delete"), "/".join(url.split("/")[:-2]) + "/"
        )
        html = browser.get(lists.get(view, url)).content.decode()
        own = view in ("jobs:edit", "variables:edit", "variables:delete", "access:person")
        forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", html, re.DOTALL)
        found = [form for form in forms if (f'action="{url}"' in form or (own and "action=" not in form[:200]))]
        assert found
        for form in found:
            assert re.search(rf'<input type="hidden" name="{_counter(view)}" value="1">', form), form[:300]

    def test_an_edit_of_an_older_version_is_refused_and_keeps_what_was_typed(
        self, view: str, stored: Callable[[str], str], browser: Client, people: dict[str, User]
    ) -> None:
        typed, shown, (method, path, body) = FORMS[view]
        url, other = stored(view), Api(people["admin"])
        assert other.call(method, path, body).status_code == 200
        before = _rows()
        answer = browser.post(url, {**typed, _counter(view): "1"})
        html = answer.content.decode()
        assert answer.status_code == 409
        assert _rows() == before
        assert re.search(r"admin (saved|set it|deleted it)", html)
        assert shown in html
        assert "my own value" not in html  # a secret's value is never sent back
        assert f'name="{_counter(view)}" value="2"' in html
        assert browser.post(url, {**typed, _counter(view): "2"}).status_code == 302

    def test_a_version_that_is_no_number_is_none_that_is_stored(
        self, view: str, stored: Callable[[str], str], browser: Client
    ) -> None:
        url, before = stored(view), _rows()
        for odd in ("x", "²", "9" * 40, "-1", "1\0"):
            assert browser.post(url, {**FORMS[view][0], _counter(view): odd}).status_code in (409, 422), odd
        assert _rows() == before


# Of the caller only: nobody else changes it in between.
OWN = {"/jobs/report/pin", "/job-views/1/default"}
CHANGES = [row[:3] for row in ROUTES if row[0] in ("PATCH", "PUT") and row[1] not in OWN]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
class TestRoutes:
    @pytest.fixture(autouse=True)
    def rows(self, furnished: Run) -> None:
        ImageOverride.objects.create(language="python", reference="corp/first:1")
        Secret.objects.filter(name="API_KEY").update(encrypted=encrypt("API_KEY", "the first"))

    def test_a_change_of_the_version_that_is_stored_is_taken(
        self, method: str, path: str, body: Any, admin: Api
    ) -> None:
        counter = "revision" if path.startswith("/jobs") else "version"
        read = admin.get(path).json() if not path.startswith("/hosts") else admin.get("/hosts").json()["items"][0]
        answer = admin.call(method, path, {**body, counter: read[counter]})
        assert (answer.status_code, answer.json()[counter]) == (200, read[counter] + 1)

    def test_a_change_of_another_one_is_refused_with_who_and_when(
        self, method: str, path: str, body: Any, admin: Api
    ) -> None:
        counter = "revision" if path.startswith("/jobs") else "version"
        assert admin.call(method, path, body).status_code == 200
        before = _rows()
        answer = admin.call(method, path, {**body, counter: 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert list(answer.json()["fields"]) == [counter]
        assert f"admin saved {counter} 2 at 20" in answer.json()["detail"]
        assert _rows() == before


# Deletions of rows that are not edited: a run, a session.
NO_VERSION = {"/runs/{ended}", "/runs?job=report", "/people/pat/sessions"}
DELETIONS = [path for method, path, *_ in ROUTES if method == "DELETE" and path not in NO_VERSION | OWN]


@pytest.mark.parametrize("path", DELETIONS)
def test_a_deletion_of_another_version_is_refused(path: str, admin: Api, furnished: Run) -> None:
    ImageOverride.objects.create(language="python", reference="corp/first:1", version=2)
    Secret.objects.filter(name="API_KEY").update(encrypted=encrypt("API_KEY", "the first"))
    counter = "revision" if path.startswith("/jobs") else "version"

    def read() -> Any:
        return admin.get(path).json() if not path.startswith("/hosts") else admin.get("/hosts").json()["items"][0]

    before = read()
    for stale in (before[counter] - 1, before[counter] + 1, 2**40):
        answer = admin.delete(f"{path}?{counter}={stale}")
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile"), stale
        assert list(answer.json()["fields"]) == [counter]
        assert "Nothing was deleted" in answer.json()["detail"]
        assert read() == before
    assert admin.delete(f"{path}?{counter}=x").status_code == 422
    assert admin.delete(f"{path}?{counter}={before[counter]}").status_code == 204


class TestDeletedMeanwhile:
    def test_a_profile_that_is_gone_comes_back_as_a_new_one(
        self, stored: Callable[[str], str], browser: Client
    ) -> None:
        url = stored("profiles:edit")
        Profile.objects.filter(name="medium").delete()
        answer = browser.post(url, {**PROFILE, "version": "1"})
        assert answer.status_code == 422
        assert "was deleted in the meantime" in answer.content.decode()
        assert 'value="777"' in answer.content.decode()

    def test_a_secret_that_is_gone_keeps_its_description(self, stored: Callable[[str], str], browser: Client) -> None:
        url = stored("secrets:replace")
        Secret.objects.all().delete()
        html = browser.post(url, {"value": "my own value", "description": "mine", "version": "1"}).content.decode()
        assert "was deleted in the meantime" in html
        assert 'value="mine"' in html
        assert "my own value" not in html
        assert not Secret.objects.exists()

    def test_a_secret_of_a_version_is_not_made_anew(self, admin: Api) -> None:
        answer = admin.put("/secrets/GONE", {"value": "a value", "version": 3})
        assert (answer.status_code, answer.json()["code"]) == (409, "changed_meanwhile")
        assert admin.put("/secrets/GONE", {"value": "a value", "version": 0}).status_code == 201
        assert admin.put("/secrets/GONE", {"value": "a value", "version": 0}).status_code == 409


def test_an_override_that_was_removed_and_set_again_is_a_newer_one(admin: Api) -> None:
    admin.put("/images/bash", {"reference": "corp/a:1"})
    admin.delete("/images/bash")
    assert admin.get("/images/bash").json()["override"] == ""
    assert admin.put("/images/bash", {"reference": "corp/b:1", "version": 1}).status_code == 409
    assert admin.put("/images/bash", {"reference": "corp/b:1", "version": 2}).json()["version"] == 3


def test_a_save_that_changes_nothing_is_no_new_version(admin: Api, run: Run) -> None:
    service.set_variable(service.VariableRef(None, "day"), 1, get_admin())
    for body in ({"pids": 50}, {"pids": 50}):
        assert admin.patch("/profiles/small", body).json()["version"] == 2


def test_a_change_and_a_password_of_one_version_are_one_change(admin: Api, people: dict[str, User]) -> None:
    changed = admin.patch("/people/viewer", {"role": "editor", "password": "a long new secret", "version": 1})
    assert (changed.status_code, changed.json()["role"], changed.json()["must_change_password"]) == (
        200,
        "editor",
        True,
    )
    assert (
        admin.patch("/people/viewer", {"role": "admin", "password": "another secret", "version": 1}).status_code == 409
    )
    assert User.objects.get(username="viewer").role == "editor"
