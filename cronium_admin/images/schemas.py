"""The API's schemas of images."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from cronium_admin.core.edit_versions import CHANGE_VERSION_HELP
from cronium_admin.images.inventory import Presence
from cronium_admin.images.service import ImageFacts


class OnHostOut(BaseModel):
    host: str
    present: bool | None = Field(description="null: not known, because the host has more images than it reports.")
    image_id: str = Field(description="The digest of the image's configuration on that host; empty without the image.")
    size: int = Field(description="Bytes.")
    reported_at: datetime


class ImageOut(BaseModel):
    language: str
    reference: str = Field(description="The image of this language's runs, unless the job or launch sets another one.")
    rule: str = Field(description="The rule that decides: override, environment or default.")
    why: str = Field(description="The rule in words.")
    override: str = Field(description="Set on the Images page or here; empty if not set.")
    environment: str = Field(description="CRONIUM_CONTAINER_IMAGES_*; empty if not set.")
    default: str
    version: int = Field(description="The number of changes of the override; 0 if there never was one.")
    hosts: list[OnHostOut] = Field(description="The hosts that reported in the last minute, and whether they have it.")
    warnings: list[str] = Field(description="Known reasons why runs with this image may fail.")

    @classmethod
    def build(cls, facts: ImageFacts, presence: Presence, warnings: list[str]) -> "ImageOut":
        hosts = [
            OnHostOut(
                host=item.host,
                present=item.is_present,
                image_id=item.image_id,
                size=item.size,
                reported_at=item.reported_at,
            )
            for item in presence.hosts
        ]
        return cls(**vars(facts), hosts=hosts, warnings=warnings)


class ImageIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reference: StrictStr = Field(examples=["cronium/runner:python-alpine"])
    version: Annotated[StrictInt | None, Field(description=CHANGE_VERSION_HELP)] = None


class ImageList(BaseModel):
    items: list[ImageOut]
    next: None = None
