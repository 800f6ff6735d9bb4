"""Why a run ended as it did, in one line, for lists, banners and messages."""

from dataclasses import dataclass

from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.presentation.reasons import describe_reason

_OF_SCRIPT = "exit_code"  # the reason of a run whose script ended by itself


@dataclass(frozen=True)
class Why:
    """`is_output`: the words are the script's own. `line` is a line of the script; None: unknown."""

    words: str
    is_output: bool = False
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.words} (line {self.line})" if self.line else self.words


def explain_run(run: Run) -> Why:
    """Empty words for a run that is live or succeeded."""
    if run.is_live or run.status == Status.SUCCEEDED:
        return Why("")
    error = run.error if isinstance(run.error, dict) else None
    if error and run.reason == _OF_SCRIPT:
        return Why(str(error["text"]), is_output=True, line=error.get("script_line"))
    return Why(run.message.partition("\n")[0] or describe_reason(run.reason).capitalize())
