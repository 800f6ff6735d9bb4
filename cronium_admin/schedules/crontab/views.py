"""The page that imports a crontab: paste or choose a file, see what it becomes, and create the chosen jobs.

The page works without script: each step sends the whole form, with the text of the file.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from cron_rules.zones import list_zone_names
from cronium_admin.accounts.models import User
from cronium_admin.accounts.page_permissions import get_current_user, require_project_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ApiError, collect_field_errors
from cronium_admin.schedules.crontab.apply import SCHEDULE_NAME, Choice, ImportResult, import_entries
from cronium_admin.schedules.crontab.plan import MAX_TEXT, Plan, Proposal, Source, build_plan

FORMATS = (
    ("auto", "Detect"),
    ("user", "None, as crontab -l shows it"),
    ("system", "A user name before the command, as in /etc/crontab"),
)
_MAX_NAME = 120


@dataclass(frozen=True)
class EntryRow:
    """An entry on the page, with what the user chose for it."""

    proposal: Proposal
    name: str
    is_chosen: bool
    problem: str = ""


@dataclass
class Page:
    """`digest` identifies the text that the shown plan belongs to."""

    source: Source = field(default_factory=lambda: Source(""))
    plan: Plan | None = None
    rows: list[EntryRow] = field(default_factory=list)
    errors: dict[str, list[str]] = field(default_factory=dict)
    digest: str = ""


@require_http_methods(["GET", "POST"])
@never_cache
@require_project_permission(Permission.EDIT)
def import_crontab(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _render(request, Page())
    user, page = get_current_user(request), Page()
    try:
        page.source = _read_source(request)
        page.plan = _build_plan(user, page, request)
    except ValidationError as error:
        page.errors |= collect_field_errors(error)
    except ApiError as error:
        page.errors["body"] = [error.message]
    if page.plan is None or page.errors:
        return _render(request, page, 422)
    page.digest = _compute_digest(page.source)
    is_seen = request.POST.get("seen") == page.digest
    page.rows = [_make_row(request, proposal, is_seen=is_seen) for proposal in page.plan.proposals]
    if request.POST.get("then") != "import":
        return _render(request, page)
    if not is_seen:
        page.errors["text"] = ["The file has changed since it was read. Check the entries, then import them."]
        return _render(request, page, 422)
    return _import(request, user, page, page.plan)


def _read_source(request: HttpRequest) -> Source:
    """Of a chosen file, its text; else the text of the form."""
    text = request.POST.get("crontab", "")
    zone, file_format = request.POST.get("timezone", "UTC").strip(), request.POST.get("format", "auto")
    upload = request.FILES.get("file")
    if isinstance(upload, UploadedFile) and upload.size:
        if upload.size > 4 * MAX_TEXT:
            raise ValidationError(
                {"text": [f"The file has {upload.size:,} bytes; at most {4 * MAX_TEXT:,} are allowed."]}
            )
        text = _read_text(upload.read())
    return Source(text, zone, file_format)


def _read_text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _build_plan(user: User, page: Page, request: HttpRequest) -> Plan:
    """With the treatments of the form. If one of them is refused, the plan has the default treatments."""
    treatments = {
        name.removeprefix("secret-"): str(value) for name, value in request.POST.items() if name.startswith("secret-")
    }
    try:
        return build_plan(user, page.source, treatments)
    except ValidationError as error:
        if set(error.message_dict) != {"secrets"}:
            raise
        page.errors["secrets"] = error.message_dict["secrets"]
        return build_plan(user, page.source)


def _compute_digest(source: Source) -> str:
    text = "\n".join(source.text.splitlines())
    return hashlib.sha256(f"{source.timezone}\0{source.file_format}\0{text}".encode(errors="replace")).hexdigest()


def _make_row(request: HttpRequest, proposal: Proposal, *, is_seen: bool) -> EntryRow:
    line = proposal.entry.line
    if not is_seen:
        return EntryRow(proposal, proposal.name, not proposal.existing)
    name = request.POST.get(f"name-{line}", "").replace("\0", "")[:_MAX_NAME] or proposal.name
    return EntryRow(proposal, name, f"pick-{line}" in request.POST)


def _import(request: HttpRequest, user: User, page: Page, plan: Plan) -> HttpResponse:
    chosen = {row.proposal.entry.line: Choice(row.proposal.entry.line, row.name) for row in page.rows if row.is_chosen}
    if not chosen:
        page.errors["entries"] = ["Choose at least one entry."]
        return _render(request, page, 422)
    try:
        result = import_entries(user, plan, chosen)
    except ValidationError as error:
        page.errors |= collect_field_errors(error)
        return _render(request, page, 422)
    except ApiError as error:
        page.errors["body"] = [error.message]
        return _render(request, page, 422)
    return _report(request, page, chosen, result)


def _report(request: HttpRequest, page: Page, chosen: dict[int, Choice], result: ImportResult) -> HttpResponse:
    reasons = dict(result.failed) | {line: reason for line, reason in result.skipped if line in chosen}
    count = len(result.created)
    if count:
        words = "1 job is" if count == 1 else f"{count} jobs are"
        messages.success(request, f"{words} created. The schedules are disabled: check each job, then enable it.")
    if not reasons:
        return redirect(f"{reverse('schedules:list')}?q={SCHEDULE_NAME}")
    done = {line for line, *_ in result.created}
    page.rows = [
        EntryRow(
            row.proposal, row.name, row.is_chosen and row.proposal.entry.line not in done, _find_reason(row, reasons)
        )
        for row in page.rows
    ]
    page.errors["entries"] = [f"Line {line}: {reason}" for line, reason in sorted(reasons.items())[:5]]
    return _render(request, page, 422)


def _find_reason(row: EntryRow, reasons: dict[int, str]) -> str:
    return reasons.get(row.proposal.entry.line, "")


def _render(request: HttpRequest, page: Page, status: int = 200) -> HttpResponse:
    plan = page.plan
    context: dict[str, Any] = {
        "page": page,
        "plan": plan,
        "formats": FORMATS,
        "zones": sorted(list_zone_names()),
        "nav": "schedules",
        "treatments": [("secret", "Secret"), ("env", "Variable of the job"), ("omit", "Leave out")],
    }
    return render(request, "schedules/import.html", context, status=status)
