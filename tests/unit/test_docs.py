"""The documentation's links, paths and test names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
TOP_FOLDERS = "bench|cronium_admin|deploy|docs|executor|frontend|images|scripts|static|templates|tests"

all_documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def heading_anchors(document: Path) -> set[str]:
    """The anchors that GitHub generates for the headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@all_documents
def test_links_lead_to_existing_files_and_headings(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in heading_anchors(target), f"{link}: no such heading"


@all_documents
def test_paths_exist(document: Path) -> None:
    paths = re.findall(rf"`((?:{TOP_FOLDERS})/[\w./-]*)`", document.read_text())
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_tests_that_the_security_page_names_exist() -> None:
    names = re.findall(r"`(test_\w+(?:\.py|\.\.\.)?)`", (ROOT / "docs" / "security.md").read_text())
    files = [*ROOT.glob("tests/**/test_*.py")]
    functions = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}
    assert names
    for name in names:
        if name.endswith(".py"):
            assert any(file.name == name for file in files), name
        elif name.endswith("..."):
            assert any(function.startswith(name.removesuffix("...")) for function in functions), name
        else:
            assert any(function.startswith(name) for function in functions), name


ARCHITECTURE = ROOT / "docs" / "architecture.md"
# The same in each room, so the page explains them once.
SAME_IN_EACH_ROOM = {"admin", "api", "apps", "forms", "models", "schemas", "urls", "views"}


def test_the_architecture_names_each_module() -> None:
    words = set(re.findall(r"[\w./-]+", " ".join(re.findall(r"`([^`]+)`", ARCHITECTURE.read_text()))))
    named = {part for word in words for part in word.removesuffix(".py").strip("/").split("/")}
    modules = [path for room in ("cronium_admin", "executor") for path in ROOT.glob(f"{room}/**/*.py")]
    own = {
        path
        for path in modules
        if path.stem not in {*SAME_IN_EACH_ROOM, "__init__", "__main__"}
        and not {"migrations", "management", "commands", "examples", "templatetags", "checks", "seccomp", "postgres"}
        & {*path.parent.parts}
    }
    missing = sorted(str(path.relative_to(ROOT)) for path in own if path.stem not in named)
    assert not missing, "name them in docs/architecture.md"


def test_the_paths_of_the_architecture_exist() -> None:
    """Paths may be relative to `cronium_admin/`, or to `frontend/src/` in the part about the browser."""
    text = ARCHITECTURE.read_text()
    for path in re.findall(r"`([\w-]+/[\w./-]+\.(?:py|js|md|json))`", text):
        places = (ROOT / path, ROOT / "cronium_admin" / path, ROOT / "frontend" / "src" / path)
        assert any(place.exists() for place in places), path
