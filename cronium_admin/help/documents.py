"""The documents of docs/, which ship with the product: reads, renders and searches them. Works without a network."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import nh3
from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cronium_admin.core.line_text import fold_case

ANCHOR: Final = "doc-"  # before the anchors of headings, so that they differ from the ids of the page
MAX_FOUND: Final = 20
SUMMARY_LENGTH: Final = 160  # characters, of which whole sentences are taken
# The names of the documents by reader, in the order of the page; the others are for operators.
FOR_USERS: Final[tuple[str, ...]] = (
    *("home", "runs", "log", "scripts", "input", "runtime-api", "scheduling", "expected", "retries", "limits"),
    *("networks", "secrets", "custom-images", "advice", "api"),
)
FOR_DEVELOPERS: Final[tuple[str, ...]] = ("architecture", "visual-language", "performance", "release")
_HEADINGS: Final = ("h2", "h3", "h4", "h5", "h6")
_TAGS: Final = {
    *("p", "br", "hr", *_HEADINGS, "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES: Final = {
    **{"a": {"href"}, "ol": {"start"}, "pre": {"tabindex"}, "table": {"tabindex"}},
    **{name: {"id"} for name in _HEADINGS},
}
_PARSER: Final = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image"])


@dataclass(frozen=True)
class Section:
    """A part of a document under one heading; that of the title has no anchor."""

    document: str
    title: str
    heading: str
    anchor: str
    text: str  # folded, for the search

    @property
    def url(self) -> str:
        return reverse("help:document", args=[self.document]) + (f"#{ANCHOR}{self.anchor}" if self.anchor else "")

    @property
    def label(self) -> str:
        return f"{self.title}: {self.heading}" if self.anchor else self.title


@dataclass(frozen=True)
class Document:
    name: str
    title: str
    summary: str
    text: str
    sections: tuple[Section, ...]


def make_anchor(heading: str) -> str:
    """As GitHub does."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@lru_cache(maxsize=1)
def load_documents() -> dict[str, Document]:
    """By name, such as `runs` for docs/runs.md. Empty if the folder is missing."""
    folder = Path(settings.BASE_DIR) / "docs"
    return {path.stem: _read_document(path) for path in sorted(folder.glob("*.md"))}


def _read_document(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    title = first.lstrip("# ").strip()
    paragraph = rest.strip().split("\n\n")[0]
    summary = "" if paragraph.startswith(("#", "|", "```", "-")) else _build_summary(_strip_marks(paragraph))
    return Document(path.stem, title, summary, rest, tuple(_split_sections(path.stem, title, rest)))


def _strip_marks(text: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[`*]", "", text).split())


def _build_summary(text: str) -> str:
    """The first sentences, as many as are short together."""
    sentences = re.split(r"(?<=[.:]) (?=[A-Z])", text)
    summary = sentences[0]
    for sentence in sentences[1:]:
        if len(summary) + len(sentence) >= SUMMARY_LENGTH:
            break
        summary = f"{summary} {sentence}"
    return summary.rstrip(":")


def _split_sections(name: str, title: str, text: str) -> list[Section]:
    heading, lines, sections, is_code = title, [title], [], False
    anchor = ""
    for line in [*text.splitlines(), "# end"]:
        is_code ^= line.startswith("```")
        found = None if is_code else re.match(r"#+ (.*)", line)
        if found:
            sections.append(Section(name, title, _strip_marks(heading), anchor, fold_case(" ".join(lines))))
            heading, anchor, lines = found[1], make_anchor(found[1]), [title, found[1]]
        else:
            lines.append(line)
    return sections


@lru_cache(maxsize=64)
def render_document(name: str) -> SafeString:
    """Its HTML without the title. Links to other documents lead to their pages; links into the repository are texts."""
    tokens = _PARSER.parse(load_documents()[name].text)
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", ANCHOR + make_anchor(tokens[place + 1].content))
        elif token.type == "table_open":
            token.attrSet("tabindex", "0")
        elif token.children:
            _redirect_links(token.children)
    html = _PARSER.renderer.render(tokens, _PARSER.options, {}).replace("<pre>", '<pre tabindex="0">')
    clean = nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https"}, link_rel="noopener")
    return mark_safe(clean)  # noqa: S308 - nh3 has cleaned it


def _redirect_links(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type != "link_open":
            continue
        link = str(token.attrGet("href") or "")
        if link.startswith(("http://", "https://")):
            continue
        target, _, anchor = link.partition("#")
        name = target.removesuffix(".md")
        address = reverse("help:document", args=[name]) if name in load_documents() else ""
        if target and not address:
            token.attrs.pop("href")
        else:
            token.attrSet("href", address + (f"#{ANCHOR}{anchor}" if anchor else ""))


def search_documents(query: str, *, only_headings: bool = False, limit: int = MAX_FOUND) -> list[Section]:
    """The sections with all words: those with all words in their heading first, documents for developers last."""
    words = fold_case(query.replace("\0", "")).split()
    if not words:
        return []
    found = []
    for document in load_documents().values():
        for section in document.sections:
            is_in_heading = all(word in fold_case(section.label) for word in words)
            if is_in_heading or (not only_headings and all(word in section.text for word in words)):
                found.append((not is_in_heading, *_compute_rank(section, words), section))
    return [section for *_, section in sorted(found, key=lambda each: each[:-1])][:limit]


def _compute_rank(section: Section, words: list[str]) -> tuple[int, float]:
    """By reader, then by how much of the text is about the words."""
    name = section.document
    reader = 0 if name in FOR_USERS else 2 if name in FOR_DEVELOPERS else 1
    return reader, -sum(section.text.count(word) for word in words) / (len(section.text) + 400)
