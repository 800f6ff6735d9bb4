"""Users, their sign-ins and API tokens; projects and their members."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.functional import cached_property

from cronium_admin.accounts.permissions import HIGHEST_PERMISSION, Permission, ProjectId, Role
from cronium_admin.core.database.clock import Now
from cronium_admin.core.edit_versions import Edited
from cronium_admin.core.line_text import find_line_problem

TOKEN_PREFIX = "crn_"  # noqa: S105 - the prefix of every token
DEFAULT_PROJECT_ID = 1  # of the project that a migration creates


def check_username(username: str) -> None:
    """Raises ValidationError. Complements the checks of Django's field."""
    if username and not username[0].isalnum():
        raise ValidationError({"username": "A name begins with a letter or a digit."})
    if problem := find_line_problem(username):
        raise ValidationError({"username": problem})


def has_memberships(user: str) -> models.Exists:
    """Whether the user whose id is the column `user` has a membership."""
    return models.Exists(Membership.objects.filter(user=models.OuterRef(user)))


class PeopleManager(UserManager["User"]):
    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra: Any
    ) -> "User":
        """Creates an administrator, for `createsuperuser` and `bootstrap`. Raises ValidationError for a bad name."""
        name = self.model.normalize_username(username or "")
        check_username(name)
        if name:
            self.model._meta.get_field("username").run_validators(name)
        if self.filter(username__iexact=name).exclude(username=name).exists():
            raise ValidationError({"username": f"There is a person {name} already, in other capitals."})
        return super().create_superuser(username, email, password, **{**extra, "role": Role.ADMIN})

    def get(self, *args: Any, **kwargs: Any) -> "User":
        # Django reads a session's user by this call: `has_memberships` saves its request a query
        known: dict[str, Any] = {"has_memberships": has_memberships("pk")}
        return self.annotate(**known).get(*args, **kwargs)


class User(AbstractUser, Edited):
    """A user. `role` counts in the instance and in every project; a membership adds a role in one project.

    With an empty `role`, a user has only the rights of the memberships. `save` sets Django's own flags to match the
    role.

    `version`, `updated_by` and `updated_at` concern the fields that administrators change: role, state, password.
    """

    role = models.CharField(max_length=16, choices=Role.choices, blank=True, default=Role.VIEWER)
    must_change_password = models.BooleanField(default=False)  # another user chose the password
    session_epoch = models.PositiveIntegerField(default=0)  # an increment ends all sessions
    ended_sign_ins: Any = models.JSONField(default=list, blank=True)  # keys of sign-ins that were ended individually

    has_memberships: bool | None = None  # set by the query that read the row; None: not known

    objects = PeopleManager()  # type: ignore[misc]

    def has_permission(self, permission: Permission) -> bool:
        # In the instance, and so in every project. A user who is switched off has no permission.
        return self.is_active and self.role in Role.values and HIGHEST_PERMISSION[Role(self.role)] >= permission

    @cached_property
    def _permissions_by_project(self) -> dict[int, Permission]:
        # The highest permission that a membership gives, by project id
        if not self.is_active or self.has_memberships is False:
            return {}
        rows = self.memberships.values_list("project_id", "role")
        return {project: HIGHEST_PERMISSION[Role(role)] for project, role in rows if role in Role.values}

    def forget_memberships(self) -> None:
        # The next check reads them again
        self.has_memberships = None
        self.__dict__.pop("_permissions_by_project", None)

    def has_permission_in(self, project_id: ProjectId, permission: Permission) -> bool:
        if self.has_permission(permission):
            return True
        return self._permissions_by_project.get(project_id or 0, Permission.VIEW - 1) >= permission

    def list_project_ids(self, permission: Permission) -> list[int]:
        """The projects in which a membership gives `permission`; the role in the instance does not count."""
        return sorted(pk for pk, highest in self._permissions_by_project.items() if highest >= permission)

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        self.is_staff = self.is_superuser = self.role == Role.ADMIN
        if update_fields is not None and "role" in update_fields:
            update_fields = {*update_fields, "is_staff", "is_superuser"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def check_password(self, raw_password: str | None) -> bool:
        # Like Django's, but an upgrade of the hash is a conditional UPDATE: it never overwrites a newer password
        checked_hash = self.password

        def replace(password: str) -> None:
            self.set_password(password)
            self._password = None
            User.objects.filter(pk=self.pk, password=checked_hash).update(password=self.password)

        return check_password(raw_password, self.password, replace)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # Django's digest of the password, combined with the session epoch once sessions were ended
        password_hash: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]
        if not self.session_epoch:
            return password_hash
        salt = "cronium_admin.access.session_epoch"
        return salted_hmac(salt, f"{password_hash}:{self.session_epoch}", secret=secret, algorithm="sha256").hexdigest()


class Project(models.Model):
    """Owns jobs, runs, secrets and variables. Their names are unique within their project."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=80, unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    @property
    def project_id(self) -> int:
        return self.pk


class Membership(models.Model):
    """A user's role in one project, beside the role in the instance; the higher role counts."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "project"], name="membership_once_per_user"),
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in Role]), name="membership_role_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.get_role_display()}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        if user := self._state.fields_cache.get("user"):
            user.forget_memberships()


class RetiredVersion(models.Model):
    """The last version of a row that was deleted or renamed. `retired_versions` reads and writes it.

    Rows that no project owns, such as profiles and users, are stored under the default project.
    """

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, default=DEFAULT_PROJECT_ID, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=16)
    name = models.CharField(max_length=150)
    version = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "name"], name="retired_version_once_per_name")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class SignIn(models.Model):
    """A signed-in browser. Its session holds this row's key, so that users can list and end their sessions."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    device = models.CharField(max_length=80, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-seen_at", "-pk"]

    def __str__(self) -> str:
        return self.device or "Unknown browser"


def digest_token(token: str) -> str:
    # SHA-256 in hex. A token has 256 random bits, so a slow hash would add no protection.
    return hashlib.sha256(token.encode()).hexdigest()


class ApiToken(models.Model):
    """A bearer token. Only its digest is stored; the token itself is shown once, when it is created."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # The token that created this one; revoking the parent revokes this token too.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def mint(
        cls, user: User, name: str, expires_at: datetime | None = None, parent: "ApiToken | None" = None
    ) -> tuple["ApiToken", str]:
        """Creates a token for `user`. Returns the row and the token itself, which can't be read again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        row = cls.objects.create(
            user=user, name=name, prefix=token[:10], digest=digest_token(token), expires_at=expires_at, parent=parent
        )
        return row, token
