"""Checks of registries: requested by a user, made by one host, which stores the results."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.registries.models import Registry

CHECK_TIME = timedelta(seconds=120)  # a check that no host has made by then counts as not made
# What users without the role Administrator read instead of a step's text, which names users, programs and images.
_PUBLIC_TEXTS: dict[tuple[str, Any], str] = {
    ("sign-in", True): "The sign-in works.",
    ("sign-in", False): "The sign-in failed",
    ("pull", True): "The image to check with can be pulled.",
    ("pull", False): "The image to check with can't be pulled",
    ("push", True): "A push works.",
    ("push", False): "The push failed",
}
_PUBLIC_CAUSES = {
    "image_pull_denied": "the credentials are missing or were refused",
    "image_not_found": "the registry has no such image",
    "image_pull_limited": "the registry limits the number of requests",
    "registry_unreachable": "the registry does not answer as it should, or its certificate is not trusted",
    "engine_unreachable": "the host's Docker Engine does not answer",
}


@dataclass(frozen=True)
class CheckReport:
    """The state of a registry's check, for pages and the API.

    `state`: never; requested, until a host has stored the results; no_host, if none did within CHECK_TIME; done.
    `host`, `at` and `results` are those of the last check that was made. They are empty before it.
    """

    state: str
    requested_at: datetime | None
    host: str
    at: datetime | None
    results: list[dict[str, Any]]

    @property
    def is_ok(self) -> bool:
        return self.at is not None and all(result.get("ok") is not False for result in self.results)

    @property
    def stops_pulls(self) -> bool:
        """Whether another step than the push failed."""
        return any(result.get("ok") is False and result.get("step") != "push" for result in self.results)

    @property
    def problem(self) -> str:
        """The text of the first step that failed; empty without one."""
        return next((str(result.get("text", "")) for result in self.results if result.get("ok") is False), "")


def request_check(registry: Registry) -> None:
    """Asks the hosts to check sign-in, pull and push. The first one that looks makes the check."""
    _request_checks(Q(pk=registry.pk))


def request_all_checks() -> None:
    _request_checks(Q())


def _request_checks(which: Q) -> None:
    # A requested check stays as it is until its time is over: a host may be making it.
    # A time in the future: the database's clock was set back.
    is_open = Q(check_requested_at__gt=Now() - CHECK_TIME, check_requested_at__lt=Now() + CHECK_TIME)
    Registry.objects.filter(which).exclude(is_open).update(check_requested_at=Now(), check_host="")


def find_untaken_checks() -> QuerySet[Registry]:
    return Registry.objects.filter(check_requested_at__gt=Now() - CHECK_TIME, check_host="")


def take_check(host: str) -> Registry | None:
    """A requested check, which no other host makes then."""
    for registry in find_untaken_checks().order_by("check_requested_at"):
        untaken = Registry.objects.filter(pk=registry.pk, check_requested_at=registry.check_requested_at, check_host="")
        if untaken.update(check_host=host):
            registry.check_host = host
            return registry
    return None


def store_check(registry: Registry, host: str, results: list[dict[str, Any]]) -> None:
    """Stores the results of a taken check, unless the registry was changed since then: they are of other settings."""
    taken = Registry.objects.filter(pk=registry.pk, version=registry.version, check_host=host)
    taken.update(checked_at=Now(), checked_on=host, results=results, check_requested_at=None, check_host="")


def describe_check(registry: Registry, *, for_admin: bool) -> CheckReport:
    requested_at = registry.check_requested_at
    if requested_at is not None:
        state = "requested" if database_now() - requested_at < CHECK_TIME else "no_host"
    else:
        state = "done" if registry.checked_at else "never"
    results = [result for result in registry.results or () if isinstance(result, dict)]
    if not for_admin:
        results = [_hide_details(result) for result in results]
    return CheckReport(state, requested_at, registry.checked_on, registry.checked_at, results)


def _hide_details(result: dict[str, Any]) -> dict[str, Any]:
    step, is_ok = str(result.get("step", "")), result.get("ok")
    text = _PUBLIC_TEXTS.get((step, is_ok), "Not checked.")
    if is_ok is False:
        cause = _PUBLIC_CAUSES.get(str(result.get("reason", "")), "")
        text = f"{text}{f': {cause}' if cause else ''}. Administrators see the details."
    return {"step": step, "ok": is_ok, "text": text}
