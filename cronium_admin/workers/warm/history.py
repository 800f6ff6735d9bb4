"""Reads the launches of the last hour on a host, and the shapes of new jobs, from the database."""

from collections.abc import Collection
from datetime import timedelta

from django.db.models import F

from cronium_admin.core.database.clock import Now
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Network
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile
from cronium_admin.runs.models import Run
from cronium_admin.warm.shapes import SHAPE_COLUMNS, WarmShape

LOOKBACK = timedelta(hours=1)
MAX_LAUNCHES = 2000


def read_recent_launches(host: str) -> list[tuple[WarmShape, float]]:
    """The shape of each claimed run, and how many seconds ago it was claimed; the oldest first."""
    recent = Run.objects.filter(host=host, created_at__gt=Now() - LOOKBACK, claimed_at__isnull=False)
    ages = recent.order_by("-created_at").values(*SHAPE_COLUMNS, age=Now() - F("claimed_at"))[:MAX_LAUNCHES]
    return [(WarmShape.from_columns(row), max(0.0, row["age"].total_seconds())) for row in reversed(list(ages))]


def find_default_shapes(languages: Collection[str]) -> list[WarmShape]:
    """The shapes of new jobs in these languages: default profile, network and image."""
    profile = Profile.objects.filter(name=DEFAULT_PROFILE).first()
    if profile is None:
        return []
    limits = profile.limits
    return [
        WarmShape(
            language=language,
            image=resolve_image(language).reference,
            cpu=limits.cpu,
            memory_mb=limits.memory_mb,
            pids=limits.pids,
            log_limit_mb=limits.log_limit_mb,
            network=Network.ISOLATED.value,
            runtime=profile.runtime,
        )
        for language in sorted(languages)
    ]
