"""The configuration: the first line that the worker sends. Holds no credential, only the token's digest."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any


class ConfigError(Exception):
    """The first line is not a valid configuration."""


@dataclass(frozen=True)
class Egress:
    """`address` to listen on, allowed `host:port` patterns, and the subnets of the run itself.

    `private`: the patterns may also lead to private addresses. For image builds, whose patterns are the mirrors in the
    settings.
    """

    address: str
    allow: tuple[str, ...]
    networks: tuple[str, ...]
    private: bool = False


@dataclass(frozen=True)
class Config:
    """`context_json` and `input_json` are the texts that the job receives."""

    run_id: str
    token_sha256: str
    token_deadline: float  # time.monotonic(), which clock changes do not affect
    context: dict[str, Any]
    context_json: bytes
    input_json: bytes
    egress: Egress | None = None


def dump_json(value: Any) -> bytes:
    """JSON in UTF-8. Text with a lone surrogate is written in ASCII with escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode("ascii")


def parse_config(line: bytes) -> Config:
    """Raises ConfigError if a field is missing or invalid."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the first line on standard input is not JSON: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError("the first line on standard input is not a JSON object")
    run_id, digest, expires = raw.get("run_id"), raw.get("token_sha256"), raw.get("token_expires_at")
    context = raw.get("context", {})
    if not isinstance(run_id, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", run_id):
        raise ConfigError("run_id is missing or is not an id")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ConfigError("token_sha256 is missing or is not a SHA-256 in hexadecimal")
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise ConfigError("token_expires_at is missing or is not a number of seconds")
    seconds = raw.get("token_seconds", expires - time.time())  # the worker's clock may differ from this machine's
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ConfigError("token_seconds is not a number of seconds")
    if not isinstance(context, dict):
        raise ConfigError("context is not a JSON object")
    try:
        return Config(
            run_id,
            digest,
            time.monotonic() + seconds,
            context,
            dump_json(context),
            dump_json(raw.get("input")),
            parse_egress(raw.get("egress")),
        )
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"context or input cannot be written as JSON: {error}") from None


def parse_egress(raw: Any) -> Egress | None:
    """Raises ConfigError on a wrong structure. The proxy checks the patterns and the networks."""
    if raw is None:
        return None
    lists = [raw.get("allow"), raw.get("networks")] if isinstance(raw, dict) else [None]
    valid_lists = [items for items in lists if isinstance(items, list) and all(isinstance(text, str) for text in items)]
    if len(valid_lists) != 2 or not isinstance(raw.get("address"), str):
        raise ConfigError("egress is not an address and two lists of texts")
    return Egress(raw["address"], tuple(valid_lists[0]), tuple(valid_lists[1]), raw.get("private") is True)
