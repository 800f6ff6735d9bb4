"""The tab Disk: how full the engines' disks are, and why each pulled image stays or goes."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from cronium_admin.accounts.page_permissions import get_current_user, require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.image_pages.tabs import count_tabs
from cronium_admin.images.disk import list_disks
from cronium_admin.images.models import HostDisk

_SHOWN_REMOVED = 10


@require_safe
@require_permission(Permission.VIEW)
def show_disks(request: HttpRequest) -> HttpResponse:
    context = {
        "disks": [_build_disk(disk) for disk in list_disks()],
        "high": settings.CONFIG.image_disk_high,
        "low": settings.CONFIG.image_disk_low,
        "tabs": count_tabs(get_current_user(request)),
        "nav": "images",
        "tab": "disk",
    }
    return render(request, "images/disk.html", context)


def _build_disk(disk: HostDisk) -> dict[str, Any]:
    high, percent = settings.CONFIG.image_disk_high, disk.percent
    removed = [{**item, "at": _parse_time(item.get("at"))} for item in disk.removed[:_SHOWN_REMOVED]]
    return {"row": disk, "percent": percent, "is_full": bool(high and percent and percent >= high), "removed": removed}


def _parse_time(text: Any) -> datetime | None:
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(text)
    return None
