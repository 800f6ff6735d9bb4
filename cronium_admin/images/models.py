"""Which image a language's runs get: what was built here, and what the dashboard overrides."""

from django.db import models

from cronium_admin.core.database.clock import database_now
from cronium_admin.core.edit_versions import Edited


class Language(models.TextChoices):
    BASH = "bash", "Bash"
    PYTHON = "python", "Python"
    NODE = "node", "Node.js"


class BuiltImage(models.Model):
    """The runner image `images build` made last for a language: the default of that language."""

    language = models.CharField(max_length=16, choices=Language.choices, unique=True)
    reference = models.CharField(max_length=255)
    built_at = models.DateTimeField(default=database_now)

    def __str__(self) -> str:
        return f"{self.language}: {self.reference}"


class ImageOverride(Edited):
    """An administrator's choice for all runs of a language, above environment and default.

    An override that was removed is an empty `reference`: its row keeps the version, and who removed it.
    """

    language = models.CharField(max_length=16, choices=Language.choices, unique=True)
    reference = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.language}: {self.reference}"


class HostInventory(models.Model):
    """When a host said last which images it has. A host that is away says nothing."""

    host = models.CharField(max_length=100, unique=True)
    reported_at = models.DateTimeField()
    digest = models.CharField(max_length=64)  # of what it said, so that the same is not written again
    is_cut = models.BooleanField(default=False)  # it has more than are kept

    def __str__(self) -> str:
        return self.host


class HostImage(models.Model):
    """An image on a host, under one of its names."""

    inventory = models.ForeignKey(HostInventory, on_delete=models.CASCADE, related_name="images")
    reference = models.CharField(max_length=400, db_index=True)  # in full, see `reference.canonical`
    image_id = models.CharField(max_length=80)  # the digest of its configuration
    size = models.BigIntegerField()  # bytes

    def __str__(self) -> str:
        return self.reference
