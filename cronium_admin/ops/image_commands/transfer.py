"""Names and credentials of own images in a registry, for push and pull."""

import getpass
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import DatabaseError

from cronium_admin.ops.image_commands.output import Report, format_size
from cronium_admin.registries.addresses import find_server, is_loopback, parse_address, split_host
from cronium_admin.registries.credentials import (
    CredentialsUnavailable,
    ask_helper,
    find_transport_problem,
    read_stored_login,
)
from cronium_admin.registries.models import Registry
from cronium_admin.registries.rules import find_registry
from executor.docker.client import Engine
from executor.docker.image_calls import RegistryLogin
from executor.docker.progress import TransferProgress

# Of one command; it is no setting of a server, so `core.config` does not read it.
PASSWORD_VARIABLE = "CRONIUM_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable


def add_registry_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--registry", required=True, metavar="HOST[/PREFIX]", help="such as ghcr.io/acme")
    parser.add_argument(
        "--username",
        default="",
        help=f"sign in as this user with the password in {PASSWORD_VARIABLE} or from standard input "
        "(default: the credentials on the page Images, or none)",
    )


def parse_registry(text: str) -> str:
    try:
        return parse_address(text)
    except ValidationError as error:
        raise CommandError(f"--registry {text}: {error.messages[0]}") from error


def make_remote_reference(registry: str, reference: str) -> str:
    return f"{registry}/{reference}"


def find_login(engine: Engine, registry: str, username: str) -> RegistryLogin | None:
    """The credentials for one command. Raises CommandError."""
    row = None if username else _find_row(registry)
    login: RegistryLogin | None = None
    try:
        if username:
            login = RegistryLogin(find_server(registry), username, _read_password(username))
        elif row:
            login = ask_helper(row.helper, row.address) if row.helper else read_stored_login(row)
    except CredentialsUnavailable as error:
        raise CommandError(str(error)) from error
    insecure = login is not None and engine.image_calls.is_insecure(split_host(registry))
    if row and (problem := find_transport_problem(row, is_insecure=insecure, has_login=login is not None)):
        raise CommandError(problem)
    if insecure and not row and not is_loopback(registry):
        raise CommandError(
            f"The Docker Engine lists {split_host(registry)} under insecure-registries, so the password would travel "
            "unprotected. Give the registry a certificate."
        )
    return login


def make_progress_report(report: Report, reference: str, done: int, total: int) -> Callable[[TransferProgress], None]:
    """Reports whole percents only: an engine sends many events in a second."""
    last: list[Any] = [None]

    def on_progress(progress: TransferProgress) -> None:
        percent = 100 * progress.done_bytes // progress.total_bytes if progress.total_bytes else 0
        state = (percent // 10, progress.done_layers)
        if state != last[0] and progress.total_layers:
            last[0] = state
            layers = f"{progress.done_layers} of {progress.total_layers} layers"
            report(reference, done, total, f"{format_size(progress.done_bytes)}, {layers}")

    return on_progress


def _find_row(registry: str) -> Registry | None:
    try:
        return find_registry(f"{registry}/image")
    except DatabaseError:  # before the first `migrate`
        return None


def _read_password(username: str) -> str:
    if password := os.environ.get(PASSWORD_VARIABLE, ""):
        return password
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {username}: ")
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError(f"There is no password. Set {PASSWORD_VARIABLE}, or write it to standard input.")
    return password
