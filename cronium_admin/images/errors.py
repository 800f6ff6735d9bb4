"""What can go wrong while images are built."""

from __future__ import annotations


class ImageBuildError(Exception):
    """An image could not be built. The message says which, why, and what to do; `log` ends the build's output."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log
