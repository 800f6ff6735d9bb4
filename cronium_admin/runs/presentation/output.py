"""What a run hands on, for its page: condition and output. An output may be 5 MiB: it is loaded only to be shown."""

import json
from dataclasses import dataclass
from typing import Any

from cronium_admin.core.json_text import cast_to_text, format_indented, parse_stored
from cronium_admin.runs.models import Run

SHORT_LENGTH = 4000  # characters up to which an output stands open on the page
SHOWN_LENGTH = 20_000  # of a longer one; the download has all of it


@dataclass(frozen=True)
class Output:
    """An output as a page shows it."""

    text: str
    bytes: int
    is_long: bool
    is_cut: bool
    shown: int = SHOWN_LENGTH


def make_version(run: Run) -> str:
    """Changes whenever the condition or the output was set again."""
    at = run.output_at.isoformat() if run.output_at else ""
    return f"{at}/{json.dumps(run.condition)}"


def build_context(run: Run, known: str | None = None) -> dict[str, Any]:
    """For the page's part; nothing is loaded when the browser has this version already."""
    now = make_version(run)
    if known == now:
        return {"outcome_version": ""}
    return {"outcome_version": now, "output": _load_output(run) if run.output_at else None}


def _load_output(run: Run) -> Output:
    whole = Run.objects.filter(pk=run.pk).values_list(cast_to_text("output"), flat=True).first() or "null"
    text, is_cut = format_indented(parse_stored(whole), SHOWN_LENGTH)
    return Output(text, len(whole.encode()), is_long=len(text) > SHORT_LENGTH, is_cut=is_cut)
