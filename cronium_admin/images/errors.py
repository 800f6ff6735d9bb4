"""The error of image builds."""

from __future__ import annotations


class ImageBuildError(Exception):
    """The message names the image, the cause and the remedy; `log` is the end of the build's output."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log
