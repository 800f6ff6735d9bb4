"""Images as the API says them."""

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from cronium_admin.images.service import ImageFacts


class ImageOut(BaseModel):
    language: str
    reference: str = Field(description="What a run of this language gets now, unless its job or launch says otherwise.")
    rule: str = Field(description="override, environment or default: what decided it.")
    why: str = Field(description="The rule in words.")
    override: str = Field(description="Set on the Images page or here; empty when not set.")
    environment: str = Field(description="CRONIUM_CONTAINER_IMAGES_*; empty when not set.")
    default: str

    @classmethod
    def of(cls, facts: ImageFacts) -> "ImageOut":
        return cls(**vars(facts))


class ImageIn(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reference: StrictStr = Field(examples=["cronium/runner:python-alpine"])


class ImageList(BaseModel):
    items: list[ImageOut]
    next: None = None
