"""Django's handle on the web room: the commands that start a process."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "cronium_admin.web"
    label = "web"
