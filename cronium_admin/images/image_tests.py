"""Tests of images before an administrator chooses them: requested on the page, made by one host, answered in rows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.images.inventory import find_presence
from cronium_admin.images.models import ImageTest

TAKE_TIME = timedelta(seconds=60)  # a test that no host has begun by then counts as not made
TEST_TIME = timedelta(minutes=30)  # with a pull before it
KEEP_TIME = timedelta(days=1)


@dataclass(frozen=True)
class TestReport:
    """`state`: requested, running, no_host (no host began it, or the host did not answer), passed or failed."""

    __test__ = False  # pytest would collect it

    state: str
    host: str
    message: str  # a sentence; empty if all checks passed
    checks: list[dict[str, Any]]  # {"name", "passed", "found"} of each check that was made


# Runs gain no privileges by setuid files, so they do not keep an image from being chosen.
_NOTES = frozenset({"setuid"})


def request_test(language: str, reference: str) -> ImageTest:
    """An unfinished test of the same image is returned instead of a new one."""
    ImageTest.objects.filter(requested_at__lt=Now() - KEEP_TIME).delete()
    is_open = ImageTest.objects.filter(language=language, reference=reference, finished_at=None)
    # A time in the future: the database's clock was set back.
    known = is_open.filter(requested_at__gt=Now() - TAKE_TIME, requested_at__lt=Now() + TAKE_TIME).first()
    return known or ImageTest.objects.create(language=language, reference=reference)


def find_test(pk: int) -> ImageTest | None:
    return ImageTest.objects.filter(pk=pk).first()


def find_untaken_tests() -> QuerySet[ImageTest]:
    return ImageTest.objects.filter(host="", finished_at=None, requested_at__gt=Now() - TAKE_TIME)


def take_test(host: str) -> ImageTest | None:
    """A requested test for this host: of an image that it has, or that no host has. No other host makes it then."""
    for test in find_untaken_tests().order_by("pk"):
        presence = find_presence([test.reference])[test.reference]
        if host in presence.missing and not presence.is_nowhere:
            continue
        if ImageTest.objects.filter(pk=test.pk, host="").update(host=host, started_at=Now()):
            test.host = host
            return test
    return None


def store_test(test: ImageTest, checks: list[dict[str, Any]], message: str) -> None:
    rows = ImageTest.objects.filter(pk=test.pk, host=test.host, finished_at=None)
    rows.update(finished_at=Now(), checks=checks, message=message.replace("\0", ""))


def describe_test(test: ImageTest) -> TestReport:
    checks = test.checks if isinstance(test.checks, list) else []
    if test.finished_at:
        is_broken = any(not check.get("passed") and check.get("name") not in _NOTES for check in checks)
        has_passed = bool(checks) and not is_broken
        return TestReport("passed" if has_passed else "failed", test.host, "" if has_passed else test.message, checks)
    limit = TEST_TIME if test.host else TAKE_TIME
    if database_now() - (test.started_at or test.requested_at) > limit:
        return TestReport("no_host", test.host, "", checks)
    return TestReport("running" if test.host else "requested", test.host, "", checks)
