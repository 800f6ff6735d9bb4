"""The page with every component of the visual language, in its states; see docs/visual-language.md."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.templatetags.ui import STATES
from cronium_admin.palette.entries import Entry

COLOURS = (
    ("green", "succeeded, up, within limits"),
    ("red", "failed, down, an act that deletes"),
    ("amber", "late, timed out, a warning"),
    ("blue", "running, the accent: links, focus, the main act"),
    ("grey", "waiting, off, secondary text"),
    ("text", "text"),
    ("surface", "panels"),
    ("body", "the page"),
    ("log", "logs and code"),
    ("line", "lines between things"),
    ("edge", "edges of fields"),
    ("hover", "a row under the pointer"),
)
PARTS = (
    *("Colours", "Type", "Buttons", "Forms", "States", "Filters", "Tables", "Notices", "Dialogs", "Empty", "Log"),
    *("Charts", "Code", "Palette", "Menus"),
)
_CELLS = ["succeeded"] * 9 + ["timed_out", "succeeded", "cancelled", "errored", "failed", "failed", "running"]


@dataclass(frozen=True)
class _Job:
    slug: str = "styleguide"


@dataclass(frozen=True)
class _Run:
    """What the sparkline reads of a run."""

    number: int
    status: str
    created_at: Any
    started_at: Any
    finished_at: Any = None
    cancel_requested_at: None = None


@require_safe
@require_permission(Permission.ADMIN)
def show_styleguide(request: HttpRequest) -> HttpResponse:
    now = database_now()
    runs = [_Run(number, status, now, now - timedelta(seconds=4), now) for number, status in enumerate(_CELLS, 1)]
    context = {
        "colours": COLOURS,
        "parts": PARTS,
        "states": list(STATES),
        "job": _Job(),
        "runs": runs,
        "entries": [
            Entry("Pages", "home", "Home", "#palette-part"),
            Entry("Runs", "player-play", "Nightly report #12", "#palette-part", status="failed"),
        ],
        "now": now,
        "errors": ["The timeout is from 1 to 86,400 seconds. Enter a number such as 600."],
    }
    return render(request, "web/styleguide.html", context)
