"""Unit tests do without collected static files, which every new client would read from the disk."""

from typing import Any

import pytest

PLAIN = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


@pytest.fixture(autouse=True)
def _no_static_files(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": PLAIN}
