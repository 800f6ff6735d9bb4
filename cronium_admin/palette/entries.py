"""What the palette finds: pages, jobs and runs that the user may see, and acts on jobs."""

import re
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Case, When
from django.urls import reverse

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, can
from cronium_admin.core.line_text import fold_case
from cronium_admin.help.documents import search_documents
from cronium_admin.jobs.models import Job
from cronium_admin.palette.pages import list_pages
from cronium_admin.runs.models import Run

MAX_QUERY = 120  # characters
MAX_JOBS, MAX_RUNS, MAX_PAGES, MAX_HELP = 8, 6, 8, 4
MAX_NUMBERED = 200  # jobs whose runs of a number are looked up
_RUN_NUMBER = re.compile(r"#?([0-9]{1,9})")
_OF_RUN = ("pk", "number", "job_name", "job_slug", "status", "cancel_requested_at", "created_at")
_ACTS = {"run": Permission.RUN, "edit": Permission.EDIT}


@dataclass(frozen=True)
class Entry:
    """`launches`: the id of the job that it launches, by a POST to `url`; None: a link. Without `url` it is a note.
    `status` is a run's."""

    group: str
    icon: str
    label: str
    url: str
    detail: str = ""
    launches: int | None = None
    status: str = ""


_CUT = Entry(
    "Runs",
    "info-circle",
    f"Searched the {MAX_NUMBERED} jobs that reached this number last. Add a word of another job: NAME #12.",
    "",
)


def find_entries(user: User, query: str) -> list[Entry]:
    """At most MAX_JOBS, MAX_RUNS and MAX_PAGES of each group. At most four queries."""
    words = fold_case(query.replace("\0", "")[:MAX_QUERY]).split()
    if not words:
        return [*_list_own_runs(user), *_list_pages(user, [])]
    act = _ACTS.get(words[0]) if len(words) > 1 else None
    acts = _list_acts(user, words[0], act, words[1:]) if act else []
    return [
        *acts,
        *_list_runs(user, words),
        *_list_jobs(user, words[1:] if act else words),
        *_list_pages(user, words),
        *_list_help(query),
    ]


def _list_pages(user: User, words: list[str]) -> list[Entry]:
    pages = list(list_pages(user, words))[: MAX_PAGES if words else None]
    return [Entry("Pages", page.icon, page.label, url) for page, url in pages]


def _list_help(query: str) -> list[Entry]:
    found = search_documents(query, only_headings=True, limit=MAX_HELP)
    return [Entry("Help", "help", section.label, section.url) for section in found]


def _select_jobs(user: User, words: list[str]) -> list[Job]:
    # Those whose name begins with the first word come first
    jobs = Job.objects.visible_to(user).only("pk", "name", "slug", "enabled", "project", "language")
    for word in words:
        jobs = jobs.filter(search_text__contains=word)
    first = Case(When(search_text__startswith=words[0], then=0), default=1)
    return list(jobs.order_by(first, "order_key", "pk")[:MAX_JOBS])


def _list_jobs(user: User, words: list[str]) -> list[Entry]:
    return [
        Entry("Jobs", "list-details", job.name, reverse("jobs:job", args=[job.slug]), _describe_job(job))
        for job in _select_jobs(user, words)
    ]


def _describe_job(job: Job) -> str:
    return job.slug if job.enabled else f"{job.slug}, disabled"


def _list_acts(user: User, verb: str, needed: Permission, words: list[str]) -> list[Entry]:
    entries = []
    for job in _select_jobs(user, words):
        if not can(user, needed, job) or (verb == "run" and not job.enabled):
            continue
        if verb == "run":
            url = reverse("runs:launch", args=[job.slug])
            entries.append(Entry("Run", "player-play", f"Run {job.name}", url, job.slug, launches=job.pk))
        else:
            url = reverse("jobs:edit", args=[job.slug])
            entries.append(Entry("Edit", "edit", f"Edit {job.name}", url, job.slug))
    return entries


def _list_runs(user: User, words: list[str]) -> list[Entry]:
    """`#12` finds runs of this number, with further words those of matching jobs; an id finds its run."""
    runs = Run.objects.visible_to(user).only(*_OF_RUN)
    if len(words) == 1 and (run_id := _parse_id(words[0])):
        return [_make_run_entry(run) for run in runs.filter(pk=run_id)]
    number = _RUN_NUMBER.fullmatch(words[-1])
    if number is None or (len(words) == 1 and not words[0].startswith("#")):
        return []
    # Through the numbers of jobs, because no index has the runs by number alone. First the jobs that reached it last.
    jobs = Job.objects.visible_to(user).filter(last_run_number__gte=int(number[1]))
    for word in words[:-1]:
        jobs = jobs.filter(search_text__contains=word)
    ids = list(jobs.order_by("last_run_number", "-pk").values_list("pk", flat=True)[: MAX_NUMBERED + 1])
    # Sorted here: for an order PostgreSQL would read all runs, from the newest one.
    found = runs.filter(number=int(number[1]), job__in=ids[:MAX_NUMBERED]).only(*_OF_RUN).order_by()
    newest = sorted(found, key=lambda run: (run.created_at, run.pk), reverse=True)
    entries = [_make_run_entry(run) for run in newest[:MAX_RUNS]]
    return [*entries, _CUT] if len(ids) > MAX_NUMBERED else entries


def _list_own_runs(user: User) -> list[Entry]:
    runs = Run.objects.visible_to(user).filter(created_by=user).order_by("-created_at", "-pk")
    runs = runs.only(*_OF_RUN)
    return [_make_run_entry(run, "Your last runs") for run in runs[:MAX_RUNS]]


def _make_run_entry(run: Run, group: str = "Runs") -> Entry:
    url = reverse("runs:run", args=[run.pk])
    return Entry(group, "player-play", f"{run.job_name} #{run.number}", url, status=run.status)


def _parse_id(word: str) -> UUID | None:
    try:
        return UUID(word) if len(word) in (32, 36) else None
    except ValueError:
        return None
