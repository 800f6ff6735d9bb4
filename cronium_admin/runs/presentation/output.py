"""Condition and output of a run for its page. An output can have 5 MiB, so it is loaded only to be shown."""

import json
from dataclasses import dataclass
from typing import Any

from cronium_admin.core.json_text import cast_to_text, format_indented, parse_stored
from cronium_admin.runs.models import Run

SHORT_LENGTH = 4000  # characters; a shorter output is shown expanded
SHOWN_LENGTH = 20_000  # characters shown of a longer output; the download has all


@dataclass(frozen=True)
class Output:
    text: str
    bytes: int
    is_long: bool
    is_cut: bool
    shown: int = SHOWN_LENGTH


def make_version(run: Run) -> str:
    at = run.output_at.isoformat() if run.output_at else ""
    return f"{at}/{json.dumps(run.condition)}"


def build_context(run: Run, known_version: str | None = None) -> dict[str, Any]:
    # The template context; loads nothing if the browser already has this version
    current = make_version(run)
    if known_version == current:
        return {"outcome_version": ""}
    return {"outcome_version": current, "output": _load_output(run) if run.output_at else None}


def _load_output(run: Run) -> Output:
    full_text = Run.objects.filter(pk=run.pk).values_list(cast_to_text("output"), flat=True).first() or "null"
    text, is_cut = format_indented(parse_stored(full_text), SHOWN_LENGTH)
    return Output(text, len(full_text.encode()), is_long=len(text) > SHORT_LENGTH, is_cut=is_cut)
