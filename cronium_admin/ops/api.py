"""The routes for monitoring: /metrics, /health, /ready; under /api/v1 and at the root."""

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Router, Status
from ninja.security import HttpBearer
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from cronium_admin.accounts.api_auth import require_permission
from cronium_admin.accounts.permissions import Permission
from cronium_admin.core.errors import ANY_ERROR, ErrorBody
from cronium_admin.core.query_parameters import accept_prefix
from cronium_admin.ops import metrics_endpoint
from cronium_admin.ops.readiness import readiness

router = Router(tags=["operations"])
ROOT_ROUTES = frozenset({"metrics", "health", "ready"})  # names of the routes that also exist at the root
accept_any_parameter = accept_prefix("")  # some probes and load balancers add parameters of their own


class MetricsToken(HttpBearer):
    """CRONIUM_METRICS_TOKEN as bearer token, for the metrics only. Other tokens are left to the next authenticator."""

    def authenticate(self, request: HttpRequest, token: str) -> str | None:
        metrics_token = settings.CONFIG.metrics_token.encode()
        return "metrics" if metrics_token and hmac.compare_digest(token.strip().encode(), metrics_token) else None


class HealthOut(BaseModel):
    status: str
    version: str


class ReadyOut(BaseModel):
    status: str = Field(description="ready, or not_ready")
    parts: dict[str, str] = Field(description="By name: ok, or failed.")


@router.get(
    "/metrics",
    auth=[MetricsToken(), *require_permission(Permission.VIEW)],
    response={200: str, ANY_ERROR: ErrorBody},
    url_name="metrics",
    summary="Metrics for Prometheus",
)
@accept_any_parameter
def read_metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. Accepts an API token, a session, or CRONIUM_METRICS_TOKEN as bearer token."""
    return HttpResponse(metrics_endpoint.render_metrics(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get("/health", auth=None, response=HealthOut, url_name="health", summary="Liveness")
@accept_any_parameter
def health(request: HttpRequest) -> HealthOut:
    """200 while this process answers, independent of its dependencies: see /ready."""
    return HealthOut(status="ok", version=settings.VERSION)


@router.get("/ready", auth=None, response={200: ReadyOut, 503: ReadyOut}, url_name="ready", summary="Readiness")
@accept_any_parameter
def ready(request: HttpRequest) -> Status[ReadyOut]:
    """200 if database, tables, disk, broker, channel layer and worker are ready; 503 with the parts that are not."""
    parts = readiness.check_parts()
    is_ready = all(parts.values())
    states = {name: "ok" if is_part_ready else "failed" for name, is_part_ready in parts.items()}
    return Status(200 if is_ready else 503, ReadyOut(status="ready" if is_ready else "not_ready", parts=states))
