"""Custom images for tests without an engine."""

import uuid
from typing import Any

from cronium_admin.accounts.models import DEFAULT_PROJECT_ID
from cronium_admin.images.models import CustomImage, ImageVersion

RECIPE = {"base": "python", "python": ["requests==2.*"]}


def make_ready_image(name: str, numbers: tuple[int, ...] = (1,), **values: Any) -> CustomImage:
    """A custom image whose versions are ready; keywords are columns of the image."""
    columns = {"project_id": DEFAULT_PROJECT_ID, "language": "python", "recipe": RECIPE} | values
    columns.setdefault("last_version", max(numbers, default=0))
    image = CustomImage.objects.create(name=name, **columns)
    for number in numbers:
        make_version(image, number)
    return image


def make_version(image: CustomImage, number: int, status: str = "ready", **values: Any) -> ImageVersion:
    columns = {"run_id": uuid.uuid4(), "recipe": image.recipe, "base": "cronium/runner:python-debian", "sbom": "{}"}
    columns["image_id_on_host"] = f"sha256:{image.pk:032x}{number:032x}"
    return ImageVersion.objects.create(image=image, number=number, status=status, **(columns | values))


def make_tag(image: CustomImage, number: int) -> str:
    """The name of the version's image on engines."""
    return f"cronium/custom/{image.project_id}/{image.name}:{number}"
