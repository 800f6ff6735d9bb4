"""Built images and overrides of the languages, and the images that hosts report."""

from django.db import models

from cronium_admin.core.database.clock import database_now
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
