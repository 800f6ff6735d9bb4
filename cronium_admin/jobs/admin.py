"""Jobs on Django's admin site, read-only: changes must go through the service, which counts revisions."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.jobs.models import Job, JobRevision


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "language", "profile", "enabled", "revision", "updated_at")
    list_filter = ("language", "profile", "enabled")
    list_select_related = ("profile",)
    search_fields = ("name", "slug")


@admin.register(JobRevision)
class JobRevisionAdmin(ReadOnlyAdmin):
    list_display = ("number", "job", "by_name", "at", "restored_from", "is_partial")
    list_select_related = ("job",)
    search_fields = ("job__slug",)
