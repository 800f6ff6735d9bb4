"""Requests checks of script texts and reads their answers. Hosts take them, as they take tests of images."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.core.wakeup import SCRIPT_CHECKS, wake_workers
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.recipes import LINTER
from cronium_admin.script_checks.models import Action, ScriptCheck
from cronium_admin.script_checks.tools import FORMATTED, compute_digest

MAX_BYTES = 1_000_000
TAKE_TIME = timedelta(seconds=20)  # a check that no host has begun by then counts as not made
RUN_TIME = timedelta(seconds=60)
KEEP_TIME = timedelta(days=30)  # after the last request
RETRY_TIME = timedelta(seconds=15)  # a check without an answer is made again after this
MAX_OPEN, PER_MINUTE = 4, 30  # of one user
IMAGES = tuple(LINTER.get_reference(family) for family in ("debian", "alpine"))
NO_HOST = "No host has checked it in time. See the page Hosts."
NO_IMAGE = (
    f"No host has the image {LINTER.name} that checks scripts. An administrator makes it with `manage.py images build`."
)
SWITCHED_OFF = "Checks of scripts are switched off by CRONIUM_SCRIPT_CHECKS."


@dataclass(frozen=True)
class Report:
    """`state`: waiting; done; or unavailable, then `message` says why there is no answer."""

    state: str
    message: str = ""
    problems: tuple[dict[str, Any], ...] = ()
    is_cut: bool = False
    formatted: str | None = None  # null: the text is formatted already, or nobody asked


def request_check(user: User, action: str, language: str, text: str) -> Report:
    """The answer, or a check that is requested now; repeat the call until the state is another than `waiting`.

    Raises ApiError.
    """
    _refuse_unusable(text)
    if action == Action.FORMAT and language not in FORMATTED:
        return Report("unavailable", "Texts of this language can't be formatted here.")
    if settings.CONFIG.script_checks == "off":
        return Report("unavailable", SWITCHED_OFF)
    digest = compute_digest(action, language, text)
    row = ScriptCheck.objects.filter(digest=digest).first()
    if row and not _may_repeat(row):
        return describe_check(row)
    if all(presence.is_nowhere or not presence.hosts for presence in find_presence(IMAGES).values()):
        return Report("unavailable", NO_IMAGE)
    _refuse_many(user)
    _insert(user, digest, action, language, text)
    wake_workers(SCRIPT_CHECKS, SCRIPT_CHECKS)
    return Report("waiting")


def find_report(language: str, text: str) -> Report | None:
    """The answer for a text if there is one. Requests nothing."""
    row = ScriptCheck.objects.filter(digest=compute_digest(Action.CHECK, language, text)).exclude(finished_at=None)
    found = row.first()
    return describe_check(found) if found and not found.message else None


def describe_check(row: ScriptCheck) -> Report:
    if row.finished_at is None:
        return Report("unavailable", NO_HOST) if _find_lateness(row) > timedelta(0) else Report("waiting")
    if row.message:
        return Report("unavailable", row.message)
    problems = row.problems if isinstance(row.problems, list) else []
    return Report("done", "", tuple(problems), row.is_cut, row.formatted)


def find_untaken_checks() -> QuerySet[ScriptCheck]:
    return ScriptCheck.objects.filter(host="", finished_at=None, requested_at__gt=Now() - TAKE_TIME)


def take_check(host: str) -> ScriptCheck | None:
    """A requested check, for this host alone."""
    for row in find_untaken_checks().order_by("pk")[:5]:
        if ScriptCheck.objects.filter(pk=row.pk, host="", finished_at=None).update(host=host, started_at=Now()):
            row.host = host
            return row
    return None


def store_answer(
    row: ScriptCheck, problems: list[dict[str, Any]], is_cut: bool = False, formatted: str | None = None
) -> None:
    values = {"problems": problems, "is_cut": is_cut, "formatted": formatted}
    _find_taken(row).update(finished_at=Now(), text="", message="", **values)


def store_failure(row: ScriptCheck, message: str) -> None:
    _find_taken(row).update(finished_at=Now(), text="", message=message.replace("\0", "")[:500])


def find_expired_checks() -> QuerySet[ScriptCheck]:
    """Those that nobody has asked for in KEEP_TIME, and texts that no host has taken."""
    unanswered = Q(finished_at=None, requested_at__lt=Now() - timedelta(hours=1))
    return ScriptCheck.objects.filter(Q(requested_at__lt=Now() - KEEP_TIME) | unanswered)


def _find_taken(row: ScriptCheck) -> QuerySet[ScriptCheck]:
    return ScriptCheck.objects.filter(pk=row.pk, host=row.host, finished_at=None)


def _refuse_unusable(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _make_refusal("The script has half of a surrogate pair, which is no text.") from error
    if size > MAX_BYTES:
        raise _make_refusal(f"The script has {size:,} bytes; at most {MAX_BYTES:,} are checked.")
    if "\0" in text:
        raise _make_refusal("The script has a NUL character, which no script may have.")


def _make_refusal(text: str) -> ApiError:
    return ApiError(422, "invalid", f"script: {text}", {"script": [text]})


def _refuse_many(user: User) -> None:
    own = ScriptCheck.objects.filter(requested_by=user, requested_at__gt=Now() - timedelta(minutes=1))
    is_open = own.filter(finished_at=None, requested_at__gt=Now() - TAKE_TIME)
    if own.count() >= PER_MINUTE or is_open.count() >= MAX_OPEN:
        text = f"Too many checks: {PER_MINUTE} new texts a minute, and {MAX_OPEN} at once."
        raise ApiError(429, "busy", f"{text} Try again in some seconds.")


def _find_lateness(row: ScriptCheck) -> timedelta:
    """How long no host has taken or answered a check since its time was over."""
    return database_now() - (row.started_at or row.requested_at) - (RUN_TIME if row.host else TAKE_TIME)


def _may_repeat(row: ScriptCheck) -> bool:
    """Whether a check without an answer is made again."""
    if row.finished_at is None:
        return _find_lateness(row) > RETRY_TIME
    return bool(row.message) and database_now() - row.finished_at > RETRY_TIME


def _insert(user: User, digest: str, action: str, language: str, text: str) -> None:
    values = {"text": text, "requested_at": Now(), "requested_by": user, "host": "", "started_at": None}
    values |= {"finished_at": None, "message": ""}
    if ScriptCheck.objects.filter(digest=digest).update(**values):
        return
    try:
        with transaction.atomic():
            ScriptCheck.objects.create(digest=digest, action=action, language=language, **values)
    except IntegrityError:  # another request was faster
        return
