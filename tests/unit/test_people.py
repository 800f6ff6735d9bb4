"""Users: the actions of an administrator, refused actions, and their effects on sessions and tokens."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin as office
from django.contrib.auth import authenticate
from django.db import connections
from django.test import Client, RequestFactory
from django.urls import reverse

from cronium_admin.accounts import account_views, session_guard, sessions
from cronium_admin.accounts import people as service
from cronium_admin.accounts.models import ApiToken, SignIn, User
from cronium_admin.accounts.permissions import Permission, Role
from cronium_admin.core.errors import ApiError
from cronium_admin.profiles.models import Profile
from tests.conftest import ROLES, Api

GOOD = "a fine long one 42"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


class TestApi:
    def test_a_person_is_added_with_a_generated_password(self, admin: Api) -> None:
        made = admin.post("/people", {"username": "bob", "role": "operator"})
        assert made.status_code == 201
        body = made.json()
        assert (body["username"], body["role"], body["active"], body["must_change_password"]) == (
            *("bob", "operator", True, True),
        )
        assert authenticate(RequestFactory().get("/"), username="bob", password=body["password"]) is not None
        assert "password" not in admin.get("/people/bob").json()
        assert body["password"] not in admin.get("/people").content.decode()

    def test_a_chosen_password_is_not_sent_back(self, admin: Api) -> None:
        answer = admin.post("/people", {"username": "bob", "password": GOOD})
        assert (answer.status_code, answer.json()["password"], answer.json()["role"]) == (201, "", "viewer")
        assert User.objects.get(username="bob").check_password(GOOD)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"username": ""}, "username"),
            ({"username": "two words"}, "username"),
            ({"username": ".."}, "username"),
            ({"username": "x" * 151}, "username"),
            ({"username": "bob\u202e"}, "username"),
            ({"username": "bob", "role": "boss"}, "role"),
            ({"username": "bob", "password": "12345678"}, "password"),
            ({"username": "bobby-tables", "password": "bobby-tables"}, "password"),
            ({"username": "bob", "password": "x" * 5000}, "password"),
            ({"username": "bob", "is_superuser": True}, "is_superuser"),
            ({"username": "bob", "password": None}, "password"),
            ({}, "username"),
        ],
    )
    def test_what_is_wrong_is_named(self, admin: Api, body: dict[str, Any], field: str) -> None:
        answer = admin.post("/people", body)
        assert answer.status_code == 422, answer.content
        assert list(answer.json()["fields"]) == [field]
        assert not User.objects.filter(username__startswith="bob").exists()

    @pytest.mark.parametrize("name", ["viewer", "Viewer", " viewer "])
    def test_a_name_is_taken_whatever_its_capitals(self, admin: Api, name: str) -> None:
        answer = admin.post("/people", {"username": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")

    def test_role_and_flags_go_together(self, admin: Api) -> None:
        for role, is_admin in (("admin", True), ("editor", False), ("admin", True), ("viewer", False)):
            assert admin.patch("/people/operator", {"role": role}).json()["role"] == role
            person = User.objects.get(username="operator")
            assert (person.is_superuser, person.is_staff) == (is_admin, is_admin)

    def test_who_is_switched_off_is_out_at_once_and_stays_out(self, admin: Api, people: dict[str, User]) -> None:
        theirs, page = Api(people["editor"]), browser(people["editor"])
        token = theirs.headers["Authorization"].split()[1]
        open_sockets = [
            session_guard.check_by_token(token, Permission.VIEW),
            session_guard.check_by_session(page.session.session_key, Permission.VIEW),
        ]
        assert [stands() for stands in open_sockets] == [True, True]
        assert admin.patch("/people/editor", {"active": False}).json()["active"] is False
        assert (theirs.get("/jobs").status_code, theirs.get("/jobs").json()["code"]) == (401, "user_inactive")
        assert page.get("/jobs/").status_code == 302
        assert [stands() for stands in open_sockets] == [False, False]
        assert admin.patch("/people/editor", {"active": True}).status_code == 200
        assert theirs.get("/jobs").status_code == 200
        assert page.get("/jobs/").status_code == 302  # an old session stays invalid

    def test_a_reset_password_ends_sessions_and_must_be_changed(self, admin: Api, people: dict[str, User]) -> None:
        page = browser(people["editor"])
        given = admin.post("/people/editor/reset-password").json()["password"]
        assert page.get("/jobs/").status_code == 302
        fresh = Client()
        assert fresh.post("/sign-in/", {"username": "editor", "password": given}).status_code == 302
        assert fresh.get("/jobs/")["Location"] == "/account/password/"
        assert fresh.get("/api/v1/jobs").json()["code"] == "password_change_required"
        assert not session_guard.check_by_session(fresh.session.session_key, Permission.VIEW)()
        typed = {"current": given, "password": GOOD, "again": GOOD}
        assert fresh.post("/account/password/", typed)["Location"] == "/account/"
        assert fresh.get("/jobs/").status_code == fresh.get("/api/v1/jobs").status_code == 200

    def test_sessions_end_and_tokens_go_on(self, admin: Api, people: dict[str, User]) -> None:
        theirs, page = Api(people["editor"]), browser(people["editor"])
        assert admin.delete("/people/editor/sessions").status_code == 204
        assert page.get("/jobs/").status_code == 302
        assert theirs.get("/jobs").status_code == 200

    def test_a_wrong_password_changes_nothing_else(self, admin: Api) -> None:
        answer = admin.patch("/people/viewer", {"role": "editor", "password": "1"})
        assert (answer.status_code, list(answer.json()["fields"])) == (422, ["password"])
        assert User.objects.get(username="viewer").role == "viewer"

    def test_nobody_raises_themselves(self, people: dict[str, User]) -> None:
        for role in ("viewer", "operator", "editor"):
            one = Api(people[role])
            assert one.patch(f"/people/{role}", {"role": "admin"}).status_code == 403
            page = browser(people[role])
            assert page.post(f"/access/people/{people[role].pk}/", {"role": "admin"}).status_code == 403
            people[role].refresh_from_db()
            assert (people[role].role, people[role].is_superuser) == (role, False)

    @pytest.mark.parametrize("change", [{"role": "editor"}, {"active": False}])
    def test_the_last_administrator_stays(self, admin: Api, people: dict[str, User], change: dict[str, Any]) -> None:
        for _ in range(2):
            answer = admin.patch("/people/admin", change)
            assert answer.status_code == 409
            assert answer.json()["code"] in ("last_administrator", "own_account")
        assert admin.delete("/people/admin").status_code == 409
        people["admin"].refresh_from_db()
        assert (people["admin"].role, people["admin"].is_active) == ("admin", True)
        # Another administrator who is switched off does not count.
        User.objects.create(username="second", role=Role.ADMIN, is_active=False)
        assert admin.patch("/people/admin", {"role": "editor"}).json()["code"] == "last_administrator"

    def test_people_that_are_not_there(self, admin: Api) -> None:
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/reset-password")):
            assert admin.call(method, f"/people/nobody{path}", {} if method == "PATCH" else None).status_code == 404

    def test_deleting_keeps_what_they_made(self, admin: Api, people: dict[str, User], make_job: Any) -> None:
        job = make_job(created_by=people["editor"])
        assert admin.delete("/people/editor").status_code == 204
        job.refresh_from_db()
        assert job.created_by is None

    def test_me(self, people: dict[str, User]) -> None:
        body = Api(people["operator"]).get("/me").json()
        assert (body["username"], body["role"], body["by"], body["expires_at"]) == (
            "operator",
            "operator",
            "token",
            None,
        )
        assert body["scopes"] == ["see", "run"]
        assert body["token"]["name"] == "tests"
        body = browser(people["admin"]).get("/api/v1/me").json()
        assert (body["by"], body["token"], body["scopes"][-1]) == ("session", None, "admin")
        assert body["expires_at"] is not None


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_administrators_cannot_take_it_from_each_other() -> None:
    for _ in range(5):
        _two_against_each_other()


def _two_against_each_other() -> None:
    User.objects.all().delete()
    ann, bea = (User.objects.create(username=name, role=Role.ADMIN) for name in ("ann", "bea"))
    refused: list[str] = []
    _together(
        lambda: _try(lambda: service.change_person(ann, bea, role="viewer"), refused),
        lambda: _try(lambda: service.change_person(bea, ann, is_active=False), refused),
    )
    assert User.objects.filter(role=Role.ADMIN, is_active=True).count() == 1
    assert len(refused) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_one_name_is_given_once() -> None:
    boss = User.objects.create(username="boss", role=Role.ADMIN)
    refused: list[str] = []
    add = lambda name: lambda: _try(lambda: service.add_person(boss, name, "viewer"), refused)  # noqa: E731
    _together(add("bob"), add("BOB"), add("bob"))
    assert User.objects.filter(username__iexact="bob").count() == 1
    assert refused == ["name_taken"] * 2


def _try(act: Callable[[], object], refused: list[str]) -> None:
    try:
        act()
    except ApiError as error:
        refused.append(error.code)


def _together(*acts: Callable[[], None]) -> None:
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], None]) -> None:
        start.wait()
        try:
            act()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


class TestPages:
    def test_a_person_is_added_and_the_password_shown_once(self, people: dict[str, User]) -> None:
        page = browser(people["admin"])
        answer = page.post("/access/people/new/", {"username": "bob", "role": "editor", "password": ""})
        assert answer["Location"] == "/access/people/"
        assert "made-password" not in str(page.session.items())
        shown = page.get("/access/people/").content.decode()
        password = shown.split('id="made-password">')[1].split("<")[0]
        assert authenticate(RequestFactory().get("/"), username="bob", password=password) is not None
        assert password not in page.get("/access/people/").content.decode()

    def test_what_lies_in_the_session_is_encrypted(self, people: dict[str, User]) -> None:
        page = browser(people["admin"])
        page.post(f"/access/people/{people['viewer'].pk}/password/")
        kept = str(dict(page.session.items()))
        shown = page.get(f"/access/people/{people['viewer'].pk}/").content.decode()
        assert shown.split('id="made-password">')[1].split("<")[0] not in kept

    def test_wrong_input_keeps_what_was_typed(self, people: dict[str, User]) -> None:
        answer = browser(people["admin"]).post("/access/people/new/", {"username": "two words", "role": "editor"})
        text = answer.content.decode()
        assert answer.status_code == 422
        assert 'value="two words"' in text
        assert 'value="editor" checked' in text

    def test_the_table_says_who_is_who(self, people: dict[str, User], django_assert_num_queries: Any) -> None:
        ApiToken.mint(people["viewer"], "one")
        User.objects.filter(pk=people["editor"].pk).update(is_active=False)
        page = browser(people["admin"])
        with django_assert_num_queries(4):  # session, user, people, live runs
            text = page.get("/access/people/").content.decode()
        for role in ROLES:
            assert f">{role}</a>" in text
        assert text.count("<span>Off</span>") == 1

    def test_acts_on_a_person(self, people: dict[str, User]) -> None:
        page, there = browser(people["admin"]), f"/access/people/{people['viewer'].pk}/"
        assert "has the role Editor now" in page.post(there, {"role": "editor"}, follow=True).content.decode()
        assert "A role is one of" in page.post(there, {"role": "boss"}, follow=True).content.decode()
        assert "switched off" in page.post(there + "switch/", {"active": "off"}, follow=True).content.decode()
        assert "can sign in again" in page.post(there + "switch/", {"active": "on"}, follow=True).content.decode()
        assert "signed out everywhere" in page.post(there + "sessions/", follow=True).content.decode()
        assert "is deleted" in page.post(there + "delete/", follow=True).content.decode()
        own = f"/access/people/{people['admin'].pk}/"
        assert "last administrator" in page.post(own, {"role": "viewer"}, follow=True).content.decode()
        for act in ("switch/", "password/", "delete/"):
            assert "own" in page.post(own + act, follow=True).content.decode()
        assert page.get("/access/people/999999/").status_code == 404


class TestAccount:
    def test_everybody_changes_their_own_password(self, people: dict[str, User]) -> None:
        for role in ROLES:
            people[role].set_password("the first one 1")
            people[role].save()
            page, other = browser(people[role]), browser(people[role])
            wrong = {"current": "guess", "password": GOOD, "again": GOOD}
            assert "not your current password" in page.post("/account/password/", wrong).content.decode()
            differ = {"current": "the first one 1", "password": GOOD, "again": "another"}
            assert "differ" in page.post("/account/password/", differ).content.decode()
            weak = {"current": "the first one 1", "password": "password", "again": "password"}
            assert page.post("/account/password/", weak).status_code == 422
            right = {**differ, "again": GOOD}
            assert page.post("/account/password/", right)["Location"] == "/account/"
            assert page.get("/account/").status_code == 200
            assert other.get("/account/").status_code == 302
            assert User.objects.get(pk=people[role].pk).check_password(GOOD)

    def test_sessions_are_listed_and_ended_one_by_one(self, people: dict[str, User]) -> None:
        two = Client(headers={"User-Agent": "Mozilla/5.0 (X11; Linux) Firefox/130.0"})
        people["viewer"].set_password("x y z 123")
        people["viewer"].save()
        one = browser(people["viewer"])
        two.post("/sign-in/", {"username": "viewer", "password": "x y z 123"})
        text = one.get("/account/").content.decode()
        assert "Firefox on Linux" in text
        assert text.count(">this session<") == 1
        assert text.count("End all other sessions") == 1
        row = SignIn.objects.get(device="Firefox on Linux")
        stranger = browser(people["operator"])
        stranger.post(f"/account/sessions/{row.pk}/")
        assert two.get("/jobs/").status_code == 200
        stands = session_guard.check_by_session(two.session.session_key, Permission.VIEW)
        assert stands()
        one.post(f"/account/sessions/{row.pk}/")
        assert not stands()
        assert two.get("/jobs/").status_code == 302
        assert one.get("/jobs/").status_code == 200

    def test_all_others_end_and_this_one_goes_on(self, people: dict[str, User]) -> None:
        one, others = browser(people["viewer"]), [browser(people["viewer"]) for _ in range(3)]
        assert "3 other sessions ended" in one.post("/account/sessions/", follow=True).content.decode()
        assert one.get("/jobs/").status_code == 200
        assert [other.get("/jobs/").status_code for other in others] == [302] * 3

    def test_very_many_ended_one_by_one_stay_ended(self, people: dict[str, User], monkeypatch: Any) -> None:
        monkeypatch.setattr(sessions, "MAX_ENDED", 2)
        pages = [browser(people["viewer"]) for _ in range(4)]
        for row in SignIn.objects.filter(user=people["viewer"]).order_by("pk")[:3]:
            sessions.end_one(User.objects.get(username="viewer"), row.pk)
        assert [page.get("/jobs/").status_code for page in pages[:3]] == [302] * 3

    def test_very_many_ended_one_by_one_leave_this_one(self, people: dict[str, User], monkeypatch: Any) -> None:
        monkeypatch.setattr(sessions, "MAX_ENDED", 2)
        own, *pages = (browser(people["viewer"]) for _ in range(5))
        for page in pages[:3]:
            key = page.session[sessions.SIGN_IN_KEY]
            answer = own.post(f"/account/sessions/{key}/", follow=True)
            assert answer.redirect_chain == [("/account/", 302)]
        assert "and so have all your other sessions" in answer.content.decode()
        assert [page.get("/jobs/").status_code for page in pages] == [302] * 4
        assert own.get("/jobs/").status_code == 200
        assert User.objects.get(username="viewer").ended_sign_ins == []

    def test_the_last_of_very_many_may_be_this_one(self, people: dict[str, User], monkeypatch: Any) -> None:
        monkeypatch.setattr(sessions, "MAX_ENDED", 0)
        own = browser(people["viewer"])
        own.post(f"/account/sessions/{own.session[sessions.SIGN_IN_KEY]}/")
        assert own.get("/jobs/").status_code == 302

    def test_signing_out_forgets_the_sign_in(self, people: dict[str, User]) -> None:
        page = browser(people["viewer"])
        assert SignIn.objects.filter(user=people["viewer"]).count() == 1
        page.post("/sign-out/")
        assert not SignIn.objects.filter(user=people["viewer"]).exists()

    @pytest.mark.parametrize(
        ("agent", "words"),
        [
            ("", "Unknown browser"),
            ("curl/8.1", "curl/8.1"),
            ("<script>\x00\u202e" + "y" * 500, "<script>?" + "y" * 71),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/120.0 Safari/537.36 Edg/120.0", "Edge on Windows"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 17) Version/17.0 Mobile Safari/604.1", "Safari on iPhone"),
        ],
    )
    def test_a_device_in_words(self, agent: str, words: str) -> None:
        assert sessions.describe_device(agent) == words


@pytest.mark.parametrize("weak", ["8403517296", "abcdefg", "password1", "viewer12", "x" * 1001])
def test_a_weak_password_is_refused_wherever_it_is_chosen(people: dict[str, User], admin: Api, weak: str) -> None:
    """As the page says: At least 8 characters, not only digits, not a common password, not similar to the user name."""
    people["viewer"].set_password("the first one 1")
    people["viewer"].save()
    page = browser(people["viewer"])
    typed = {"current": "the first one 1", "password": weak, "again": weak}
    answer = page.post("/account/password/", typed)
    assert answer.status_code == 422
    assert "not only digits, not a common password, not similar to your user name" in answer.content.decode()
    for made in (
        admin.post("/people", {"username": "viewer12", "password": weak}),
        admin.patch("/people/viewer", {"password": weak}),
    ):
        assert (made.status_code, list(made.json()["fields"])) == (422, ["password"])
    assert User.objects.get(username="viewer").check_password("the first one 1")


class TestEndedMeanwhile:
    """An administrator or the user ends a session during a request of it."""

    def _act(self, page: Client, act: str) -> Any:
        typed = {"current": "the first one 1", "password": GOOD, "again": GOOD}
        return page.post(*{"end others": ("/account/sessions/",), "password": ("/account/password/", typed)}[act])

    @pytest.fixture
    def person(self, people: dict[str, User]) -> User:
        people["viewer"].set_password("the first one 1")
        people["viewer"].save()
        return people["viewer"]

    @pytest.mark.parametrize("act", ["end others", "password"])
    @pytest.mark.parametrize("ending", ["by an administrator", "by the person", "one by one", "reset", "switched off"])
    def test_it_stays_ended_and_changes_nothing(
        self, people: dict[str, User], person: User, monkeypatch: Any, act: str, ending: str
    ) -> None:
        thief, own = browser(person), browser(person)
        stolen, key = thief.session.session_key, thief.session[sessions.SIGN_IN_KEY]
        ends: dict[str, Callable[[], Any]] = {
            "by an administrator": lambda: service.end_sessions(people["admin"], fresh()),
            "by the person": lambda: own.post("/account/sessions/"),
            "one by one": lambda: own.post(f"/account/sessions/{key}/"),
            "reset": lambda: service.reset_password(people["admin"], fresh(), "another good 42"),
            "switched off": lambda: service.change_person(people["admin"], fresh(), is_active=False),
        }

        def fresh() -> User:
            return User.objects.get(pk=person.pk)

        def user_of(request: Any) -> User:
            """The user as read before the change."""
            user: User = request.user
            user.get_username()
            monkeypatch.undo()
            ends[ending]()
            return user

        monkeypatch.setattr(account_views, "get_current_user", user_of)
        assert self._act(thief, act)["Location"] == "/sign-in/"
        assert thief.get("/account/").status_code == 302
        assert not session_guard.check_by_session(stolen, Permission.VIEW)()
        assert not fresh().check_password(GOOD)
        assert fresh().check_password("another good 42") == (ending == "reset")
        if ending in ("by the person", "one by one"):
            assert own.get("/account/").status_code == 200
            assert SignIn.objects.filter(user=person).count() == 1

    def test_a_password_that_was_reset_during_the_change_stays(
        self, people: dict[str, User], person: User, monkeypatch: Any
    ) -> None:
        page = browser(person)

        def check(user: User, password: str) -> bool:
            monkeypatch.undo()
            is_right = user.check_password(password)
            service.reset_password(people["admin"], User.objects.get(pk=person.pk), "another good 42")
            return is_right

        monkeypatch.setattr(User, "check_password", check)
        assert self._act(page, "password")["Location"] == "/sign-in/"
        stored = User.objects.get(pk=person.pk)
        assert (stored.check_password("another good 42"), stored.must_change_password) == (True, True)

    def test_a_newer_kind_of_digest_replaces_the_checked_password_alone(
        self, people: dict[str, User], person: User, settings: Any
    ) -> None:
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher", *settings.PASSWORD_HASHERS]
        stale = User.objects.get(pk=person.pk)
        service.reset_password(people["admin"], User.objects.get(pk=person.pk), "another good 42")
        assert stale.check_password("the first one 1")
        assert User.objects.get(pk=person.pk).check_password("another good 42")
        settings.PASSWORD_HASHERS = settings.PASSWORD_HASHERS[::-1]
        fresh = User.objects.get(pk=person.pk)
        assert fresh.check_password("another good 42")
        assert User.objects.get(pk=person.pk).password == fresh.password
        assert fresh.password.startswith("md5$")


class TestBackOffice:
    def test_nothing_in_it_adds_changes_or_deletes(self, people: dict[str, User]) -> None:
        request = RequestFactory().get("/admin/")
        request.user = people["admin"]
        assert {model.__name__ for model in office.site._registry} >= {"User", "Profile", "Job", "Run", "Secret"}
        for model, one in office.site._registry.items():
            allowed = one.get_model_perms(request)
            assert allowed == {"add": False, "change": False, "delete": False, "view": True}, model
            assert one.get_actions(request) == {}, model

    def test_the_default_profile_cannot_be_deleted_there(self, people: dict[str, User]) -> None:
        page, small = browser(people["admin"]), Profile.objects.get(name="small")
        for url in (
            reverse("admin:profiles_profile_delete", args=[small.pk]),
            reverse("admin:profiles_profile_change", args=[small.pk]),
            reverse("admin:profiles_profile_add"),
        ):
            assert page.post(url, {"post": "yes", "name": "x"}).status_code == 403
        listing = reverse("admin:profiles_profile_changelist")
        page.post(listing, {"action": "delete_selected", "_selected_action": [small.pk], "post": "yes"})
        assert Profile.objects.filter(pk=small.pk).exists()
        assert page.get(listing).status_code == 200

    def test_a_password_is_set_and_shown_nowhere_there(self, people: dict[str, User]) -> None:
        page, person = browser(people["admin"]), people["viewer"]
        person.set_password(GOOD)
        person.save()
        shown = page.get(reverse("admin:access_user_change", args=[person.pk])).content.decode()
        assert person.password not in shown
        assert "favicon.svg" in shown
        assert page.get(reverse("admin:password_change"))["Location"] == "/account/password/"
        assert Client().get(reverse("admin:login"))["Location"].startswith("/sign-in/")


def test_a_superuser_of_django_is_an_administrator(db: None) -> None:
    boss = User.objects.create_superuser("boss", password="x")
    assert (boss.role, boss.has_permission(Permission.ADMIN)) == ("admin", True)
    forged = User(username="forged", is_superuser=True, is_staff=True)
    forged.save()
    assert (forged.is_superuser, forged.is_staff, forged.has_permission(Permission.RUN)) == (False, False, False)


def test_a_refusal_names_role_and_people_to_ask(people: dict[str, User]) -> None:
    text = browser(people["viewer"]).get("/jobs/new/").content.decode()
    assert "You need the role Editor for this. You are a Viewer; admin can change that." in text
    User.objects.create(username="zoe", role=Role.ADMIN)
    User.objects.create(username="Bob", role=Role.ADMIN)
    assert (
        "You are an Operator; admin, Bob or zoe can" in Api(people["operator"]).delete("/people/admin").json()["detail"]
    )
