"""The deployment files keep what docs/deploy.md promises; each transition is in docs/reliability.md."""

import ast
import re
from pathlib import Path

import pytest

from cronium_admin.runs import transitions

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"\$\{(\w*(?:PASSWORD|SECRET_KEY|ENCRYPTION_KEYS)\w*)", COMPOSE)))
)
def test_a_secret_has_no_default_in_compose_or_the_example(name: str) -> None:
    uses = set(re.findall(r"\$\{" + name + r"(:\?|:-\}|.?)", COMPOSE))
    assert uses in ({":?"}, {":-}"}), "it is demanded, or may be left out"
    assert re.search(rf"^{'' if uses == {':?'} else '#'}{name}=$", EXAMPLE, re.MULTILINE)


def test_what_compose_demands_is_in_the_example() -> None:
    demanded = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    assert demanded
    assert demanded == set(re.findall(r"^(\w+)=$", EXAMPLE, re.MULTILINE))


def test_the_context_holds_only_what_the_dockerfile_copies() -> None:
    copied = set()
    for words in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        copied |= {word.rstrip("/") for word in words.split()[:-1]}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_image_runs_as_nobody_special() -> None:
    users = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users
    assert users[-1].split(":")[0] not in ("0", "root")


def test_each_transition_is_in_the_table() -> None:
    tree = ast.parse(Path(transitions.__file__).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    rows = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE))
    assert rows == names
