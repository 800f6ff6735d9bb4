"""Adds and changes users: role, state, password, sessions. Holds every rule about users.

There is always an active administrator. This is a condition of the UPDATE or DELETE itself, which runs while the
rows of all administrators are locked, so that two administrators can't demote each other at the same time.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Subquery

from cronium_admin.accounts import passwords, sessions
from cronium_admin.accounts.models import ApiToken, SignIn, User, check_username
from cronium_admin.accounts.permissions import Role
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import EditConflict, check_deletion, check_version
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import make_sort_key

log = logging.getLogger("cronium.people")
KIND = "person"
_IS_ADMINISTRATOR = Q(role=Role.ADMIN, is_active=True)


def select_people() -> QuerySet[User]:
    return User.objects.all()


def list_people() -> QuerySet[User, Any]:
    """All users, each with `token_count` (valid tokens) and the last use: `page_at` of a page, `token_at` of a
    token.
    """
    working = Q(api_tokens__revoked_at=None) & (Q(api_tokens__expires_at=None) | Q(api_tokens__expires_at__gt=Now()))
    signed_in = SignIn.objects.filter(user=OuterRef("pk")).values("user").annotate(at=Max("seen_at")).values("at")
    used = ApiToken.objects.filter(user=OuterRef("pk")).values("user").annotate(at=Max("last_used_at")).values("at")
    rows = User.objects.annotate(
        token_count=Count("api_tokens", filter=working), page_at=Subquery(signed_in), token_at=Subquery(used)
    )
    return rows.order_by("pk")


def list_people_by_name() -> list[User]:
    # Sorted in Python, because databases order names differently
    return sorted(list_people(), key=lambda person: (make_sort_key(person.get_username()), person.pk))


def get_last_seen(person: User) -> Any:
    times = [at for at in (person.last_login, *(getattr(person, name, None) for name in ("page_at", "token_at"))) if at]
    return max(times, default=None)


def find_person(username: str) -> User:
    person: User | None = list_people().filter(username=username).first()
    if person is None:
        raise ApiError(404, "not_found", f"There is no person {username[:40]!r}.")
    return person


def find_administrator(username: str = "") -> User:
    """The active administrator `username`, by default the oldest one: the user that a command acts as.

    Raises ApiError 404 that names the active administrators.
    """
    administrators = User.objects.filter(_IS_ADMINISTRATOR).order_by("pk")
    user = (administrators.filter(username=username) if username else administrators).first()
    if user is not None:
        return user
    names = ", ".join(administrators.values_list("username", flat=True)[:10])
    if not names:
        text = "There is no active administrator. Create one with `manage.py bootstrap` or `manage.py createsuperuser`."
    else:
        text = f"{username[:40]!r} is not an active administrator. There are: {names}."
    raise ApiError(404, "not_found", text)


def add_person(by: User, username: str, role: str, password: str = "") -> tuple[User, str]:
    """Returns the new user and the generated password; the password is empty if one was given.

    The user must choose another password at the first sign-in.
    """
    username = User.normalize_username(username.strip())
    person = User(username=username, role=_check_role(role), must_change_password=True)
    check_username(username)
    new_password = password or passwords.generate_password()
    person.set_password(new_password)
    with translated_errors():
        person.full_clean(exclude=["password"], validate_unique=False)
    if password:
        passwords.check_password_strength(password, person)
    with _lock_administrators(by):
        if User.objects.filter(username__iexact=username).exists():
            raise _make_name_error(username)
        try:
            with transaction.atomic():
                person.version = first_version(KIND, username)
                person.save()
        except IntegrityError:
            raise _make_name_error(username) from None
    log.info("%s added %s with the role %s", by.get_username(), username, role)
    return person, "" if password else new_password


def change_person(
    by: User, person: User, *, role: str | None = None, is_active: bool | None = None, version: int | None = None
) -> None:
    """Sets role or state. A user who is switched off loses all sessions, and their tokens are refused.

    With `version`, only if that is still the user's version; else raises ChangedMeanwhile. Updates `person` too.
    """
    changes: dict[str, Any] = {}
    if role is not None:
        is_admin = _check_role(role) == Role.ADMIN
        changes |= {"role": role, "is_staff": is_admin, "is_superuser": is_admin}
    if is_active is not None:
        if not is_active and person.pk == by.pk:
            raise ApiError(
                409, "own_account", "You can't switch off your own account. Ask another administrator to do it."
            )
        changes["is_active"] = is_active
    if not changes and version is None:
        return
    with _lock_administrators(by):
        stored = _lock_person(person, version)
        changes = {name: value for name, value in changes.items() if value != getattr(stored, name)}
        if changes:
            is_administrator = changes.get("role", stored.role) == Role.ADMIN and changes.get("is_active", True)
            _update_person(by, stored, changes, is_spared=not is_administrator)
        if is_active is False:
            sessions.end_all(stored)
        person.refresh_from_db(fields=["role", "is_staff", "is_superuser", "is_active", "version"])
    if changes:
        log.info("%s changed %s: %s", by.get_username(), person.get_username(), _describe_changes(changes))


def reset_password(by: User, person: User, password: str = "", version: int | None = None) -> str:
    """Sets a password that the user must replace, and ends their sessions. Returns the generated password, or "".

    `version` as in `change_person`.
    """
    check_new_password(by, person, password)
    new_password = password or passwords.generate_password()
    person.set_password(new_password)
    with _lock_administrators(by):
        _update_person(by, _lock_person(person, version), {"password": person.password, "must_change_password": True})
        sessions.end_all(person)
    person.must_change_password = True
    log.info("%s reset the password of %s", by.get_username(), person.get_username())
    return "" if password else new_password


def _lock_person(person: User, version: int | None) -> User:
    # The user's current row, locked until the end of the transaction
    stored = _select_locked().filter(pk=person.pk).first()
    if stored is None:
        raise _explain_refusal(person)
    check_version(stored, version)
    return stored


def _update_person(by: User, stored: User, changes: dict[str, Any], *, is_spared: bool = False) -> None:
    # With `is_spared`, only if another active administrator exists or the user is none
    rows = User.objects.filter(pk=stored.pk, version=stored.version)
    edit = {"version": stored.version + 1, "updated_by": by, "updated_at": database_now()}
    if (_exclude_last_administrator(rows) if is_spared else rows).update(**changes, **edit):
        return
    now = User.objects.filter(pk=stored.pk).first()
    raise EditConflict(now) if now and now.version != stored.version else _explain_refusal(stored)


def check_new_password(by: User, person: User, password: str) -> None:
    """Raises the errors of `reset_password`, before anything is changed."""
    if person.pk == by.pk:
        raise ApiError(409, "own_account", "Change your own password on the page Your account.")
    if password:
        passwords.check_password_strength(password, person)


def end_sessions(by: User, person: User) -> None:
    with _lock_administrators(by):
        sessions.end_all(_lock_person(person, None))
    log.info("%s ended the sessions of %s", by.get_username(), person.get_username())


def delete_person(by: User, person: User, version: int | None = None) -> None:
    """Deletes the user and their tokens. Their jobs, runs and secrets are kept without an owner.

    `version` as in `change_person`.
    """
    if person.pk == by.pk:
        raise ApiError(409, "own_account", "You can't delete your own account. Ask another administrator to do it.")
    with _lock_administrators(by):
        stored = _select_locked().filter(pk=person.pk).first()
        if stored is None:
            raise _explain_refusal(person)
        check_deletion(stored, version)
        if not _exclude_last_administrator(User.objects.filter(pk=person.pk)).delete()[0]:
            raise _explain_refusal(person)
        retire_version(KIND, stored.username, stored.version)
    log.info("%s deleted %s", by.get_username(), person.get_username())


def change_own_password(user: User, session: SessionBase, current: str, new: str) -> None:
    """Also ends all other sessions. Raises ValidationError by field. The caller must renew the hash of `session`.

    Raises SessionEnded, and changes nothing, if the session was ended or the password was replaced in the meantime.
    """
    if not user.check_password(current):
        raise ValidationError({"current": "This is not your current password."})
    if new == current:
        raise ValidationError({"password": "The new password must differ from the current one."})
    passwords.check_password_strength(new, user)
    checked_hash = user.password
    user.set_password(new)
    with transaction.atomic():
        stored = User.objects.filter(pk=user.pk, password=checked_hash)
        if not stored.update(password=user.password, must_change_password=False):
            raise sessions.SessionEnded
        sessions.end_others(user, session)
    user.must_change_password = False
    log.info("%s changed their own password", user.get_username())


def _select_locked() -> QuerySet[User]:
    return User.objects.select_for_update(of=("self",), no_key=True).select_related("updated_by")


@contextmanager
def _lock_administrators(by: User) -> Iterator[None]:
    # Serializes changes of users. Raises ApiError 403 if `by` is no longer an administrator.
    with transaction.atomic():
        # `no_key`: a transaction that stores a row which refers to a user waits for none.
        locked = User.objects.select_for_update(no_key=True).filter(_IS_ADMINISTRATOR).order_by("pk")
        if by.pk not in list(locked.values_list("pk", flat=True)):
            raise ApiError(403, "forbidden", "You need the role Administrator for this.")
        yield


def _exclude_last_administrator(rows: QuerySet[User]) -> QuerySet[User]:
    # The `rows` without which at least one active administrator remains
    others = User.objects.filter(_IS_ADMINISTRATOR).exclude(pk=OuterRef("pk"))
    return rows.filter(~_IS_ADMINISTRATOR | Q(Exists(others)))


def _explain_refusal(person: User) -> ApiError:
    if not User.objects.filter(pk=person.pk).exists():
        return ApiError(404, "not_found", f"{person.get_username()} was deleted in the meantime.")
    return ApiError(
        409,
        "last_administrator",
        f"{person.get_username()} is the last administrator. Make another user an administrator first.",
    )


def _check_role(role: str) -> str:
    if role not in Role.values:
        raise ValidationError({"role": f"A role is one of: {', '.join(Role.values)}."})
    return role


def _make_name_error(username: str) -> ApiError:
    text = f"There is a person {username} already."
    return ApiError(409, "name_taken", text, {"username": [text]})


def _describe_changes(changes: dict[str, Any]) -> str:
    parts = [f"role {changes['role']}"] if "role" in changes else []
    if "is_active" in changes:
        parts.append("switched on" if changes["is_active"] else "switched off")
    return ", ".join(parts)


def has_several_people() -> bool:
    return User.objects.filter(is_active=True).order_by()[1:2].exists()
