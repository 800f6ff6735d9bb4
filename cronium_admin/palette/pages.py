"""The pages that the palette offers."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import INSTANCE, Permission, can, can_somewhere
from cronium_admin.core.line_text import fold_case


@dataclass(frozen=True)
class PageEntry:
    """`words`: further words that find it."""

    label: str
    url_name: str
    icon: str
    words: str = ""
    needs: Permission = Permission.VIEW
    in_instance: bool = False  # in the whole instance, not only in a project


PAGES = (
    PageEntry("Home", "home", "home", "dashboard start"),
    PageEntry("Jobs", "jobs:list", "list-details", "scripts"),
    PageEntry("New job", "jobs:new", "plus", "create write script", Permission.EDIT),
    PageEntry("Runs", "runs:list", "player-play", "executions history"),
    PageEntry("Schedules", "schedules:list", "calendar-clock", "cron times"),
    PageEntry("Week ahead", "planning:week", "calendar-clock", "load plan schedules"),
    PageEntry("Last downtime", "schedules:downtime", "calendar-clock", "missed times"),
    PageEntry("Calendars", "calendars:list", "calendar-clock", "holidays closed days"),
    PageEntry("Import a crontab", "schedules:import", "calendar-clock", "cron", Permission.EDIT),
    PageEntry("Incidents", "expectations:list", "clock-exclamation", "late expected overdue"),
    PageEntry("Checks", "expectations:checks", "clock-exclamation", "ping heartbeat cron elsewhere"),
    PageEntry("Secrets", "secrets:list", "lock", "passwords tokens credentials"),
    PageEntry("Variables", "variables:list", "braces", "values state"),
    PageEntry("Images", "images:list", "photo", "containers docker", in_instance=True),
    PageEntry("Custom images", "images:builds", "photo", "builds packages"),
    PageEntry("Registries", "images:registries", "photo", "docker pull", in_instance=True),
    PageEntry("Profiles", "profiles:list", "adjustments", "limits cpu memory", in_instance=True),
    PageEntry("Hosts", "hosts:list", "server", "workers engines queues", in_instance=True),
    PageEntry("People", "access:people", "users", "users roles members", Permission.ADMIN, in_instance=True),
    PageEntry("API tokens", "access:tokens", "key", "access credentials"),
    PageEntry("Help", "help:list", "help", "documentation manual docs"),
    PageEntry("Styleguide", "styleguide", "adjustments", "components colours", Permission.ADMIN, in_instance=True),
    PageEntry("Your account", "account:page", "user-circle", "password sessions"),
)


def list_pages(user: User, words: list[str]) -> Iterator[tuple[PageEntry, str]]:
    """Those that `user` may open and that have all words, with their URLs. `words` are folded."""
    for page in PAGES:
        text = f"{fold_case(page.label)} {page.words}"
        allowed = can(user, page.needs, INSTANCE) if page.in_instance else can_somewhere(user, page.needs)
        if allowed and all(word in text for word in words):
            yield page, reverse(page.url_name)
