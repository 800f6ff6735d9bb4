"""The settings of a run that have no column of their own: those of its revision, except where the run differs."""

from collections.abc import Mapping
from typing import Any

from cronium_admin.core.json_text import JsonText, format_exact
from cronium_admin.jobs.models import Network
from cronium_admin.jobs.revisions import is_same_setting

SETTINGS = ("env", "secrets", "egress", "input", "pull_policy")


def get_revision_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run without overrides; of a partial revision, only those that it has."""
    settings = {name: values[name] for name in ("env", "secrets", "input", "pull_policy") if name in values}
    if "network" in values:
        settings["egress"] = values["egress"] if values["network"] == Network.EGRESS else []
    return settings


def find_differences(settings: Mapping[str, Any], of_run: Mapping[str, Any]) -> JsonText | None:
    """The run's column `differs`: the settings `of_run` that are not equal to `settings`; None if all are equal."""
    different = {
        name: value
        for name, value in of_run.items()
        if name not in settings or not is_same_setting(name, settings[name], value)
    }
    return JsonText(format_exact(different)) if different else None
