"""`manage.py diffsettings`: Django's command, with all credentials hidden."""

from typing import Any

from django.core.management.commands import diffsettings

from cronium_admin.ops.debug_page import HideCredentials


class Command(diffsettings.Command):
    def output_hash(self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any) -> list[str]:
        return super().output_hash(_hide_credentials(user_settings), default_settings, **options)

    def output_unified(
        self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any
    ) -> list[str]:
        return super().output_unified(_hide_credentials(user_settings), default_settings, **options)


def _hide_credentials(user_settings: dict[str, str]) -> dict[str, str]:
    safe = HideCredentials().get_safe_settings()
    return {name: repr(safe[name]) if name in safe else text for name, text in user_settings.items()}
