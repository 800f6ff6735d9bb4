"""`manage.py secrets`: lists names, stores a value from standard input, rotates keys, replaces a lost key."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from cronium_admin.accounts.people import find_administrator
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import escape_line
from cronium_admin.secrets.crypto import make_key
from cronium_admin.secrets.service import list_all_secrets, rotate_secrets, save_secret


class Command(BaseCommand):
    help = "Secrets: list (names only), set (the value from standard input), rotate, new-key."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="the names, one a line")
        setting = actions.add_parser("set", help="store a secret, or replace its value, from standard input")
        setting.add_argument("name", help="such as API_KEY; the value is never an argument")
        setting.add_argument("--description", help="the purpose of the secret")
        setting.add_argument(
            "--as", dest="username", default="", help="the administrator to act as; default: the oldest active one"
        )
        actions.add_parser("rotate", help="encrypt all secrets with the first key of CRONIUM_ENCRYPTION_KEYS")
        actions.add_parser("new-key", help="create a key in place of a lost one; all stored values are lost")

    def handle(self, *args: Any, **options: Any) -> None:
        actions = {
            "list": self.list_names,
            "set": self.set_value,
            "rotate": self.rotate_keys,
            "new-key": self.make_new_key,
        }
        actions[options["action"]](options)

    def list_names(self, options: dict[str, Any]) -> None:
        for secret in list_all_secrets():
            self.stdout.write(f"{secret.name}  {escape_line(secret.description)}".rstrip())

    def set_value(self, options: dict[str, Any]) -> None:
        try:
            administrator = find_administrator(options["username"])
            saved = save_secret(options["name"], _read_value(), options["description"], administrator)
        except ValidationError as error:
            raise CommandError(" ".join(text for texts in error.message_dict.values() for text in texts)) from None
        except ApiError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"The secret {saved.secret.name} is saved.")
        for note in saved.notes:
            self.stderr.write(f"About {saved.secret.name}: {note}.")

    def rotate_keys(self, options: dict[str, Any]) -> None:
        changed, unreadable = rotate_secrets()
        self.stdout.write(f"{changed} secrets were encrypted with the first key.")
        if unreadable:
            raise CommandError(
                f"No key decrypts {', '.join(unreadable)}. Add the key they were encrypted with to "
                "CRONIUM_ENCRYPTION_KEYS, or set them again; keep the old keys until then."
            )

    def make_new_key(self, options: dict[str, Any]) -> None:
        if not make_key():
            raise CommandError(
                "A key exists already: CRONIUM_ENCRYPTION_KEYS or the data folder's encryption_key. To change it, "
                "set CRONIUM_ENCRYPTION_KEYS=NEW,OLD and run `python manage.py secrets rotate`."
            )
        self.stdout.write("A new key was created. Keep a copy of the data folder's encryption_key.")
        if names := ", ".join(secret.name for secret in list_all_secrets()):
            self.stdout.write(f"Set the values of these secrets again: {names}.")


def _read_value() -> str:
    # Without the newline that `echo` adds; at a terminal, without showing the typed text
    if sys.stdin.isatty():
        return getpass.getpass("Value: ")
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise CommandError(
            f"Byte {error.start + 1} of the value is not UTF-8. Encode the value, for example with base64."
        ) from None
    return text.removesuffix("\n")
