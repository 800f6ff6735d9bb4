"""Creates, changes and deletes registries, for the API and the pages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cryptography import x509
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from cronium_admin.accounts.models import Project, User
from cronium_admin.accounts.retired_versions import first_version, retire_version
from cronium_admin.core.edit_versions import check_deletion, check_version, write_edit
from cronium_admin.core.errors import ApiError
from cronium_admin.core.form_errors import translated_errors
from cronium_admin.core.line_text import find_line_problem
from cronium_admin.registries.addresses import has_image, parse_address
from cronium_admin.registries.models import Registry, RetiredRegistry, make_secret_name
from cronium_admin.secrets.sealed import delete_value, has_value, list_sealed, seal_value

KIND = "registry"
FIELDS = (
    *("address", "username", "helper", "ca", "allow_http", "may_pull", "may_push", "policy", "is_shared"),
    "check_image",
)
MAX_SECRET_BYTES = 10_000
MAX_CA_BYTES = 64 * 1024


def list_registries() -> QuerySet[Registry, Registry]:
    return Registry.objects.select_related("updated_by").prefetch_related("projects")


def find_registry_row(registry_id: int) -> Registry:
    registry = list_registries().filter(pk=registry_id).first()
    if registry is None:
        raise ApiError(404, "not_found", f"There is no registry {registry_id}.")
    return registry


def list_with_secret(registries: list[Registry]) -> set[int]:
    """The ids of those that have a stored secret."""
    sealed = list_sealed([registry.secret_name for registry in registries])
    return {registry.pk for registry in registries if registry.secret_name in sealed}


def add_registry(data: Mapping[str, Any], by: User) -> Registry:
    """Stores a registry. `data`: FIELDS, `secret` (text), `projects` (slugs). Raises ValidationError by field, ApiError
    409 for a taken address."""
    with transaction.atomic():
        registry = Registry(updated_by=by)
        projects, secret = _apply(registry, data)
        registry.version = first_version(KIND, registry.address)
        with _refuse_taken(registry):
            registry.save(force_insert=True)
        _store_secret(registry, secret)
        registry.projects.set(projects or [])
        RetiredRegistry.objects.filter(address=registry.address).delete()
    return registry


def save_registry(registry: Registry, data: Mapping[str, Any], by: User, version: int | None = None) -> Registry:
    """Writes `data` over the stored row. Raises as `add_registry`, and EditConflict.

    Another address or user needs the secret again: else it could be sent to a server that it was not entered for.
    """
    with transaction.atomic():
        rows = Registry.objects.select_for_update(of=("self",)).select_related("updated_by")
        stored = rows.filter(pk=registry.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The registry {registry.address} was deleted in the meantime.")
        check_version(stored, version)
        before = {name: getattr(stored, name) for name in FIELDS}
        projects, secret = _apply(stored, data)
        changes = {name: getattr(stored, name) for name in FIELDS if getattr(stored, name) != before[name]}
        _check_secret_again(stored, before, changes, secret)
        members = set(stored.projects.values_list("pk", flat=True))
        has_others = projects is not None and {project.pk for project in projects} != members
        if not (changes or has_others or secret is not None):
            return stored
        if "address" in changes:
            delete_value(make_secret_name(before["address"]))
            retire_version(KIND, before["address"], stored.version)
            _keep_closed(before["address"], stored, is_shared=before["is_shared"])
            RetiredRegistry.objects.filter(address=stored.address).delete()
            changes["version"] = first_version(KIND, stored.address)
        if changes.keys() & {"address", "username", "helper", "ca", "allow_http", "check_image"} or secret is not None:
            changes |= {"checked_at": None, "checked_on": "", "results": []}  # it says nothing about the new settings
        changes["check_host"] = ""  # a check that a host is making now is repeated
        with _refuse_taken(stored):
            write_edit(stored, changes, by)
        _store_secret(stored, secret)
        if projects is not None:
            stored.projects.set(projects)
        return stored


def delete_registry(registry: Registry, version: int | None = None) -> None:
    with transaction.atomic():
        stored = Registry.objects.select_for_update().filter(pk=registry.pk).first()
        if stored is None:
            raise ApiError(404, "not_found", f"The registry {registry.address} was deleted in the meantime.")
        check_deletion(stored, version)
        retire_version(KIND, stored.address, stored.version)
        delete_value(stored.secret_name)
        _keep_closed(stored.address, stored, is_shared=stored.is_shared)
        stored.delete()


def _keep_closed(address: str, registry: Registry, *, is_shared: bool) -> None:
    """Images that hosts keep of a registry for chosen projects stay for these projects."""
    if not is_shared:
        retired, _ = RetiredRegistry.objects.get_or_create(address=address)
        retired.projects.set(registry.projects.all())


def _apply(registry: Registry, data: Mapping[str, Any]) -> tuple[list[Project] | None, str | None]:
    """Sets and validates the fields; returns the projects and the secret of `data`, None if it has none."""
    problems: dict[str, list[str]] = {}
    for name, value in data.items():
        if name in FIELDS:
            setattr(registry, name, value.strip() if isinstance(value, str) else value)
    try:
        registry.address = parse_address(registry.address)
    except ValidationError as error:
        problems["address"] = error.messages
    checks = {"ca": find_ca_problem(registry.ca), "username": find_line_problem(registry.username)}
    problems |= {name: [text] for name, text in checks.items() if text}
    if registry.helper and registry.username:
        problems["helper"] = ["Give either a user with a secret, or a credential helper."]
    projects = _find_projects(data["projects"], problems) if data.get("projects") is not None else None
    secret = data.get("secret")
    if secret is not None and (text := _find_secret_problem(secret, registry)):
        problems["secret"] = [text]
    try:
        with translated_errors():
            registry.clean_fields(exclude=["updated_by", *problems])
    except ValidationError as error:
        problems |= {name: list(texts) for name, texts in error.message_dict.items()}
    # A check sends the registry's credentials to the server that this image names.
    if not problems and registry.check_image and not has_image(registry.address, registry.check_image):
        problems["check_image"] = [f"Name an image of this registry, such as {registry.address}/NAME:TAG."]
    if problems:
        raise ValidationError(problems)
    return projects, secret


def _find_projects(slugs: list[str], problems: dict[str, list[str]]) -> list[Project]:
    projects = list(Project.objects.filter(slug__in=[slug for slug in slugs if slug.isascii() and slug.isprintable()]))
    if unknown := sorted(set(slugs) - {project.slug for project in projects}):
        problems["projects"] = [f"There is no project {unknown[0][:40]!r}."]
    return projects


def _find_secret_problem(secret: str, registry: Registry) -> str:
    if not registry.username:
        return "A secret needs a user. Some registries take any name with a token."
    if len(secret.encode("utf-8", "surrogatepass")) > MAX_SECRET_BYTES:
        return f"The secret has more than {MAX_SECRET_BYTES:,} bytes."
    if not secret.strip() or find_line_problem(secret.strip()):
        return "The secret is one line of text and not empty."
    return ""


def find_ca_problem(text: str) -> str:
    """Why the text is no PEM of certificate authorities; empty if it is, or is empty."""
    if not text:
        return ""
    if len(text) > MAX_CA_BYTES:
        return f"The certificates have more than {MAX_CA_BYTES:,} bytes."
    if "PRIVATE KEY" in text:
        return "This contains a private key. Give the certificate only, and replace that key: it was shown to Cronium."
    try:
        x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        return "Not a certificate in PEM form, which begins with -----BEGIN CERTIFICATE-----."
    return ""


def _check_secret_again(
    stored: Registry, before: Mapping[str, Any], changes: Mapping[str, Any], secret: str | None
) -> None:
    moves = changes.keys() & {"address", "username", "allow_http", "ca"}
    if moves and secret is None and stored.username and has_value(make_secret_name(before["address"])):
        text = "Enter the secret again: it was entered for other settings and is not sent elsewhere."
        raise ValidationError({"secret": ValidationError(text, code="secret_again")})


def _store_secret(registry: Registry, secret: str | None) -> None:
    if not registry.username:
        delete_value(registry.secret_name)
    elif secret is not None:
        seal_value(registry.secret_name, secret.strip())


@contextmanager
def _refuse_taken(registry: Registry) -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        text = f"There is a registry {registry.address} already."
        raise ApiError(409, "address_taken", text, {"address": [text]}) from None
