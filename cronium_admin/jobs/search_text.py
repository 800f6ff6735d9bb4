"""The text of a job that searches look at, without its script. Pure."""

from collections.abc import Iterable

from cronium_admin.core.line_text import fold_case


def make_search_text(name: str, slug: str, tags: Iterable[str], description: str) -> str:
    """Name, slug, tags and description, each on a line of its own, without case."""
    return "\n".join((fold_case(name), fold_case(slug), " ".join(tags), fold_case(description)))
