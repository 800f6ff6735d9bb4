"""The message that replaces a log that retention removed."""

from datetime import UTC, datetime


def describe_pruned_log(at: datetime | None, why: str) -> str:
    if at is None:
        return ""
    when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"The log of this run was removed on {when}: {why}. Its number of lines, size and SHA-256 are kept."
