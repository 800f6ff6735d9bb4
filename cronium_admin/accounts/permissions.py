"""The four roles and what each may do; the one place that decides."""

from enum import IntEnum

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    EDITOR = "editor", "Editor"
    ADMIN = "admin", "Administrator"


class Permission(IntEnum):
    """A right; each role has all rights up to its own rank."""

    VIEW = 0  # jobs, runs, logs, images, profiles
    RUN = 1  # run, cancel, re-run
    EDIT = 2  # create, change and delete jobs
    OPEN_NETWORK = 3  # give a job the open network, and decide what runs with it
    ADMIN = 4  # image overrides, profiles, people

    @property
    def scope(self) -> str:
        """Its name in the API, which called VIEW `see` from the beginning."""
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
