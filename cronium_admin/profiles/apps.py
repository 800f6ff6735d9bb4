"""Django's handle on the profiles room."""

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "cronium_admin.profiles"
    label = "profiles"
