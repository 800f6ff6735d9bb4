"""All responses: HEAD for every GET, no caching, and probes by IP address."""

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from cronium_admin.accounts.models import User
from cronium_admin.ops import readiness
from cronium_admin.ops.headers import CommonHeaders
from cronium_admin.runs.models import Run
from tests.conftest import Api


@pytest.mark.parametrize("path", ["/health", "/ready", "/api/v1/health", "/api/v1/ready"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("host", ["10.42.0.7:8000", "[fd00::7]:8000", "anything.test"])
def test_probes_answer(db: None, path: str, method: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "CHECKS", {"database": lambda: True})
    assert Client().generic(method, path, HTTP_HOST=host).status_code == 200


def test_another_host_is_refused_elsewhere(db: None) -> None:
    for path in ("/jobs/", "/sign-in/", "/api/v1/jobs"):
        assert Client().get(path, HTTP_HOST="rebound.test").status_code == 400


def test_head_is_as_get_without_a_body(viewer: Api, run: Run) -> None:
    paths = ["/jobs", "/jobs/report", "/runs", "/openapi.json", "/metrics"]
    for path in [*paths, f"/runs/{run.pk}", f"/runs/{run.pk}/logs", f"/runs/{run.pk}/logs/follow"]:
        head = viewer.call("HEAD", path)
        assert (head.status_code, head.content) == (200, b""), path
        assert not head.streaming
    assert viewer.call("HEAD", f"/runs/{run.pk}/cancel").status_code == 405
    assert Api(None).call("HEAD", "/jobs").status_code == 401


def test_pages_and_api_are_not_stored(people: dict[str, User], viewer: Api, run: Run) -> None:
    client = Client()
    client.force_login(people["viewer"])
    for path in ("/jobs/", f"/runs/{run.pk}/", "/access/", "/nowhere/", "/runs/"):
        assert "no-store" in client.get(path)["Cache-Control"], path
    for path in ("/jobs", f"/runs/{run.pk}", f"/runs/{run.pk}/logs", "/nowhere", "/metrics"):
        assert "no-store" in viewer.get(path)["Cache-Control"], path
    assert "no-store" in viewer.get(f"/runs/{run.pk}/logs.txt")["Cache-Control"]
    assert "no-store" in client.get("/static/not-there.js")["Cache-Control"]
    of_a_file = CommonHeaders(lambda request: HttpResponse("file"))(RequestFactory().get("/static/cronium/app.css"))
    assert "Cache-Control" not in of_a_file
