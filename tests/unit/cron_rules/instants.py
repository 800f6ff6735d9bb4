"""Instants and rules of the tests, written as text."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from cron_rules.cron import parse_cron
from cron_rules.evaluate import iterate_after
from cron_rules.rules import Rule
from cron_rules.zones import load_zone


def parse_instant(text: str) -> int:
    """`2026-10-25` or `2026-10-25T00:30` or with seconds, in UTC."""
    return int(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp())


def format_instant(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S").removesuffix(":00")


def format_first(rule: Rule, after: str, count: int) -> list[str]:
    times: Iterator[int] = iterate_after(rule, parse_instant(after))
    return [format_instant(instant) for instant in islice(times, count)]


def cron(text: str, zone: str = "UTC", **more: Any) -> Rule:
    return parse_cron(text, load_zone(zone), **more)
