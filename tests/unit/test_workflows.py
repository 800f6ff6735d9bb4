"""The workflows, and scripts/release_image.sh with a `docker` and a `cosign` that record their arguments.

`make lint` checks the workflows with zizmor and the schema.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cronium_admin.images.recipes import LINTER, RECIPES, compute_base_digest
from cronium_admin.settings import VERSION

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {path.name: yaml.safe_load(path.read_text()) for path in FILES}
JOBS = {f"{name}:{job}": body for name, workflow in WORKFLOWS.items() for job, body in workflow["jobs"].items()}
STEPS = [(job, step) for job, body in JOBS.items() for step in body.get("steps", [])]
DIGEST = f"sha256:{'1' * 64}"
# What publishes: everything else may read.
WRITES = {"release.yml:build": {"packages"}, "release.yml:publish": {"packages", "id-token"}}

STUB = """#!/bin/sh
[ "$1 $2" = "login --username" ] && password=$(cat)
printf '%s\\n' "$(basename "$0") $*" "password=${password:-}" >>"$RECORD"
case "$*" in *" -") cat >/dev/null ;; esac
case "$*" in
  *"json .Image}"*) echo '{"linux/amd64": {}, "linux/arm64/v8": {"rootfs": {"diff_ids": ["sha256:aa"]}}}' ;;
  *"imagetools inspect"*) echo '{"schemaVersion": 2, "digest": "DIGEST"}' ;;
  *--metadata-file*)
    while [ "$1" != --metadata-file ]; do shift; done
    echo '{"containerimage.digest": "DIGEST"}' >"$2" ;;
esac
""".replace("DIGEST", DIGEST)


def test_each_action_is_pinned_by_commit_with_its_version() -> None:
    lines = [line for path in FILES for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    assert len(lines) > 5
    for line in lines:
        assert re.search(
            r"uses: (\./\.github/workflows/\w+\.yml\b|[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)", line
        ), line


@pytest.mark.parametrize("name", sorted(JOBS))
def test_each_job_has_a_limit_and_few_permissions(name: str) -> None:
    job = JOBS[name]
    assert WORKFLOWS[name.partition(":")[0]]["permissions"] == {}
    assert job["permissions"]["contents"] == "read"
    assert {right for right, access in job["permissions"].items() if access == "write"} == WRITES.get(name, set())
    # The limits of a called workflow are its own jobs'.
    assert job.get("uses") or 0 < job["timeout-minutes"] <= 120


def test_a_checkout_leaves_no_credentials_and_secrets_reach_only_the_sign_in() -> None:
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len([body for body in JOBS.values() if "steps" in body])
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)
    users = [step for _, step in STEPS if "secrets." in str(step)]
    assert users
    assert {step["run"] for step in users} == {"scripts/release_image.sh login"}


def test_the_scripts_that_the_workflows_run_exist() -> None:
    scripts = {path for _, step in STEPS for path in re.findall(r"(?:scripts/|\.ci/)[\w.]+", step.get("run", ""))}
    assert {"scripts/release_image.sh", "scripts/smoke_image.sh", ".ci/run"} <= scripts
    assert all(os.access(ROOT / path, os.X_OK) for path in scripts)


def test_no_expression_is_part_of_a_command() -> None:
    """A branch or tag could be named like a command: such values come over the environment."""
    assert not [step["run"] for _, step in STEPS if "${{" in step.get("run", "")]


@pytest.mark.parametrize("job", ["build", "publish"])
def test_a_release_has_all_images(job: str) -> None:
    images = JOBS[f"release.yml:{job}"]["strategy"]["matrix"]["image"]
    assert set(images) == {"cronium"} | {recipe.name for recipe in (*RECIPES, LINTER)}


class Stage:
    """Runs scripts/release_image.sh; `calls` are the recorded calls of the programs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._record = folder, folder / "record"
        for name in ("docker", "cosign"):
            (folder / name).write_text(STUB)
            (folder / name).chmod(0o755)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        self._record.write_text("")
        given = {"IMAGE_REGISTRY": "registry.example.org/Team", "VERSION": VERSION, "REVISION": "a1b2"} | env
        everything = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", "RECORD": str(self._record), **given}
        command = [ROOT / "scripts" / "release_image.sh", *arguments]
        return subprocess.run(command, env=everything, capture_output=True, text=True, check=False, timeout=60)

    @property
    def calls(self) -> str:
        return self._record.read_text()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_version_must_be_that_of_the_checkout(stage: Stage) -> None:
    assert stage.run("check").returncode == 0
    wrong = stage.run("check", VERSION="9.9.9")
    assert (wrong.returncode, "VERSION is 9.9.9, but pyproject.toml has another" in wrong.stderr) == (1, True)


def test_the_password_is_in_no_argument(stage: Stage) -> None:
    assert stage.run("login", REGISTRY_USER="me", REGISTRY_PASSWORD="not-in-an-argument").returncode == 0
    assert stage.calls == (
        "docker login --username me --password-stdin registry.example.org\npassword=not-in-an-argument\n"
    )
    missing = stage.run("login", REGISTRY_USER="me", REGISTRY_PASSWORD="")
    assert (missing.returncode, missing.stderr.startswith("cronium: REGISTRY_PASSWORD is not set")) == (1, True)


@pytest.mark.parametrize(
    ("name", "repository"), [("cronium", "cronium"), ("bash", "runner"), ("runtime-api", "runtime-api")]
)
def test_a_build_is_pushed_by_digest_with_labels_and_attestations(stage: Stage, name: str, repository: str) -> None:
    file = stage.folder / "digests" / name
    done = stage.run("build", name, "linux/arm64", str(file), SOURCE_DATE_EPOCH="1700000000")
    assert done.returncode == 0, done.stderr
    output = f"type=image,name=registry.example.org/team/cronium/{repository},push=true,push-by-digest=true"
    options = (
        output,
        "rewrite-timestamp=true",
        "--platform linux/arm64",
        "--sbom true",
        "--provenance mode=max",
        "a1b2",
    )
    assert all(option in stage.calls for option in options)
    if name != "cronium":
        base = compute_base_digest({"RootFS": {"Layers": ["sha256:aa"]}})
        assert f"--label cronium.base={base} " in stage.calls
        assert re.search(rf"--build-arg BASE=alpine:[\d.]+@{DIGEST} ", stage.calls)
    assert VERSION in stage.calls.partition("--output")[2]
    assert file.read_text().strip() == DIGEST
    reference = stage.run("reference", name, str(file)).stdout.strip()
    assert reference == f"registry.example.org/team/cronium/{repository}@{DIGEST}"


@pytest.mark.parametrize(
    ("name", "version", "tags"),
    [
        ("cronium", "1.2.0", ["cronium:1.2.0", "cronium:latest"]),
        ("cronium", "1.2.0-rc1", ["cronium:1.2.0-rc1"]),
        ("python", "1.2.0", ["runner:python-alpine-1.2.0", "runner:python-alpine"]),
        ("linter", "1.2.0", ["linter:alpine-1.2.0", "linter:alpine"]),
    ],
)
def test_platforms_are_joined_under_the_tags(stage: Stage, name: str, version: str, tags: list[str]) -> None:
    file = stage.folder / "one"
    file.write_text(f"{DIGEST}\n")
    done = stage.run("merge", name, str(file), str(file), VERSION=version)
    assert done.stdout.strip() == DIGEST
    create = stage.calls.splitlines()[0]
    assert re.findall(r"--tag registry\.example\.org/team/cronium/(\S+)", create) == tags
    assert create.count(f"@{DIGEST}") == 2
    file.write_text("nothing\n")
    assert stage.run("merge", name, str(file)).returncode == 1


def test_a_signature_is_for_a_digest_and_by_the_workflow(stage: Stage) -> None:
    assert stage.run("sign", "cronium", DIGEST).returncode == 0
    assert stage.calls.startswith(f"cosign sign --yes registry.example.org/team/cronium/cronium@{DIGEST}\n")
    assert stage.run("sign", "cronium", "latest").returncode == 1
    assert stage.calls == ""
    source = "https://github.com/example/cronium"
    assert stage.run("verify", "cronium", DIGEST, SOURCE_URL=source).returncode == 0
    assert f"--certificate-identity {source}/.github/workflows/release.yml@refs/tags/v{VERSION}" in stage.calls
