"""Stores, replaces, deletes and rotates secrets, and decrypts them for a run; for API, pages and commands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import Permission, ProjectId
from cronium_admin.accounts.projects import check_can, choose_project_id, choose_row
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.data_folder import DataFolderError
from cronium_admin.core.database.clock import Now
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import find_line_problem, make_sort_key
from cronium_admin.secrets import retired_values
from cronium_admin.secrets.crypto import DecryptionError, decrypt, encrypt, reencrypt
from cronium_admin.secrets.models import RetiredSecret, SealedValue, Secret
from cronium_admin.secrets.retired_values import SecretUnavailable
from executor.output.encodings import MIN_CHARACTERS, can_mask

KIND = "secret"
MAX_VALUE_BYTES = 32 * 1024
MAX_VALUE_LINES = 200  # the log is searched for each line
BATCH_SIZE = 100
TOO_SHORT = f"it has fewer than {MIN_CHARACTERS} characters, so it is not hidden in logs"


@dataclass(frozen=True)
class SavedSecret:
    """The result of a save: the row, whether it is new, and warnings for its author."""

    secret: Secret
    is_new: bool
    notes: tuple[str, ...]

    @property
    def masked(self) -> bool:
        return TOO_SHORT not in self.notes


def select_secrets(user: User, permission: Permission = Permission.VIEW) -> QuerySet[Secret, Secret]:
    return _read_without_values(Secret.objects.visible_to(user, permission))


def _read_without_values(secrets: QuerySet[Secret, Secret]) -> QuerySet[Secret, Secret]:
    return secrets.select_related("created_by", "updated_by").defer("encrypted")


def list_secrets_by_name(user: User) -> list[Secret]:
    return _sort_secrets(select_secrets(user))


def list_all_secrets() -> list[Secret]:
    """Of all projects, by name; for commands of the server."""
    return _sort_secrets(_read_without_values(Secret.objects.all()))


def _sort_secrets(secrets: Iterable[Secret]) -> list[Secret]:
    return sorted(secrets, key=lambda secret: (make_sort_key(secret.name), secret.name, secret.pk))


def find_secret(user: User, name: str) -> Secret:
    secret = choose_row(select_secrets(user).filter(name=name), _format_label(name))
    if secret is None:
        raise _make_missing_error(name)
    return secret


def fetch_descriptions(project_id: ProjectId) -> dict[str, str]:
    return dict(Secret.objects.filter(project=project_id).values_list("name", "description"))


def _format_label(name: str) -> str:
    return f"a secret {name[:40]}"


def _make_missing_error(name: str) -> ApiError:
    return ApiError(404, "not_found", f"There is no secret {name[:40]!r}.")


def save_secret(
    name: str, value: str | None, description: str | None, by: User, version: int | None = None
) -> SavedSecret:
    """Stores a new secret, or replaces the given fields of a stored one. Raises ValidationError by field.

    With `version`, only if that is still the secret's version (0: only if there is none); else raises
    ChangedMeanwhile. `choose_project_id` decides the project of a new secret and raises its errors.
    """
    with transaction.atomic():
        secret = _lock_secret(name, by, version) or Secret(
            project_id=choose_project_id(by, Permission.ADMIN), name=name, created_by=by
        )
        is_new, stored = secret.pk is None, secret.encrypted
        problems: dict[str, list[str]] = {}
        if value is not None or is_new:
            problem = _find_value_problem(value)
            problems |= {"value": [problem]} if problem else {}
            secret.encrypted = "" if problem else _encrypt_value(name, value or "")
        before = secret.description
        secret.description = before if description is None else description.strip()
        # A stored description stays valid, even if it has a character that is refused now.
        if secret.description != before and (unclear := find_line_problem(secret.description)):
            problems["description"] = [unclear]
        _check_fields(secret, problems)
        if is_new:
            secret.updated_by, secret.version = by, first_version(KIND, name, secret.project_id)
            secret = _insert_secret(secret)
        elif value is not None:
            retired_values.retire_value(secret.project_id, name, stored)
            new = {"encrypted": secret.encrypted, "value_changed_at": Now(), "description": secret.description}
            write_edit(secret, new, by)
        elif secret.description != before:
            write_edit(secret, {"description": secret.description}, by)
    return SavedSecret(
        _read_without_values(Secret.objects.all()).get(pk=secret.pk),
        is_new,
        tuple(_list_warnings(value)) if value else (),
    )


def _encrypt_value(name: str, value: str) -> str:
    try:
        return encrypt(name, value)
    except DataFolderError as error:
        raise ApiError(503, "key_unusable", str(error)) from None


def _lock_secret(name: str, by: User, version: int | None) -> Secret | None:
    secret = choose_row(_select_locked(name, by, Permission.ADMIN), _format_label(name))
    if secret is not None:
        check_version(secret, version)
    elif version:
        text = f"The secret {name[:40]} was deleted in the meantime. Omit the version to store it again."
        raise ApiError(409, "changed_meanwhile", text, {"version": [text]})
    return secret


def _select_locked(name: str, by: User, permission: Permission) -> QuerySet[Secret, Secret]:
    secrets = Secret.objects.visible_to(by, permission)
    return secrets.select_for_update(of=("self",)).select_related("updated_by").filter(name=name)


def _check_fields(secret: Secret, problems: dict[str, list[str]]) -> None:
    try:
        with translated_errors():
            secret.clean_fields(exclude=["project", "encrypted", "created_by", "updated_by", *problems])
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    if problems:
        raise ValidationError(problems)


def _insert_secret(secret: Secret) -> Secret:
    try:
        with transaction.atomic():
            secret.save(force_insert=True)
    except IntegrityError:
        message = f"Another user stored the secret {secret.name} at the same moment. Check it, then try again."
        raise ApiError(409, "name_taken", message, {"name": [message]}) from None
    return secret


def _find_value_problem(value: str | None) -> str:
    # The error of a value, which must not reveal any part of it; empty if the value is valid
    if not value or not value.strip():
        return "The secret needs a value." if not value else "The value must not be only white space."
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        return (
            "The value contains a character that an environment variable can't hold (NUL, or half a surrogate pair). "
            "Encode it, for example with base64."
        )
    if (size := len(value.encode())) > MAX_VALUE_BYTES:
        return f"Has {size:,} bytes; at most {MAX_VALUE_BYTES:,} are allowed."
    if (lines := value.count("\n") + 1) > MAX_VALUE_LINES:
        return f"Has {lines:,} lines; at most {MAX_VALUE_LINES} are allowed. Encode the value, for example with base64."
    return ""


def _list_warnings(value: str) -> Iterable[str]:
    if not can_mask(value):
        yield TOO_SHORT
    elif any(0 < len(line.strip()) < MIN_CHARACTERS for line in value.split("\n")):
        yield f"its lines of fewer than {MIN_CHARACTERS} characters are not hidden in logs"
    if value != value.strip():
        yield "it begins or ends with white space, which is part of the value"


def delete_secret(name: str, by: User, version: int | None = None) -> None:
    """Deletes a secret that no job uses. With `version`, only if that is still its version; else ChangedMeanwhile."""
    with transaction.atomic():
        secret = choose_row(_select_locked(name, by, Permission.VIEW), _format_label(name))
        if secret is None:
            raise _make_missing_error(name)
        check_can(by, Permission.ADMIN, secret)
        check_deletion(secret, version)
        if jobs := find_jobs_by_secret().get((secret.project_id, name)):
            slugs = [job.slug for job in jobs]
            named = ", ".join(slugs[:3]) + (" and others" if len(slugs) > 3 else "")
            raise ApiError(409, "secret_in_use", f"The secret {name} is used by {named}. Remove it from them first.")
        retired_values.retire_value(secret.project_id, name, secret.encrypted)
        retire_version(KIND, name, secret.version, secret.project_id)
        secret.delete()


def find_jobs_by_secret() -> dict[tuple[ProjectId, str], list[Any]]:
    # `jobs` is a higher layer, so its model is reached by name.
    jobs: Any = apps.get_model("jobs", "Job")._default_manager
    users: dict[tuple[ProjectId, str], list[Any]] = {}
    for job in jobs.exclude(secrets=[]).only("pk", "project", "name", "slug", "secrets"):
        for name in job.secrets:
            users.setdefault((job.project_id, name), []).append(job)
    return users


def find_missing(names: Sequence[str], project_id: ProjectId, *, lock: bool = False) -> list[str]:
    """The `names` that no secret of the project has. `lock` keeps the others from being deleted in this transaction."""
    secrets = Secret.objects.select_for_update() if lock else Secret.objects.all()
    stored = set(secrets.filter(project=project_id, name__in=names).order_by("pk").values_list("name", flat=True))
    return [name for name in names if name not in stored]


def decrypt_for_run(names: Sequence[str], project_id: ProjectId) -> dict[str, str]:
    """The values of the project's `names`. Records their use.

    Raises SecretUnavailable for a deleted or undecryptable secret.
    """
    if not names:
        return {}
    secrets = Secret.objects.filter(project=project_id, name__in=names)
    tokens = dict(secrets.values_list("name", "encrypted"))
    if gone := [name for name in names if name not in tokens]:
        raise SecretUnavailable(
            f"The secret {gone[0]} no longer exists, so nothing was started. Store it again, or remove it from the job."
        )
    values = {name: _decrypt_value(name, tokens[name]) for name in names}
    secrets.update(last_used_at=Now())
    return values


def _decrypt_value(name: str, token: str) -> str:
    try:
        return decrypt(name, token)
    except DecryptionError:
        raise SecretUnavailable(
            f"The secret {name} can't be decrypted: none of this host's keys decrypts it, so nothing was started. "
            "Add the key it was encrypted with to CRONIUM_ENCRYPTION_KEYS, or set its value again."
        ) from None


def rotate_secrets() -> tuple[int, list[str]]:
    """Re-encrypts all values with the first key. Returns the number changed, and the names that no key decrypts.

    Commits in batches, so that an interrupted rotation continues at its next call. Retired values are re-encrypted
    too, but not counted.
    """
    _rotate_rows(RetiredSecret.objects.all())
    sealed, unreadable = _rotate_rows(SealedValue.objects.all())
    changed, lost = _rotate_rows(Secret.objects.all())
    return sealed + changed, lost + unreadable


def _rotate_rows(rows: QuerySet[Any, Any]) -> tuple[int, list[str]]:
    changed, unreadable, last = 0, [], 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:BATCH_SIZE]):
        with transaction.atomic():
            for secret in batch:
                try:
                    token = reencrypt(secret.name, secret.encrypted)
                except DecryptionError:
                    unreadable.append(secret.name)
                    continue
                if token:  # a value that was replaced in the meantime is kept
                    unchanged = rows.filter(pk=secret.pk, encrypted=secret.encrypted)
                    changed += unchanged.update(encrypted=token)
        last = batch[-1].pk
    return changed, unreadable
