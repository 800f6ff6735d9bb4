"""Unit tests do without collected static files, which every new client would read from the disk."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings


@pytest.fixture(scope="package", autouse=True)
def _no_static_files() -> Iterator[None]:
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if not name.startswith("servestatic.")]):
        yield
