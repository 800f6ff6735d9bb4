"""The steps of a build with their times: from the lines `STEP 2 of 6  Python packages` of its log, and from the
events of the image that is made of the container."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cronium_admin.core.errors import ApiError
from cronium_admin.logs.preview import make_plain_text
from cronium_admin.logs.search import Query, find_lines
from cronium_admin.runs.models import Run

_LINES = Query("^STEP [0-9]{1,3} of [0-9]{1,3}  ", regex=True, stream=1)
_STEP = re.compile(r"STEP (?P<number>\d{1,3}) of (?P<total>\d{1,3}) +(?P<title>.*)")
_MAX_LINES, _MAX_BYTES = 200, 64 * 1024
_SECONDS = 0.3  # for the search; further steps of a very long log are not shown


@dataclass(frozen=True)
class BuildStep:
    """`state` is running, succeeded or failed. `place`: such as "2 of 6"; empty after the script's end."""

    place: str
    title: str
    began_at: datetime
    took: timedelta | None
    state: str


def list_build_steps(run: Run) -> list[BuildStep]:
    """The steps that have begun; those of the script are missing once its log is removed."""
    began = [*_read_script_steps(run.pk), *_read_image_steps(run)]
    ends = [at for _, _, at in began[1:]] + [run.finished_at]
    last = "running" if run.is_live else "succeeded" if run.status == "succeeded" else "failed"
    states = ["succeeded"] * (len(began) - 1) + [last]
    return (
        [
            BuildStep(place, title, at, max(end - at, timedelta(0)) if end else None, state)
            for (place, title, at), end, state in zip(began, ends, states, strict=True)
        ]
        if began
        else []
    )


def _read_script_steps(run_id: UUID) -> list[tuple[str, str, datetime]]:
    # A script of the recipe may print such lines too: only the next number of the same total counts.
    found: list[tuple[str, str, datetime]] = []
    total = ""
    with suppress(ApiError, OSError):  # the log was removed, or its archive does not answer
        lines, _ = find_lines(run_id, _LINES, 0, _MAX_LINES, _MAX_BYTES, _SECONDS)
        for line in lines:
            match = _STEP.fullmatch(make_plain_text(line.text))
            if match and int(match["number"]) == len(found) + 1 and match["total"] == (total or match["total"]):
                total = match["total"]
                at = datetime.fromtimestamp(line.unix_ns / 10**9, UTC)
                found.append((f"{match['number']} of {total}", match["title"], at))
    return found


def _read_image_steps(run: Run) -> list[tuple[str, str, datetime]]:
    events = run.events.filter(kind="image_build").order_by("at", "pk")
    return [("", message, at) for message, at in events.values_list("message", "at")]
