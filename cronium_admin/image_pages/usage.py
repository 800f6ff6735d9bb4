"""Which jobs name which images, and which registry these images belong to."""

from dataclasses import dataclass, field

from django.db.models import Count

from cronium_admin.accounts.models import User
from cronium_admin.accounts.permissions import ProjectId
from cronium_admin.images.models import Language
from cronium_admin.images.resolution import resolve_image
from cronium_admin.jobs.models import Job
from cronium_admin.registries.models import Registry
from cronium_admin.registries.rules import resolve_policies

_NAMED = 5  # jobs and images that a page names; further ones are only counted


JobCounts = dict[tuple[ProjectId, str, str], int]  # by project, language and image


def count_default_jobs(user: User, language: Language) -> int:
    """The number of jobs without an image of their own."""
    return Job.objects.visible_to(user).filter(language=language.value, image="").count()


def count_jobs_by_image(user: User) -> JobCounts:
    """The numbers of jobs that `user` sees; an empty image is the language's."""
    jobs = Job.objects.visible_to(user).order_by().values_list("project_id", "language", "image")
    counted = jobs.annotate(number=Count("pk"))
    return {(project_id, language, image): number for project_id, language, image, number in counted}


@dataclass
class RegistryUse:
    """The images of a registry that jobs name, and the languages whose image belongs to it."""

    images: list[str] = field(default_factory=list)
    job_count: int = 0
    languages: list[str] = field(default_factory=list)

    @property
    def named_images(self) -> list[str]:
        return self.images[:_NAMED]

    @property
    def more_images(self) -> int:
        return max(0, len(self.images) - _NAMED)


def find_registry_use(user: User) -> dict[int, RegistryUse]:
    """The use of each registry, by its id; registries without any use are missing."""
    counts = count_jobs_by_image(user)
    of_languages = {language.label: resolve_image(language).reference for language in Language}
    references = {image for _, _, image in counts if image} | set(of_languages.values())
    rules = resolve_policies(references)
    uses: dict[int, RegistryUse] = {}
    for reference in sorted(references):
        registry = rules[reference].registry
        if registry is None:
            continue
        use = uses.setdefault(registry.pk, RegistryUse())
        use.images.append(reference)
        use.job_count += sum(number for (_, _, image), number in counts.items() if image == reference)
        use.languages += [label for label, image in of_languages.items() if image == reference]
    return uses


def list_jobs_of_registry(user: User, registry: Registry) -> tuple[list[Job], int]:
    """Some of the jobs that name an image of the registry, and the number of further ones."""
    images = {image for _, _, image in count_jobs_by_image(user) if image}
    own = {image for image, rule in resolve_policies(images).items() if rule.registry == registry}
    if not own:
        return [], 0
    jobs = Job.objects.visible_to(user).filter(image__in=own)
    return list(jobs.only("name", "slug", "image")[:_NAMED]), max(0, jobs.count() - _NAMED)
