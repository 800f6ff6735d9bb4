"""Counts the queries of a process by verb and table."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connection as default_connection
from django.db.backends.signals import connection_created

_VERB = re.compile(r"\W*(\w+)")
_TABLE = re.compile(r'(?:FROM|INTO|UPDATE)\s+"(\w+)"')


def count_queries() -> Counter[str]:
    """The counter of this process's queries from now on, in all threads, by verb and first table."""
    counts: Counter[str] = Counter()

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        verb, table = _VERB.match(sql), _TABLE.search(sql)
        counts[f"{verb.group(1).upper() if verb else '?'} {table.group(1) if table else ''}".strip()] += 1
        return execute(sql, params, many, context)

    def watch(connection: Any, **_: Any) -> None:
        if count not in connection.execute_wrappers:
            connection.execute_wrappers.append(count)

    connection_created.connect(watch, weak=False)
    watch(default_connection)
    return counts
