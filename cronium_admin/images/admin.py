"""Images in Django's back office."""

from django.contrib import admin

from cronium_admin.accounts.backoffice import ReadOnly
from cronium_admin.images.models import BuiltImage, HostImage, ImageOverride


@admin.register(BuiltImage)
class BuiltImageAdmin(ReadOnly):
    list_display = ("language", "reference", "built_at")


@admin.register(ImageOverride)
class ImageOverrideAdmin(ReadOnly):
    list_display = ("language", "reference", "updated_by", "updated_at")
    list_select_related = ("updated_by",)


@admin.register(HostImage)
class HostImageAdmin(ReadOnly):
    list_display = ("reference", "inventory", "image_id", "size")
    list_select_related = ("inventory",)
