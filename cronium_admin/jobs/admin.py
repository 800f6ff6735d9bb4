"""Jobs in Django's back office: to look at. They are changed where a change counts as a revision."""

from django.contrib import admin

from cronium_admin.accounts.backoffice import ReadOnlyAdmin
from cronium_admin.jobs.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "language", "profile", "enabled", "revision", "updated_at")
    list_filter = ("language", "profile", "enabled")
    list_select_related = ("profile",)
    search_fields = ("name", "slug")
