"""The message for a user without a permission: the role needed, the user's role, and the administrators."""

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import HIGHEST_PERMISSION, Permission, Role
from cronium_admin.core.line_text import make_sort_key

_MAX_NAMES = 3


def explain_refusal(user: User, permission: Permission) -> str:
    needed = next(role for role, rank in HIGHEST_PERMISSION.items() if rank >= permission)
    label = Role(user.role).label
    article = "an" if label[0] in "AEIOU" else "a"
    administrators = _describe_administrators()
    return f"You need the role {needed.label} for this. You are {article} {label}; {administrators} can change that."


def _describe_administrators() -> str:
    rows = User.objects.filter(role=Role.ADMIN, is_active=True)
    names = sorted(rows.values_list("username", flat=True), key=lambda name: (make_sort_key(name), name))
    if not names:
        return "an administrator"
    if len(names) > _MAX_NAMES:
        return ", ".join(names[:_MAX_NAMES]) + " and other administrators"
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
