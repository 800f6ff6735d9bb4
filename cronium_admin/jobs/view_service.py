"""Saved views of the list of jobs: a user's own ones, and those of a project, which its editors change."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.line_text import find_line_problem, make_sort_key
from cronium_admin.jobs.job_filter import JobFilter
from cronium_admin.jobs.job_search import list_visible_projects
from cronium_admin.jobs.list_models import JobView, JobViewDefault

MAX_VIEWS = 50  # of a user, and of a project
MAX_NAME_CHARACTERS = 60


def list_views(user: User) -> list[Any]:
    """The user's own views, then those of the visible projects; each by name. `is_default` marks the user's default."""
    own_default = JobViewDefault.objects.filter(user=user, view=OuterRef("pk"))
    views = _list_visible(user).annotate(is_default=Exists(own_default))
    return sorted(views, key=lambda view: (view.owner_id is None, make_sort_key(view.name), view.pk))


def _list_visible(user: User) -> "QuerySet[JobView]":
    of_teams = Q(project__isnull=False)
    if not user.has_permission(Permission.VIEW):
        of_teams = Q(project__in=user.list_project_ids(Permission.VIEW))
    return JobView.objects.filter(Q(owner=user) | of_teams).select_related("project", "updated_by")


def find_view(user: User, pk: int, *, to_edit: bool = False) -> JobView:
    """Raises ApiError: 404 if the user sees no such view, 403 if it may not be changed."""
    view = _list_visible(user).filter(pk=pk).first() if pk < 2**63 else None
    if view is None:
        raise ApiError(404, "not_found", f"There is no view {str(pk)[:40]}.")
    if to_edit and view.project is not None:
        check_can(user, Permission.EDIT, view.project)
    return view


def create_view(user: User, name: str, query: Mapping[str, Any], project: str = "") -> JobView:
    """A view of the user's own or, with the slug of a project, of its team. Raises ValidationError, ApiError."""
    team = next((each for each in list_visible_projects(user) if each.slug == project), None) if project else None
    if project and team is None:
        raise ApiError(404, "not_found", f"There is no project {project[:80]!r}.")
    if team is not None:
        check_can(user, Permission.EDIT, team)
    view = JobView(owner=None if team else user, project=team, updated_by=user)
    view.name, view.query = _check_name(name), JobFilter.parse(query).to_query()
    if JobView.objects.filter(owner=view.owner, project=team).count() >= MAX_VIEWS:
        raise ApiError(409, "too_many", f"There are {MAX_VIEWS} views already. Delete one first.")
    with _refuse_taken_name(view.name):
        view.save(force_insert=True)
    return view


def change_view(view: JobView, changes: Mapping[str, Any], by: User, version: int | None = None) -> JobView:
    """`changes` has `name`, `query` or both. Raises EditConflict if the view has another version."""
    check_version(view, version)
    values: dict[str, Any] = {}
    if "name" in changes:
        values["name"] = _check_name(changes["name"])
    if "query" in changes:
        values["query"] = JobFilter.parse(changes["query"]).to_query()
    values = {name: value for name, value in values.items() if getattr(view, name) != value}
    if values:
        with _refuse_taken_name(values.get("name", "")):
            write_edit(view, values, by)
    return view


def delete_view(view: JobView, version: int | None = None) -> None:
    with transaction.atomic():
        rows = JobView.objects.select_related("updated_by").select_for_update(of=("self",))
        stored = rows.filter(pk=view.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The view {view.name} was deleted in the meantime.")
        check_deletion(stored, version)
        stored.delete()


def set_default_view(user: User, view: JobView, is_default: bool) -> None:
    """Repeating it changes nothing. A user has one default at most."""
    if is_default:
        JobViewDefault.objects.update_or_create(user=user, defaults={"view": view})
    else:
        JobViewDefault.objects.filter(user=user, view=view).delete()


def _check_name(name: str) -> str:
    text = name.strip()
    problem = find_line_problem(text) or ("" if text else "Give the view a name.")
    if len(text) > MAX_NAME_CHARACTERS:
        problem = f"The name has {len(text)} characters; at most {MAX_NAME_CHARACTERS} are allowed."
    if problem:
        raise ValidationError({"name": [problem]})
    return text


@contextmanager
def _refuse_taken_name(name: str) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise ValidationError({"name": [f"There is a view with the name {name} already."]}) from None
