"""The rows of the tab Images: the image of each language, custom images, and further images that jobs name."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from cronium_admin.accounts.models import User
from cronium_admin.image_builds.service import find_current_versions, list_images
from cronium_admin.image_pages.host_summary import HostSummary, is_at_work, summarize_hosts
from cronium_admin.image_pages.usage import JobCounts, count_jobs_by_image
from cronium_admin.images.custom import PREFIX, format_engine_tag, is_custom, parse_custom
from cronium_admin.images.inventory import Presence, find_presence
from cronium_admin.images.models import (
    CustomImage,
    ImageVersion,
    Language,
    OwnImage,
    PulledImage,
    PullState,
    VersionStatus,
)
from cronium_admin.images.pulls import list_pulls
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.images.service import ImageFacts, describe_image, find_overriders, find_own_images
from cronium_admin.registries.addresses import is_local_name, split_host
from cronium_admin.registries.models import ImagePolicy, PullPolicy
from cronium_admin.registries.policies import find_policies
from cronium_admin.registries.rules import PullRule, resolve_policies

_SHORT_DIGEST = 12  # characters
_NAMED_UPDATES = 20
_POLICY_WORDS = {
    PullPolicy.MISSING: "pulled if missing",
    PullPolicy.NEWER: "pulled if newer",
    PullPolicy.NEVER: "never pulled",
}


@dataclass
class ImageRow:
    """One image in use. `reference` is its name on engines; empty for a custom image without a ready version."""

    key: str  # for ids of elements
    label: str
    language: str
    shown: str  # the name that jobs write
    reference: str
    why: str
    job_count: int = 0
    job_query: str = ""  # of the list of jobs
    facts: ImageFacts | None = None  # of a language's image
    built_at: datetime | None = None
    own_image: OwnImage | None = None  # of an image that Cronium builds
    presence: Presence = field(default_factory=lambda: Presence(""))
    pulls: list[PulledImage] = field(default_factory=list)
    rule: PullRule = field(default_factory=lambda: PullRule(PullPolicy.NEVER, "local", None))
    own_policy: ImagePolicy | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)  # of a language: all sources, for its dialog

    @property
    def is_local(self) -> bool:
        return self.rule.rule == "local"

    @property
    def is_pulled(self) -> bool:
        """Hosts pull it when a run needs it."""
        return self.rule.policy != PullPolicy.NEVER

    @property
    def can_pull(self) -> bool:
        return self.is_pulled and self.hosts.is_missing and not self.is_pulling

    @property
    def is_pulling(self) -> bool:
        return any(is_at_work(pull) for pull in self.pulls)

    @property
    def hosts(self) -> HostSummary:
        return summarize_hosts(self.presence, self.pulls, is_pulled=self.is_pulled)

    @property
    def registry_host(self) -> str:
        return split_host(canonicalize_reference(self.reference))

    @property
    def size(self) -> int | None:
        return self.presence.present[0].size if self.presence.present else None

    @property
    def digest(self) -> str:
        """The short digest that most hosts report."""
        ids = Counter(host.image_id for host in self.presence.present)
        return ids.most_common(1)[0][0].removeprefix("sha256:")[:_SHORT_DIGEST] if ids else ""

    @property
    def last_used_at(self) -> datetime | None:
        return max((pull.last_used_at for pull in self.pulls if pull.last_used_at), default=None)

    @property
    def problem(self) -> str:
        """Why runs with this image fail, and what to do; empty if they do not."""
        if not self.reference:
            return "No version is ready, so runs with it are refused."
        if self.hosts.state != "broken":
            return ""
        if failed := self._list_failed():
            message = failed[0].message.partition(" The engine said:")[0].partition(" could not be pulled: ")
            return f"The pull on {failed[0].host} failed: {message[2] or message[0]}"
        if self.presence.is_nowhere:
            effect = "On no host: runs with it fail"
        else:
            effect = f"Runs that start on {', '.join(self.presence.missing)} fail"
        return f"{effect}{self._explain_no_pull()}."

    @property
    def whole_problem(self) -> str:
        """With the engine's own words, for a title."""
        failed = self._list_failed() if self.problem else []
        return "\n".join(f"{pull.host}: {pull.message}" for pull in failed) or self.problem

    def _list_failed(self) -> list[PulledImage]:
        return [pull for pull in self.pulls if pull.state == PullState.FAILED and pull.host in self.presence.missing]

    @property
    def shown_short(self) -> str:
        """With a short digest."""
        name, at, digest = self.shown.partition("@")
        return f"{name}{at}{digest[: len('sha256:') + _SHORT_DIGEST]}…" if at else name

    @property
    def updates(self) -> list[dict[str, Any]] | None:
        """Packages with a newer version than the image has; None while they are not known."""
        return self.own_image.updates if self.own_image else None

    @property
    def security_count(self) -> int:
        return sum(bool(update.get("is_security")) for update in self.updates or ())

    @property
    def updates_title(self) -> str:
        named = [f"{update['name']} {update['installed']} -> {update['candidate']}" for update in self.updates or ()]
        more = [f"and {len(named) - _NAMED_UPDATES} more"] if len(named) > _NAMED_UPDATES else []
        return "\n".join([*named[:_NAMED_UPDATES], *more])

    @property
    def policy_words(self) -> str:
        return _POLICY_WORDS[self.rule.policy]

    def _explain_no_pull(self) -> str:
        if self.is_local:
            return " until it is built again" if is_custom(self.shown) else " until it is built there"
        if self.rule.registry is None:
            return f", because {self.registry_host} is not among the registries"
        if not self.rule.registry.may_pull:
            return f", because hosts may not pull from {self.rule.registry.address}"
        return ", because its pull policy is never"


def build_rows(user: User) -> list[ImageRow]:
    counts = count_jobs_by_image(user)
    rows = _build_language_rows(counts) + _build_custom_rows(user, counts)
    known = {canonicalize_reference(row.shown) for row in rows}
    rows += _build_job_rows(counts, known)
    _add_presence(rows)
    return rows


def _build_language_rows(counts: JobCounts) -> list[ImageRow]:
    own_images, overriders, rows = find_own_images(), find_overriders(), []
    for language in Language:
        facts = describe_image(language)
        by = overriders.get(language.value, "")
        why = {"override": f"set here{f' by {by}' if by else ''}", "default": "the default"}.get(facts.rule, facts.why)
        number = sum(count for (_, of, image), count in counts.items() if of == language and _is_of(image, facts))
        row = ImageRow(language.value, language.label, language.value, facts.reference, facts.reference, why, number)
        row.facts, row.job_query = facts, f"image:default language:{language.value}"
        row.own_image = own_images.get(facts.reference)
        row.built_at = row.own_image.built_at if row.own_image else None
        rows.append(row)
    return rows


def _is_of(image: str, facts: ImageFacts) -> bool:
    return not image or canonicalize_reference(image) == canonicalize_reference(facts.reference)


def _build_custom_rows(user: User, counts: JobCounts) -> list[ImageRow]:
    rows, images = [], list(list_images(user))
    versions = find_current_versions(images)
    for image in images:
        names = {key for key in counts if key[0] == image.project_id and _is_named_by(key[2], image)}
        current = versions.get(image.pk, [])
        ready = next((version for version in current if version.status == VersionStatus.READY), None)
        reference = format_engine_tag(image.project_id, image.name, ready.number) if ready else ""
        why = f"version {ready.number} · {_describe_recipe(ready)}" if ready else "no version is ready"
        row = ImageRow(f"custom-{image.pk}", image.name, image.language, f"{PREFIX}{image.name}", reference, why)
        row.job_count = sum(counts[key] for key in names)
        row.job_query = f"image:{PREFIX}{image.name}"
        row.built_at = ready.ended_at if ready else None
        rows.append(row)
    return rows


def _is_named_by(reference: str, image: CustomImage) -> bool:
    name = parse_custom(reference) if reference and is_custom(reference) else None
    return name is not None and name.name == image.name


def _describe_recipe(version: ImageVersion) -> str:
    recipe = version.recipe
    packages = [name for kind in ("python", "node", "system") for name in recipe.get(kind, ())]
    return f"{recipe.get('base', '')} + {', '.join(packages)}" if packages else str(recipe.get("base", ""))


def _build_job_rows(counts: JobCounts, known: set[str]) -> list[ImageRow]:
    numbers: dict[str, int] = defaultdict(int)
    languages: dict[str, str] = {}
    for (_, language, image), number in sorted(counts.items(), key=lambda item: item[0][2]):
        if image and not is_custom(image) and canonicalize_reference(image) not in known:
            numbers[image] += number
            languages.setdefault(image, language)
    rows = []
    for image, number in numbers.items():
        key, label = sha256(image.encode()).hexdigest()[:12], _shorten_name(image)
        row = ImageRow(f"image-{key}", label, languages[image], image, image, "set in jobs", number)
        row.job_query = f"image:{image}"
        rows.append(row)
    return rows


def _shorten_name(reference: str) -> str:
    """ghcr.io/acme/tools:9 -> tools."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _add_presence(rows: Iterable[ImageRow]) -> None:
    rows = [row for row in rows if row.reference]
    references = [row.reference for row in rows]
    presence, rules, policies = find_presence(references), resolve_policies(references), find_policies(references)
    pulls: dict[str, list[PulledImage]] = defaultdict(list)
    for pull in list_pulls(reference for reference in references if not is_local_name(reference)):
        pulls[pull.reference].append(pull)
    for row in rows:
        row.presence, row.rule = presence[row.reference], rules[row.reference]
        row.pulls = pulls[canonicalize_reference(row.reference)]
        row.own_policy = policies.get(row.reference)
