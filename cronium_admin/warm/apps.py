from django.apps import AppConfig


class WarmConfig(AppConfig):
    name = "cronium_admin.warm"
    label = "warm"
