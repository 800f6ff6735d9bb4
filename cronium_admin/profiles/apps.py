"""Django's app configuration of `profiles`."""

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "cronium_admin.profiles"
    label = "profiles"
