"""Why runs with a language's image may fail: hosts lack it, projects may not use it, or its language is another one."""

from collections.abc import Mapping

from cronium_admin.accounts.models import Project
from cronium_admin.images.custom import is_custom
from cronium_admin.images.inventory import Presence
from cronium_admin.images.models import Language
from cronium_admin.images.reference import canonicalize_reference, find_other_family
from cronium_admin.registries.addresses import split_host
from cronium_admin.registries.models import PullPolicy, Registry
from cronium_admin.registries.rules import PullRule, resolve_policies

_NAMED_PROJECTS = 3


def find_warnings(images: Mapping[Language, Presence]) -> dict[Language, list[str]]:
    """Of each language with the image that its runs get, or would get."""
    rules = resolve_policies(presence.reference for presence in images.values())
    found = {}
    for language, presence in images.items():
        rule = rules[presence.reference]
        texts = (
            describe_absence(presence, rule),
            _describe_exclusion(language, rule.registry),
            _describe_mismatch(language, presence.reference),
        )
        found[language] = [text for text in texts if text]
    return found


def describe_absence(presence: Presence, rule: PullRule) -> str:
    """Which hosts lack the image, and whether runs pull it there; empty if none is known to lack it."""
    if is_custom(presence.reference):
        return (
            "A custom image is looked up in the project of each run. In a project without a ready version of it, "
            "launches are refused."
        )
    if not presence.missing:
        return ""
    where = f"Not on {', '.join(presence.missing)}."
    if presence.is_nowhere:
        where = "Not on this host." if presence.number == 1 else f"On none of the {presence.number} hosts."
    return f"{where} {_describe_effect(presence.reference, rule)}"


def _describe_effect(reference: str, rule: PullRule) -> str:
    if rule.policy != PullPolicy.NEVER:
        return "The first run that starts there pulls it."
    if rule.rule == "local":
        return "Runs that start there fail until it is built there: no registry has it."
    if rule.registry is None:
        return (
            f"Runs that start there fail: {split_host(canonicalize_reference(reference))} is not among the registries."
        )
    if not rule.registry.may_pull:
        return f"Runs that start there fail: hosts may not pull from {rule.registry.address}."
    return "Runs that start there fail until somebody pulls it on the host: its pull policy is never."


def _describe_exclusion(language: Language, registry: Registry | None) -> str:
    if registry is None or registry.is_shared:
        return ""
    excluded = Project.objects.exclude(pk__in=registry.projects.values("pk")).order_by("name")
    names = list(excluded.values_list("name", flat=True))
    if not names:
        return ""
    shown, more = ", ".join(names[:_NAMED_PROJECTS]), len(names) - _NAMED_PROJECTS
    who = (
        f"the project {shown}"
        if len(names) == 1
        else f"the projects {shown}" + (f" and {more} more" if more > 0 else "")
    )
    return (
        f"The images of {registry.address} are not for {who}: {language.label} runs without an image of their own are "
        "refused there."
    )


def _describe_mismatch(language: Language, reference: str) -> str:
    family = find_other_family(reference, language.value)
    return (
        f"{reference} looks like an image for {family.capitalize()}; these runs need {language.label}."
        if family
        else ""
    )
