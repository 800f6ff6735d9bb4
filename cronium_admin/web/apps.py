"""The Django app config of the package `web`: the commands that start a process."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "cronium_admin.web"
    label = "web"
