"""One row of the tab Images: what the page says of an image."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cronium_admin.image_pages.host_summary import HostSummary, is_at_work, summarize_hosts
from cronium_admin.image_pages.keeping import SHORT_ID, Keeping, describe_differences, shorten_id
from cronium_admin.images.custom import is_custom
from cronium_admin.images.inventory import Presence
from cronium_admin.images.models import OwnImage, PulledImage, PullState
from cronium_admin.images.reference import canonicalize_reference
from cronium_admin.images.service import ImageFacts
from cronium_admin.registries.addresses import split_host
from cronium_admin.registries.models import ImagePolicy, PullPolicy
from cronium_admin.registries.rules import PullRule

_NAMED_UPDATES = 20
_POLICY_WORDS = {
    PullPolicy.MISSING: "pulled if missing",
    PullPolicy.NEWER: "pulled if newer",
    PullPolicy.NEVER: "never pulled",
}


@dataclass
class ImageRow:
    """One image in use. `reference` is its name on engines; empty for a custom image without a ready version.
    `pushed` is a custom image's name in its registry, by digest; empty if no registry has it."""

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
    pushed: str = ""
    pushed_rule: PullRule | None = None
    custom_id: int | None = None  # of a custom image
    is_building: bool = False
    rules: list[dict[str, Any]] = field(default_factory=list)  # of a language: all sources, for its dialog
    keeping: Keeping = field(default_factory=Keeping)

    @property
    def is_local(self) -> bool:
        return self.rule.rule == "local"

    @property
    def is_pulled(self) -> bool:
        """Hosts pull it when a run needs it."""
        return (self.pushed_rule or self.rule).policy != PullPolicy.NEVER

    @property
    def can_pull(self) -> bool:
        return not self.is_local and self.is_pulled and self.hosts.is_missing and not self.is_pulling

    @property
    def can_pull_newer(self) -> bool:
        """Whether a pull can bring another image than hosts have."""
        is_here = bool(self.presence.present) and not self.hosts.is_missing and not self.is_pulling
        return not self.is_local and self.is_pulled and is_here and "@" not in self.reference

    @property
    def difference(self) -> str:
        """Which hosts have another build, and what evens them out; empty if none has."""
        difference = describe_differences(self.presence.present, self.pulls)
        if not difference or self.is_pulling:
            return ""
        if not self.is_local:
            return f"{difference}. {'A pull evens them out.' if self.is_pulled else 'Hosts may not pull it.'}"
        return f"{difference}. Build it once, and copy it with images push and images pull."

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
        return shorten_id(ids.most_common(1)[0][0]) if ids else ""

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
        return f"{name}{at}{digest[: len('sha256:') + SHORT_ID]}…" if at else name

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
        if self.pushed_rule is not None and self.pushed_rule.registry is not None:
            return f", because hosts may not pull from {self.pushed_rule.registry.address}"
        if is_custom(self.shown):
            return ", because no registry has it. Choose one for this image, and build it again"
        if self.is_local:
            return " until it is built there"
        if self.rule.registry is None:
            return f", because {self.registry_host} is not among the registries"
        if not self.rule.registry.may_pull:
            return f", because hosts may not pull from {self.rule.registry.address}"
        return ", because its pull policy is never"
