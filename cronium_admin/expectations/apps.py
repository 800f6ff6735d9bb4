"""Django's app configuration of `expectations`."""

from django.apps import AppConfig


class ExpectationsConfig(AppConfig):
    name = "cronium_admin.expectations"
    label = "expectations"
