"""Request and response bodies of the import of a crontab."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cron_rules.crontab.compare import PairedTime
from cron_rules.crontab.entries import Remark
from cron_rules.zones import TZDATA_VERSION
from cronium_admin.schedules.crontab.apply import Choice, ImportResult
from cronium_admin.schedules.crontab.plan import MAX_TEXT, Plan, Proposal, Source
from cronium_admin.schedules.rules import format_local, to_datetime
from cronium_admin.schedules.schemas import format_utc_z

TREATMENT = (
    "What becomes of variables that look like secrets, by name. `secret`: stored as a secret, or the stored secret of "
    "that name is used; `env`: a variable of the job, which its editors can read; `omit`: left out. Default: `secret` "
    "if that is possible, else `omit`."
)
FORMAT = "auto, user or system: whether the lines have a user name before the command, as /etc/crontab has."


class CrontabIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: Annotated[StrictStr, Field(max_length=MAX_TEXT, description="The whole file.")]
    timezone: Annotated[StrictStr, Field(description="The time zone of the host where cron ran.")] = "UTC"
    format: Annotated[Literal["auto", "user", "system"], Field(description=FORMAT)] = "auto"
    secrets: Annotated[dict[str, Literal["secret", "env", "omit"]], Field(description=TREATMENT)] = {}

    def make_source(self) -> Source:
        return Source(self.text, self.timezone, self.format)


class EntryChoice(BaseModel):
    model_config = ConfigDict(extra="forbid")
    line: StrictInt
    name: Annotated[StrictStr, Field(max_length=120, description="The job's name; empty: the proposed name.")] = ""
    skip: StrictBool = False


class CrontabImportIn(CrontabIn):
    entries: Annotated[
        list[EntryChoice] | None,
        Field(max_length=1000, description="The entries to import, by line; null: all that do not exist yet."),
    ] = None

    def collect_choices(self) -> dict[int, Choice] | None:
        if self.entries is None:
            return None
        return {entry.line: Choice(entry.line, entry.name, entry.skip) for entry in self.entries}


class RemarkOut(BaseModel):
    line: int
    reason: str
    advice: str

    @classmethod
    def from_remark(cls, remark: Remark) -> "RemarkOut":
        return cls(line=remark.line, reason=remark.reason, advice=remark.advice)


class CrontabTimeOut(BaseModel):
    at: str = Field(description="In UTC, with Z.")
    local: str = Field(description="In the time zone of the schedule.")
    cron_runs: int = Field(description="How many runs cron starts at this time.")
    cronium_runs: bool
    reason: str = Field(description="Why the two differ; empty if they do not.")

    @classmethod
    def from_time(cls, time: PairedTime, zone: str) -> "CrontabTimeOut":
        return cls(
            at=format_utc_z(to_datetime(time.at)),
            local=format_local(time.at, zone),
            cron_runs=time.original,
            cronium_runs=time.is_imported,
            reason=time.reason,
        )


class EntryOut(BaseModel):
    line: int
    name: str
    slug: str
    rule: str
    timezone: str
    words: str
    user: str = Field(description="The user of the line; empty without a user column.")
    command: str
    stdin: str | None = Field(description="What follows the first % of the command, as its standard input.")
    script: str
    env: dict[str, str]
    secrets: list[str]
    is_commented: bool = Field(description="The line is commented out: its job is disabled too.")
    existing: str | None = Field(description="The slug of the job that the entry has become already.")
    rule_problem: str = Field(description="Why the job gets no schedule; empty if it gets one.")
    times: list[CrontabTimeOut] = Field(
        description="The next thirty times of both, at most five years ahead. Empty if they are not known."
    )
    has_cron_times: bool
    remarks: list[RemarkOut]

    @classmethod
    def from_proposal(cls, proposal: Proposal) -> "EntryOut":
        entry = proposal.entry
        return cls(
            line=entry.line,
            name=proposal.name,
            slug=proposal.slug,
            rule=entry.rule,
            timezone=proposal.timezone,
            words=proposal.words,
            user=entry.user,
            command=entry.command,
            stdin=entry.stdin,
            script=proposal.script,
            env=proposal.env,
            secrets=proposal.secrets,
            is_commented=entry.is_commented,
            existing=proposal.existing or None,
            rule_problem=proposal.rule_problem,
            times=[CrontabTimeOut.from_time(time, proposal.timezone) for time in proposal.times],
            has_cron_times=entry.original is not None,
            remarks=[RemarkOut.from_remark(remark) for remark in proposal.remarks],
        )


class SecretVariableOut(BaseModel):
    """Without the value."""

    name: str
    lines: list[int]
    treatment: str
    is_stored: bool = Field(description="A secret of this name is stored already; its value stays.")
    may_store: bool = Field(description="The caller may store it as a secret.")


class CrontabOut(BaseModel):
    format: str = Field(description="user or system, as the file was read.")
    entries: list[EntryOut]
    secrets: list[SecretVariableOut]
    remarks: list[RemarkOut] = Field(description="Of lines that are no entries.")
    tzdata: str

    @classmethod
    def from_plan(cls, plan: Plan) -> "CrontabOut":
        return cls(
            format="system" if plan.crontab.has_users else "user",
            entries=[EntryOut.from_proposal(proposal) for proposal in plan.proposals],
            secrets=[
                SecretVariableOut(
                    name=variable.name,
                    lines=list(variable.lines),
                    treatment=variable.treatment,
                    is_stored=variable.is_stored,
                    may_store=variable.may_store,
                )
                for variable in plan.variables
            ],
            remarks=[RemarkOut.from_remark(remark) for remark in plan.remarks],
            tzdata=TZDATA_VERSION,
        )


class CreatedOut(BaseModel):
    line: int
    job: str = Field(description="The slug of the job.")
    schedule: int | None = Field(description="The id of the schedule, which is disabled; null: the job has none.")


class NotCreatedOut(BaseModel):
    line: int
    reason: str


class CrontabImportOut(BaseModel):
    created: list[CreatedOut]
    skipped: list[NotCreatedOut]
    failed: list[NotCreatedOut]
    remarks: list[RemarkOut] = Field(description="What can't be carried over, by line.")

    @classmethod
    def from_result(cls, plan: Plan, result: ImportResult) -> "CrontabImportOut":
        lines = {line for line, *_ in result.created}
        own = [remark for proposal in plan.proposals if proposal.entry.line in lines for remark in proposal.remarks]
        return cls(
            created=[
                CreatedOut(line=line, job=job.slug, schedule=schedule.pk if schedule else None)
                for line, job, schedule in result.created
            ],
            skipped=[NotCreatedOut(line=line, reason=reason) for line, reason in result.skipped],
            failed=[NotCreatedOut(line=line, reason=reason) for line, reason in result.failed],
            remarks=[RemarkOut.from_remark(remark) for remark in [*plan.remarks, *own]],
        )
