"""The group "Retries" of the job editor: its fields, and the setting that they make."""

from typing import Any

from django import forms
from django.http import QueryDict

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.retry import CONSTANT, DEFAULTS, EXPONENTIAL, STATUSES, check_retry, describe_retry

_INTEGER_ERRORS = {"invalid": "Must be a whole number."}
STATUS_LABELS = {"failed": "Failed", "timed_out": "Timed out", "errored": "Errored", "lost": "Lost"}
LABELS = {
    "retry_max": "Retries, at most",
    "retry_delay_seconds": "Retries, delay",
    "retry_backoff": "Retries, backoff",
    "retry_max_delay_seconds": "Retries, longest delay",
    "retry_total_seconds": "Retries, total time",
    "retry_on": "Retries, after",
    "retry_reasons": "Retries, reasons",
    "retry_exit_codes": "Retries, exit codes",
}
_NUMBERS = ("max", "delay_seconds", "max_delay_seconds", "total_seconds")


class RetryFields(PlainForm):
    """An empty `retry_max` means no retries; the other fields then have no effect."""

    retry_max = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    retry_delay_seconds = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    retry_backoff = forms.CharField(required=False)
    retry_max_delay_seconds = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    retry_total_seconds = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    retry_reasons = forms.CharField(required=False)
    retry_exit_codes = forms.CharField(required=False)
    retry_on: list[str]  # the chosen statuses

    def read_retry_on(self, data: QueryDict | None, job: Job | None) -> None:
        if data is not None and "retry_max" in data:
            self.retry_on = data.getlist("retry_on")
        else:
            self.retry_on = [name for name in _get_setting(job)["on"] if name in STATUSES]

    def collect_retry(self) -> dict[str, Any]:
        """The job's field `retry`, with errors beside the form's fields; empty if the form has no such fields."""
        if "retry_max" not in self.data or "retry_max" in self.errors:
            return {}
        if self.cleaned_data["retry_max"] is None:
            return {"retry": None}
        setting, problems = check_retry(self._build_setting())
        for name, text in problems.items():
            self._add_retry_error(name, text)
        return {} if problems or self._has_retry_errors() else {"retry": setting}

    def _build_setting(self) -> dict[str, Any]:
        data = self.cleaned_data
        values = {name: data.get(f"retry_{name}") for name in _NUMBERS}
        setting = {name: value for name, value in values.items() if value is not None}
        setting["on"] = [*self.retry_on, *data.get("retry_reasons", "").replace(",", " ").split()]
        codes = data.get("retry_exit_codes", "").replace(",", " ").split()
        setting["exit_codes"] = [int(code) if code.isdecimal() and len(code) < 9 else code for code in codes]
        return setting | ({"backoff": data["retry_backoff"]} if data.get("retry_backoff") else {})

    def _add_retry_error(self, name: str, text: str) -> None:
        if name == "on" and not self.retry_on and not self.cleaned_data.get("retry_reasons"):
            text = "Choose the ends of a run that are retried, or leave the number of retries empty."
        elif name == "on" and self.cleaned_data.get("retry_reasons"):
            name = "reasons"
        field = f"retry_{name}"
        if field not in self.errors:
            self.errors.setdefault(field, self.error_class()).append(text)

    def _has_retry_errors(self) -> bool:
        return any(name in self.errors for name in LABELS)

    @property
    def retry_words(self) -> str:
        """The setting in one line; empty while the fields have errors."""
        if self.is_bound and self._has_retry_errors():
            return "not valid"
        if self.is_bound and "retry_max" in self.data and hasattr(self, "cleaned_data"):
            return describe_retry(self.collect_retry().get("retry"))
        return describe_retry(self.initial.get("retry"))

    @property
    def retry_is_open(self) -> bool:
        return self.is_bound and self._has_retry_errors()

    @property
    def retry_statuses(self) -> list[tuple[str, str, bool]]:
        return [(name, label, name in self.retry_on) for name, label in STATUS_LABELS.items()]

    @property
    def retry_backoffs(self) -> list[tuple[str, str]]:
        return [(EXPONENTIAL, "Doubled with each attempt, and spread at random"), (CONSTANT, "Always the same")]


def _get_setting(job: Job | None) -> dict[str, Any]:
    return (job.retry if job else None) or {"max": None, **DEFAULTS}


def make_retry_initial(job: Job | None) -> dict[str, Any]:
    setting = _get_setting(job)
    values = {f"retry_{name}": setting[name] for name in (*_NUMBERS, "backoff")}
    return values | {
        "retry": job.retry if job else None,
        "retry_reasons": " ".join(name for name in setting["on"] if name not in STATUSES),
        "retry_exit_codes": " ".join(map(str, setting["exit_codes"])),
    }
