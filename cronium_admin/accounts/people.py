"""People: adding, changing their role, switching off, new passwords. Every rule about people is here.

The last active administrator stays one. That is a condition of the UPDATE or DELETE itself, made while the rows of all
administrators are locked, so that two of them can't take it from each other at once.
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


def list_people() -> QuerySet[User, Any]:
    """All people, each with `token_count` (those that work) and `seen_at` (by page or token)."""
    working = Q(api_tokens__revoked_at=None) & (Q(api_tokens__expires_at=None) | Q(api_tokens__expires_at__gt=Now()))
    signed_in = SignIn.objects.filter(user=OuterRef("pk")).values("user").annotate(at=Max("seen_at")).values("at")
    used = ApiToken.objects.filter(user=OuterRef("pk")).values("user").annotate(at=Max("last_used_at")).values("at")
    rows = User.objects.annotate(
        token_count=Count("api_tokens", filter=working), page_at=Subquery(signed_in), token_at=Subquery(used)
    )
    return rows.order_by("pk")


def list_people_by_name() -> list[User]:
    """All of them in the order of names, which databases don't agree on."""
    return sorted(list_people(), key=lambda person: (make_sort_key(person.get_username()), person.pk))


def get_last_seen(person: User) -> Any:
    """When a person of `list_people` was seen last; None for never."""
    known = [at for at in (person.last_login, *(getattr(person, name, None) for name in ("page_at", "token_at"))) if at]
    return max(known, default=None)


def find_person(username: str) -> User:
    """With the facts of `list_people`."""
    person: User | None = list_people().filter(username=username).first()
    if person is None:
        raise ApiError(404, "not_found", f"There is no person {username[:40]!r}.")
    return person


def add_person(by: User, username: str, role: str, password: str = "") -> tuple[User, str]:
    """A new person and the password to tell them: a generated one, or empty when `password` was given.

    They choose another one when they sign in first.
    """
    username = User.normalize_username(username.strip())
    person = User(username=username, role=_check_role(role), must_change_password=True)
    check_username(username)
    given = password or passwords.generate_password()
    person.set_password(given)
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
    return person, "" if password else given


def change_person(
    by: User, person: User, *, role: str | None = None, is_active: bool | None = None, version: int | None = None
) -> None:
    """Set role or state. Who is switched off is signed out everywhere, and their tokens are refused.

    With `version`, only while that is the person's: else ChangedMeanwhile. Sets the new values in `person` too.
    """
    changes: dict[str, Any] = {}
    if role is not None:
        is_admin = _check_role(role) == Role.ADMIN
        changes |= {"role": role, "is_staff": is_admin, "is_superuser": is_admin}
    if is_active is not None:
        if not is_active and person.pk == by.pk:
            raise ApiError(409, "own_account", "You can't switch off your own account. Ask another administrator.")
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
    """A new password, which the person has to replace; it ends their sessions. The generated one, or empty.

    `version` as in `change_person`.
    """
    check_new_password(by, person, password)
    given = password or passwords.generate_password()
    person.set_password(given)
    with _lock_administrators(by):
        _update_person(by, _lock_person(person, version), {"password": person.password, "must_change_password": True})
        sessions.end_all(person)
    person.must_change_password = True
    log.info("%s reset the password of %s", by.get_username(), person.get_username())
    return "" if password else given


def _lock_person(person: User, version: int | None) -> User:
    """The person as they are now, locked until the end of the transaction."""
    stored = User.objects.select_for_update(of=("self",)).select_related("updated_by").filter(pk=person.pk).first()
    if stored is None:
        raise _explain_refusal(person)
    check_version(stored, version)
    return stored


def _update_person(by: User, stored: User, changes: dict[str, Any], *, is_spared: bool = False) -> None:
    """With `is_spared`, only while there is another active administrator, or the person is none."""
    rows = User.objects.filter(pk=stored.pk, version=stored.version)
    edit = {"version": stored.version + 1, "updated_by": by, "updated_at": database_now()}
    if (_exclude_last_administrator(rows) if is_spared else rows).update(**changes, **edit):
        return
    now = User.objects.filter(pk=stored.pk).first()
    raise EditConflict(now) if now and now.version != stored.version else _explain_refusal(stored)


def check_new_password(by: User, person: User, password: str) -> None:
    """Refuse what `reset_password` would refuse, before anything is changed."""
    if person.pk == by.pk:
        raise ApiError(409, "own_account", "Change your own password on the page Your account.")
    if password:
        passwords.check_password_strength(password, person)


def end_sessions(by: User, person: User) -> None:
    """Sign a person out everywhere. Their tokens go on."""
    with _lock_administrators(by):
        sessions.end_all(_lock_person(person, None))
    log.info("%s ended the sessions of %s", by.get_username(), person.get_username())


def delete_person(by: User, person: User, version: int | None = None) -> None:
    """Delete a person with their tokens. What they made stays, without their name. `version` as in `change_person`."""
    if person.pk == by.pk:
        raise ApiError(409, "own_account", "You can't delete your own account. Ask another administrator.")
    with _lock_administrators(by):
        stored = User.objects.select_for_update(of=("self",)).select_related("updated_by").filter(pk=person.pk).first()
        if stored is None:
            raise _explain_refusal(person)
        check_deletion(stored, version)
        if not _exclude_last_administrator(User.objects.filter(pk=person.pk)).delete()[0]:
            raise _explain_refusal(person)
        retire_version(KIND, stored.username, stored.version)
    log.info("%s deleted %s", by.get_username(), person.get_username())


def change_own_password(user: User, session: SessionBase, current: str, new: str) -> None:
    """Also end all other sessions. ValidationError by field. The caller renews the hash of `session`.

    Raises SessionEnded, and changes nothing, when the session was ended or the password replaced in the meantime.
    """
    if not user.check_password(current):
        raise ValidationError({"current": "This is not your present password."})
    if new == current:
        raise ValidationError({"password": "Choose another one than the present password."})
    passwords.check_password_strength(new, user)
    checked = user.password
    user.set_password(new)
    with transaction.atomic():
        stored = User.objects.filter(pk=user.pk, password=checked)
        if not stored.update(password=user.password, must_change_password=False):
            raise sessions.SessionEnded
        sessions.end_others(user, session)
    user.must_change_password = False
    log.info("%s changed their own password", user.get_username())


@contextmanager
def _lock_administrators(by: User) -> Iterator[None]:
    """One change at a time, and only by a person who is an administrator at this moment."""
    with transaction.atomic():
        locked = User.objects.select_for_update().filter(_IS_ADMINISTRATOR).order_by("pk")
        if by.pk not in list(locked.values_list("pk", flat=True)):
            raise ApiError(403, "forbidden", "You need the role Administrator for this.")
        yield


def _exclude_last_administrator(rows: QuerySet[User]) -> QuerySet[User]:
    """Those of `rows` without whom there is an administrator still."""
    others = User.objects.filter(_IS_ADMINISTRATOR).exclude(pk=OuterRef("pk"))
    return rows.filter(~_IS_ADMINISTRATOR | Q(Exists(others)))


def _explain_refusal(person: User) -> ApiError:
    if not User.objects.filter(pk=person.pk).exists():
        return ApiError(404, "not_found", f"{person.get_username()} was deleted in the meantime.")
    return ApiError(
        409,
        "last_administrator",
        f"{person.get_username()} is the last administrator. Make somebody else an administrator first.",
    )


def _check_role(role: str) -> str:
    if role not in Role.values:
        raise ValidationError({"role": f"A role is one of: {', '.join(Role.values)}."})
    return role


def _make_name_error(username: str) -> ApiError:
    taken = f"There is a person {username} already."
    return ApiError(409, "name_taken", taken, {"username": [taken]})


def _describe_changes(changes: dict[str, Any]) -> str:
    words = [f"role {changes['role']}"] if "role" in changes else []
    if "is_active" in changes:
        words.append("switched on" if changes["is_active"] else "switched off")
    return ", ".join(words)
