"""Django's app configuration of `accounts`. The label `access` is in table names and migrations."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "cronium_admin.accounts"
    label = "access"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from cronium_admin.accounts import sessions

        user_logged_in.connect(sessions.on_signed_in, dispatch_uid="cronium.signed_in")
        user_logged_out.connect(sessions.on_signed_out, dispatch_uid="cronium.signed_out")
