"""Profiles on Django's admin site."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.profiles.models import Profile


@admin.register(Profile)
class ProfileAdmin(ReadOnlyAdmin):
    list_display = ("name", "cpu", "memory_mb", "pids")
