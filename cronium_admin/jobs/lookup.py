"""Finds a job by the slug in a request, among the jobs that the user sees."""

from collections.abc import Iterable

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can, choose_row
from cronium_admin.core.database.compiled import CompiledQuery
from cronium_admin.core.errors import ApiError
from cronium_admin.jobs.models import Job


def find_job(
    user: User,
    slug: str,
    permission: Permission = Permission.VIEW,
    *,
    only: tuple[str, ...] = (),
    pk: int | None = None,
) -> Job:
    """The job with this slug. If several projects have one, that of the default project, or the job `pk` if given.

    `only` names the columns to read; without it, the profile and the author are joined. Raises ApiError: 404 if the
    user sees no such job, 403 without `permission` on it, 409 if several projects, but not the default one, have it.
    """
    job = choose_row(_list_jobs(user, slug.replace("\0", ""), only, pk), f"a job {slug[:80]}")
    if job is None:
        raise ApiError(404, "not_found", f"There is no job {slug[:80]!r}.")
    check_can(user, permission, job)
    return job


def _list_jobs(user: User, slug: str, only: tuple[str, ...], pk: int | None) -> Iterable[Job]:
    if pk is None and not only and user.has_permission(Permission.VIEW):  # sees all jobs; each launch asks this
        return _LIST_BY_SLUG.fetch(slug=slug)
    jobs = Job.objects.visible_to(user).filter(slug=slug)
    jobs = jobs.filter(pk=pk) if pk is not None else jobs
    jobs = jobs.only(*only, "project", "slug") if only else jobs.select_related("profile", "created_by")
    return jobs.order_by("pk")


_LIST_BY_SLUG = CompiledQuery(
    lambda slug: Job.objects.filter(slug=slug).select_related("profile", "created_by").order_by("pk"),
    slug=Job._meta.get_field("slug"),
)


def list_namesakes(job: Job) -> list[str]:
    """The slugs of other jobs of its project with the same name, at most five."""
    others = Job.objects.filter(project=job.project_id, name=job.name).exclude(pk=job.pk)
    return list(others.order_by("pk").values_list("slug", flat=True)[:5])
