"""Runs on Django's admin site, read-only: their status changes only in `state_machine`."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.runs.models import Run


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("id", "job_slug", "number", "status", "reason", "host", "created_at", "finished_at")
    list_filter = ("status", "language")
    search_fields = ("=id", "job_slug")
    readonly_fields = ("env", "secrets", "egress", "input")  # in the revision or in `differs`
    show_full_result_count = False
