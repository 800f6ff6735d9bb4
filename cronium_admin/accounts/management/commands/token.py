"""`manage.py token`: creates, lists and revokes API tokens."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.accounts.models import ApiToken, User
from cronium_admin.accounts.token_expiry import NEVER, parse_expiry
from cronium_admin.accounts.tokens import make_token, revoke_token_tree
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import escape_line


class Command(BaseCommand):
    help = "API tokens: create (prints the token, once), list, revoke."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="print a new token on one line, and nothing else")
        create.add_argument("--user", required=True, help="the owner; the token has this user's permissions")
        create.add_argument("--name", required=True, help="the purpose of the token")
        create.add_argument("--expires", default=NEVER, help="30d, 12h, 2027-01-31, a time, or never (the default)")
        listing = actions.add_parser("list", help="all tokens, one a line")
        listing.add_argument("--user", help="only this user's tokens")
        ending = actions.add_parser("revoke", help="revoke a token")
        ending.add_argument("prefix", help="the beginning of the token, as `token list` shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        {"create": self.create_token, "list": self.list_tokens, "revoke": self.revoke_token}[options["action"]](options)

    def create_token(self, options: dict[str, Any]) -> None:
        try:
            _, token = make_token(self.find_user(options["user"]), options["name"], parse_expiry(options["expires"]))
        except ApiError as error:
            raise CommandError(error.message) from error
        self.stdout.write(token)

    def list_tokens(self, options: dict[str, Any]) -> None:
        tokens = ApiToken.objects.select_related("user")
        if options["user"]:
            tokens = tokens.filter(user=self.find_user(options["user"]))
        for token in tokens:
            used = f"used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
            state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M}" if token.revoked_at else used
            ends = f"expires {token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never expires"
            self.stdout.write(
                f"{token.prefix}  {escape_line(token.user.get_username())}  {escape_line(token.name)}  {state}  {ends}"
            )

    def revoke_token(self, options: dict[str, Any]) -> None:
        prefix = options["prefix"]
        # A whole token is accepted too; only its first characters are stored.
        tokens = list(ApiToken.objects.filter(prefix=prefix[:10])) if len(prefix) >= 10 else []
        if len(tokens) != 1:
            raise CommandError(f"{len(tokens)} tokens begin with {prefix[:10]!r}. See `manage.py token list`.")
        self.stdout.write("Revoked." if revoke_token_tree(tokens[0]) else "It was already revoked.")

    def find_user(self, name: str) -> User:
        user = User.objects.filter(username=name).first()
        if user is None:
            usernames = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:10]) or "none"
            raise CommandError(f"There is no user {name!r}. There are: {usernames}.")
        return user
