"""Whether the input of a schedule still fits: the schema of its job and the data of its choices change later."""

from cronium_admin.runs.input_check import check_input, complete_input
from cronium_admin.schedules.models import ActsAs, Schedule


def list_input_problems(schedule: Schedule) -> list[str]:
    """What a launch of now would refuse in the schedule's input; empty without a schema."""
    job = schedule.job
    if job.input_schema is None:
        return []
    value = complete_input(job, job.input if schedule.input is None else schedule.input)
    by = None if schedule.acts_as == ActsAs.PROJECT else schedule.owner
    return [str(problem) for problem in check_input(job, value, by)]
