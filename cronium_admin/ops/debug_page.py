"""Hides credentials in the settings that Django's debug page (CRONIUM_DEBUG) and its plain-text form show."""

import re

from django.views.debug import SafeExceptionReporterFilter


class HideCredentials(SafeExceptionReporterFilter):
    """Also hides settings with URLs: those of the database, broker, cache and channel layer contain passwords."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|CONFIG|BROKER|LOCATION|ADDRESS|DATABASE_URL|REDIS_URL",
        re.IGNORECASE,
    )
