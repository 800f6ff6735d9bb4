"""Jobs in Django's back office: to look at. They are changed where a change counts as a revision."""

from django.contrib import admin
from django.http import HttpRequest

from cronium_admin.jobs.models import Job


@admin.register(Job)
class JobAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "slug", "language", "profile", "enabled", "revision", "updated_at")
    list_filter = ("language", "profile", "enabled")
    list_select_related = ("profile",)
    search_fields = ("name", "slug")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False
