"""The editor's table of helper functions names exactly the functions that the images have."""

import re
from pathlib import Path

import pytest

from cronium_admin.jobs.helper_docs import HELPERS

IMAGES = Path(__file__).resolve().parents[2] / "images"
PUBLIC = {
    "bash": re.findall(r"^(cronium_\w+)\(\) \(", (IMAGES / "bash/cronium.sh").read_text(), re.M),
    "python": re.findall(r"^def ([a-z]\w+)\(", (IMAGES / "python/cronium.py").read_text(), re.M),
    "node": re.findall(r"^async function (\w+)\(", (IMAGES / "node/cronium.js").read_text(), re.M),
}
INTERNAL = {"node": {"runInSlot", "sendOnce", "callApi"}}


@pytest.mark.parametrize("language", sorted(PUBLIC))
def test_the_table_names_the_real_helpers(language: str) -> None:
    names = [helper.name for helper in HELPERS[language]]
    real = set(PUBLIC[language]) - INTERNAL.get(language, set())
    assert set(names) | {"event"} == real | {"event"} if language == "node" else set(names) == real
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("language", sorted(PUBLIC))
def test_each_example_calls_its_helper(language: str) -> None:
    for helper in HELPERS[language]:
        assert helper.name in helper.insert
        assert 20 < len(helper.words) < 120
