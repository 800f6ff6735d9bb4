"""Secrets in Django's back office: to look at, without their values in any form."""

from django.contrib import admin
from django.http import HttpRequest

from cronium_admin.secrets.models import Secret


@admin.register(Secret)
class SecretAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "description", "updated_at", "last_used_at")
    search_fields = ("name", "description")
    exclude = ("encrypted",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Secret | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Secret | None = None) -> bool:
        return False
