"""The message for a user without a permission: the role needed, the user's role, and the administrators."""

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import HIGHEST_PERMISSION, HasProject, Permission, Role, can_somewhere
from cronium_admin.core.line_text import make_sort_key

_MAX_NAMES = 3


def explain_refusal(user: User, permission: Permission, obj: HasProject | None = None) -> str:
    """`obj` is a row whose project the permission concerns; None: the instance."""
    needed = next(role for role, rank in HIGHEST_PERMISSION.items() if rank >= permission)
    where = "" if obj is None or user.role else " in the project"
    administrators = _describe_administrators()
    return (
        f"You need the role {needed.label}{where} for this. {_describe_role(user, obj)}; "
        f"{administrators} can change that."
    )


def _describe_role(user: User, obj: HasProject | None) -> str:
    # The highest role that counts: in the instance, or in the project of `obj`
    held = [
        role
        for role, rank in HIGHEST_PERMISSION.items()
        if user.has_permission(rank) or (obj is not None and user.has_permission_in(obj.project_id, rank))
    ]
    if not held:
        if obj is not None:
            return "You have no role in the project"
        return "You have no role outside your projects" if can_somewhere(user, Permission.VIEW) else "You have no role"
    label = held[-1].label
    place = "" if user.has_permission(HIGHEST_PERMISSION[held[-1]]) else " in the project"
    return f"You are {'an' if label[0] in 'AEIOU' else 'a'} {label}{place}"


def _describe_administrators() -> str:
    rows = User.objects.filter(role=Role.ADMIN, is_active=True)
    names = sorted(rows.values_list("username", flat=True), key=lambda name: (make_sort_key(name), name))
    if not names:
        return "an administrator"
    if len(names) > _MAX_NAMES:
        return ", ".join(names[:_MAX_NAMES]) + " and other administrators"
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
