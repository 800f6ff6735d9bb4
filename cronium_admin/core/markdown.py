"""Renders Markdown that users write, such as a job's description, as sanitised HTML."""

from functools import lru_cache
from typing import Final

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_NESTING: Final = 20
_TAGS: Final = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES: Final = {"http", "https", "mailto"}
_TOP_HEADING: Final = 3  # headings of a text stand below those of the page


def _shift_headings(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _TOP_HEADING - 1)}"


# Raw HTML is shown as text; an image becomes a link to it, so that no page loads anything from elsewhere.
_PARSER: Final = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])
_PARSER.disable(["image"])


@lru_cache(maxsize=256)
def render_markdown(text: str) -> SafeString:
    """HTML without images, scripts, styles, classes and ids. Links open elsewhere with `rel=noopener nofollow`."""
    tokens = _PARSER.parse(text)
    _shift_headings(tokens)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    clean = nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener nofollow")
    return mark_safe(clean)  # noqa: S308 - nh3 has cleaned it
