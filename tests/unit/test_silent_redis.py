# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""A Redis that accepts connections and never answers, or accepts none: no caller waits, and nothing grows."""

import asyncio
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amqp.exceptions import ConnectionError as ConnectionLost
from celery import Celery
from django.core.cache import caches
from django.test import Client
from kombu.exceptions import OperationalError
from kombu.messaging import Producer

from cronium_admin.accounts import sign_in_throttle
from cronium_admin.accounts.models import User
from cronium_admin.core import broker_wakeup, metrics, notify, wakeup
from cronium_admin.core.redis_url import THROTTLE_READ_SECONDS, RedisAddress, parse_redis_url
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.fresh_metrics import reset_metrics
from tests.unit.silent_redis import address  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    reset_metrics()
    monkeypatch.setattr(sign_in_throttle, "_cache_retry_at", 0.0)
    yield
    reset_metrics()


WAKEUPS, CHANGES = "cronium_wakeups_dropped_total", "cronium_nudges_dropped_total"


def _dropped(metric: str) -> float:
    return metrics.WORKER.get_sample_value(metric) or 0.0


def _until(reached: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


class Publishing:
    """Marks when the publisher calls the broker, and when the call has returned or failed."""

    def __init__(self, address: RedisAddress, monkeypatch: pytest.MonkeyPatch, settings: Any, max_waiting: int) -> None:
        settings.CONFIG = settings.CONFIG.model_copy(update={"redis_url": address.url})
        self.began, self.ended, self.count = threading.Event(), threading.Event(), 0
        app = Celery("silent", broker=address.broker_url)
        app.conf.broker_transport_options = address.broker_options
        monkeypatch.setattr(broker_wakeup, "app", app)
        self._publish = broker_wakeup._send_wakeup
        monkeypatch.setattr(broker_wakeup, "_send_wakeup", self)
        self.publisher = broker_wakeup.Publisher(max_waiting)
        monkeypatch.setattr(broker_wakeup, "_publisher", self.publisher)

    def __call__(self, run_id: str, queue_name: str) -> None:
        self.count += 1
        self.began.set()
        try:
            self._publish(run_id, queue_name)
        finally:
            self.ended.set()


def test_who_wakes_the_workers_does_not_wait_for_the_broker(
    address: RedisAddress, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    publishing = Publishing(address, monkeypatch, settings, max_waiting=10)
    began = time.monotonic()
    wakeup.wake_workers("first", "default")
    assert publishing.began.wait(10)
    for n in range(200):
        wakeup.wake_workers(str(n), "default")
    assert not publishing.ended.is_set(), "the calls have returned while the broker is still being waited for"
    assert _dropped(WAKEUPS) == 190, "ten wait"
    assert publishing.ended.wait(60)
    print(f"given up after {time.monotonic() - began:.1f} s")
    _until(lambda: _dropped(WAKEUPS) == 201)  # those that waited would only wait for the same
    wakeup.wake_workers("later", "default")
    assert (_dropped(WAKEUPS), publishing.count) == (202, 1), "nothing is tried during the pause"


def test_a_launch_answers_while_the_broker_does_not(
    address: RedisAddress,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    operator: Api,
    job: Job,
    django_capture_on_commit_callbacks: Any,
) -> None:
    publishing = Publishing(address, monkeypatch, settings, max_waiting=10)
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(f"/jobs/{job.slug}/runs", {})
    assert answer.status_code == 202
    assert Run.objects.get().status == "queued"
    assert publishing.began.wait(10)
    assert not publishing.ended.is_set()


def test_the_publisher_goes_on_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []
    answers: list[Exception | None] = [OperationalError("no answer"), None]

    def publish(run_id: str, queue_name: str) -> None:
        if error := answers.pop(0):
            raise error
        sent.append((run_id, queue_name))

    monkeypatch.setattr(broker_wakeup, "_send_wakeup", publish)
    monkeypatch.setattr(broker_wakeup, "PAUSE_SECONDS", 0.0)
    publisher = broker_wakeup.Publisher()
    publisher.enqueue("lost", "default")
    _until(lambda: _dropped(WAKEUPS) == 1)
    publisher.enqueue("second", "gpu")
    _until(lambda: sent)
    assert sent == [("second", "gpu")]


def test_a_message_names_the_run_and_goes_to_all_workers_of_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(broker_wakeup.app, "send_task", lambda *given, **more: sent.append((given, more)))
    broker_wakeup._send_wakeup("4711", "gpu")
    (((name,), more),) = sent
    exchange = more["queue"].exchange
    assert (name, more["args"]) == ("cronium.look", ["4711"])
    assert (exchange.name, exchange.type, more["declare"]) == ("cronium.gpu", "fanout", [exchange])


@pytest.mark.parametrize("failures", [1, 2])
def test_a_connection_that_died_unused_costs_one_more_attempt(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    attempts: list[int] = []
    publish = Producer._publish

    def reset_first(self: Producer, *given: Any) -> Any:
        attempts.append(1)
        if len(attempts) <= failures:
            raise ConnectionLost
        return publish(self, *given)

    monkeypatch.setattr(Producer, "_publish", reset_first)
    monkeypatch.setattr(broker_wakeup, "app", Celery("reset", broker="memory://localhost/"))
    if failures == 1:
        broker_wakeup._send_wakeup("4711", "default")
    else:
        with pytest.raises(OperationalError):
            broker_wakeup._send_wakeup("4711", "default")
    assert len(attempts) == 2


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of the notifications, in a separate thread."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    notify.bind_loop(made)
    yield made
    notify.bind_loop(None)
    made.call_soon_threadsafe(made.stop)
    thread.join(10)
    made.close()


def _tasks(loop: asyncio.AbstractEventLoop) -> int:
    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    return asyncio.run_coroutine_threadsafe(count(), loop).result(10)


def test_nudges_are_sent_by_one_task_however_many_there_are(
    address: RedisAddress, loop: asyncio.AbstractEventLoop, settings: Any
) -> None:
    config = {"hosts": [{"address": address.url, **address.build_options()}]}
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config},
    }
    for _ in range(200):
        notify.publish_changed([uuid.uuid4()])
    assert _tasks(loop) <= 1, "a slow machine may see that the first one has timed out"
    _until(lambda: _dropped(CHANGES) == 200)
    _until(lambda: _tasks(loop) == 0)


def test_what_waits_to_be_nudged_is_bounded_and_each_run_waits_once(
    monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop
) -> None:
    monkeypatch.setattr(notify, "MAX_PENDING", 10)
    gate, began, sent = threading.Event(), threading.Event(), []

    class Layer:
        async def group_send(self, name: str, message: dict[str, str]) -> None:
            began.set()
            await asyncio.to_thread(gate.wait, 20)
            sent.append(name)

    monkeypatch.setattr(notify, "get_channel_layer", Layer)
    monkeypatch.setattr(notify, "SEND_SECONDS", 30.0)
    notify.publish_changed(["first"])
    assert began.wait(10)
    for _ in range(5):
        notify.publish_changed(["first", *map(str, range(9))])
    assert _dropped(CHANGES) == 0
    notify.publish_changed(["one too many"])
    assert _dropped(CHANGES) == 1
    gate.set()
    _until(lambda: len(sent) == 11)
    assert sent == ["run.first", "run.first", *(f"run.{n}" for n in range(9))]


def test_a_task_that_is_cancelled_with_its_loop_leaves_sending_to_the_next(loop: asyncio.AbstractEventLoop) -> None:
    async def cancel_all() -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    sender, began, sent = notify.Sender(loop), threading.Event(), []

    async def hang(name: str) -> None:
        began.set()
        await asyncio.sleep(60)

    async def send(name: str) -> None:
        sent.append(name)

    sender._send_one = hang  # type: ignore[method-assign]
    sender.enqueue(["first"])
    assert began.wait(10)
    asyncio.run_coroutine_threadsafe(cancel_all(), loop).result(10)
    _until(lambda: _tasks(loop) == 0)
    sender._send_one = send  # type: ignore[method-assign]
    sender.enqueue(["second"])
    _until(lambda: sent == ["second"])


def _sign_in(password: str) -> int:
    form = {"username": "admin", "password": password}
    return Client().post("/sign-in/", form, REMOTE_ADDR="192.0.2.1").status_code


def _use_cache_at(settings: Any, address: RedisAddress) -> None:
    settings.CACHES = settings.CACHES | {
        "throttle": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": address.url,
            "OPTIONS": address.build_options(THROTTLE_READ_SECONDS),
        }
    }


@pytest.fixture
def refused() -> RedisAddress:
    """A port without a listener."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        return parse_redis_url(f"redis://127.0.0.1:{port.getsockname()[1]}/0")


def _check_guesses_are_counted(people: dict[str, User]) -> None:
    people["admin"].set_password("a long secret")
    people["admin"].save()
    caches["throttle_own"].clear()
    assert _sign_in("a long secret") == 302
    assert [_sign_in("guess") for _ in range(7)] == [200] * 5 + [429] * 2
    caches["throttle_own"].clear()


def test_the_process_counts_guesses_while_the_cache_does_not_answer(
    address: RedisAddress, people: dict[str, User], settings: Any
) -> None:
    _use_cache_at(settings, address)
    _check_guesses_are_counted(people)


def test_the_process_counts_guesses_while_the_cache_refuses(
    refused: RedisAddress, people: dict[str, User], settings: Any
) -> None:
    _use_cache_at(settings, refused)
    _check_guesses_are_counted(people)


def test_the_shared_cache_is_asked_once_and_again_after_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(sign_in_throttle, "monotonic", lambda: now[0])
    monkeypatch.setattr(sign_in_throttle, "caches", {"throttle": "shared", "throttle_own": "own"})

    def fail_once(cache: Any) -> None:
        asked.append(cache)
        if asked == ["shared"]:
            raise ConnectionError

    for later in (0.0, sign_in_throttle.CACHE_RETRY_SECONDS - 1, 1.0):
        now[0] += later
        sign_in_throttle._use_cache(fail_once)
    assert asked == ["shared", "own", "own", "shared"]
