"""Images on Django's admin site."""

from django.contrib import admin

from cronium_admin.accounts.admin_site import ReadOnlyAdmin
from cronium_admin.images.models import BuiltImage, HostImage, ImageOverride, OwnImage


@admin.register(BuiltImage)
class BuiltImageAdmin(ReadOnlyAdmin):
    list_display = ("language", "reference", "built_at")


@admin.register(ImageOverride)
class ImageOverrideAdmin(ReadOnlyAdmin):
    list_display = ("language", "reference", "updated_by", "updated_at")
    list_select_related = ("updated_by",)


@admin.register(HostImage)
class HostImageAdmin(ReadOnlyAdmin):
    list_display = ("reference", "inventory", "image_id", "size")
    list_select_related = ("inventory",)


@admin.register(OwnImage)
class OwnImageAdmin(ReadOnlyAdmin):
    list_display = ("reference", "image_id", "size", "version", "built_at", "updates_checked_at")
    exclude = ("sbom",)
