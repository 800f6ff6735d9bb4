"""What is stored of a session signs nobody in."""

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from cronium_admin.access.models import User
from cronium_admin.access.session_store import SessionStore

COOKIE = settings.SESSION_COOKIE_NAME


@pytest.fixture
def signed_in(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["viewer"])
    return client


def test_the_cookies_value_lies_nowhere_in_the_database(signed_in: Client) -> None:
    key = signed_in.cookies[COOKIE].value
    assert signed_in.get("/jobs/").status_code == 200
    row = Session.objects.get()
    assert key not in (row.session_key, *row.get_decoded().values())
    assert key not in row.session_data


def test_what_lies_in_the_database_is_no_cookie(signed_in: Client) -> None:
    thief = Client()
    thief.cookies[COOKIE] = Session.objects.get().session_key
    assert thief.get("/jobs/").status_code == 302
    assert Session.objects.count() == 1


def test_a_session_of_before_is_ended_and_not_an_error(people: dict[str, User]) -> None:
    store = SessionStore()
    Session.objects.create(
        session_key="x" * 32, session_data=store.encode({"a": 1}), expire_date=store.get_expiry_date()
    )
    client = Client()
    client.cookies[COOKIE] = "x" * 32
    assert client.get("/jobs/").status_code == 302


def test_signing_out_removes_the_row(signed_in: Client) -> None:
    assert signed_in.post("/sign-out/").status_code in (302, 303)
    assert not Session.objects.exists()


def test_a_session_that_is_changed_keeps_its_row(signed_in: Client) -> None:
    session = signed_in.session
    session["more"] = 1
    session.save()
    assert Session.objects.count() == 1
    assert SessionStore(signed_in.cookies[COOKIE].value)["more"] == 1


def test_a_new_key_leaves_no_row_of_the_old_one(signed_in: Client) -> None:
    store = SessionStore(signed_in.cookies[COOKIE].value)
    old = store.session_key
    store.cycle_key()
    assert Session.objects.count() == 1
    assert not store.exists(old or "")
    assert store.exists(store.session_key or "")
