"""Django's handle on the secrets room."""

from django.apps import AppConfig


class SecretsConfig(AppConfig):
    name = "cronium_admin.secrets"
    label = "secrets"
