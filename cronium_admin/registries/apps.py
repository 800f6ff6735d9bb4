"""Django's app configuration of `registries`."""

from django.apps import AppConfig


class RegistriesConfig(AppConfig):
    name = "cronium_admin.registries"
    label = "registries"
