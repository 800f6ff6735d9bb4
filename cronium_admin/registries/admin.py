"""Registries on Django's admin site."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.registries.models import ImagePolicy, Registry


@admin.register(Registry)
class RegistryAdmin(ReadOnlyAdmin):
    list_display = ("address", "may_pull", "may_push", "policy", "is_shared")


@admin.register(ImagePolicy)
class ImagePolicyAdmin(ReadOnlyAdmin):
    list_display = ("image", "policy")
