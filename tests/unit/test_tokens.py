"""Tokens over the API: shown once, and with no more permissions than the token that created them."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cronium_admin.accounts.models import ApiToken, User
from tests.conftest import Api
from tests.unit.odd_requests import as_strict_as_postgresql


def with_token(value: str) -> Api:
    api = Api(None)
    api.headers["Authorization"] = f"Bearer {value}"
    return api


def test_a_token_is_shown_once_and_works_until_it_is_revoked(viewer: Api) -> None:
    answer = viewer.post("/tokens", {"name": "ci", "expires_at": "7d"})
    made = answer.json()
    assert answer.status_code == 201
    assert "no-store" in answer["Cache-Control"]
    assert abs(ApiToken.objects.get(pk=made["id"]).expires_at - timezone.now() - timedelta(days=7)) < timedelta(
        minutes=1
    )  # type: ignore[operator]
    other = with_token(made["token"])
    assert other.get("/me").json()["username"] == "viewer"
    listed = viewer.get("/tokens")
    assert made["token"] not in listed.content.decode()
    assert {row["name"] for row in listed.json()["items"]} == {"tests", "ci"}
    assert viewer.delete(f"/tokens/{made['id']}").status_code == 204
    assert viewer.delete(f"/tokens/{made['id']}").status_code == 204
    assert other.get("/me").status_code == 401
    assert {row["name"] for row in viewer.get("/tokens").json()["items"]} == {"tests"}


def test_people_see_and_revoke_their_own_and_administrators_all(viewer: Api, editor: Api, admin: Api) -> None:
    own = ApiToken.objects.get(user__username="viewer")
    assert editor.delete(f"/tokens/{own.pk}").status_code == 404
    assert {row["username"] for row in editor.get("/tokens").json()["items"]} == {"editor"}
    assert {row["username"] for row in admin.get("/tokens").json()["items"]} == {"viewer", "editor", "admin"}
    assert admin.delete(f"/tokens/{own.pk}").status_code == 204
    assert viewer.get("/me").status_code == 401
    for odd in ("0", "9" * 30, "x", "-1"):
        assert admin.delete(f"/tokens/{odd}").status_code == 404
    assert Api(None).delete(f"/tokens/{own.pk}").status_code == 401


@pytest.mark.parametrize("asked", ["never", None, "", "2d", "365d"])
def test_a_token_made_through_a_token_outlives_it_never(viewer: Api, asked: Any) -> None:
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(days=1))
    answer = viewer.post("/tokens", {"name": "longer", "expires_at": asked})
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["expires_at"])
    assert ApiToken.objects.count() == 1


def test_without_an_expiry_it_ends_with_its_parent_or_in_thirty_days(viewer: Api) -> None:
    month = viewer.post("/tokens", {"name": "a month"}).json()
    assert abs(ApiToken.objects.get(pk=month["id"]).expires_at - timezone.now() - timedelta(days=30)) < timedelta(
        minutes=1
    )  # type: ignore[operator]
    ends = timezone.now() + timedelta(days=1)
    ApiToken.objects.filter(name="tests").update(expires_at=ends)
    day = viewer.post("/tokens", {"name": "a day"}).json()
    assert ApiToken.objects.get(pk=day["id"]).expires_at == ends
    assert day["parent"] == ApiToken.objects.get(name="tests").pk


def test_revoking_a_token_revokes_what_was_made_through_it(viewer: Api, editor: Api) -> None:
    child = viewer.post("/tokens", {"name": "child"}).json()
    grandchild = with_token(child["token"]).post("/tokens", {"name": "grandchild"}).json()
    viewer.delete(f"/tokens/{ApiToken.objects.get(name='tests', user__username='viewer').pk}")
    for token in (child, grandchild):
        assert with_token(token["token"]).get("/me").status_code == 401
    assert editor.get("/me").status_code == 200


def test_it_has_the_rights_of_its_person_as_they_are_now(editor: Api) -> None:
    child = with_token(editor.post("/tokens", {"name": "child"}).json()["token"])
    User.objects.filter(username="editor").update(role="viewer")
    assert child.get("/me").json()["scopes"] == ["see"]
    assert child.post("/jobs", {"name": "N", "language": "bash", "script": "true"}).status_code == 403


def test_by_session_with_the_csrf_token(people: dict[str, User]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["viewer"])
    body = {"name": "page", "expires_at": "never"}
    assert client.post("/api/v1/tokens", body, content_type="application/json").status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    made = client.post("/api/v1/tokens", body, content_type="application/json", headers={"X-CSRFToken": "a" * 32})
    assert (made.status_code, made.json()["expires_at"], made.json()["parent"]) == (201, None, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": 3},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "a\0"},
        {"name": "a\0b"},
        {"name": "x", "expires_at": "yesterday"},
        {"name": "x", "expires_at": "2001-01-01"},
        {"name": "x", "expires_at": 5},
        {"name": "x", "role": "admin"},
    ],
)
def test_nonsense_is_refused_by_field(viewer: Api, body: dict[str, Any]) -> None:
    with as_strict_as_postgresql():
        answer = viewer.post("/tokens", body)
    assert answer.status_code == 422
    assert answer.json()["fields"]
    assert ApiToken.objects.count() == 1


def test_no_name_twice_and_no_endless_number(viewer: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert viewer.post("/tokens", {"name": "tests"}).json()["code"] == "name_taken"
    monkeypatch.setattr("cronium_admin.accounts.tokens.MAX_PER_PERSON", 2)
    assert viewer.post("/tokens", {"name": "second"}).status_code == 201
    assert viewer.post("/tokens", {"name": "third"}).json()["code"] == "too_many"
