"""Request and response bodies of the routes of custom images."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from cronium_admin.accounts.models import User
from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP, OMITTED
from cronium_admin.image_builds.service import ImageFields
from cronium_admin.images.custom import CustomName
from cronium_admin.images.imports import MAX_CHARACTERS
from cronium_admin.images.models import CustomImage, ImageVersion, Language, VersionStatus

_RECIPE_HELP = (
    'base: bash, python or node; python: requirements of pip such as "requests==2.*"; node: packages of npm; system: '
    "packages of Debian or Alpine; steps: shell scripts that run as root in the build; or, instead of packages and "
    "steps, dockerfile: the text of a Dockerfile, which needs the permission build_dockerfile."
)


class VersionOut(BaseModel):
    number: int
    reference: str = Field(description="What a job writes as its image to get exactly this version.")
    status: str = Field(description="building, ready, failed or removed.")
    reason: str = Field(description="A code: why the build failed.")
    message: str = Field(description="The same in a sentence, with the mend.")
    log_tail: str = Field(description="The last lines of a failed build.")
    run: UUID = Field(description="The run that built it; it may be deleted since.")
    host: str = Field(description="The host that has the image.")
    base: str
    base_digest: str
    recipe: dict[str, Any]
    recipe_digest: str
    config_digest: str
    pushed_digests: dict[str, str] = Field(description="The name in each registry, as repository@sha256:...")
    size: int | None = Field(description="Bytes.")
    packages: list[list[str]] = Field(description="[type, name, version] of each installed package.")
    smoke: list[dict[str, Any]] = Field(description="The checks of the smoke test: name, passed, found.")
    pinned: bool
    version: int = Field(description="Incremented by every change of `pinned`.")
    jobs: list[str] = Field(description="The slugs of the jobs that name this version.")
    created_at: datetime
    created_by: str | None
    ended_at: datetime | None

    @classmethod
    def build(cls, image: CustomImage, version: ImageVersion, jobs: list[str]) -> "VersionOut":
        same = [
            *("number", "status", "reason", "message", "log_tail", "host", "base", "base_digest", "recipe", "size"),
            *("recipe_digest", "config_digest", "pushed_digests", "packages", "smoke", "pinned", "version"),
        ]
        return cls(
            **{name: getattr(version, name) for name in (*same, "created_at", "ended_at")},
            reference=str(CustomName(image.name, version.number)),
            run=version.run_id,
            jobs=jobs,
            created_by=_get_username(version.created_by),
        )


_REGISTRY_HELP = (
    "The address of the registry that gets each version that is ready, so that other hosts can pull it; empty: none. "
    "It must allow pushes, and the project must be allowed to use it."
)


class CustomImageOut(BaseModel):
    name: str
    reference: str = Field(description="What a job writes as its image to get the newest version that is ready.")
    language: str
    description: str
    recipe: dict[str, Any] = Field(description=_RECIPE_HELP)
    registry: str = Field(description=_REGISTRY_HELP)
    version: int = Field(description="Incremented by every change.")
    newest: int | None = Field(description="The number of the newest version that is ready.")
    building: UUID | None = Field(description="The run of the build in progress.")
    is_built: bool = Field(description="Whether the newest ready version was built from the present recipe.")
    jobs: list[str] = Field(description="The slugs of the jobs that name it.")
    created_at: datetime
    created_by: str | None
    updated_at: datetime
    updated_by: str | None

    @classmethod
    def build(
        cls, image: CustomImage, versions: list[ImageVersion], jobs: list[str], registry: str
    ) -> "CustomImageOut":
        """`versions`: those of the image that are ready or building, newest first."""
        newest = next((version for version in versions if version.status == VersionStatus.READY), None)
        building = next((version.run_id for version in versions if version.status == VersionStatus.BUILDING), None)
        same = ("name", "language", "description", "recipe", "version", "created_at", "updated_at")
        return cls(
            **{name: getattr(image, name) for name in same},
            reference=str(CustomName(image.name)),
            registry=registry,
            newest=newest.number if newest else None,
            building=building,
            is_built=newest is not None and newest.recipe == image.recipe,
            jobs=jobs,
            created_by=_get_username(image.created_by),
            updated_by=_get_username(image.updated_by),
        )


def _get_username(user: User | None) -> str | None:
    return user.get_username() if user else None


class CustomImageList(BaseModel):
    items: list[CustomImageOut]
    next: None = None


class VersionPage(BaseModel):
    items: list[VersionOut]
    next: str | None = Field(description="The value of `after` for the next page; null on the last page.")


class CustomImageIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: StrictStr = Field(examples=["python-reports"])
    description: StrictStr = ""
    registry: Annotated[StrictStr, Field(description=_REGISTRY_HELP)] = ""
    recipe: dict[str, Any] = Field(
        description=_RECIPE_HELP, examples=[{"base": "python", "python": ["requests==2.*"], "system": ["libpq5"]}]
    )

    def to_fields(self) -> ImageFields:
        return ImageFields(self.name, self.description, self.recipe, self.registry)


class CustomImageChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    description: StrictStr = OMITTED
    registry: Annotated[StrictStr, Field(description=_REGISTRY_HELP)] = OMITTED
    recipe: dict[str, Any] = OMITTED
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None

    def to_fields(self) -> ImageFields:
        given = {
            name: getattr(self, name) for name in ("description", "recipe", "registry") if name in self.model_fields_set
        }
        return ImageFields(**given)


class VersionChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pinned: StrictBool
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class SuggestionsIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    language: Language
    script: Annotated[StrictStr, Field(max_length=MAX_CHARACTERS)]
    image: Annotated[StrictStr, Field(description="As a job names it; empty: the image of the language.")] = ""


class SuggestionsOut(BaseModel):
    image: str = Field(description="The image that the script was compared with.")
    is_known: bool = Field(description="Whether the packages of that image are known. If not, there are no proposals.")
    packages: list[str] = Field(description="The packages that the script imports and the image lacks, by name.")
