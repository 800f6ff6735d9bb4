"""Parses the form of the job editor into field values. `jobs.service` validates them."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import QueryDict
from django.template.defaultfilters import pluralize

from cronium_admin.core.errors import ApiError
from cronium_admin.core.strict_json import parse_request_json
from cronium_admin.images.models import Language
from cronium_admin.jobs.concurrency_form import LABELS as CONCURRENCY_LABELS
from cronium_admin.jobs.concurrency_form import SETTING_FIELDS as CONCURRENCY_FIELDS
from cronium_admin.jobs.concurrency_form import ConcurrencyFields, make_concurrency_initial
from cronium_admin.jobs.expected_by import EXPECTED_LABELS, ExpectedByForm, split_expected
from cronium_admin.jobs.job_fields import EXPECTED_FIELDS
from cronium_admin.jobs.models import Job, Network, OnLogLimit, Streams
from cronium_admin.jobs.retry_form import LABELS as RETRY_LABELS
from cronium_admin.jobs.retry_form import RetryFields, make_retry_initial
from cronium_admin.jobs.validation import DEFAULT_QUEUE
from cronium_admin.profiles.models import DEFAULT_PROFILE
from cronium_admin.registries.models import PullPolicy

# Job fields with another name in the form.
FORM_FIELDS = {
    "input": "input_text",
    "input_schema": "input_schema_text",
    "tags": "tags_text",
    "launch_env": "launch_env_text",
    "egress": "egress_text",
    "slug": "name",
}
_JOB_FIELDS = {
    "input_text": "input",
    "input_schema_text": "input_schema",
    "tags_text": "tags",
    "launch_env_text": "launch_env",
    "egress_text": "egress",
}
LABELS = {
    "script": "Script", "language": "Language", "name": "Name", "profile": "Profile", "cpu": "CPU",
    "memory_mb": "Memory", "pids": "Processes", "log_limit_mb": "Log limit", "on_log_limit": "Full log",
    "streams": "stdout and stderr",
    "image": "Image", "pull_policy": "Pull policy", "timeout_seconds": "Timeout",
    "network": "Network", "egress_text": "Allowed hosts", "env": "Environment",
    "launch_env_text": "Set at launch", "secrets": "Secrets",
    "input_text": "Input", "input_schema_text": "Schema of the input", "tags_text": "Tags",
    "description": "Description", "queue": "Queue",
    "log_keep_days": "Logs kept, days",
    "log_keep_runs": "Logs kept, runs", "run_keep_days": "Runs kept, days", "run_keep_runs": "Runs kept, number",
    "read_only_root": "Read-only root", **EXPECTED_LABELS, **RETRY_LABELS,
    **CONCURRENCY_LABELS,
    "enabled": "Enabled", "__all__": "Job",
}  # fmt: skip
_ON_LOG_LIMIT_HINTS = {
    OnLogLimit.STOP: "The run is stopped and fails.",
    OnLogLimit.DROP: "The script continues. Dropped output is counted.",
}
_STREAM_HINTS = {
    Streams.SEPARATE: "Each line shows its stream; the order of lines of different streams is not exact.",
    Streams.MERGED: "All lines appear in the exact order in which they were written, as stdout.",
}
_NUMBER_ERRORS = {"invalid": "Must be a number."}
_INTEGER_ERRORS = {"invalid": "Must be a whole number."}


class JobForm(ExpectedByForm, RetryFields, ConcurrencyFields):
    """Call `collect_values` on a valid form; `add_service_errors` shows the service's errors beside the fields."""

    name = forms.CharField(error_messages={"required": "Give the job a name."})
    language = forms.ChoiceField(choices=Language.choices)
    script = forms.CharField(strip=False, required=False)
    profile = forms.CharField(error_messages={"required": "Choose a profile."})
    cpu = forms.DecimalField(required=False, error_messages=_NUMBER_ERRORS)
    memory_mb = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    pids = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    log_limit_mb = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    on_log_limit = forms.CharField(required=False)
    streams = forms.CharField(required=False)
    image = forms.CharField(required=False)
    pull_policy = forms.ChoiceField(
        required=False,
        choices=[("", "As set for the image"), *PullPolicy.choices],
        error_messages={"invalid_choice": "Choose one of the pull policies."},
    )
    timeout_seconds = forms.IntegerField(
        error_messages={**_INTEGER_ERRORS, "required": "Enter the timeout in seconds."}
    )
    network = forms.CharField(required=False)
    egress_text = forms.CharField(required=False)
    read_only_root = forms.BooleanField(required=False)
    enabled = forms.BooleanField(required=False)
    input_text = forms.CharField(required=False, strip=False)
    input_schema_text = forms.CharField(required=False, strip=False)
    tags_text = forms.CharField(required=False)
    description = forms.CharField(required=False, strip=False)
    launch_env_text = forms.CharField(required=False)
    queue = forms.CharField(required=False)
    log_keep_days = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    revision = forms.IntegerField(required=False, min_value=1)  # the revision that was edited
    log_keep_runs = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    run_keep_days = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)
    run_keep_runs = forms.IntegerField(required=False, error_messages=_INTEGER_ERRORS)

    restored_from = 0  # the revision whose settings fill the form; 0: those of the job
    copied_from = ""  # the name of the job whose settings fill the form of a new one

    def __init__(self, data: QueryDict | None = None, *, job: Job | None = None, script: str = "") -> None:
        initial = _make_initial(job, script) | make_retry_initial(job) | make_concurrency_initial(job)
        super().__init__(data, initial=initial)
        self.read_retry_on(data, job)
        self.secret_names: list[str] = job.secrets if job else []
        self.env_rows: list[tuple[str, str]] = list(job.env.items()) if job else []
        if data is not None:
            self.secret_names = data.getlist("secrets")
            pairs = zip(data.getlist("env_name"), data.getlist("env_value"), strict=False)
            self.env_rows = [
                (name.strip(), _normalize_newlines(value)) for name, value in pairs if name.strip() or value
            ]

    def clean_script(self) -> str:
        return _normalize_newlines(str(self.cleaned_data["script"]))

    def clean_description(self) -> str:
        return _normalize_newlines(str(self.cleaned_data["description"]))

    def clean_input_text(self) -> Any:
        return parse_json(self.cleaned_data["input_text"])

    def clean_input_schema_text(self) -> Any:
        return parse_json(self.cleaned_data["input_schema_text"])

    def clean_tags_text(self) -> list[str]:
        return list(dict.fromkeys(str(self.cleaned_data["tags_text"]).replace(",", " ").split()))

    def clean_launch_env_text(self) -> list[str]:
        return list(dict.fromkeys(str(self.cleaned_data["launch_env_text"]).replace(",", " ").split()))

    def clean_egress_text(self) -> list[str]:
        return [
            line.strip()
            for line in _normalize_newlines(str(self.cleaned_data["egress_text"])).split("\n")
            if line.strip()
        ]

    def clean(self) -> dict[str, Any]:
        names = [name for name, _ in self.env_rows]
        if "" in names:
            self._add_list_error("env", "A variable has no name. Enter a name, or remove its row.")
        elif twice := sorted({name for name in names if names.count(name) > 1}):
            self._add_list_error("env", f"{twice[0][:40]} is listed twice. Remove one of the rows.")
        self.collect_retry()
        self.collect_concurrency()
        return self.cleaned_data

    def collect_values(self) -> dict[str, Any]:
        """Values by the job's field names, without the fields that have form errors.

        Fields that the browser did not send keep the job's values: network (a disabled choice is not sent) and its
        egress list, queue, launch_env, input_schema, description, on_log_limit, streams and priority.
        """
        of_others = {"revision", *EXPECTED_FIELDS, *(f"{name}_unit" for name in EXPECTED_FIELDS), *RETRY_LABELS}
        of_others.update(CONCURRENCY_FIELDS)
        typed_values = {name: value for name, value in self.cleaned_data.items() if name not in of_others}
        data = {_JOB_FIELDS.get(typed, typed): value for typed, value in typed_values.items()}
        data |= self.collect_retry() | self.collect_concurrency()
        for name in ("network", "egress"):
            if not self.data.get("network"):
                data.pop(name, None)
        for name in ("on_log_limit", "streams", "priority"):
            if not self.data.get(name):
                data.pop(name, None)
        for name, typed in (("launch_env", "launch_env_text"), ("input_schema", "input_schema_text")):
            if typed not in self.data:
                data.pop(name, None)
        if "description" not in self.data:
            data.pop("description", None)
        if "queue" not in self.data:
            data.pop("queue", None)
        elif "queue" in data:
            data["queue"] = data["queue"] or DEFAULT_QUEUE
        return data | self.collect_expected() | {"env": dict(self.env_rows), "secrets": self.secret_names}

    def add_service_errors(self, error: ValidationError) -> None:
        refused = set(self.errors)
        for name, problems in error.error_dict.items():
            if FORM_FIELDS.get(name, name) in refused:
                continue
            if name.startswith("input."):  # of a try: the input does not fit the schema
                path = name.removeprefix("input.")
                self.add_error("input_text", [f"{path}: {text}" for each in problems for text in each.messages])
            elif name in ("env", "secrets"):
                self._add_list_error(name, *(text for problem in problems for text in problem.messages))
            else:
                typed = FORM_FIELDS.get(name, name)
                self.add_error(typed if typed in self.fields else None, problems)

    def add_api_error(self, error: ApiError) -> None:
        fields: dict[str, Any] = {**error.fields} or {NON_FIELD_ERRORS: error.message}
        self.add_service_errors(ValidationError(fields))

    def _add_list_error(self, name: str, *texts: str) -> None:
        self.errors.setdefault(name, self.error_class()).extend(texts)

    @property
    def summary(self) -> list[tuple[str, str, str]]:
        """Every error as (field, label, message), in the order of the page."""
        order = list(LABELS)
        problems = sorted(self.errors.items(), key=lambda item: order.index(item[0]) if item[0] in order else 99)
        return [(name, LABELS.get(name, name), str(text)) for name, texts in problems for text in texts]

    @property
    def problem_count(self) -> str:
        count = len(self.summary)
        return f"Fix {count} field{pluralize(count)}:"

    @property
    def kept(self) -> dict[str, int]:
        # The settings' retention of logs, used where the job sets none
        return {"days": settings.CONFIG.log_keep_days, "runs": settings.CONFIG.log_keep_runs}

    @property
    def keeping(self) -> list[tuple[str, forms.BoundField]]:
        return [("days", self["log_keep_days"]), ("runs", self["log_keep_runs"])]

    @property
    def kept_runs(self) -> dict[str, int]:
        # The settings' retention of runs
        return {"days": settings.CONFIG.run_keep_days, "runs": settings.CONFIG.run_keep_runs}

    @property
    def keeping_runs(self) -> list[tuple[str, forms.BoundField]]:
        return [("days", self["run_keep_days"]), ("number", self["run_keep_runs"])]

    @property
    def full_log(self) -> list[tuple[str, str, str]]:
        return [(choice.value, choice.label, says) for choice, says in _ON_LOG_LIMIT_HINTS.items()]

    @property
    def stream_choices(self) -> list[tuple[str, str, str]]:
        return [(choice.value, choice.label, says) for choice, says in _STREAM_HINTS.items()]

    @property
    def log_cap(self) -> int | None:
        return settings.CONFIG.log_limit_mb

    @property
    def custom(self) -> bool:
        names = ("cpu", "memory_mb", "pids", "log_limit_mb")
        if any(self[name].value() not in (None, "") or self[name].errors for name in names):
            return True
        return self["on_log_limit"].value() not in (None, OnLogLimit.STOP)


def parse_json(text: str) -> Any:
    """An empty text is null. Raises ValidationError with the position of the syntax error."""
    if not text.strip():
        return None
    try:
        return parse_request_json(text.encode("utf-8", "surrogatepass"))
    except ApiError as error:
        raise ValidationError(error.message.replace("The body is", "This is")) from error


def _format(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _normalize_newlines(text: str) -> str:
    # Browsers send CRLF; shells treat the CR as part of the last word
    return text.replace("\r\n", "\n")


def _make_initial(job: Job | None, script: str) -> dict[str, Any]:
    if job is None:
        defaults = {"language": Language.PYTHON, "profile": DEFAULT_PROFILE, "timeout_seconds": 3600}
        return defaults | {
            "on_log_limit": OnLogLimit.STOP,
            "streams": Streams.SEPARATE,
            "queue": DEFAULT_QUEUE,
            "network": Network.ISOLATED,
            "read_only_root": True,
            "enabled": True,
            "script": script,
            **split_expected(None),
        }
    same = ("name", "language", "script", "cpu", "memory_mb", "pids", "log_limit_mb", "on_log_limit")
    more = ("streams", "image", "timeout_seconds", "network", "queue", "log_keep_days", "log_keep_runs", "revision")
    rest = ("pull_policy", "run_keep_days", "run_keep_runs", "read_only_root", "enabled", "description")
    values = {name: getattr(job, name) for name in (*same, *more, *rest)}
    values |= split_expected(job)
    values["launch_env_text"] = " ".join(job.launch_env)
    values["egress_text"] = "\n".join(job.egress)
    text, schema = ("" if value is None else _format(value) for value in (job.input, job.input_schema))
    values["input_schema_text"] = schema
    return values | {"profile": job.profile.name, "input_text": text, "tags_text": " ".join(job.tags)}
