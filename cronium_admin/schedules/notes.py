"""What a change of the clock does to a time, in words. Each text begins with one of four words of the API."""

from datetime import UTC, datetime

from cron_rules.evaluate import Occurrence

_AND = " and "


def describe_note(occurrence: Occurrence) -> str:
    """Empty for a time that no change of the clock concerns."""
    times = _AND.join(_format_label(label) for label in occurrence.labels[:3])
    if len(occurrence.labels) > 3:
        times = f"{_format_label(occurrence.labels[0])} to {_format_label(occurrence.labels[-1])}"
    if occurrence.note == "moved":
        return f"moved: {times} does not exist on this day, so it runs when the clock goes forward"
    if occurrence.note == "merged":
        return f"merged: {times} are one run, because the clock goes forward"
    if occurrence.note == "skipped":
        return f"skipped: {times} does not exist on this day, because the clock goes forward"
    if occurrence.note == "doubled":
        pass_words = "this is the second" if occurrence.is_second_pass else "this is the first"
        return f"doubled: {times} comes twice on this day, because the clock goes back; {pass_words}"
    return ""


def describe_label(occurrence: Occurrence) -> str:
    """Its last local time of day."""
    return _format_label(occurrence.labels[-1])


def _format_label(label: int) -> str:
    text = datetime.fromtimestamp(label, UTC).strftime("%H:%M:%S")
    return text.removesuffix(":00")


def format_full_label(label: int, *, is_second_pass: bool = False) -> str:
    text = datetime.fromtimestamp(label, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}+2" if is_second_pass else text
