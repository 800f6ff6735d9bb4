"""The choices of the filters of a list of runs, and the chips that say what is filtered."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Q

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.line_text import fold_case
from cronium_admin.core.templatetags.ui import LANGUAGES, STATES
from cronium_admin.jobs.models import Job
from cronium_admin.runs.filters import RunFilter, has_visible_runs
from cronium_admin.runs.input_values import PREFIX
from cronium_admin.runs.models import Status
from cronium_admin.runs.presentation.reasons import DESCRIPTIONS, describe_reason
from cronium_admin.runs.triggers import Trigger

MAX_SUGGESTED = 20
MAX_NAMED = 100  # hosts and people
PERIOD_WORDS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
_IMPLIED_REASONS = {"exit_code": "script failed", "timeout": "time limit reached", "cancelled": "cancelled"}
_TITLES = {
    "job": "Job",
    "project": "Project",
    "tag": "Tag",
    "status": "State",
    "reason": "Reason",
    "trigger": "Trigger",
    "by": "Launched by",
    "host": "Host",
    "language": "Language",
    "period": "Launched",
    "since": "Launched since",
    "until": "Launched before",
}


@dataclass(frozen=True)
class Facet:
    """A filter with a short list of values; `chosen` is how many of them are."""

    name: str
    title: str
    options: list[tuple[str, str, bool]]

    @property
    def chosen(self) -> int:
        return sum(is_chosen for _, _, is_chosen in self.options)


@dataclass(frozen=True)
class Chip:
    """One value that filters. `query` is the address without it; `is_time`: `value` is an instant."""

    name: str
    title: str
    value: str
    words: str
    query: str
    is_time: bool = False

    @property
    def is_kept(self) -> bool:
        """The form has no field that shows it, so a hidden one keeps it."""
        return self.name in ("job", "by", "tag") or self.name.startswith(PREFIX)


def list_states() -> list[tuple[str, str]]:
    return [("live", "Waiting or running"), *((status, STATES[status][1]) for status in Status.values)]


def list_reasons() -> list[tuple[str, str]]:
    found = [(code, describe_reason(code) or words) for code, words in _IMPLIED_REASONS.items()]
    seen = {words for _, words in found}
    for code, words in DESCRIPTIONS.items():
        found += [(code, words)] if words not in seen else [(code, f"{words} (build)")]
        seen.add(words)
    return found


def build_facets(chosen: RunFilter, user: User) -> tuple[list[Facet], list[Facet]]:
    """The filters that are always shown, and those of the part "More filters"."""
    shown = [_make_facet(chosen, "status", list_states()), _make_facet(chosen, "reason", list_reasons())]
    more = [
        _make_facet(chosen, "trigger", Trigger.choices),
        _make_facet(chosen, "language", [(name, words) for name, (_, words) in LANGUAGES.items()]),
    ]
    if user.has_permission(Permission.VIEW):
        # `workers`, a higher layer, has the hosts.
        names = apps.get_model("hosts", "Host").objects.order_by("name").values_list("name", flat=True)
        more.append(_make_facet(chosen, "host", [(name, name) for name in names[:MAX_NAMED]]))
        projects = [(project.slug, project.name) for project in Project.objects.order_by("name")[:MAX_NAMED]]
    else:
        ids = user.list_project_ids(Permission.VIEW)
        projects = [(project.slug, project.name) for project in Project.objects.filter(pk__in=ids).order_by("name")]
    if len(projects) > 1 or chosen.project:
        more.append(_make_facet(chosen, "project", projects))
    return shown, more


def _make_facet(chosen: RunFilter, name: str, options: Iterable[tuple[str, str]]) -> Facet:
    values = getattr(chosen, name)
    listed = [(value, words, value in values) for value, words in options]
    known = {value for value, _, _ in listed}
    listed += [(value, value, True) for value in values if value not in known]
    return Facet(name, _TITLES[name], listed)


def list_chips(chosen: RunFilter, jobs: Iterable[Job], unknown_jobs: Iterable[str]) -> list[Chip]:
    names = {slug: f"No job {slug}" for slug in unknown_jobs} | {job.slug: job.name for job in jobs}
    words = {
        "job": names,
        "status": dict(list_states()),
        "reason": dict(list_reasons()),
        "trigger": dict(Trigger.choices),
        "language": {name: label for name, (_, label) in LANGUAGES.items()},
        "period": PERIOD_WORDS,
    }
    return [
        Chip(
            name,
            _TITLES.get(name, name.removeprefix(PREFIX)),
            value,
            words.get(name, {}).get(value, value),
            chosen.to_query(without=name, value=value),
            name in ("since", "until"),
        )
        for name, value in chosen.list_values()
    ]


def list_people(user: User) -> list[str]:
    """Names to choose from, for users who see all runs."""
    if not user.has_permission(Permission.VIEW):
        return []
    return list(User.objects.filter(is_active=True).order_by("username").values_list("username", flat=True)[:MAX_NAMED])


def find_job_suggestions(user: User, text: str) -> list[Job]:
    """Jobs whose name, slug or tags contain each word of `text`."""
    jobs = Job.objects.visible_to(user).only("name", "slug")
    for word in text.split()[:6]:
        jobs = jobs.filter(Q(search_text__contains=fold_case(word)))
    return list(jobs[:MAX_SUGGESTED])


def has_launched_runs(user: User) -> bool:
    return Job.objects.visible_to(user).filter(last_run_number__gt=0).exists() or has_visible_runs(user)
