"""Which registry an image belongs to, who may use it, and when hosts pull it.

Presence is not permission: an image that one project's credentials brought to a host stays that project's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import BooleanField, Exists, OuterRef, Value

from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.reference import is_image_id
from cronium_admin.registries.addresses import is_local_name, list_prefixes
from cronium_admin.registries.models import ImagePolicy, PullPolicy, Registry, RetiredRegistry

_ORDER = list(PullPolicy.values)


def find_registry(reference: str) -> Registry | None:
    """The registry with the longest address that begins the image's name; None for local names and unknown
    registries."""
    if is_local_name(reference):
        return None
    found = {row.address: row for row in Registry.objects.filter(address__in=list_prefixes(reference))}
    return next((found[prefix] for prefix in list_prefixes(reference) if prefix in found), None)


def find_use_problem(reference: str, project_id: ProjectId) -> str:
    """Why runs of the project may not use the image; empty if they may. Makes no query for local names."""
    if not reference or is_local_name(reference):
        return ""
    if is_image_id(reference):  # of a job that was saved by an older version
        return f"{reference[:80]} is an image's id. Write the image's name with its tag or digest in the job."
    owner = _find_owner(list_prefixes(reference), project_id)
    if owner is None or owner.is_open:
        return ""
    return _explain_retired(owner.address) if owner.is_retired else _explain_others(owner.address)


@dataclass(frozen=True)
class _Owner:
    """The registry that an image belongs to, also a deleted one. `is_open`: for all projects, or for the asking one."""

    address: str
    is_open: bool
    is_retired: bool


def _find_owner(prefixes: list[str], project_id: ProjectId) -> _Owner | None:
    """That with the longest address."""
    member = Registry.projects.through.objects.filter(registry=OuterRef("pk"), project=project_id)
    former = RetiredRegistry.projects.through.objects.filter(retiredregistry=OuterRef("pk"), project=project_id)
    registries = Registry.objects.filter(address__in=prefixes).order_by()
    retired = RetiredRegistry.objects.filter(address__in=prefixes).order_by()
    no, yes = (Value(value, output_field=BooleanField()) for value in (False, True))
    rows = registries.values_list("address", "is_shared", Exists(member), no).union(
        retired.values_list("address", no, Exists(former), yes), all=True
    )
    found = {address: _Owner(address, shared or is_member, gone) for address, shared, is_member, gone in rows}
    return next((found[prefix] for prefix in prefixes if prefix in found), None)


def _explain_others(address: str) -> str:
    return (
        f"The images of {address} are not for this project. Choose another image, or ask an administrator to "
        "add the project to the registry."
    )


def _explain_retired(address: str) -> str:
    return (
        f"The registry {address} was for chosen projects, and was deleted. Its images are not for this project. Choose "
        "another image, or ask an administrator to add the registry again."
    )


def find_push_problem(registry: Registry, name: str, project_id: ProjectId) -> str:
    """Why the project may not push the image `name` to the registry; empty if it may."""
    if not registry.is_shared and not registry.projects.filter(pk=project_id or 0).exists():
        return _explain_others(registry.address)
    reference = f"{registry.address}/{name}"
    if problem := find_use_problem(reference, project_id):
        return problem
    if find_registry(reference) != registry:
        return f"{reference} belongs to another registry of the page Images. Choose another registry, or another name."
    return ""


def check_use(reference: str, project_id: ProjectId, field: str = "image") -> None:
    """Raises ValidationError for `field` if runs of the project may not use the image."""
    if problem := find_use_problem(reference, project_id):
        raise ValidationError({field: ValidationError(problem, code="registry_forbidden")})


@dataclass(frozen=True)
class PullRule:
    """When the image is pulled, and the name of the rule that says so: image, registry, job or local."""

    policy: PullPolicy
    rule: str
    registry: Registry | None


def resolve_policy(reference: str, of_job: str = "") -> PullRule:
    """The administrator's policy for the image, or the job's if that is stricter. Never, without a known registry."""
    return resolve_policies([reference], of_job)[reference]


def resolve_policies(references: Iterable[str], of_job: str = "") -> dict[str, PullRule]:
    """The rule of each reference. Makes two queries for any number of them, and none for local names."""
    prefixes = {reference: [] if is_local_name(reference) else list_prefixes(reference) for reference in references}
    names = {prefix for found in prefixes.values() for prefix in found}
    registries = {row.address: row for row in Registry.objects.filter(address__in=names)} if names else {}
    images = {found[0] for found in prefixes.values() if found}
    own = dict(ImagePolicy.objects.filter(image__in=images).values_list("image", "policy")) if images else {}
    return {reference: _choose_rule(found, registries, own, of_job) for reference, found in prefixes.items()}


def _choose_rule(prefixes: list[str], registries: dict[str, Registry], own: dict[str, str], of_job: str) -> PullRule:
    if not prefixes:
        return PullRule(PullPolicy.NEVER, "local", None)
    registry = next((registries[prefix] for prefix in prefixes if prefix in registries), None)
    if registry is None or not registry.may_pull:
        return PullRule(PullPolicy.NEVER, "registry", registry)
    policy, rule = (own[prefixes[0]], "image") if prefixes[0] in own else (registry.policy, "registry")
    if of_job and is_stricter(of_job, policy):
        policy, rule = of_job, "job"
    return PullRule(PullPolicy(policy), rule, registry)


def is_stricter(policy: str, than: str) -> bool:
    return _ORDER.index(policy) > _ORDER.index(than)
