"""Template tags: why runs wait, for list templates of packages that may not import `workers`."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django import template
from django.template import Context

from cronium_admin.runs.models import Run
from cronium_admin.workers.scheduling.diagnosis import explain_waits
from cronium_admin.workers.scheduling.queue_order import Obstacle

register = template.Library()


@register.simple_tag(takes_context=True)
def wait_reasons(context: Context, runs: Iterable[Run]) -> dict[UUID, Obstacle]:
    return explain_waits(runs, context["request"].user)


@register.filter("reason_of")
def wait_reason_of(reasons: dict[UUID, Obstacle], run: Any) -> str:
    reason = reasons.get(run.pk)
    return reason.words if reason else ""
