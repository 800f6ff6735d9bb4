"""The Django app of the images room."""

from django.apps import AppConfig


class ImagesConfig(AppConfig):
    name = "cronium_admin.images"
    label = "images"
