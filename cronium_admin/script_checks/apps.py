from django.apps import AppConfig


class ScriptChecksConfig(AppConfig):
    name = "cronium_admin.script_checks"
    label = "script_checks"
