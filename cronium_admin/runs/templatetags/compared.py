"""Template filters of the page that compares two runs. Makes no database query."""

from collections.abc import Iterator

from django import template

from cronium_admin.runs.comparison import Comparison
from cronium_admin.runs.models import Run

register = template.Library()
_KINDS = {"+": ("added", "added"), "-": ("removed", "removed"), "@": ("hunk", ""), "\\": ("hunk", "")}


@register.filter(name="both_runs")
def list_both_runs(found: Comparison) -> tuple[Run, Run]:
    return found.a, found.b


@register.filter(name="diff_lines")
def split_diff(text: str) -> Iterator[dict[str, str]]:
    """The lines of a unified diff without its two heads: `kind` is a class, `sign` a word for screen readers."""
    for line in text.rstrip("\n").split("\n")[2:]:
        kind, sign = _KINDS.get(line[:1], ("equal", ""))
        yield {"kind": kind, "sign": sign, "text": line}
