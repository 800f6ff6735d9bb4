"""Which jobs match a filter, and where a script has the words of a search."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Q, TextField
from django.db.models.functions import Cast

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import ProjectQuerySet
from cronium_admin.core.json_text import parse_stored
from cronium_admin.core.line_text import fold_case
from cronium_admin.jobs.folded_scripts import FoldedScript
from cronium_admin.jobs.job_filter import JobFilter
from cronium_admin.jobs.list_models import JobPin
from cronium_admin.jobs.models import Job

MAX_WORDS = 20
MAX_TAGS = 40
MAX_LINE_CHARACTERS = 160


@dataclass(frozen=True)
class ScriptMatch:
    line: int
    text: str


def filter_jobs(user: User, chosen: JobFilter) -> ProjectQuerySet[Job]:
    """The visible jobs that match `chosen`, without its `state` and `sort`."""
    jobs = Job.objects.visible_to(user)
    for word in chosen.q.split()[:MAX_WORDS]:
        jobs = jobs.filter(_match_word(word))
    for name in ("language", "network"):
        if value := getattr(chosen, name):
            jobs = jobs.filter(**{name: value})
    if chosen.tag:
        jobs = jobs.filter(has_tag(chosen.tag))
    if chosen.project:
        jobs = jobs.filter(project__slug=chosen.project)
    if chosen.mine:
        jobs = jobs.filter(created_by=user)
    if chosen.pinned:
        jobs = jobs.filter(pk__in=JobPin.objects.filter(user=user).values("job"))
    return jobs


def has_tag(tag: str) -> Q:
    # SQLite searches the JSON list as text, in which a tag is quoted.
    return Q(tags__icontains=f'"{tag}"') if connection.vendor == "sqlite" else Q(tags__contains=[tag])


def _match_word(word: str) -> Q:
    """`image:NAME` (`image:default`: no image of its own) and `language:NAME` filter; other words are searched for in
    name, slug, tags, description and script."""
    name, _, value = word.partition(":")
    if name == "image" and value == "default":
        return Q(image="")
    if name == "image" and value:
        return Q(image=value) | Q(image__startswith=f"{value}:")
    if name == "language" and value:
        return Q(language=value)
    folded = fold_case(word)
    # A condition by ids: each script is read once, and no join makes the rows wide.
    scripts = FoldedScript.objects.filter(text__contains=folded).values("job")
    return Q(search_text__contains=folded) | Q(pk__in=scripts)


def list_tags(user: User, chosen: str) -> list[str]:
    """The tags of the visible jobs, by name: the MAX_TAGS most used ones, and the `chosen` one."""
    jobs = Job.objects.visible_to(user).exclude(tags=[]).order_by()
    counts: dict[str, int] = {}
    for text, number in jobs.annotate(text=Cast("tags", TextField())).values_list("text").annotate(number=Count("pk")):
        for tag in parse_stored(text):
            counts[tag] = counts.get(tag, 0) + number
    most = sorted(counts, key=lambda tag: (-counts[tag], tag))[:MAX_TAGS]
    return sorted({*most, *([chosen] if chosen else [])})


def list_visible_projects(user: User) -> list[Project]:
    projects = Project.objects.order_by("name", "pk")
    if not user.has_permission(Permission.VIEW):
        projects = projects.filter(pk__in=user.list_project_ids(Permission.VIEW))
    return list(projects)


def find_script_matches(jobs: Iterable[Job], query: str) -> dict[int, ScriptMatch]:
    """By job: the line of the script with a word of `query` that nothing else of the job has."""
    words = [fold_case(word) for word in query.split()[:MAX_WORDS] if not re.match("(image|language):.", word)]
    missing = {job.pk: lacking for job in jobs if (lacking := [word for word in words if word not in job.search_text])}
    if not missing:
        return {}
    scripts = Job.objects.filter(pk__in=missing).values_list("pk", "script")
    found = ((pk, _find_line(script, missing[pk])) for pk, script in scripts)
    return {pk: match for pk, match in found if match}


def _find_line(script: str, words: list[str]) -> ScriptMatch | None:
    for number, line in enumerate(script.split("\n"), 1):
        folded = fold_case(line)
        position = min((at for word in words if (at := folded.find(word)) >= 0), default=-1)
        if position >= 0:
            start = max(0, position - MAX_LINE_CHARACTERS // 2) if len(line) > MAX_LINE_CHARACTERS else 0
            return ScriptMatch(number, ("…" if start else "") + line[start : start + MAX_LINE_CHARACTERS].strip())
    return None
