"""The context of the log panel (`runs/_log.html`), for every page that shows it."""

from typing import Any

from cronium_admin.runs.models import Run


def build_log_context(run: Run) -> dict[str, Any]:
    head = getattr(run, "log_head", None)  # `logs`, a higher layer, creates it with the first stored line
    head_lines = head.lines if head else run.log_lines
    stdout_lines, stderr_lines = head.stored_lines if head else (head_lines, 0)
    return {
        "run": run,
        "head_lines": head_lines,
        "stdout_lines": stdout_lines,
        "stderr_lines": stderr_lines,
        "sealed": bool(run.log_digest) or not (run.started_at or head_lines),  # a run that never began has no log
    }
