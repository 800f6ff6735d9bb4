"""The four roles and their permissions, and `can`: whether a user has a permission on an object."""

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from django.db import models

if TYPE_CHECKING:
    from cronium_admin.accounts.models import User


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    EDITOR = "editor", "Editor"
    ADMIN = "admin", "Administrator"


class Permission(IntEnum):
    """A role has all permissions up to its highest one, in the whole instance or in one project."""

    VIEW = 0  # jobs, runs, logs, images, profiles
    RUN = 1  # run, cancel, re-run
    EDIT = 2  # create, change and delete jobs
    OPEN_NETWORK = 3  # give a job the open network, and change what runs with it
    BUILD_DOCKERFILE = 4  # save and build custom images that are made of a Dockerfile
    ADMIN = 5  # image overrides, profiles, users

    @property
    def scope(self) -> str:
        return "see" if self is Permission.VIEW else self.name.lower()


HIGHEST_PERMISSION = {
    Role.VIEWER: Permission.VIEW,
    Role.OPERATOR: Permission.RUN,
    Role.EDITOR: Permission.EDIT,
    Role.ADMIN: Permission.ADMIN,
}
ROLE_DESCRIPTIONS = {
    Role.VIEWER: "Sees jobs, runs, logs and variables. Changes nothing and sees no secret's value.",
    Role.OPERATOR: "A viewer who also runs, cancels and re-runs jobs.",
    Role.EDITOR: "An operator who also writes, changes and deletes jobs and variables, and gives jobs secrets.",
    Role.ADMIN: "An editor who also manages people, secrets, images, Dockerfiles, profiles, hosts and open networks.",
}


INSTANCE = None  # the object of `can` for what no project owns: users, profiles, images, hosts


ProjectId: TypeAlias = int | None  # never None: this is how django-stubs sees a foreign key with a default


class HasProject(Protocol):
    """A project, or a row that belongs to one."""

    @property
    def project_id(self) -> ProjectId: ...


def can(user: "User", permission: Permission, obj: HasProject | None) -> bool:
    """Whether `user` has `permission` on `obj`: by the role in the instance, or by a membership of its project.

    Needs no query if the role in the instance suffices; otherwise one, which the user's instance caches.
    """
    if user.has_permission(permission):
        return True
    return obj is not INSTANCE and user.has_permission_in(obj.project_id, permission)


def can_somewhere(user: "User", permission: Permission) -> bool:
    """Whether `user` has `permission` in the instance or in any project."""
    return user.has_permission(permission) or bool(user.list_project_ids(permission))


def may_continue_to_row_check(user: "User", permission: Permission, names_object: bool) -> bool:
    """Whether a request may continue to the check of the row that it concerns.

    False means 403 at once, without a look at any row. A user with memberships only continues to the row that the URL
    names, so that rows of other projects answer 404, and to lists, which hold visible rows only.
    """
    is_member_only = user.is_active and not user.role
    return can_somewhere(user, permission) or (is_member_only and (names_object or permission is Permission.VIEW))
