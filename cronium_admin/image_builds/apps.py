"""Django's app configuration of `image_builds`."""

from django.apps import AppConfig


class ImageBuildsConfig(AppConfig):
    name = "cronium_admin.image_builds"
    label = "image_builds"
