"""`manage.py bootstrap`: creates the first administrator and the example jobs. Safe to run at every start."""

import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, transaction

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Role
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.examples import load_examples


class Command(BaseCommand):
    help = "Creates the first administrator and loads the example jobs, if there are none yet."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.make_administrator()
        try:
            jobs = load_examples()
        except ApiError as error:
            raise CommandError(error.message) from error
        if jobs:
            self.stdout.write(f"Loaded {len(jobs)} example jobs.")

    def make_administrator(self) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        name, password = settings.CONFIG.admin_user, settings.CONFIG.admin_password
        generated = "" if password else secrets.token_urlsafe(12)
        try:
            with transaction.atomic():
                User.objects.create_superuser(name, password=password or generated, role=Role.ADMIN)
        except ValidationError as error:
            raise CommandError(f"CRONIUM_ADMIN_USER={name!r}: {' '.join(error.messages)}") from error
        except IntegrityError as error:
            raise CommandError(
                f"There is no administrator, and the account {name!r} exists but is not an administrator. Set "
                "CRONIUM_ADMIN_USER to a free name, or run `manage.py createsuperuser`."
            ) from error
        if generated:
            title = "The first administrator was created. These credentials are shown only once:"
            self.stdout.write("\n".join(["", title, f"  user      {name}", f"  password  {generated}", ""]))
        else:
            self.stdout.write(f"The first administrator {name} was created with CRONIUM_ADMIN_PASSWORD.")
