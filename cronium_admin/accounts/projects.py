"""Rows that belong to a project: which of them a user sees, and the project of a new row."""

from collections.abc import Iterable
from typing import Self, TypeVar

from django.db import models
from django.db.models import QuerySet

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID, Project, User
from cronium_admin.accounts.permission_messages import explain_refusal
from cronium_admin.accounts.permissions import HasProject, Permission, can
from cronium_admin.core.errors import ApiError

M = TypeVar("M", bound=models.Model, covariant=True)
R = TypeVar("R", bound=HasProject)
_MAX_NAMED = 5


class ProjectQuerySet(QuerySet[M]):
    """Rows that belong to projects. Modules that answer requests read them through `visible_to` only."""

    def visible_to(self, user: User, permission: Permission = Permission.VIEW) -> Self:
        """The rows of projects in which `user` has `permission`: all of them, without a condition or a query, if the
        role in the instance gives it; none for a user who is switched off."""
        if user.has_permission(permission):
            return self.all()
        projects = user.list_project_ids(permission)
        return self.filter(project__in=projects) if projects else self.none()


class ProjectManager(models.Manager[M]):
    def get_queryset(self) -> ProjectQuerySet[M]:
        return ProjectQuerySet(self.model, using=self._db)

    def visible_to(self, user: User, permission: Permission = Permission.VIEW) -> ProjectQuerySet[M]:
        return self.get_queryset().visible_to(user, permission)


class InProject(models.Model):
    """A row that belongs to one project. No other module moves a row to another project."""

    # Without an index of its own: unique constraints begin with it, and one more index would cost every launch.
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, default=DEFAULT_PROJECT_ID, related_name="+", db_index=False
    )

    objects = ProjectManager()

    class Meta:
        abstract = True


def list_projects() -> list[Project]:
    return list(Project.objects.all())


def choose_project_id(user: User, permission: Permission) -> int:
    """The project of a new row: the default project, or the only project in which `user` has `permission`.

    Raises ApiError 403 if there is none, 409 if there are several.
    """
    if user.has_permission_in(DEFAULT_PROJECT_ID, permission):
        return DEFAULT_PROJECT_ID
    projects = user.list_project_ids(permission)
    if not projects:
        raise ApiError(403, "forbidden", explain_refusal(user, permission))
    if len(projects) > 1:
        slugs = Project.objects.filter(pk__in=projects).values_list("slug", flat=True)[:_MAX_NAMED]
        text = f"You may create this in several projects ({', '.join(slugs)}), and a request can't name a project yet."
        raise ApiError(409, "several_projects", f"{text} Use an account that may create it in one of them only.")
    return projects[0]


def choose_row(found: Iterable[R], label: str) -> R | None:
    """One of the visible rows with the same name: the only one, or that of the default project. None if there is none.

    Raises ApiError 409 if several other projects have one. `label` names the rows in the message.
    """
    rows = list(found)
    if len(rows) < 2:
        return rows[0] if rows else None
    for row in rows:
        if row.project_id == DEFAULT_PROJECT_ID:
            return row
    text = f"Several of your projects have {label}, and a request can't name a project yet."
    raise ApiError(409, "several_projects", f"{text} Use an account that sees one of them only.")


def check_can(user: User, permission: Permission, obj: HasProject | None) -> None:
    """Raises ApiError 403 with a message for the user."""
    if not can(user, permission, obj):
        raise ApiError(403, "forbidden", explain_refusal(user, permission, obj))
