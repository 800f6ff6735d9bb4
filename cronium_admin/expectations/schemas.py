"""Response bodies of the routes of incidents."""

from pydantic import AwareDatetime, BaseModel, Field

from cronium_admin.expectations.models import Incident

KIND = "`start_by`, `finish_by` or `succeed_every`: the setting of the job that was not fulfilled; or `ping`: a check."
CLOSING = (
    "Why it is closed: `fulfilled`, `ended` (the run ended without a start), `changed` or `removed` (the setting), "
    "`disabled` (the job); empty while it is open."
)


class IncidentOut(BaseModel):
    id: int
    job: str | None = Field(description="The job's slug; null for a check.")
    check: int | None = Field(description="The id of the check; null for a job.")
    kind: str = Field(description=KIND)
    state: str = Field(description="`open` or `closed`.")
    expected_from: AwareDatetime = Field(description="The planned time, the launch, or the last success.")
    due_at: AwareDatetime = Field(description="The deadline that passed.")
    opened_at: AwareDatetime
    reason: str = Field(description="What is late, and why as far as it is known.")
    run: str | None = Field(description="The id of the run that is late; null if no run was launched.")
    schedule: int | None = Field(description="The schedule that launched no run.")
    closed_at: AwareDatetime | None
    closing: str = Field(description=CLOSING)
    closing_text: str
    closed_by: str | None = Field(description="The id of the run that closed it.")

    @classmethod
    def from_incident(cls, incident: Incident) -> "IncidentOut":
        names = ("id", "kind", "expected_from", "due_at", "opened_at", "reason", "closed_at", "closing", "closing_text")
        return cls(
            **{name: getattr(incident, name) for name in names},
            job=incident.job.slug if incident.job else None,
            check=incident.of_check_id,
            state="open" if incident.is_open else "closed",
            run=str(incident.run_id) if incident.run_id else None,
            schedule=incident.schedule_id,
            closed_by=str(incident.closed_by_id) if incident.closed_by_id else None,
        )


class IncidentPage(BaseModel):
    items: list[IncidentOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")
