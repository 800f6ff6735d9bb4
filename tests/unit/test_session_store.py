"""The stored values of a session cannot be used to sign in."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from cronium_admin.accounts import sessions
from cronium_admin.accounts.models import SignIn, User
from cronium_admin.accounts.session_store import SessionStore
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.logs.throttle import Throttle
from cronium_admin.retention.rows import remove_sessions

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


class TestTheEnd:
    """A session ends a fixed time after the sign-in, and is listed until then."""

    def test_no_use_of_it_moves_it(self, signed_in: Client) -> None:
        end = Session.objects.get().expire_date
        assert abs(end - database_now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)) < timedelta(seconds=30)
        store = SessionStore(signed_in.cookies[COOKIE].value)
        soon = database_now() + timedelta(minutes=5)
        store.set_expiry(soon)  # as if the sign-in were older
        store.save()
        assert signed_in.post("/access/", {"name": "laptop", "expires": "7d"}).status_code == 302
        assert signed_in.post("/account/sessions/").status_code == 302  # this session continues, under a new key
        assert abs(Session.objects.get().expire_date - soon) < timedelta(seconds=5)
        assert int(signed_in.cookies[COOKIE]["max-age"]) <= 300
        assert signed_in.get("/api/v1/me").json()["expires_at"][:16] == f"{soon:%Y-%m-%dT%H:%M}"

    @pytest.mark.parametrize("is_swept", [True, False])
    def test_one_that_is_on_no_list_is_over(self, signed_in: Client, is_swept: bool) -> None:
        """As sessions of versions without a fixed end."""
        signed_in.post("/access/", {"name": "laptop", "expires": "7d"})
        SignIn.objects.update(created_at=Now() - timedelta(days=15))
        if is_swept:
            list(remove_sessions(Throttle()))
        if not is_swept:
            sessions._recorded_at.clear()  # a minute later
            assert signed_in.get("/jobs/").status_code == 302
        assert signed_in.get("/account/")["Location"].startswith("/sign-in/")
        assert signed_in.get("/api/v1/me").status_code == 401
        assert not Session.objects.exists()

    def test_all_others_can_be_ended_where_no_other_is_listed(self, signed_in: Client) -> None:
        assert 'action="/account/sessions/"' in signed_in.get("/account/").content.decode()
