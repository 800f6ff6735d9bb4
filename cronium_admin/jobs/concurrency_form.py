"""The group "Concurrency and priority" of the job editor: its fields, and the settings that they make."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.jobs.concurrency import (
    DEFAULT_PRIORITY,
    MAX_EXPRESSION,
    PRIORITY_NAMES,
    WhenFull,
    describe_concurrency,
    normalize_concurrency,
)
from cronium_admin.jobs.models import Job

LABELS = {
    "priority": "Priority",
    "concurrency_limit": "Runs at once",
    "concurrency_key": "Runs at once, key",
    "concurrency_when_full": "While the limit is reached",
}
SETTING_FIELDS = tuple(name for name in LABELS if name != "priority")
_WHEN_FULL_HINTS = {
    WhenFull.QUEUE: "It starts when another run has ended.",
    WhenFull.SKIP: "It ends at once as cancelled, and its message names the live runs.",
    WhenFull.CANCEL_OLDEST: "The new run starts when the cancelled one has ended.",
}


class ConcurrencyFields(PlainForm):
    """An empty `concurrency_limit` means no limit."""

    priority = forms.TypedChoiceField(
        required=False,
        coerce=int,
        choices=list(PRIORITY_NAMES.items()),
        error_messages={"invalid_choice": "Choose one of the priorities, 1 to 5."},
    )
    concurrency_limit = forms.IntegerField(required=False, error_messages={"invalid": "Must be a whole number."})
    concurrency_key = forms.CharField(required=False)
    concurrency_when_full = forms.CharField(required=False)

    def collect_concurrency(self) -> dict[str, Any]:
        """The job's field `concurrency`, with errors beside the form's fields; empty if the form has no such fields."""
        if "concurrency_limit" not in self.data or "concurrency_limit" in self.errors:
            return {}
        limit, key = (self.cleaned_data.get(name) for name in ("concurrency_limit", "concurrency_key"))
        if limit is None:
            if key:
                self._add_concurrency_error("concurrency_limit", "Enter a limit, or remove the key.")
            return {} if key else {"concurrency": None}
        when_full = self.cleaned_data.get("concurrency_when_full") or WhenFull.QUEUE.value
        try:
            setting = normalize_concurrency({"limit": limit, "key": key or "", "when_full": when_full})
        except ValidationError as error:
            for problem in error.error_list:
                text = str(problem.message).removeprefix(f"{problem.code}: ")
                self._add_concurrency_error(f"concurrency_{problem.code}", text)
            return {}
        return {} if self._has_concurrency_errors() else {"concurrency": setting}

    def _add_concurrency_error(self, field: str, text: str) -> None:
        if field not in self.errors:
            self.errors.setdefault(field, self.error_class()).append(text)

    def _has_concurrency_errors(self) -> bool:
        return any(name in self.errors for name in SETTING_FIELDS)

    @property
    def concurrency_words(self) -> str:
        """The setting in one line."""
        if self.is_bound and self._has_concurrency_errors():
            return "not valid"
        if self.is_bound and "concurrency_limit" in self.data and hasattr(self, "cleaned_data"):
            return describe_concurrency(self.collect_concurrency().get("concurrency"))
        return describe_concurrency(self.initial.get("concurrency"))

    @property
    def concurrency_is_open(self) -> bool:
        return self.is_bound and self._has_concurrency_errors()

    @property
    def when_full_choices(self) -> list[tuple[str, str, str]]:
        return [(choice.value, choice.label, _WHEN_FULL_HINTS[choice]) for choice in WhenFull]

    @property
    def priority_choices(self) -> list[tuple[int, str, bool]]:
        chosen = str(self["priority"].value())
        return [(number, label, str(number) == chosen) for number, label in PRIORITY_NAMES.items()]

    @property
    def max_expression(self) -> int:
        return MAX_EXPRESSION


def make_concurrency_initial(job: Job | None) -> dict[str, Any]:
    setting = (job.concurrency if job else None) or {"limit": None, "key": "", "when_full": WhenFull.QUEUE.value}
    return {
        "concurrency": job.concurrency if job else None,
        "priority": job.priority if job else DEFAULT_PRIORITY,
        **{f"concurrency_{name}": value for name, value in setting.items()},
    }
