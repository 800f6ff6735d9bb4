"""What users have requested of a host: one query that each host repeats, however many kinds there are."""

from typing import Any

from django.db.models import CharField, QuerySet, Value

from cronium_admin.images.image_tests import find_untaken_tests
from cronium_admin.images.pulls import find_requested_pulls
from cronium_admin.registries.checks import find_untaken_checks
from cronium_admin.script_checks.service import find_untaken_checks as find_untaken_script_checks

CHECK, PULL, SCRIPT, TEST = "check", "pull", "script", "test"


def find_requested_kinds(host: str) -> set[str]:
    """Which of CHECK, PULL, SCRIPT and TEST may wait for this host."""
    waiting = {
        CHECK: find_untaken_checks(),
        PULL: find_requested_pulls(host),
        SCRIPT: find_untaken_script_checks(),
        TEST: find_untaken_tests(),
    }
    first, *others = (_select_kind(rows, kind) for kind, rows in waiting.items())
    return {kind for (kind,) in first.union(*others)}


def _select_kind(rows: QuerySet[Any, Any], kind: str) -> QuerySet[Any, tuple[str]]:
    selected: QuerySet[Any, tuple[str]] = rows.order_by().annotate(kind=Value(kind, CharField())).values_list("kind")
    return selected
