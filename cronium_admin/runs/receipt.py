"""The receipt of a run: what was asked, what ran and what came of it, with a SHA-256 of its own. No values of secrets.

The digest is that of the canonical form: the receipt without its field `sha256`, as JSON in UTF-8 with sorted keys and
without blanks.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cronium_admin.core.json_text import format_exact
from cronium_admin.runs.models import Run
from cronium_admin.runs.presentation.phases import build_phases

VERSION = 1
MAX_VALUE_BYTES = 64 * 1024  # of an input or output; of a larger one the receipt has only the digest
_LIMIT_ROWS = ("memory", "memory with swap", "CPU", "processes at most")  # of the sandbox report
NOT_ENDED = "The run has not ended, so this receipt is not final."
NOT_SEALED = "The log is not sealed, so its lines, bytes and SHA-256 are not final."


def build_receipt(run: Run) -> dict[str, Any]:
    """Of a run with `job`, `created_by`, `revision__script`, `sandbox_table` and `output`."""
    receipt = {
        "receipt": VERSION,
        "final": _build_state(run),
        "run": {
            "id": str(run.pk),
            "job": run.job_slug,
            "job_name": run.job_name,
            "number": run.number,
            "revision": run.job_revision,
            "attempt": run.attempt,
            "max_attempts": run.max_attempts,
            "retry_of": str(run.retry_of_id) if run.retry_of_id else None,
            "repeats": str(run.parent_id) if run.parent_id else None,
        },
        "launch": {
            "by": run.created_by.get_username() if run.created_by else None,
            "trigger": run.trigger,
            "caused_by": run.caused_by,
            "scheduled_for": _format_time(run.scheduled_for),
        },
        "times": {
            name: _format_time(getattr(run, name)) for name in ("created_at", "claimed_at", "started_at", "finished_at")
        },
        "script": _digest_text(run.script) | {"language": run.language},
        "image": {
            "reference": run.image,
            "rule": run.image_rule,
            "digest": run.image_digest,
            "resolved": run.image_resolved,
        },
        "limits": _build_limits(run),
        "sandbox": _build_sandbox(run),
        "network": {"name": run.network, "egress": run.egress},
        "env": sorted(run.env),
        "secrets": sorted(run.secrets),
        "input": _build_value(run.input),
        "output": None if run.output_at is None else _build_value(run.output) | {"set_at": _format_time(run.output_at)},
        "result": {
            "status": run.status,
            "reason": run.reason,
            "message": run.message,
            "error": run.error,
            "exit_code": run.exit_code,
            "condition": run.condition,
        },
        "milliseconds": _measure_phases(run),
        "peak_memory_bytes": run.peak_memory_bytes,
        "log": {
            "lines": run.log_lines,
            "bytes": run.log_bytes,
            "sha256": run.log_digest or None,
            "gaps": run.log_gaps,
            "dropped_lines": run.log_dropped_lines,
            "dropped_bytes": run.log_dropped_bytes,
            "removed_at": _format_time(run.log_pruned_at),
        },
        "host": run.host,
    }
    return receipt | {"sha256": digest_receipt(receipt)}


def digest_receipt(receipt: Mapping[str, Any]) -> str:
    """In hex; the field `sha256` does not count."""
    kept = {name: value for name, value in receipt.items() if name != "sha256"}
    return hashlib.sha256(format_exact(kept, sort_keys=True).encode()).hexdigest()


def _build_state(run: Run) -> dict[str, Any]:
    is_sealed = bool(run.log_digest) or (not run.is_live and run.started_at is None and not run.log_lines)
    notes = [NOT_ENDED] if run.is_live else []
    notes += [] if is_sealed else [NOT_SEALED]
    return {"ended": not run.is_live, "log_sealed": is_sealed, "notes": notes}


def _build_limits(run: Run) -> dict[str, Any]:
    asked = {
        "profile": run.profile_name,
        "cpu": f"{run.cpu.normalize():f}",
        "memory_mb": run.memory_mb,
        "pids": run.pids,
        "timeout_seconds": run.timeout_seconds,
        "log_limit_mb": run.log_limit_mb,
        "on_log_limit": run.on_log_limit,
        "read_only_root": run.read_only_root,
        "runtime": run.runtime,
    }
    report = run.sandbox_report
    rows = report["rows"] if report else []
    effective = {row["what"]: row["reported"] for row in rows if row["of"] == "main" and row["what"] in _LIMIT_ROWS}
    return {"asked": asked, "effective": effective or None}


def _build_sandbox(run: Run) -> dict[str, Any] | None:
    # None: none was reported, so nothing was verified.
    report = run.sandbox_report
    if report is None or run.sandbox_table is None:
        return None
    drifted = [f"{row['of']}: {row['what']}" for row in report["rows"] if row["drift"]]
    return {"settings": report["count"], "deviations": drifted, "version": run.sandbox_table.digest}


def _build_value(value: Any) -> dict[str, Any]:
    text = format_exact(value, sort_keys=True)
    found = _digest_text(text)
    return found | ({"value": value} if found["bytes"] <= MAX_VALUE_BYTES else {"omitted": True})


def _digest_text(text: str) -> dict[str, Any]:
    data = text.encode(errors="surrogatepass")
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _format_time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def _measure_phases(run: Run) -> dict[str, int]:
    # Of a phase that lasts still, nothing
    steps = build_phases(
        run.created_at, run.claimed_at, run.started_at, run.finished_at, run.finished_at or run.created_at
    )
    return {step.name: round(step.length.total_seconds() * 1000) for step in steps if step.end is not None}
