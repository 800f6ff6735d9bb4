"""What Django's debug page (CRONIUM_DEBUG) and its plain-text twin show of the settings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class HideCredentials(SafeExceptionReporterFilter):
    """Hides the settings with URLs too: those of the database, broker, cache and channel layer hold passwords."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|CONFIG|BROKER|LOCATION|ADDRESS|DATABASE_URL|REDIS_URL",
        re.IGNORECASE,
    )
