# ruff: noqa: F811 - a fixture of another module is asked for by its name
"""A removed log, or a log whose archive is away: the WebSocket, the stream, the run page."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.logs import read
from cronium_admin.logs.live import tail
from cronium_admin.logs.retention import prune
from cronium_admin.logs.storage.base import StorageUnavailable
from cronium_admin.logs.throttle import Throttle
from cronium_admin.runs.models import Run
from tests.unit.log_storage import give_log, text_of
from tests.unit.test_consumer import connect  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)


@pytest.fixture
def removed(run: Run, settings: Any) -> Run:
    give_log(run, text_of(10))
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
    list(prune.prune_due_logs(Throttle()))
    run.refresh_from_db()
    return run


@pytest.fixture
def token(people: dict[str, User]) -> str:
    return ApiToken.mint(people["viewer"], "tests")[1]


async def test_the_socket_says_at_once_that_the_log_is_gone_and_ends_well(
    connect: Callable[..., Any], removed: Run, token: str
) -> None:
    viewer = await connect(removed.pk, token)
    assert await viewer.until_closed() == 1000
    end = viewer.messages[-1]
    assert (end["type"], end["lines"], end["digest"]) == ("end", 10, removed.log_digest)
    assert end["pruned"] == removed.log_pruned
    assert viewer.lines == []


async def test_who_reads_while_the_log_is_removed_is_told_so(
    connect: Callable[..., Any], run: Run, token: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Removed between the read of the run and the read of its lines."""
    await sync_to_async(give_log)(run, text_of(10))
    settings.CONFIG = settings.CONFIG.model_copy(update={"log_keep_days": 1})
    window = read.read_lines

    def removed_first(*args: Any) -> Any:
        list(prune.prune_due_logs(Throttle()))
        return window(*args)

    monkeypatch.setattr(tail.read, "read_lines", removed_first)
    viewer = await connect(run.pk, token)
    assert await viewer.until_closed() == 1000
    assert viewer.lines == []
    assert "was removed on" in viewer.messages[-1]["pruned"]


async def test_the_socket_says_that_the_archive_is_away_and_that_one_may_come_again(
    connect: Callable[..., Any], run: Run, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync_to_async(give_log)(run, text_of(10))

    def away(*_: Any) -> Any:
        raise StorageUnavailable

    monkeypatch.setattr(tail.read, "read_lines", away)
    viewer = await connect(run.pk, token)
    assert await viewer.until_closed() == 1013
    assert viewer.messages[-1]["type"] == "error"
    assert viewer.messages[-1]["code"] == "log_storage_unavailable"
    assert "Try again" in viewer.messages[-1]["detail"]
    monkeypatch.undo()
    again = await connect(run.pk, token)
    assert await again.until_closed() == 1000
    assert again.seqs == list(range(1, 11))


def test_the_run_page_says_it_in_the_logs_place(removed: Run, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    text = client.get(f"/runs/{removed.pk}/").content.decode()
    assert removed.log_pruned in text
    assert f'data-pruned="{removed.log_pruned}"' in text
    assert "data-run=" not in text, "nothing of the page goes and looks for lines"
    details = client.get(f"/runs/{removed.pk}/details/").content.decode()
    assert removed.log_digest
    assert removed.log_digest in details
    assert "<dt>Log</dt><dd>removed" in details


def test_a_page_of_a_log_that_is_there_says_nothing_of_it(run: Run, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["viewer"])
    give_log(run, text_of(10))
    assert "pruned" not in client.get(f"/runs/{run.pk}/").content.decode()
