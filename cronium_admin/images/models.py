"""Own images and overrides of the languages, the images that hosts report, and those that they pull."""

from typing import Any

from django.conf import settings
from django.db import models

from cronium_admin.accounts.projects import InProject
from cronium_admin.core.database.clock import Now, database_now
from cronium_admin.core.edit_versions import Edited


class Language(models.TextChoices):
    BASH = "bash", "Bash"
    PYTHON = "python", "Python"
    NODE = "node", "Node.js"


class BuiltImage(models.Model):
    """The runner image of the last `images build` for a language: the language's default."""

    language = models.CharField(max_length=16, choices=Language.choices, unique=True)
    reference = models.CharField(max_length=255)
    built_at = models.DateTimeField(default=database_now)

    def __str__(self) -> str:
        return f"{self.language}: {self.reference}"


class OwnImage(models.Model):
    """An image that `images build` made or `images pull` brought, by its name on the engines."""

    reference = models.CharField(max_length=255, unique=True)
    image_id = models.CharField(max_length=80)  # of the engine that built it
    base = models.CharField(max_length=255, blank=True, default="")
    version = models.CharField(max_length=64, blank=True, default="")  # of Cronium
    size = models.BigIntegerField()  # bytes
    # When its contents were made; a build that gives the same image leaves it.
    built_at = models.DateTimeField(default=database_now)
    sbom_digest = models.CharField(max_length=80, blank=True, default="")
    sbom = models.BinaryField(default=b"", editable=False)  # CycloneDX JSON, compressed with Zstandard
    # The last search for updates: a list of {"name", "installed", "candidate", "is_security"}; null: not known.
    updates: Any = models.JSONField(null=True, blank=True)
    updates_checked_at = models.DateTimeField(null=True, blank=True)
    updates_problem = models.CharField(max_length=300, blank=True, default="")  # why they are not known

    def __str__(self) -> str:
        return self.reference


class ImageOverride(Edited):
    """An administrator's choice for all runs of a language, which precedes environment and default.

    A removed override has an empty `reference`: its row keeps the version, and the user who removed it.
    """

    language = models.CharField(max_length=16, choices=Language.choices, unique=True)
    reference = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.language}: {self.reference}"


class HostInventory(models.Model):
    """The last report of a host about its images."""

    host = models.CharField(max_length=100, unique=True)
    reported_at = models.DateTimeField()
    digest = models.CharField(max_length=64)  # of the report, so that an equal report is not written again
    is_cut = models.BooleanField(default=False)  # the host has more images than are stored

    def __str__(self) -> str:
        return self.host


class HostImage(models.Model):
    """One name of an image on a host."""

    inventory = models.ForeignKey(HostInventory, on_delete=models.CASCADE, related_name="images")
    reference = models.CharField(max_length=400, db_index=True)  # the full form, see `reference.canonicalize_reference`
    image_id = models.CharField(max_length=80)  # the digest of its configuration
    size = models.BigIntegerField()  # bytes

    def __str__(self) -> str:
        return self.reference


class VersionStatus(models.TextChoices):
    """The state of a version of a custom image."""

    BUILDING = "building", "Building"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"
    REMOVED = "removed", "Removed"


class CustomImage(InProject, Edited):
    """An image that a project builds from a recipe. Jobs of the project name it `cronium/custom/NAME[:N]`."""

    name = models.SlugField(max_length=40, db_index=False)
    language = models.CharField(max_length=16, choices=Language.choices)
    description = models.CharField(max_length=500, blank=True, default="")
    recipe = models.JSONField()  # of the next build; `image_builds.recipe` has its form
    registry_id = models.BigIntegerField(null=True)  # the registry that gets each ready version; null: none
    last_version = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=database_now)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="custom_image_name_once_per_project")]

    def __str__(self) -> str:
        return self.name


class ImageVersion(Edited):
    """One build of a custom image, and the image that it made. `status` changes only in `image_builds.versions`.

    Its `version` counts the edits by users, who pin it.
    """

    image = models.ForeignKey(CustomImage, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    recipe = models.JSONField()
    recipe_digest = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=VersionStatus.choices, default=VersionStatus.BUILDING)
    run_id = models.UUIDField(unique=True)  # the run that builds it; it may be deleted since
    host = models.CharField(max_length=100, blank=True, default="")  # the host that built it and has it
    base = models.CharField(max_length=255)  # the reference of the base image
    base_digest = models.CharField(max_length=80, blank=True, default="")  # as the engine of that host reported it
    # The image. The first digest is its id in the engine's own store, the second in containerd's store.
    config_digest = models.CharField(max_length=80, blank=True, default="")
    manifest_digest = models.CharField(max_length=80, blank=True, default="")
    pushed_digests = models.JSONField(default=dict)  # repository@sha256:... by registry
    image_id_on_host = models.CharField(max_length=80, blank=True, default="")  # as the engine of `host` calls it
    size = models.BigIntegerField(null=True)  # bytes
    packages = models.JSONField(default=list)  # [type, name, version] of each installed package
    sbom = models.TextField(blank=True, default="")  # CycloneDX
    smoke = models.JSONField(default=list)  # {name, passed, found} of each check
    # Of a failed version: a code, a sentence with the remedy, and the end of the build's output.
    reason = models.CharField(max_length=40, blank=True, default="")
    message = models.TextField(blank=True, default="")
    log_tail = models.TextField(blank=True, default="")
    pinned = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=database_now)
    ended_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)  # when it became `removed`; hosts remove its image a little later

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["image", "number"], name="image_version_number_once_per_image"),
            # Two builds of one image at the same time would race for its newest version.
            models.UniqueConstraint(
                fields=["image"], condition=models.Q(status="building"), name="image_version_one_build_at_a_time"
            ),
        ]
        indexes = [
            models.Index(fields=["status"], name="image_version_building", condition=models.Q(status="building")),
        ]

    def __str__(self) -> str:
        return f"version {self.number}"


class PullState(models.TextChoices):
    REQUESTED = "requested", "Requested"
    PULLING = "pulling", "Pulling"
    PRESENT = "present", "Pulled"
    FAILED = "failed", "Failed"


class PulledImage(models.Model):
    """The last pull of an image on a host. Garbage collection removes only images that have such a row."""

    host = models.CharField(max_length=100)
    reference = models.CharField(max_length=400)  # canonical
    state = models.CharField(max_length=12, choices=PullState.choices)
    requested_at = models.DateTimeField(null=True)  # by a user; null: by a run, or ahead of one
    started_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True)  # by a run, to the hour
    # While it is pulled; bytes as far as the engine knows them.
    done_bytes = models.BigIntegerField(default=0)
    total_bytes = models.BigIntegerField(default=0)
    done_layers = models.PositiveIntegerField(default=0)
    total_layers = models.PositiveIntegerField(default=0)
    # What was pulled last. A failed pull keeps them.
    digest = models.CharField(max_length=400, blank=True, default="")  # repository@sha256:...
    image_id = models.CharField(max_length=80, blank=True, default="")
    # Of a failed pull.
    reason = models.CharField(max_length=40, blank=True, default="")
    message = models.TextField(blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["host", "reference"], name="pulled_image_once_per_host")]
        indexes = [
            models.Index(
                fields=["host"],
                name="pulled_image_requested",
                condition=models.Q(state="requested"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.reference} on {self.host}"

    @property
    def percent(self) -> int | None:
        """Of the bytes; None while their number is unknown."""
        return None if not self.total_bytes else min(100, 100 * self.done_bytes // self.total_bytes)


class ImageTest(models.Model):
    """A smoke test of an image that an administrator is about to choose. `image_tests` requests and answers it."""

    language = models.CharField(max_length=16, choices=Language.choices)
    reference = models.CharField(max_length=255)
    requested_at = models.DateTimeField(db_default=Now())
    host = models.CharField(max_length=100, blank=True, default="")  # that makes it; empty until one does
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    checks = models.JSONField(default=list)  # {name, passed, found} of each check
    message = models.TextField(blank=True, default="")  # why it failed, or was not made

    class Meta:
        indexes = [models.Index(fields=["id"], name="image_test_open", condition=models.Q(finished_at=None))]

    def __str__(self) -> str:
        return f"test of {self.reference}"


class HostDisk(models.Model):
    """The disk of a host's engine at its last measurement, and the last decision which images stay there."""

    host = models.CharField(max_length=100, unique=True)
    measured_at = models.DateTimeField()
    total_bytes = models.BigIntegerField(null=True)  # null: the disk can't be measured from the worker
    used_bytes = models.BigIntegerField(null=True)
    removable_bytes = models.BigIntegerField(default=0)
    # Of each pulled image and each custom one: {"reference", "size", "why", "removable"}; of removed ones also "at".
    verdicts: Any = models.JSONField(default=list)
    removed: Any = models.JSONField(default=list)  # the last ones, newest first
    note = models.CharField(max_length=300, blank=True, default="")  # why nothing is removed although the disk is full

    def __str__(self) -> str:
        return self.host

    @property
    def percent(self) -> int | None:
        if not self.total_bytes or self.used_bytes is None:
            return None
        return round(100 * self.used_bytes / self.total_bytes)
