"""How people are told that retention removed a run's log."""

from datetime import UTC, datetime


def describe_pruned_log(at: datetime | None, why: str) -> str:
    """The sentence that stands in the log's place; empty while there is a log."""
    if at is None:
        return ""
    when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"The log of this run was removed on {when}: {why}. Its number of lines, size and SHA-256 stay on record."
