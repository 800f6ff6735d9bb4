"""Secrets on Django's admin site, read-only and without their values."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.secrets.models import Secret


@admin.register(Secret)
class SecretAdmin(ReadOnlyAdmin):
    list_display = ("name", "description", "updated_at", "last_used_at")
    search_fields = ("name", "description")
    exclude = ("encrypted",)
