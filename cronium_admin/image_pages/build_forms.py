"""The form of a custom image.

Other pages link to the form of a new image with values in the query, in the format of
`images.custom.format_new_image_query`: `base`, `name`, `description`, `registry`; `python`, `node` and `system` with
one entry a line; `steps` with one parameter a step. Such a link fills the form; it saves and builds nothing.
"""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from cronium_admin.core.form_errors import PlainForm
from cronium_admin.image_builds.dockerfile.parse import normalize_text
from cronium_admin.image_builds.recipe import MAX_STEPS
from cronium_admin.image_builds.service import ImageFields
from cronium_admin.images.models import CustomImage, Language
from cronium_admin.images.package_words import list_direct, normalize_name

PACKAGES = ("python", "node", "system")
_PREFILLED = ("base", "name", "description", "registry")
_MAX_PREFILL = 20_000  # characters of one field
_ENTRY = re.compile(r"^Entry (\d+): ")


class TextsField(forms.Field):
    """Several texts of the same name. Empty ones are dropped, and lines end with a newline only."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        texts = value if isinstance(value, list) else []
        return [text.strip("\n") for text in (normalize_newlines(text) for text in texts) if text.strip()]


class ImageForm(PlainForm):
    """Parses the fields; the service validates them."""

    name = forms.CharField(label="Name", required=False)
    base = forms.ChoiceField(label="Base", choices=Language.choices)
    description = forms.CharField(label="Description", required=False)
    python = forms.CharField(label="Python packages", required=False, strip=False)
    node = forms.CharField(label="npm packages", required=False, strip=False)
    system = forms.CharField(label="System packages", required=False, strip=False)
    steps = TextsField(label="Steps", required=False)
    dockerfile = forms.CharField(label="Dockerfile", required=False, strip=False)
    registry = forms.CharField(label="Push to", required=False)

    def collect_fields(self, *, is_new: bool) -> ImageFields:
        """The data for the service. The name of an existing image does not change."""
        data = self.cleaned_data
        return ImageFields(
            name=data["name"] if is_new else None,
            description=data["description"],
            recipe=self.collect_recipe(),
            registry=data["registry"],
        )

    def collect_recipe(self) -> dict[str, Any]:
        data = self.cleaned_data
        lists: dict[str, list[str]] = {name: list_entries(data[name]) for name in PACKAGES}
        lists["steps"] = data["steps"]
        text = {"dockerfile": data["dockerfile"]} if data["dockerfile"].strip() else {}
        return {"base": data["base"], **{name: entries for name, entries in lists.items() if entries}, **text}

    def add_service_errors(self, error: ValidationError) -> None:
        """Puts the service's errors at their fields; entries of packages are counted as lines of the field."""
        for name, texts in error.message_dict.items():
            field = name.removeprefix("recipe.")
            if field not in self.fields:
                texts, field = [f"Recipe: {text[:1].lower()}{text[1:]}" for text in texts], ""
            for text in texts:
                self.add_error(field or None, self._name_place(field, text))

    def _name_place(self, field: str, text: str) -> str:
        match = _ENTRY.match(text)
        if match is None:
            return text
        number = int(match[1])
        if field == "steps":
            return f"Step {number}: {text[match.end() :]}"
        typed = str(self[field].value() or "")  # add_error removes the field's cleaned value
        lines = [place for place, line in enumerate(normalize_newlines(typed).split("\n"), 1) if line.strip()]
        return f"Line {lines[number - 1]}: {text[match.end() :]}" if number <= len(lines) else text

    @property
    def shown_steps(self) -> list[str]:
        """Those that are filled in, and room for more: one, or what the button "Add a step" has added."""
        value = self["steps"].value() or []
        texts = value if isinstance(value, list) else []
        filled = [text for text in texts if text.strip()]
        room = len(texts) - len(filled) + 1 if self.is_bound and self.data.get("then") == "step" else 1
        return filled + [""] * max(0, min(room, MAX_STEPS - len(filled)))


def normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def list_entries(text: str) -> list[str]:
    return [line.strip() for line in normalize_newlines(text).split("\n") if line.strip()]


def read_initial(image: CustomImage, address: str) -> dict[str, Any]:
    """The form's values of a stored image; `address` is that of its registry."""
    recipe = image.recipe
    values: dict[str, Any] = {name: "\n".join(recipe.get(name, ())) for name in PACKAGES}
    values |= {"name": image.name, "base": image.language, "description": image.description, "registry": address}
    return values | {"steps": list(recipe.get("steps", ())), "dockerfile": recipe.get("dockerfile", "")}


def read_prefill(query: QueryDict) -> dict[str, Any]:
    """The form's values of a link to a new image; what it does not name is empty."""
    values: dict[str, Any] = {name: _clean(query.get(name, "")) for name in _PREFILLED}
    values |= {name: _clean("\n".join(query.getlist(name))) for name in PACKAGES}
    values["steps"] = [_clean(text) for text in query.getlist("steps")[:MAX_STEPS]]
    if values["base"] not in Language.values:
        values["base"] = Language.PYTHON.value
    return values


def add_packages(values: dict[str, Any], query: QueryDict) -> dict[str, Any]:
    """Adds the packages of a link, in the format of `read_prefill`, that the values of a stored image lack."""
    added = {}
    for name in PACKAGES:
        known = {_read_name(name, entry) for entry in list_entries(values[name])}
        entries = [
            entry
            for entry in list_entries(_clean("\n".join(query.getlist(name))))
            if _read_name(name, entry) not in known
        ]
        added[name] = "\n".join([*list_entries(values[name]), *entries])
    return values | added


def _read_name(kind: str, entry: str) -> str:
    (_, package_type, name), *_ = list_direct({kind: [entry]})
    return normalize_name(package_type, name)


def _clean(text: str) -> str:
    return normalize_newlines(text).replace("\0", "")[:_MAX_PREFILL]


def list_differences(stored: CustomImage, address: str, fields: ImageFields) -> list[tuple[str, str]]:
    """Label and stored value of each field that differs from the sent ones."""
    mine = read_sent(fields)
    theirs = read_initial(stored, address)
    labels = {name: str(field.label) for name, field in ImageForm.base_fields.items()}
    found = [
        (labels[name], theirs[name])
        for name in ("description", *PACKAGES, "steps", "dockerfile", "registry")
        if theirs[name] != mine[name]
    ]
    return [(label, _shorten(value)) for label, value in found]


def read_sent(fields: ImageFields) -> dict[str, Any]:
    recipe = fields.recipe or {}
    values: dict[str, Any] = {name: "\n".join(recipe.get(name, ())) for name in PACKAGES}
    values |= {"description": (fields.description or "").strip(), "registry": fields.registry or ""}
    text = normalize_text(recipe.get("dockerfile", ""))
    return values | {"steps": [text.strip() for text in recipe.get("steps", ())], "dockerfile": text}


def _shorten(value: Any) -> str:
    text = "; ".join(value) if isinstance(value, list) else str(value)
    return ", ".join(text.split("\n"))[:200] or "none"
