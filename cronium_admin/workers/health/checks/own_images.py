"""The age of own images, and the updates since they were built. Reads stored facts: the search takes too long."""

from collections.abc import Iterator
from datetime import timedelta

from django.utils.timesince import timesince

from cronium_admin.core.database.clock import database_now
from cronium_admin.images.models import OwnImage
from cronium_admin.images.own_images import count_security_updates, describe_updates
from cronium_admin.workers.health.probe import HealthProbe
from cronium_admin.workers.health.results import CheckResult

OLD = timedelta(days=30)  # without known updates, an older image is worth a word
REFRESH = "Run `manage.py images build --refresh`."


def check_own_images(probe: HealthProbe) -> Iterator[CheckResult]:
    images = probe.call_database(lambda: list(OwnImage.objects.order_by("reference").defer("sbom")))
    now = probe.call_database(database_now)
    for image in images:
        name = image.reference.removeprefix("cronium/").removeprefix("runner:")
        age = timesince(image.built_at, now, depth=1).replace("\xa0", " ")
        found = f"{image.reference}: {age} old, {describe_updates(image)}"
        is_old_and_unknown = image.updates is None and now - image.built_at > OLD
        if count_security_updates(image) or is_old_and_unknown:
            yield CheckResult(f"updates {name}", "warning", found, REFRESH)
        else:
            yield CheckResult(f"updates {name}", "ok", found)
