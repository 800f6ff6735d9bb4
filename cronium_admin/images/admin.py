"""Images in Django's back office."""

from django.contrib import admin

from cronium_admin.images.models import BuiltImage, ImageOverride


@admin.register(BuiltImage)
class BuiltImageAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("language", "reference", "built_at")


@admin.register(ImageOverride)
class ImageOverrideAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("language", "reference", "updated_by", "updated_at")
    list_select_related = ("updated_by",)
