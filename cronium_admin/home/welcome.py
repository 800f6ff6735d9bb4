"""The first steps of a new installation, which tick themselves off: run an example, write a job, invite a colleague."""

from dataclasses import dataclass
from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.accounts.people import has_several_people
from cronium_admin.accounts.permissions import Permission, can, can_somewhere
from cronium_admin.jobs.examples import EXAMPLES
from cronium_admin.jobs.models import Job
from cronium_admin.runs.models import Run

MAX_RUNS = 20  # with more runs than these, nobody needs the steps
EXAMPLE_NAMES = tuple(fields["name"] for _, fields in EXAMPLES)
_OF_RUN = ("pk", "job_name", "number", "status", "started_at", "finished_at", "cancel_requested_at", "log_lines")


@dataclass(frozen=True)
class Welcome:
    """`first_run`: the oldest run that the user sees. `has_colleague` is None for users who can't invite anybody."""

    example: Job | None
    first_run: Run | None
    has_own_job: bool
    may_write: bool
    has_colleague: bool | None

    @property
    def is_done(self) -> bool:
        has_written = self.has_own_job or not self.may_write
        return self.first_run is not None and has_written and self.has_colleague is not False


def find_welcome(user: User) -> Welcome | None:
    """None for users who can only look, after MAX_RUNS runs, and when all steps are done."""
    if not can_somewhere(user, Permission.RUN):
        return None
    runs = Run.objects.visible_to(user).order_by("created_at", "pk").only(*_OF_RUN)
    first = list(runs[: MAX_RUNS + 1])
    if len(first) > MAX_RUNS:
        return None
    jobs: Any = Job.objects.visible_to(user).only("pk", "name", "slug", "project", "enabled").order_by("pk")
    examples = [job for job in jobs.filter(name__in=EXAMPLE_NAMES, enabled=True) if can(user, Permission.RUN, job)]
    welcome = Welcome(
        example=examples[0] if examples else None,
        first_run=first[0] if first else None,
        has_own_job=jobs.exclude(name__in=EXAMPLE_NAMES).exists(),
        may_write=can_somewhere(user, Permission.EDIT),
        has_colleague=has_several_people() if user.has_permission(Permission.ADMIN) else None,
    )
    has_first_step = welcome.example or welcome.first_run or welcome.may_write
    return welcome if has_first_step and not welcome.is_done else None
