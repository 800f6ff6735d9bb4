"""The deployment files match docs/deploy.md; each transition is in docs/reliability.md."""

import ast
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from cronium_admin.core.config import Config
from cronium_admin.runs import state_machine
from cronium_admin.warm import rows as warm_rows

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


def test_compose_never_pulls_the_name_of_the_image_that_it_builds() -> None:
    """In a public registry that name is somebody else's. Another image, with another policy, comes from .env."""
    services = yaml.safe_load(COMPOSE)["services"]
    own = {name: service for name, service in services.items() if "CRONIUM_IMAGE" in service["image"]}
    assert {name: service["pull_policy"] for name, service in own.items()} == {
        "setup": "${CRONIUM_PULL_POLICY:-build}",
        "web": "${CRONIUM_PULL_POLICY:-never}",
        "worker": "${CRONIUM_PULL_POLICY:-never}",
    }
    assert {service["image"] for service in own.values()} == {"${CRONIUM_IMAGE:-cronium/cronium:latest}"}
    # The word that docker-compose 1.29 and the later ones understand.
    assert re.search(r"^#CRONIUM_IMAGE=\S+@sha256:\S+\n#CRONIUM_PULL_POLICY=if_not_present$", EXAMPLE, re.MULTILINE)


def test_services_that_make_images_may_write_their_archives() -> None:
    """The root is read-only, and the archives are too large for /tmp, which is in memory."""
    services = yaml.safe_load(COMPOSE)["services"]
    socket = "/var/run/docker.sock:/var/run/docker.sock"
    volumes = {name: service["volumes"] for name, service in services.items() if socket in service.get("volumes", ())}
    assert volumes == {"setup": [socket, "/var/tmp"], "worker": [socket, "/var/tmp"]}


def test_setup_pulls_the_images_of_runs_if_it_is_told_from_where_and_builds_them_otherwise(tmp_path: Path) -> None:
    [script] = yaml.safe_load(COMPOSE)["services"]["setup"]["command"]
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$2 $3 $4 $5"\n[ "$3" != pull ] || [ "$5" = good.example ]\n')
    python.chmod(0o755)

    def run(source: str) -> tuple[list[str], str]:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUN_IMAGES_FROM": source}
        command = ["/bin/sh", "-ec", script.replace("$$", "$")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        steps = [" ".join(line.split()) for line in done.stdout.splitlines()]
        return [step for step in steps if step.startswith("images")], done.stderr

    assert run("") == (["images build"], "")
    assert run("good.example") == (["images pull --registry good.example"], "")
    steps, said = run("bad.example; rm -rf x")
    assert steps == ["images pull --registry bad.example; rm -rf x", "images build"]
    assert said == (
        "cronium: the images of runs could not be pulled from bad.example; rm -rf x. Building them instead.\n"
    )


# Set by the services themselves: the values in .env have no effect, as docs/deploy.md says.
OF_COMPOSE = {"DATABASE_URL", "REDIS_URL", "DOCKER_HOST", "DOCKER_CERT_PATH", "DATA_DIR", "STATIC_DIR", "HOST", "PORT"}
# Used by web as well as by the worker.
OF_BOTH = {"LOST_AFTER", "CPU_OVERCOMMIT", "ALLOW_UNSAFE_HOST", "LOG_LIMIT_MB", "SUBNET_POOL", "LOG_LEVEL"}


def test_each_setting_reaches_a_service_of_compose() -> None:
    fields = {name.upper() for name in Config.model_fields} - {"DEBUG"}
    assert {f"CRONIUM_{name}" for name in fields} == documented()
    passed = {
        name for name, source in re.findall(r"^ +CRONIUM_(\w+): .*\$\{CRONIUM_(\w+)", COMPOSE, re.M) if name == source
    }
    assert fields - passed == OF_COMPOSE
    shared = COMPOSE.split("environment: &environment")[1].split("read_only:")[0]
    assert set(re.findall(r"^ +CRONIUM_(\w+):", shared, re.M)) >= OF_BOTH


def documented() -> set[str]:
    """The variables of the table in docs/settings.md, where a suffix may stand for a whole name."""
    names: set[str] = set()
    for cell in re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE):
        first, *others = re.findall(r"`(\w+)`", cell)
        names |= {first} | {
            other if not other.startswith("_") else first.rpartition("_")[0] + other for other in others
        }
    return names


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


def test_the_labels_name_source_version_and_licence() -> None:
    """`scripts/release_image.sh` gives the arguments."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    last = dockerfile.rpartition("\nFROM ")[2]
    script = (ROOT / "scripts" / "release_image.sh").read_text()
    for name, argument in (("version", "VERSION"), ("revision", "REVISION"), ("source", "SOURCE")):
        assert f'org.opencontainers.image.{name}="${{{argument}}}"' in last
        assert f'--build-arg "{argument}=' in script
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in last
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert last.index("ARG VERSION=") > last.index("COPY"), "a new version must not invalidate the layers"


@pytest.mark.parametrize(
    ("section", "module", "reads"),
    [
        ("Transitions", state_machine, set()),
        (
            "Waiting sandboxes",
            warm_rows,
            {"is_enabled", "is_promised_elsewhere", "compute_claim_step", "format_queues", "list_states", "find_living"}
            | {"set_takeable"},
        ),
    ],
)
def test_each_transition_is_in_the_table(section: str, module: ModuleType, reads: set[str]) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    text = (ROOT / "docs" / "reliability.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"\w+", cell)} == names - reads
