"""The credentials of a registry, for one transfer: its own, or those of a credential helper on this host."""

import json
import os
import shutil
import subprocess

from cronium_admin.registries.addresses import find_server, is_loopback
from cronium_admin.registries.models import Registry
from cronium_admin.secrets.crypto import DecryptionError
from cronium_admin.secrets.sealed import open_value
from executor.docker.image_calls import RegistryLogin

HELPER_SECONDS = 20.0
_NOT_FOUND = "credentials not found"  # what helpers print for a server that they do not know
_MAX_ANSWER = 64 * 1024


class CredentialsUnavailable(Exception):
    """The registry's credentials can't be read; the message says why and how to mend it, without any part of them."""


def read_stored_login(registry: Registry) -> RegistryLogin | None:
    """The registry's own credentials; None without any. Needs the database.

    Raises CredentialsUnavailable if no key decrypts the secret.
    """
    if registry.helper or not registry.username:
        return None
    try:
        password = open_value(registry.secret_name)
    except DecryptionError:
        raise CredentialsUnavailable(
            f"The secret of the registry {registry.address} can't be decrypted with this host's keys. Add the key that "
            "it was encrypted with to CRONIUM_ENCRYPTION_KEYS, or enter the secret again on the Images page."
        ) from None
    if password is None:
        raise CredentialsUnavailable(
            f"The registry {registry.address} has a user and no secret. Enter it on the Images page."
        )
    return RegistryLogin(find_server(registry.address), registry.username, password)


def ask_helper(helper: str, address: str) -> RegistryLogin | None:
    """The credentials that `docker-credential-HELPER get` returns on this host now; None if it knows none.

    Tokens of helpers expire, so they are asked before each transfer and never stored. Uses no database.
    Raises CredentialsUnavailable.
    """
    program, server = f"docker-credential-{helper}", find_server(address)
    path = shutil.which(program)
    if path is None:
        raise CredentialsUnavailable(
            f"The program {program} is not in this host's PATH. Install the credential helper there, or give the "
            f"registry {address} a user and a secret."
        )
    try:
        done = subprocess.run(  # the helper's own settings are in its environment
            [path, "get"],
            input=server,
            capture_output=True,
            text=True,
            timeout=HELPER_SECONDS,
            check=False,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise CredentialsUnavailable(f"{program} did not answer within {HELPER_SECONDS:.0f} s.") from None
    except (OSError, UnicodeDecodeError):
        raise CredentialsUnavailable(f"{program} can't be executed on this host.") from None
    if done.returncode:
        text = (done.stdout or done.stderr).strip()  # helpers print errors to standard output, never a secret
        if _NOT_FOUND in text.lower():
            return None
        raise CredentialsUnavailable(f"{program} failed for {server}: {text[:200] or f'exit code {done.returncode}'}.")
    return _parse_answer(done.stdout[:_MAX_ANSWER], program, server)


def _parse_answer(text: str, program: str, server: str) -> RegistryLogin:
    try:
        answer = json.loads(text)
        return RegistryLogin(server, str(answer["Username"]), str(answer["Secret"]))
    except (ValueError, KeyError, TypeError):  # the text may hold a secret: it is not repeated
        raise CredentialsUnavailable(f"{program} returned no JSON with Username and Secret.") from None


def find_transport_problem(registry: Registry, *, is_insecure: bool, has_login: bool) -> str:
    """Why credentials must not be sent to the registry; empty if they may.

    `is_insecure`: the engine would use plain HTTP, or an unchecked certificate, for its host.
    """
    if not (is_insecure and has_login) or is_loopback(registry.address) or registry.allow_http:
        return ""
    return (
        f"The Docker Engine lists {registry.address} under insecure-registries, so the credentials would travel "
        "unprotected. Give the registry a certificate, or allow plain HTTP for it on the Images page."
    )
