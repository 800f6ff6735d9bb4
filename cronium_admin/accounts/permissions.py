"""The four roles and their permissions."""

from enum import IntEnum

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    EDITOR = "editor", "Editor"
    ADMIN = "admin", "Administrator"


class Permission(IntEnum):
    """A role has all permissions up to its highest one."""

    VIEW = 0  # jobs, runs, logs, images, profiles
    RUN = 1  # run, cancel, re-run
    EDIT = 2  # create, change and delete jobs
    OPEN_NETWORK = 3  # give a job the open network, and change what runs with it
    ADMIN = 4  # image overrides, profiles, users

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
    Role.ADMIN: "An editor who also manages people, secrets, images, profiles, hosts and open networks.",
}
