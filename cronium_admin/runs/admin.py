"""Runs in Django's back office: to look at. Their status changes by transitions only."""

from django.contrib import admin
from django.http import HttpRequest

from cronium_admin.runs.models import Run


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("id", "job_slug", "number", "status", "reason", "host", "created_at", "finished_at")
    list_filter = ("status", "language")
    search_fields = ("=id", "job_slug")
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False
