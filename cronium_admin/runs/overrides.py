"""The overrides of one launch, and the permission that they need. Stores nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.network_policy import check_open_network
from cronium_admin.profiles.models import Profile

IMAGE, RUNTIME = "image", "runtime"
SCRIPT = "script"  # of a try: the text and all settings may differ from the job's
_ENV = "env."


class Unset:
    """The type of UNSET: no value was given, which differs from null."""


UNSET = Unset()


@dataclass(frozen=True)
class Overrides:
    """The values that one launch changes; an omitted value is the job's."""

    input: Any = UNSET
    env: Mapping[str, str] = field(default_factory=dict)
    image: str = ""
    profile: str = ""
    timeout_seconds: int | None = None
    cpu: Decimal | None = None
    memory_mb: int | None = None
    pids: int | None = None
    log_limit_mb: int | None = None
    not_before: datetime | None = None  # no host starts it before this time
    priority: int | None = None

    def changed_fields(self, job: Job, profile: Profile | None = None) -> list[str]:
        """The restricted overrides that differ from the job: they decide which code runs, or its isolation.

        `env.NAME`, `image`, and `runtime` if the launch's `profile` has another runtime.
        """
        names = [f"{_ENV}{name}" for name, value in self.env.items() if job.env.get(name) != value]
        has_runtime = profile is not None and profile.runtime != job.profile.runtime
        return (
            sorted(names)
            + ([IMAGE] if self.image and self.image != job.image else [])
            + ([RUNTIME] if has_runtime else [])
        )

    def compute_digest(self) -> str:
        # SHA-256 of the request in a canonical form: equivalent requests have the same digest
        values: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("image", "profile", "timeout_seconds", "memory_mb", "pids", "log_limit_mb", "priority")
        }
        values["env"] = dict(self.env)
        values["not_before"] = None if self.not_before is None else self.not_before.isoformat()
        values["cpu"] = None if self.cpu is None else format(self.cpu.normalize(), "f")
        if self.input is not UNSET:
            values["input"] = self.input
        fields = {name: value for name, value in values.items() if value not in ("", None, {}) or name == "input"}
        return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


NO_OVERRIDES = Overrides()


def check_overrides(job: Job, changed: Iterable[str], by: User) -> None:
    """Raises ApiError 403 if `by` may not set `changed` (names of `changed_fields`).

    Image and environment decide which code runs with the job's secrets, and the runtime isolates it: all need the
    permission to edit. Variables listed in the job's `launch_env` are exempt. With the open network, the permission
    for the open network is needed.
    """
    listed = {f"{_ENV}{name}" for name in job.launch_env}
    restricted = [name for name in changed if name not in listed]
    # The profile chooses the runtime.
    fields = sorted({name.split(".")[0] if name != RUNTIME else "profile" for name in restricted})
    check_open_network(job, fields, by)
    if restricted and not can(by, Permission.EDIT, job):
        names = _name_fields(restricted)
        text = (
            f"A launch that changes {names} of a job needs the role Editor or higher, because it decides "
            f"{_explain_restriction(restricted)}. Remove the override, {_suggest_fix(restricted)}."
        )
        raise ApiError(403, "forbidden", text, {name: [text] for name in fields})


def check_priority(job: Job, overrides: Overrides, by: User) -> None:
    """Raises ApiError 403 for a priority higher than the job's without the permission to edit."""
    if overrides.priority is None or overrides.priority <= job.priority or can(by, Permission.EDIT, job):
        return
    text = (
        f"A priority higher than the job's, {job.priority}, needs the role Editor or higher, because the run goes "
        "before the runs of others. Remove the override, or ask an editor to launch it."
    )
    raise ApiError(403, "forbidden", text, {"priority": [text]})


def _explain_restriction(restricted: list[str]) -> str:
    reasons = ["which code runs with the job's secrets"] if set(restricted) - {RUNTIME} else []
    return " and ".join([*reasons, *(["what isolates the script"] if RUNTIME in restricted else [])])


def _suggest_fix(restricted: list[str]) -> str:
    if restricted == [RUNTIME]:
        return "choose a profile with the same runtime, or ask an editor to launch it"
    return "or ask an editor to change the job or to list the variable in the job's launch_env"


def _name_fields(restricted: list[str]) -> str:
    variables = [name.removeprefix(_ENV) for name in restricted if name.startswith(_ENV)]
    parts = ["the script and the settings"] if SCRIPT in restricted else []
    parts += ["the image"] if IMAGE in restricted else []
    if variables:
        further = f" and {len(variables) - 3} more" if len(variables) > 3 else ""
        shown = ", ".join(name[:40] for name in variables[:3])
        parts.append(f"the environment ({shown}{further})")
    return " and ".join([*parts, *(["the runtime, through the profile,"] if RUNTIME in restricted else [])])
