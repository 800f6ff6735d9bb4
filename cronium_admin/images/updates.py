"""Counts the updates of an image's packages: in a throw-away container, because only the distribution's tools know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import docker
import docker.errors

LABEL_UPDATES = "cronium.updates"  # of the containers
SECONDS = 120
_OUTPUT = 200_000
_MARK = "cronium: updates follow"

# Both end with an error if the mirror does not answer. Root has no capabilities here, so apt must not change users.
_SCRIPT = f"""
if command -v apt-get >/dev/null; then
  options='-qq -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=20'
  # An image of a snapshot: its own sources never have an update.
  [ ! -e /etc/apt/newest.list ] || options="$options -o Dir::Etc::sourcelist=/etc/apt/newest.list"
  apt-get update $options -o APT::Update::Error-Mode=any && echo '{_MARK}' && apt-get -s $options dist-upgrade
elif command -v apk >/dev/null; then
  apk update -q && echo '{_MARK}' && apk version -q -l '<'
else
  echo 'the image has neither apt-get nor apk'
fi
"""
_DEBIAN = re.compile(r"Inst (\S+) \[([^]]+)\] \((\S+) (.*)\)")
_ALPINE = re.compile(r"(\S+)-(\d\S*-r\d+)\s+<\s+(\S+)")


@dataclass(frozen=True)
class PackageUpdate:
    """`is_security`: from the distribution's archive of security updates; Alpine has none of its own."""

    name: str
    installed: str
    candidate: str
    is_security: bool = False


@dataclass(frozen=True)
class UpdateCheck:
    """`problem` says why the updates are unknown; empty if they are known."""

    updates: tuple[PackageUpdate, ...] = ()
    problem: str = ""


def find_updates(client: docker.APIClient, image: str) -> UpdateCheck:
    """Takes seconds. The container has a network, and no privileges. Raises DockerException."""
    host_config = client.create_host_config(
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit="512m",
        memswap_limit="512m",
        pids_limit=64,
        init=True,
    )
    container = client.create_container(
        image,
        ["-c", f'timeout {SECONDS - 20} sh -c "$1" 2>&1', "sh", _SCRIPT],
        entrypoint=["/bin/sh"],
        user="0:0",
        working_dir="/",
        labels={LABEL_UPDATES: "1"},
        host_config=host_config,
    )["Id"]
    try:
        client.start(container)
        status = client.wait(container, timeout=SECONDS)["StatusCode"]
        output = client.logs(container, tail=5000)[-_OUTPUT:].decode("utf-8", "replace")
    finally:
        with suppress(docker.errors.APIError):
            client.remove_container(container, force=True, v=True)
    return parse_updates(status, output)


def parse_updates(status: int, output: str) -> UpdateCheck:
    before, mark, listed = output.partition(f"{_MARK}\n")
    if not mark:
        lines = [line.strip() for line in before.splitlines() if line.strip()]
        last = lines[-1][:200] if lines else f"exit code {status}"
        return UpdateCheck(problem=f"no mirror answers ({last})" if status else last)
    if status:
        return UpdateCheck(problem=f"the package manager ended with the exit code {status}")
    return UpdateCheck(tuple(sorted(_parse_lines(listed), key=lambda update: update.name)))


def _parse_lines(listed: str) -> Iterator[PackageUpdate]:
    for line in listed.splitlines():
        if found := _DEBIAN.match(line):
            name, installed, candidate, origin = found.groups()
            yield PackageUpdate(name, installed, candidate, "security" in origin.lower())
        elif found := _ALPINE.match(line):
            yield PackageUpdate(found[1], found[2], found[3])
