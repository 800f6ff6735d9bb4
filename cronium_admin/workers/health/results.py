"""What an examination found: rows, each with its mend, and how a host's row keeps the last ones."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from cronium_admin.core.database.clock import Now
from cronium_admin.workers.hosts.models import Host

State = Literal["ok", "warning", "failed"]
MAX_CHARS = 1000  # characters of a message that are kept


@dataclass(frozen=True)
class CheckResult:
    """One matter: its state, what was found, and for what is not ok the mend."""

    name: str
    state: State
    found: str
    mend: str = ""


def store_results(host: str, rows: Sequence[CheckResult]) -> None:
    """Keep them in place of the last ones; a host that has no row gets none for this."""
    told = [{name: _clean_text(text) for name, text in asdict(row).items()} for row in rows]
    Host.objects.filter(name=host).update(findings=told, examined_at=Now())


def _clean_text(text: str) -> str:
    """A message may hold others' words; no database keeps a NUL."""
    return text.replace("\0", "")[:MAX_CHARS]


def find_worst_state(states: Iterable[str]) -> State:
    """failed before warning before ok."""
    met = set(states)
    return "failed" if "failed" in met else "warning" if "warning" in met else "ok"


def summarize_states(states: Iterable[str]) -> str:
    """How many failed and how many are warnings, or all well."""
    met = Counter(states)
    failed = [f"{met['failed']} failed"] if met["failed"] else []
    warnings = [f"{met['warning']} warning{'s' if met['warning'] > 1 else ''}"] if met["warning"] else []
    return ", ".join(failed + warnings) or "all well"
