"""Django's app configuration of `secrets`."""

from django.apps import AppConfig


class SecretsConfig(AppConfig):
    name = "cronium_admin.secrets"
    label = "secrets"
