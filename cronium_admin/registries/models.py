"""Registries that hosts pull images from and push images to, and rules of when an image is pulled."""

from typing import Any

from django.core.validators import RegexValidator
from django.db import models

from cronium_admin.accounts.models import Project
from cronium_admin.core.edit_versions import Edited
from cronium_admin.images.reference import validate_reference


class PullPolicy(models.TextChoices):
    """When a host asks the registry for an image. Ordered: a job may choose a later one than the administrator's."""

    MISSING = "missing", "If it is missing"
    NEWER = "newer", "If there is a newer one"
    NEVER = "never", "Never"


class Registry(Edited):
    """One registry, or a part of it. The longest address that begins an image's name decides about the image.

    The secret is a `SealedValue` under `secret_name`, because it is bound to the address.
    """

    address = models.CharField(max_length=255, unique=True)  # host[:port][/prefix], see `addresses.parse_address`
    username = models.CharField(max_length=200, blank=True, default="")
    # The program docker-credential-NAME on the hosts, asked right before each transfer.
    helper = models.CharField(
        max_length=64,
        blank=True,
        default="",
        validators=[RegexValidator(r"\A[a-z0-9][a-z0-9-]*\Z", "Lower-case letters, digits and hyphens.")],
    )
    ca = models.TextField(blank=True, default="")  # PEM
    allow_http = models.BooleanField(default=False)  # send credentials over plain HTTP
    may_pull = models.BooleanField(default=True)
    may_push = models.BooleanField(default=False)
    policy = models.CharField(max_length=8, choices=PullPolicy.choices, default=PullPolicy.MISSING)
    is_shared = models.BooleanField(default=True)  # every project may use its images; else only `projects`
    projects = models.ManyToManyField(Project, related_name="+", blank=True)
    check_image = models.CharField(max_length=255, blank=True, default="", validators=[validate_reference])

    # A requested check, and the host that makes it; empty until one does.
    check_requested_at = models.DateTimeField(null=True, blank=True)
    check_host = models.CharField(max_length=100, blank=True, default="")
    # The last check that was made. `results` is a list of {"step", "ok", "text", "reason"}; `ok` is null for a skipped
    # step, `reason` is the code of a failure. Only administrators may see the texts: see `checks.describe_check`.
    checked_at = models.DateTimeField(null=True, blank=True)
    checked_on = models.CharField(max_length=100, blank=True, default="")
    results: Any = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["address"]
        verbose_name_plural = "registries"
        indexes = [
            # For the hosts, which look for requested checks; small, because checks are rare.
            models.Index(
                fields=["check_requested_at"],
                name="registry_check_requested",
                condition=models.Q(check_requested_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def secret_name(self) -> str:
        return make_secret_name(self.address)


def make_secret_name(address: str) -> str:
    return f"registry:{address}"


class RetiredRegistry(models.Model):
    """The address of a registry that was for chosen projects, and was deleted or got another address.

    Hosts keep its images, so that they stay for these projects only, until the page has the address again.
    """

    address = models.CharField(max_length=255, unique=True)
    projects = models.ManyToManyField(Project, related_name="+", blank=True)

    class Meta:
        verbose_name_plural = "retired registries"

    def __str__(self) -> str:
        return self.address


class ImagePolicy(Edited):
    """When hosts pull one image, instead of its registry's policy. `image` is a canonical name without tag."""

    image = models.CharField(max_length=255, unique=True)
    policy = models.CharField(max_length=8, choices=PullPolicy.choices)

    class Meta:
        ordering = ["image"]
        verbose_name_plural = "image policies"

    def __str__(self) -> str:
        return f"{self.image}: {self.policy}"
