"""The REST API under /api/v1: assembles the routers of the rooms, and converts all errors into one form."""

import logging
from collections.abc import Callable
from functools import wraps
from http.client import responses
from inspect import iscoroutinefunction
from typing import Any

from csp.decorators import csp_update
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ObjectDoesNotExist, RequestDataTooBig, SuspiciousOperation, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException
from django.urls import URLPattern, path, re_path
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.errors import ValidationError as SchemaError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from cronium_admin.accounts.api import me
from cronium_admin.accounts.api import router as people
from cronium_admin.accounts.api_auth import require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.accounts.tokens_api import router as tokens
from cronium_admin.core.errors import (
    ERROR_STATUSES,
    INTERNAL_ERROR,
    ApiError,
    ErrorBody,
    collect_field_errors,
    collect_schema_errors,
    convert_outage,
    summarize_fields,
)
from cronium_admin.core.query_parameters import check_parameters
from cronium_admin.core.strict_json import StrictParser
from cronium_admin.expectations.api import router as expectations
from cronium_admin.expectations.check_api import router as checks
from cronium_admin.image_builds.api import router as custom_images
from cronium_admin.jobs.pin_api import router as jobs
from cronium_admin.jobs.view_api import router as job_views
from cronium_admin.logs.search_api import router as logs
from cronium_admin.ops.api import ROOT_ROUTES
from cronium_admin.ops.api import router as operations
from cronium_admin.planning.api import router as planning
from cronium_admin.profiles.api import router as profiles
from cronium_admin.registries.api import router as registries
from cronium_admin.registries.images_api import router as images
from cronium_admin.registries.policies_api import router as policies
from cronium_admin.retention.api import router as runs
from cronium_admin.runs.advice_api import router as advice
from cronium_admin.runs.bulk_api import router as acts_on_many
from cronium_admin.runs.compare_api import router as comparisons
from cronium_admin.runs.receipt_api import router as receipts
from cronium_admin.schedules.api import router as schedules
from cronium_admin.schedules.calendars.api import router as calendars
from cronium_admin.schedules.crontab.api import router as crontab
from cronium_admin.script_checks.api import router as script_checks
from cronium_admin.secrets.api import router as secrets
from cronium_admin.settings import DATA_UPLOAD_MAX_MEMORY_SIZE, VERSION
from cronium_admin.variables.api import router as variables
from cronium_admin.workers.hosts.api import of_runs as waiting
from cronium_admin.workers.hosts.api import router as hosts
from cronium_admin.workers.hosts.queues_api import router as queues

log = logging.getLogger("cronium.api")
View = Callable[..., Any]

_ERROR_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
_ERROR_RESPONSES: dict[int, Any] = {
    status: {"description": responses[status], "content": _ERROR_CONTENT} for status in ERROR_STATUSES
}


class _Api(NinjaAPI):
    def get_openapi_operation_id(self, operation: Operation) -> str:
        # The name without its module: clients are generated from it, and functions may move.
        return operation.view_func.__name__

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        schema["components"]["schemas"]["ErrorBody"] = ErrorBody.model_json_schema()
        for operation in (operation for methods in schema["paths"].values() for operation in methods.values()):
            if "security" in operation:
                operation["responses"] = _ERROR_RESPONSES | operation["responses"]
        return schema


api = _Api(
    title="Cronium",
    version=VERSION,
    description="Runs bash, python and node jobs in throw-away, hardened containers.",
    urls_namespace="api",
    auth=require_permission(Permission.VIEW),
    parser=StrictParser(),
    # The page of Swagger uses inline styles; no other page may.
    docs_decorator=csp_update({"style-src": ["'unsafe-inline'"]}),
)
api.add_decorator(check_parameters)
api.add_router("/jobs", jobs)
api.add_router("/job-views", job_views)
api.add_router("", runs)
api.add_router("", acts_on_many)
api.add_router("", advice)
api.add_router("", comparisons)
api.add_router("", receipts)
api.add_router("", logs)
api.add_router("", waiting)
api.add_router("", schedules)
api.add_router("", planning)
api.add_router("/calendars", calendars)
api.add_router("", crontab)
api.add_router("", expectations)
api.add_router("", checks)
api.add_router("/images/policies", policies)  # before /images/{language}
api.add_router("/images", images)
api.add_router("/registries", registries)
api.add_router("/custom-images", custom_images)
api.add_router("/hosts", hosts)
api.add_router("/queues", queues)
api.add_router("/profiles", profiles)
api.add_router("/variables", variables)
api.add_router("/secrets", secrets)
api.add_router("/scripts", script_checks)
api.add_router("/people", people)
api.add_router("/tokens", tokens)
api.add_router("", me)
api.add_router("", operations)


def _build_response(refused: ApiError) -> HttpResponse:
    body = {"detail": refused.message, "code": refused.code, "fields": refused.fields}
    response = JsonResponse(body, status=refused.status)
    if refused.status in (429, 503):
        response["Retry-After"] = "3"
    if refused.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="cronium"'
    return response


def _make_invalid_error(fields: dict[str, list[str]]) -> ApiError:
    return ApiError(422, "invalid", summarize_fields(fields), fields)


def _convert_unreadable(error: Exception) -> ApiError:
    if isinstance(error, RequestDataTooBig):
        limit = f"At most {DATA_UPLOAD_MAX_MEMORY_SIZE // 1024 // 1024} MiB are read."
        return ApiError(413, "too_large", f"The body is too large. {limit}", {"body": [limit]})
    return ApiError(400, "unreadable", "The request could not be read.", {"body": ["Could not be read. Send JSON."]})


def _convert_http_error(error: HttpError) -> ApiError:
    # django-ninja wraps exceptions of its parser, also an ApiError.
    if isinstance(error.__cause__, ApiError):
        return error.__cause__
    return ApiError(error.status_code, "refused", str(error))


def _convert_unexpected(error: Exception) -> ApiError:
    if refused := convert_outage(error, "a route of the API"):
        return refused
    log.error("an API route failed", exc_info=error)
    return ApiError(500, "internal", INTERNAL_ERROR)


_HANDLERS: list[tuple[type[Exception], Callable[[Any], ApiError]]] = [
    (Exception, _convert_unexpected),
    (ApiError, lambda error: error),
    (ValidationError, lambda error: _make_invalid_error(collect_field_errors(error))),
    (SchemaError, lambda error: _make_invalid_error(collect_schema_errors(error.errors))),
    (HttpError, _convert_http_error),
    (
        AuthenticationError,
        lambda _: ApiError(401, "unauthenticated", "Sign in, or send `Authorization: Bearer` with an API token."),
    ),
    (Http404, lambda _: ApiError(404, "not_found", "There is nothing at this address.")),
    (ObjectDoesNotExist, lambda _: ApiError(404, "not_found", "It was deleted in the meantime.")),
    (SuspiciousOperation, _convert_unreadable),
    (MultiPartParserError, _convert_unreadable),
    (RawPostDataException, _convert_unreadable),
    (UnreadablePostError, _convert_unreadable),
]


def _register_handler(kind: type[Exception], to_refused: Callable[[Any], ApiError]) -> None:
    api.add_exception_handler(kind, lambda request, error: _build_response(to_refused(error)))


for _kind, _to_refused in _HANDLERS:
    _register_handler(_kind, _to_refused)


def _wrap_view(view: View) -> View:
    # The API authenticates itself, so the view is exempt from LoginRequiredMiddleware.
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        is_head = _treat_head_as_get(request)
        return _convert_method_error(request, _drop_body(request, view(request, *args, **kwargs), is_head))

    @wraps(view)
    async def answer_later(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        is_head = _treat_head_as_get(request)
        return _convert_method_error(request, _drop_body(request, await view(request, *args, **kwargs), is_head))

    return login_not_required(answer_later if iscoroutinefunction(view) else answer)


def _treat_head_as_get(request: HttpRequest) -> bool:
    # Every route with GET accepts HEAD; django-ninja accepts only the methods that a route names.
    is_head = request.method == "HEAD"
    if is_head:
        request.method = "GET"
    return is_head


def _drop_body(request: HttpRequest, response: Any, is_head: bool) -> Any:
    # The stream of a response to HEAD is not started. The server drops the body of other responses.
    if not is_head:
        return response
    request.method = "HEAD"
    if not response.streaming:
        return response
    response.close()
    headers = dict(response.items())
    return HttpResponse(status=response.status_code, headers=headers)


def _convert_method_error(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if response.status_code != 405:
        return response
    allowed = ", ".join(sorted(response["Allow"].split(", ")))
    refused = _build_response(
        ApiError(405, "method_not_allowed", f"This address takes {allowed}, not {request.method}.")
    )
    refused["Allow"] = allowed.replace("GET", "GET, HEAD") if "HEAD" not in allowed else allowed
    return refused


def _answer_not_found(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return _build_response(ApiError(404, "not_found", f"There is nothing at {request.path[:200]}. See /api/v1/docs."))


_answer_not_found.csrf_exempt = True  # type: ignore[attr-defined]


def _build_urls() -> tuple[list[URLPattern], str, str]:
    patterns, app, namespace = api.urls
    routes = [pattern for pattern in patterns if isinstance(pattern, URLPattern) and pattern.name != "api-root"]
    root = [pattern for pattern in patterns if isinstance(pattern, URLPattern) and pattern.name == "api-root"]
    for pattern in routes:
        described = pattern.name in ("openapi-json", "openapi-view")  # django-ninja accepts any method for these
        pattern.callback = _wrap_view(require_safe(pattern.callback) if described else pattern.callback)
    for pattern in root:
        pattern.callback = login_not_required(_answer_not_found)
    return [*routes, *root, re_path(r"", login_not_required(_answer_not_found))], app, namespace


urls = _build_urls()
# Monitoring systems expect these routes at the root.
root_urls = [
    path(str(one.name), one.callback) for one in urls[0] if isinstance(one, URLPattern) and one.name in ROOT_ROUTES
]
