"""The functions of `cronium` for asyncio: `from cronium import aio`, then `await aio.input()`.

Each call runs in a thread of a small pool, so it does not block the event loop. Cancelling a call does not stop its
request: a write may still take effect.
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
_threads = ThreadPoolExecutor(16, "cronium")  # threads start on the first call


async def _run_in_thread(call: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, partial(call, *arguments))


async def input() -> Any:
    """Returns this run's input, any JSON value."""
    return await _run_in_thread(cronium.input)


async def output(value: Any) -> None:
    """Sets the run's output, any JSON value up to 5 MiB. The last call wins."""
    await _run_in_thread(cronium.output, value)


async def context(field: str | None = None) -> Any:
    """Returns the context of this run and its job as a dict, or one `field` of it."""
    return await _run_in_thread(cronium.context, field)


async def event(field: str | None = None) -> Any:
    """The older name of `context`."""
    return await _run_in_thread(cronium.context, field)


async def get_variable(key: str, default: Any = None) -> Any:
    """Returns the variable, or `default` if it does not exist. 0, False, "" and None are values."""
    return await _run_in_thread(cronium.get_variable, key, default)


async def set_variable(key: str, value: Any) -> None:
    """Sets a variable; variables outlive the run."""
    await _run_in_thread(cronium.set_variable, key, value)


async def increment_variable(key: str, n: float = 1) -> Any:
    """Adds `n` atomically and returns the new number."""
    return await _run_in_thread(cronium.increment_variable, key, n)


async def set_condition(condition: bool) -> None:
    """Sets the condition that follow-up rules read: True or False."""
    await _run_in_thread(cronium.set_condition, condition)
