"""Django's handle on the hosts room."""

from django.apps import AppConfig


class HostsConfig(AppConfig):
    name = "cronium_admin.hosts"
    label = "hosts"
