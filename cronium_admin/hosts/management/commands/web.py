"""`manage.py web`: the dashboard and API alone."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from cronium_admin.hosts.management.commands.serve import run_server


class Command(BaseCommand):
    help = "The dashboard and API without an executor. Needs CRONIUM_DATABASE_URL and CRONIUM_REDIS_URL."

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_single_process_parts()
        run_server()


def refuse_single_process_parts() -> None:
    """Separate processes can share neither an in-memory broker nor, across machines, a SQLite file."""
    if not settings.CONFIG.redis_url:
        raise CommandError(
            "CRONIUM_REDIS_URL is not set. Separate processes need Redis or Valkey to reach each other, such as "
            "redis://127.0.0.1:6379/0. For one process without it use `manage.py serve`."
        )
