"""The name by which this installation knows its own containers and networks on an engine."""

import secrets

from django.conf import settings
from django.db import connection

from cronium_admin.data_folder import stored_secret
from cronium_admin.hosts.models import Installation


def instance() -> str:
    """The label's value. Workers on many machines share it by their database; alone it is a file of the data folder."""
    if connection.vendor == "sqlite":
        return stored_secret(settings.DATA_DIR, "instance_id")
    row, _ = Installation.objects.get_or_create(pk=1, defaults={"instance": secrets.token_urlsafe(9)})
    return row.instance
