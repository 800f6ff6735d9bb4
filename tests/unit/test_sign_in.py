"""Password guessing is throttled, and no user is locked out."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from cronium_admin.accounts import sign_in_throttle
from cronium_admin.accounts.models import User
from tests.conftest import Api

PASSWORD = "a long secret"


class Clock:
    now = 1_000_000.0

    def time(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(sign_in_throttle, "time", made)
    return made


@pytest.fixture(autouse=True)
def _fresh(people: dict[str, User]) -> Iterator[None]:
    caches["throttle"].clear()
    for user in people.values():
        user.set_password(PASSWORD)
        user.save()
    yield
    caches["throttle"].clear()


def _try(client: Client, name: str = "admin", password: str = "guess", address: str = "192.0.2.1") -> HttpResponse:
    form = {"username": name, "password": password}
    return client.post("/sign-in/", form, REMOTE_ADDR=address)  # type: ignore[return-value]


def _guess(times: int, **more: Any) -> list[int]:
    return [_try(Client(), **more).status_code for _ in range(times)]


def test_after_some_wrong_passwords_attempts_wait(clock: Clock) -> None:
    assert _guess(7) == [200] * 5 + [429] * 2
    answer = _try(Client())
    assert answer["Retry-After"] == "1"
    assert "Wait a moment" in answer.content.decode()
    waits = []
    for _ in range(8):
        clock.now += sign_in_throttle.MAX_DELAY
        assert _try(Client()).status_code == 200
        waits.append(int(_try(Client())["Retry-After"]))
    assert waits == [2, 4, 8, 16, 30, 30, 30, 30]


def _together(count: int, ask: Callable[[], float]) -> list[float]:
    """The delays of `count` attempts that begin at the same moment."""
    barrier, waits = threading.Barrier(count), list[float]()

    def attempt() -> None:
        barrier.wait(10)
        waits.append(ask())

    threads = [threading.Thread(target=attempt) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return waits


@pytest.fixture
def slow_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache with a pause between read and write, so that attempts overlap."""
    get = LocMemCache.get

    def get_slowly(self: LocMemCache, *args: Any, **more: Any) -> Any:
        found = get(self, *args, **more)
        time.sleep(0.01)
        return found

    monkeypatch.setattr(LocMemCache, "get", get_slowly)


@pytest.mark.parametrize("kind", ["a name", "many names", "a known browser", "a person's present password"])
def test_attempts_that_come_together_pass_one_by_one(
    clock: Clock, people: dict[str, User], slow_cache: None, kind: str
) -> None:
    request, names = RequestFactory().post("/sign-in/", REMOTE_ADDR="192.0.2.1"), iter(range(1000))
    if kind == "a known browser":
        answer = HttpResponse()
        sign_in_throttle.remember_browser(answer, "admin")
        request.COOKIES[sign_in_throttle.COOKIE] = answer.cookies[sign_in_throttle.COOKIE].value
    ask: dict[str, Callable[[], float]] = {
        "many names": lambda: sign_in_throttle.record_attempt(request, f"person-{next(names)}"),
        "a person's present password": lambda: sign_in_throttle.record_user_attempt(people["viewer"]),
    }
    free = 50 if kind == "many names" else 5
    waits = [wait for _ in range(free // 5) for wait in _together(8 if free == 5 else 5, ask.get(kind, _name(request)))]
    assert waits.count(0) == free
    for _ in range(3):
        clock.now += sign_in_throttle.MAX_DELAY
        waits = _together(8, ask.get(kind, _name(request)))
        assert waits.count(0) == 1
        assert max(waits) <= sign_in_throttle.MAX_DELAY


def _name(request: HttpRequest) -> Callable[[], float]:
    return lambda: sign_in_throttle.record_attempt(request, "admin")


def test_a_lock_that_nobody_releases_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_throttle, "LOCK_ATTEMPTS", 3)
    request = RequestFactory().post("/sign-in/", REMOTE_ADDR="192.0.2.1")
    address = list(sign_in_throttle._make_keys(request, "admin"))[-1]
    assert caches["throttle"].add(f"{address}.lock", 1, 0.05)
    assert sign_in_throttle.record_attempt(request, "admin") == 1
    time.sleep(0.06)
    assert sign_in_throttle.record_attempt(request, "admin") == 0
    assert sign_in_throttle.record_attempt(request, "admin") == 0, "an attempt releases it"


def test_a_clock_that_is_put_back_makes_no_wait_longer(clock: Clock) -> None:
    _guess(20)
    clock.now -= 3600
    assert _try(Client()).status_code == 200
    assert int(_guess_until_refused(clock)) <= sign_in_throttle.MAX_DELAY


def _guess_until_refused(clock: Clock) -> str:
    for _ in range(20):
        if (answer := _try(Client())).status_code == 429:
            return answer["Retry-After"]
    raise AssertionError("no guess had to wait")


def test_who_knows_the_password_gets_in_after_the_wait_however_many_guesses_are_refused(clock: Clock) -> None:
    _guess(100)
    clock.now += 1.5
    assert _try(Client(), password=PASSWORD).status_code == 302
    assert _guess(1) == [200], "the count ends"


@pytest.mark.parametrize("spelling", ["ADMIN", " admin ", "\u2003admin\n", "ａｄｍｉｎ", "ⓐⓓⓜⓘⓝ", "ａdmin\t"])
def test_all_spellings_of_a_name_count_for_it(clock: Clock, spelling: str) -> None:
    assert _guess(7, name=spelling) == [200] * 5 + [429] * 2
    assert _try(Client(), password=PASSWORD).status_code == 429
    clock.now += 1.5
    assert _guess(1, name=spelling) == [200]
    clock.now += sign_in_throttle.MAX_DELAY
    right = Client()
    if spelling != "ADMIN":
        assert _try(right, name=spelling, password=PASSWORD).status_code == 302
        right.post("/sign-out/")
        _guess(100)
        assert _try(right, password=PASSWORD).status_code == 302, "the browser is known by every spelling"


def test_another_address_waits_for_nothing(clock: Clock) -> None:
    _guess(100)
    assert _try(Client(), password=PASSWORD, address="192.0.2.2").status_code == 302


def test_a_browser_that_was_signed_in_is_not_kept_out_from_the_same_address(clock: Clock) -> None:
    known = Client()
    assert _try(known, password=PASSWORD).status_code == 302
    known.post("/sign-out/")
    _guess(100)
    assert _try(known, password=PASSWORD).status_code == 302
    known.post("/sign-out/")
    codes = [_try(known).status_code for _ in range(7)]
    assert codes[-1] == 429, "and can't guess without end itself"
    other = Client()
    other.cookies[sign_in_throttle.COOKIE] = known.cookies[sign_in_throttle.COOKIE].value
    assert _try(other, name="viewer").status_code == 200


def test_many_names_of_one_address_wait_too(clock: Clock) -> None:
    codes = [_try(Client(), name=f"person-{n}").status_code for n in range(60)]
    assert codes[:50] == [200] * 50
    assert codes[-1] == 429


def test_networks_of_ipv6_count_as_one(clock: Clock) -> None:
    codes = [_try(Client(), address=f"2001:db8::{n:x}").status_code for n in range(1, 8)]
    assert codes[-1] == 429
    assert _try(Client(), address="2001:db8:0:1::1").status_code == 200


def test_sessions_and_tokens_go_on(clock: Clock, admin: Api) -> None:
    client = Client()
    client.force_login(admin.user)  # type: ignore[arg-type]
    _guess(100)
    assert client.get("/jobs/").status_code == 200
    assert admin.get("/jobs").status_code == 200
    assert _try(Client(), name="x" * 100_000).status_code in (200, 429)


def _change(client: Client, current: str, password: str = "another-good-one-42") -> HttpResponse:
    form = {"current": current, "password": password, "again": password}
    return client.post("/account/password/", form)  # type: ignore[return-value]


def test_guesses_at_the_present_password_wait_in_every_session(clock: Clock, people: dict[str, User]) -> None:
    own, stolen = Client(), Client()
    own.force_login(people["viewer"])
    stolen.force_login(people["viewer"])
    assert [_change(stolen, "guess").status_code for _ in range(5)] == [422] * 5
    refused = _change(stolen, PASSWORD)
    assert (refused.status_code, refused["Retry-After"]) == (429, "1")
    assert "Too many wrong passwords. Try again in 1 second." in refused.content.decode()
    stolen.post("/account/sessions/")
    assert _change(stolen, PASSWORD).status_code == 429, "a new session key starts no new count"
    other = Client()
    other.force_login(people["editor"])
    assert _change(other, "guess").status_code == 422, "other people wait for nothing"
    clock.now += 1.5
    assert _change(stolen, PASSWORD)["Location"] == "/account/"


def test_a_new_password_that_is_refused_is_no_guess(clock: Clock, people: dict[str, User]) -> None:
    page = Client()
    page.force_login(people["viewer"])
    assert [_change(page, PASSWORD, "12345").status_code for _ in range(10)] == [422] * 10
