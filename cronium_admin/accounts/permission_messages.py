"""The sentence for a person who lacks a right: which role it takes, which they have, and who can change that."""

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import RANK, May, Role
from cronium_admin.core.line_text import order_key

_NAMED = 3


def refusal(user: User, right: May) -> str:
    needed = next(role for role, rank in RANK.items() if rank >= right)
    own = Role(user.role).label
    article = "an" if own[0] in "AEIOU" else "a"
    return f"You need the role {needed.label} for this. You are {article} {own}; {_administrators()} can change that."


def _administrators() -> str:
    """By name, so that one knows whom to ask."""
    rows = User.objects.filter(role=Role.ADMIN, is_active=True)
    names = sorted(rows.values_list("username", flat=True), key=lambda name: (order_key(name), name))
    if not names:
        return "an administrator"
    if len(names) > _NAMED:
        return ", ".join(names[:_NAMED]) + " and other administrators"
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
