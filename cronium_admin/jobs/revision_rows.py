"""Rows of a job's revisions for its page: who saved each, when, which settings, and how many lines of the script."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from cronium_admin.jobs.forms import FORM_FIELDS, LABELS
from cronium_admin.jobs.models import Job, JobRevision, ScriptText
from cronium_admin.jobs.revision_changes import count_changed_lines

MAX_ROWS = 50
# By the digests of both scripts, which never change: a comparison can take long, and lists are loaded again and again.
_counts: LRUCache[tuple[str, str], tuple[int, int]] = LRUCache(2000)
_lock = threading.Lock()
# Of settings that have several fields in the editor, or none
_LABELS = {"slug": "Address", "retry": "Retries", "concurrency": "Runs at once"}
_COLUMNS = (
    "number",
    "at",
    "by_name",
    "changed",
    "restored_from",
    "is_partial",
    "job_id",
    "script_id",
    "script__digest",
)


@dataclass(frozen=True)
class RevisionRow:
    """`before` is the number of the revision before; None: there is none. `settings` are the changed ones in words."""

    revision: JobRevision
    before: int | None
    added: int
    removed: int
    settings: list[str]


def list_revision_rows(job: Job, first: int, last: int, limit: int = MAX_ROWS) -> list[RevisionRow]:
    """The revisions `first` to `last`, newest first, at most `limit`. Three queries at most."""
    if last < first:
        return []
    stored = job.revisions.filter(number__lte=last).select_related("script").only(*_COLUMNS).order_by("-number")
    revisions = list(stored[: min(limit, last - first + 1) + 1])
    pairs = [
        (older, newer) for newer, older in zip(revisions, [*revisions[1:], None], strict=True) if newer.number >= first
    ][:limit]
    counts = _count_lines((older, newer) for older, newer in pairs if older)
    return [
        RevisionRow(newer, older.number if older else None, *counts.get(newer.number, (0, 0)), _name_settings(newer))
        for older, newer in pairs
    ]


def _count_lines(pairs: Iterable[tuple[JobRevision, JobRevision]]) -> dict[int, tuple[int, int]]:
    """By the number of the newer revision; without those whose script is the same."""
    keys = {
        newer.number: (older.script.digest, newer.script.digest)
        for older, newer in pairs
        if older.script_id != newer.script_id
    }
    with _lock:
        counts = {key: _counts[key] for key in keys.values() if key in _counts}
    if unknown := {key for key in keys.values() if key not in counts}:
        digests = {digest for key in unknown for digest in key}
        texts = dict(ScriptText.objects.filter(digest__in=digests).values_list("digest", "text"))
        found = {key: count_changed_lines(texts[key[0]], texts[key[1]]) for key in unknown}
        with _lock:
            _counts.update(found)
        counts |= found
    return {number: counts[key] for number, key in keys.items()}


def name_setting(name: str) -> str:
    """As the editor names the setting, `Timeout` for `timeout_seconds`."""
    label = _LABELS.get(name) or LABELS.get(FORM_FIELDS.get(name, name))
    return label or name.replace("_", " ").capitalize()


def _name_settings(revision: JobRevision) -> list[str]:
    names: list[Any] = revision.changed or []
    return [name_setting(str(name)) for name in names if name != "script"]
