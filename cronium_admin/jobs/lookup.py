"""Finds a job by the slug in a request, among the jobs that the user sees."""

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.projects import check_can, choose_row
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
    jobs = Job.objects.visible_to(user).filter(slug=slug.replace("\0", ""))
    jobs = jobs.filter(pk=pk) if pk is not None else jobs
    jobs = jobs.only(*only, "project", "slug") if only else jobs.select_related("profile", "created_by")
    job = choose_row(jobs.order_by("pk"), f"a job {slug[:80]}")
    if job is None:
        raise ApiError(404, "not_found", f"There is no job {slug[:80]!r}.")
    check_can(user, permission, job)
    return job
