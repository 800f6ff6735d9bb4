"""Creates, changes and deletes jobs, for the API and the pages. Launches nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.template.defaultfilters import pluralize
from django.utils.text import slugify
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.accounts.projects import choose_project_id
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import EditConflict, check_deletion
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translate_error
from cronium_admin.core.json_text import format_compact
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.images.custom import explain_custom_form, is_custom, parse_custom
from cronium_admin.images.reference import validate_reference
from cronium_admin.jobs.concurrency import normalize_concurrency
from cronium_admin.jobs.egress_rules import normalize_egress
from cronium_admin.jobs.folded_scripts import store_folded_script
from cronium_admin.jobs.input_schema import find_schema_conflicts
from cronium_admin.jobs.job_fields import EXACT_FIELDS, JOB_FIELDS, RUN_FIELDS
from cronium_admin.jobs.models import Job
from cronium_admin.jobs.network_policy import check_open_network
from cronium_admin.jobs.retry import normalize_retry
from cronium_admin.jobs.revisions import create_revision
from cronium_admin.jobs.run_numbers import retire_slug
from cronium_admin.jobs.validation import validate_apart, validate_first_line, validate_secrets
from cronium_admin.profiles.models import DEFAULT_PROFILE, Profile
from cronium_admin.registries.rules import find_use_problem
from cronium_admin.secrets.service import find_missing

KIND = "job"
# "new" is the URL of the page that creates a job; "shared" is the variable scope of all jobs.
RESERVED_SLUGS = frozenset({"new", "shared"})
_NORMALIZERS: dict[str, Callable[[Any], Any]] = {
    "egress": normalize_egress,
    "retry": normalize_retry,
    "concurrency": normalize_concurrency,
}


def create_job(data: Mapping[str, Any], by: User) -> Job:
    """Creates a job from `data` (a subset of JOB_FIELDS; `profile` a name or a Profile).

    Raises ValidationError by field, and ApiError 403 for an open network without the permission. Without a slug,
    derives a free one from the name. `choose_project_id` decides the project and raises its errors.
    """
    project_id = choose_project_id(by, Permission.EDIT)
    if data.get("slug"):
        return _insert_job(project_id, data, by)
    return _retry_taken_slug(_insert_job, project_id, data, by)


def _insert_job(project_id: ProjectId, data: Mapping[str, Any], by: User) -> Job:
    with _refuse_deleted_references(), transaction.atomic():
        job = Job(project_id=project_id, created_by=by, updated_by=by)
        _lock_secrets(data, project_id)
        _apply_fields(job, {"profile": DEFAULT_PROFILE, **data})
        check_open_network(job, {"network"}, by)
        job.revision = first_version(KIND, job.slug, project_id)
        with _refuse_taken_slug():
            job.save()
        create_revision(job, by)
        return job


def _is_slug_error(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.code == "slug_taken"


# Other jobs may take the derived slugs at the same time
_retry_taken_slug = Retrying(retry=retry_if_exception(_is_slug_error), stop=stop_after_attempt(5), reraise=True)


@contextmanager
def _refuse_taken_slug() -> Iterator[None]:
    # Use it inside the transaction, which the error rolls back
    try:
        yield
    except IntegrityError:
        text = "Another job took this slug at the same moment. Choose another slug."
        raise ApiError(409, "slug_taken", text, {"slug": [text]}) from None


@contextmanager
def _refuse_deleted_references() -> Iterator[None]:
    # Wraps the transaction: its commit fails if the job's profile or author was deleted
    try:
        yield
    except IntegrityError:
        text = "The profile (or your account) was deleted at the same moment. Choose another profile."
        raise ApiError(409, "deleted_meanwhile", text, {"profile": [text]}) from None


def save_job(
    job: Job,
    data: Mapping[str, Any],
    by: User,
    revision: int | None = None,
    *,
    restored_from: int | None = None,
) -> Job:
    """Writes `data` over the stored job; other fields keep their values. Returns the stored job, to use instead.

    Reads the current row and writes only the changed fields, so that users who change different fields both succeed,
    and the run counter, which `runs.launch` increments, is not overwritten. With `revision`, only if that is still
    the job's revision; else raises ChangedMeanwhile. Raises the errors of `create_job`.
    """
    with _refuse_deleted_references(), transaction.atomic():
        rows = Job.objects.select_for_update(of=("self",)).select_related("profile", "updated_by")
        stored = rows.filter(pk=job.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The job {job.slug} was deleted in the meantime.")
        if revision not in (None, stored.revision):
            raise EditConflict(stored, "revision")
        _lock_secrets(data, stored.project_id)
        before = {name: getattr(stored, name) for name in data if name in JOB_FIELDS}
        _apply_fields(stored, data)
        changed = {name for name, value in before.items() if _has_changed(name, value, getattr(stored, name))}
        check_open_network(stored, changed & RUN_FIELDS, by)
        if changed:
            _update_job(stored, changed, by, before.get("slug"))
            create_revision(stored, by, changed, restored_from)
        return stored


def _has_changed(name: str, before: Any, after: Any) -> bool:
    # Python treats 1, 1.0 and True, and objects with reordered keys, as equal
    return format_compact(before) != format_compact(after) if name in EXACT_FIELDS else before != after


def _update_job(stored: Job, changed: Collection[str], by: User, old_slug: str | None) -> None:
    # Writes the next revision, only if the row still has the revision that was read
    before = stored.revision
    stored.revision, stored.updated_by, stored.updated_at = before + 1, by, database_now()
    stored.set_derived()
    if "slug" in changed and old_slug:
        retire_slug(stored.project_id, old_slug, stored.last_run_number)
        retire_version(KIND, old_slug, before, stored.project_id)
        stored.revision = max(stored.revision, first_version(KIND, stored.slug, stored.project_id))
    also = ("revision", "updated_by", "updated_at", "search_text", "order_key", "concurrency_limit")
    values = {name: getattr(stored, name) for name in (*changed, *also)}
    with _refuse_taken_slug():
        is_saved = Job.objects.filter(pk=stored.pk, revision=before).update(**values)
    if not is_saved:
        raise EditConflict(Job.objects.get(pk=stored.pk), "revision")
    if "script" in changed:
        store_folded_script(stored.pk, stored.script)


def check_job(job: Job, data: Mapping[str, Any]) -> None:
    """Raises the ValidationError that `save_job` would raise for `data`, or `create_job` if `job` is not stored.

    Stores nothing and does not change `job`.
    """
    _apply_fields(copy(job), data if job.pk else {"profile": DEFAULT_PROFILE, **data})


def build_unsaved_job(stored: Job, data: Mapping[str, Any], by: User) -> Job:
    """A copy of `stored` with `data`, validated as `save_job` does. Stores nothing. Raises the errors of `save_job`."""
    unsaved = copy(stored)
    _apply_fields(unsaved, data)
    names = [name for name in data if name in RUN_FIELDS]
    changed = {name for name in names if _has_changed(name, getattr(stored, name), getattr(unsaved, name))}
    check_open_network(unsaved, changed, by)
    return unsaved


def delete_job(job: Job, revision: int | None = None) -> None:
    """Deletes the job; its ended runs are kept as many days as the job says. ApiError 409 while a run is live.

    With `revision`, only if that is still the job's revision; else raises ChangedMeanwhile.
    """
    with transaction.atomic():
        # In the order of `runs.row_locks`. The lock of the job blocks launches until the transaction ends.
        list(job.schedules.order_by("pk").select_for_update().values_list("pk"))
        rows = Job.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(pk=job.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The job {job.slug} was deleted in the meantime.")
        check_deletion(stored, revision, "revision")
        live = job.runs.filter(finished_at=None).count()
        if live:
            raise ApiError(
                409,
                "job_has_live_runs",
                f"{live} run{pluralize(live)} of {job.slug} {pluralize(live, 'is,are')} still live. "
                "Cancel them or wait for their end, then delete the job.",
            )
        list(stored.runs.order_by("pk").select_for_update(no_key=True).values_list("pk"))
        retire_slug(stored.project_id, stored.slug, stored.last_run_number)
        retire_version(KIND, stored.slug, stored.revision, stored.project_id)
        if stored.run_keep_days is not None or stored.log_keep_days is not None:
            stored.runs.update(run_keep_days=stored.run_keep_days, log_keep_days=stored.log_keep_days)
        stored.delete()


def _apply_fields(job: Job, data: Mapping[str, Any]) -> None:
    # Sets and validates the fields. The ValidationError has the errors of all fields.
    problems: dict[str, list[ValidationError]] = {}
    for name, value in data.items():
        if name not in JOB_FIELDS:
            problems[name] = [ValidationError("Unknown field.", code="unknown")]
        elif name == "profile":
            _set_profile(job, value, problems)
        elif name in ("name", "slug", "image"):
            _set_line(job, name, value, problems)
        elif name in _NORMALIZERS:
            _set_normalized(job, name, value, problems)
        else:
            setattr(job, name, value)
    if not job.slug:
        job.slug = _make_slug(job)
    elif job.slug in RESERVED_SLUGS:
        problems["slug"] = [ValidationError(f"The slug {job.slug!r} is reserved.")]
    if "script" in data or "language" in data:
        _check_first_line(job, problems)
    if "secrets" in data or "env" in data:
        _check_secrets(job, "secrets" in data, problems)
    if "image" in data and "image" not in problems:
        _check_image(job, problems)
    try:
        # The fields' validators check the same as the database's constraints, which would take three queries each.
        job.full_clean(exclude=[*problems, "project", "created_by", "updated_by"], validate_constraints=False)
    except ValidationError as error:
        for name, errors in error.error_dict.items():
            problems.setdefault(name, []).extend(translate_error(name, problem) for problem in errors)
    if {"input", "input_schema", "secrets"} & data.keys():
        _check_input(job, data, problems)
    if "slug" not in problems and _is_slug_taken(job):
        text = f"There is a job with the slug {job.slug} already. Choose another slug."
        problems["slug"] = [ValidationError(text, code="unique")]
    if problems:
        raise ValidationError(problems)


def _check_input(job: Job, data: Mapping[str, Any], problems: dict[str, list[ValidationError]]) -> None:
    if not {"input", "input_schema", "secrets"} & problems.keys():
        for name, texts in find_schema_conflicts(job, data).items():
            problems[name] = [ValidationError(text, code="input_schema") for text in texts]


def _is_slug_taken(job: Job) -> bool:
    return Job.objects.filter(project=job.project_id, slug=job.slug).exclude(pk=job.pk).exists()


def _check_first_line(job: Job, problems: dict[str, list[ValidationError]]) -> None:
    try:
        validate_first_line(job.language, job.script)
    except ValidationError as error:
        problems["script"] = error.error_list


def _check_image(job: Job, problems: dict[str, list[ValidationError]]) -> None:
    try:
        validate_reference(job.image or "x")
    except ValidationError:
        return  # the field's validator reports it
    if job.image and is_custom(job.image) and parse_custom(job.image) is None:
        problems["image"] = [ValidationError(explain_custom_form(job.image), code="custom_image")]
    elif problem := find_use_problem(job.image, job.project_id):
        problems["image"] = [ValidationError(problem, code="registry_forbidden")]


def _set_normalized(job: Job, name: str, value: Any, problems: dict[str, list[ValidationError]]) -> None:
    setattr(job, name, value)
    try:
        setattr(job, name, _NORMALIZERS[name](value))
    except ValidationError as error:
        problems[name] = error.error_list


def _set_profile(job: Job, value: Any, problems: dict[str, list[ValidationError]]) -> None:
    if isinstance(value, Profile):
        job.profile = value
        return
    profile = Profile.objects.filter(name=value).first() if isinstance(value, str) and "\x00" not in value else None
    if profile is not None:
        job.profile = profile
        return
    names = ", ".join(Profile.objects.values_list("name", flat=True))
    problems["profile"] = [ValidationError(f"There is no profile {str(value)[:40]!r}. There are: {names}.")]


def _lock_secrets(data: Mapping[str, Any], project_id: ProjectId) -> None:
    # Keeps the named secrets from being deleted before the job that names them is stored
    if names := _list_names(data.get("secrets")):
        find_missing(names, project_id, lock=True)


def _list_names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str) and "\0" not in name] if isinstance(value, list) else []


def _check_secrets(job: Job, given: bool, problems: dict[str, list[ValidationError]]) -> None:
    # Each secret must exist, and no environment variable may have the same name
    names = _list_names(job.secrets)
    try:
        validate_secrets(job.secrets)
    except ValidationError:
        return  # the model's validator reports it
    if given and names and (gone := find_missing(names, job.project_id)):
        text = f"There is no secret {gone[0][:40]}. An administrator stores secrets on the Secrets page."
        problems["secrets"] = [ValidationError(text, code="missing")]
    try:
        validate_apart(job.env if isinstance(job.env, dict) else {}, names)
    except ValidationError as error:
        problems.setdefault("secrets" if given else "env", []).append(error)


def _set_line(job: Job, name: str, value: Any, problems: dict[str, list[ValidationError]]) -> None:
    # Sets a one-line text. A stored value stays valid, even if it has a character that is refused now.
    text, before = str(value if value is not None else "").strip(), getattr(job, name)
    setattr(job, name, text)
    if (job.pk is None or text != before) and (problem := find_line_problem(text)):
        problems[name] = [ValidationError(problem)]


def _make_slug(job: Job) -> str:
    base = slugify(job.name)[:70].strip("-_") or "job"
    jobs = Job.objects.filter(project=job.project_id, slug__startswith=base)
    taken = set(jobs.values_list("slug", flat=True)) | RESERVED_SLUGS
    if base not in taken:
        return base
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{base}-{number}") not in taken)
