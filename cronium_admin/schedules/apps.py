"""Django's app configuration of `schedules`."""

from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    name = "cronium_admin.schedules"
    label = "schedules"
