"""Profiles in Django's back office."""

from django.contrib import admin

from cronium_admin.profiles.models import Profile


@admin.register(Profile)
class ProfileAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("name", "cpu", "memory_mb", "pids")
