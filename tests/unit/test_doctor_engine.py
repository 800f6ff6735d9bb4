"""Doctor's results for an engine, by its answers and its address."""

from types import SimpleNamespace
from typing import Any

import pytest

from cronium_admin.workers.health.checks.docker_engine import check_engine


@pytest.mark.parametrize(
    ("address", "info", "state", "words"),
    [
        ("http+docker://localhost", {}, "ok", "Docker Engine 20.10"),
        ("https://10.0.0.1:2376", {}, "ok", "Docker Engine 20.10"),
        ("http://10.0.0.1:2375", {}, "warning", "without TLS"),
        ("http+docker://localhost", {"PidsLimit": False}, "warning", "processes"),
        ("http+docker://localhost", {"OSType": "windows"}, "failed", "does not run Linux containers"),
    ],
)
def test_an_engine_is_judged(address: str, info: dict[str, Any], state: str, words: str) -> None:
    client = SimpleNamespace(base_url=address, version=lambda: {"Version": "20.10.24", "ApiVersion": "1.41"})
    patient: Any = SimpleNamespace(client=client, info=info)
    (row,) = check_engine(patient)
    assert row.state == state
    assert words in row.found
    assert bool(row.mend) == (state != "ok")
