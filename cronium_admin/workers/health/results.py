"""The results of health checks, and their storage in the host's row."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from django.template.defaultfilters import pluralize

from cronium_admin.core.database.clock import Now
from cronium_admin.workers.hosts.models import Host

State = Literal["ok", "warning", "failed"]
MAX_CHARS = 1000  # characters of a stored message


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. `mend` says how to fix a state that is not ok."""

    name: str
    state: State
    found: str
    mend: str = ""


def store_results(host: str, rows: Sequence[CheckResult]) -> None:
    stored = [{name: _clean_text(text) for name, text in asdict(row).items()} for row in rows]
    Host.objects.filter(name=host).update(findings=stored, examined_at=Now())


def _clean_text(text: str) -> str:
    """Messages may contain foreign text; PostgreSQL stores no NUL."""
    return text.replace("\0", "")[:MAX_CHARS]


def find_worst_state(states: Iterable[str]) -> State:
    found = set(states)
    return "failed" if "failed" in found else "warning" if "warning" in found else "ok"


def summarize_states(states: Iterable[str]) -> str:
    counts = Counter(states)
    failed = [f"{counts['failed']} failed"] if counts["failed"] else []
    warnings = [f"{counts['warning']} warning{pluralize(counts['warning'])}"] if counts["warning"] else []
    return ", ".join(failed + warnings) or "all well"
