"""The same calls for asyncio: `from cronium import aio`, then `await aio.input()`.

Each call is the one of the module `cronium` in a thread of a small pool of our own, so both mean the same and the event
loop goes on. Cancelling a call stops the waiting for it; a write that is under way may still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import cronium

__all__ = [
    "context",
    "event",
    "get_variable",
    "increment_variable",
    "input",
    "output",
    "set_condition",
    "set_variable",
]

T = TypeVar("T")
_threads = ThreadPoolExecutor(16, "cronium")  # starts none before the first call


async def _later(call: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(call, *arguments))


async def input() -> Any:
    """This run's input: any JSON value."""
    return await _later(cronium.input)


async def output(value: Any) -> None:
    """Set the run's output: any value JSON can hold, up to 5 MiB of text. The last call wins."""
    await _later(cronium.output, value)


async def context(field: str | None = None) -> Any:
    """Facts about this run and its job: all as a dict, or the one called `field`."""
    return await _later(cronium.context, field)


async def event(field: str | None = None) -> Any:
    """The same by its older name."""
    return await _later(cronium.context, field)


async def get_variable(key: str, default: Any = None) -> Any:
    """The variable's value, or `default` if there is no such variable. 0, False, "" and None are values."""
    return await _later(cronium.get_variable, key, default)


async def set_variable(key: str, value: Any) -> None:
    """Keep a value that outlives the run."""
    await _later(cronium.set_variable, key, value)


async def increment_variable(key: str, n: float = 1) -> Any:
    """Add `n` in one step at the server and return the new number."""
    return await _later(cronium.increment_variable, key, n)


async def set_condition(condition: bool) -> None:
    """Set the condition that follow-up rules read: True or False."""
    await _later(cronium.set_condition, condition)
