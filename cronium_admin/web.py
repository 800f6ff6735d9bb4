"""What belongs to every page and to no room: the context of the frame."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from cronium_admin.access.roles import May
from cronium_admin.runs.models import LIVE, Run


def context(request: HttpRequest) -> dict[str, Any]:
    """`can`: what the person may do; `live_count`: the runs that live now, asked for only by pages with a frame."""
    user = getattr(request, "user", None)
    known = user is not None and user.is_authenticated and hasattr(user, "may")
    return {
        "can": {right.name.lower(): known and user.may(right) for right in May} if user is not None else {},
        "live_count": SimpleLazyObject(lambda: Run.objects.filter(status__in=LIVE).count()),
        "app_version": settings.VERSION,
    }
