"""What the worker says in its first line: whose sidecar this is. It checks that line and holds no credential."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any


class ConfigError(Exception):
    """The first line is not a configuration; the message says what is wrong with it."""


@dataclass(frozen=True)
class Egress:
    """What a run may be let out to: on which address to listen, `host:port` patterns, and the run's own subnets."""

    address: str
    allow: tuple[str, ...]
    networks: tuple[str, ...]


@dataclass(frozen=True)
class Config:
    """One run's facts. `context` and `input` are kept as the JSON text that is sent to the job."""

    run_id: str
    token_sha256: str
    token_ends: float  # by time.monotonic, which no correction of the time of day changes
    context: dict[str, Any]
    context_json: bytes
    input_json: bytes
    egress: Egress | None = None


def dump(value: Any) -> bytes:
    """JSON as UTF-8; half a surrogate pair, which UTF-8 can't carry, stays an escape."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode("ascii")


def parse_config(line: bytes) -> Config:
    """Raise ConfigError unless every field is there and makes sense."""
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
            dump(context),
            dump(raw.get("input")),
            parse_egress(raw.get("egress")),
        )
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"context or input can't be passed on: {error}") from None


def parse_egress(raw: Any) -> Egress | None:
    """Raise ConfigError unless it is missing or whole; what stands in the texts, its user checks."""
    if raw is None:
        return None
    lists = [raw.get("allow"), raw.get("networks")] if isinstance(raw, dict) else [None]
    texts = [one for one in lists if isinstance(one, list) and all(isinstance(text, str) for text in one)]
    if len(texts) != 2 or not isinstance(raw.get("address"), str):
        raise ConfigError("egress is not an address and two lists of texts")
    return Egress(raw["address"], tuple(texts[0]), tuple(texts[1]))
