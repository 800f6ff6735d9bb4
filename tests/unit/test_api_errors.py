"""The common form of errors: invalid JSON, unknown URLs, methods, sizes; and the documentation."""

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from cronium_admin.jobs.models import Job
from tests.conftest import Api

DEEP = b"[" * 100_000 + b"]" * 100_000
GOOD = b'{"name": "N", "language": "bash", "script": "true", "input": '


@pytest.mark.parametrize(
    "body",
    [
        *[b"{", b"nonsense", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x', b"\xff\xfe{}", b'"\xed\xa0\x80"', b"[1", b" "],
        *[GOOD + b"NaN}", GOOD + b"-Infinity}", GOOD + DEEP + b"}", GOOD + b"[" * 500 + b"]" * 500 + b"}"],
        *[GOOD + b"9" * 5000 + b"}", GOOD + b'1, "name": "again"}', GOOD + b'{"k": 1, "k": 2}}'],
        *["{}".encode("utf-16"), DEEP],
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/jobs"), ("PATCH", "/jobs/report"), ("POST", "/jobs/report/runs")]
)
def test_a_body_that_is_no_json_is_400(
    editor: Api, job: Job, method: str, path: str, body: bytes, nothing_stored: None
) -> None:
    answer = editor.call(method, path, raw=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_json"
    assert list(answer.json()["fields"]) == ["body"]


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null", b"true"])
def test_json_that_is_no_object_is_422(editor: Api, body: bytes, nothing_stored: None) -> None:
    answer = editor.call("POST", "/jobs", raw=body)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["body"]


def test_an_empty_body_where_one_is_needed_is_422(editor: Api, nothing_stored: None) -> None:
    answer = editor.call("POST", "/jobs", raw=b"")
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == ["body"]


@pytest.mark.parametrize("field", ["script", "name", "input", "env", "image", "tags"])
def test_half_a_surrogate_pair_is_named(editor: Api, field: str, nothing_stored: None) -> None:
    values: dict[str, Any] = {"env": {"A": "\ud800"}, "tags": ["\udfff"], "input": {"\ud800": 1}}
    body = {"name": "N", "language": "bash", "script": "true", field: values.get(field, "a\ud800b")}
    answer = editor.post("/jobs", body)
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == [field]


def test_a_whole_surrogate_pair_is_a_character(editor: Api) -> None:
    answer = editor.call("POST", "/jobs", raw=GOOD + b'"\\ud83c\\udf31"}')
    assert answer.status_code == 201
    assert answer.json()["input"] == "🌱"


def test_100_levels_are_read(editor: Api) -> None:
    assert editor.call("POST", "/jobs", raw=GOOD + b"[" * 90 + b"]" * 90 + b"}").status_code == 201


def test_a_huge_body_is_413(editor: Api, nothing_stored: None) -> None:
    answer = editor.call("POST", "/jobs", raw=GOOD + b'"' + b"x" * (8 * 1024 * 1024) + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert list(answer.json()["fields"]) == ["body"]


def test_a_form_is_no_json(editor: Api, nothing_stored: None) -> None:
    answer = editor.client.post("/api/v1/jobs", {"name": "N"}, headers=editor.headers)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["body"]


@pytest.mark.parametrize(
    "path",
    [
        *["/", "/nothing", "/jobs/", "/jobs/a/b/c", "/jobs/none", "/runs/none", "/images/ruby", "/profiles/none"],
        *["/runs/00000000-0000-0000-0000-000000000000", "/jobs/%00", "/jobs/../x", "/jobs/a%20b", "/metrics2"],
    ],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
def test_what_is_not_there_is_404_in_json(admin: Api, path: str, method: str) -> None:
    answer = admin.call(method, path, {} if method == "PATCH" else None)
    if method != "GET" and answer.status_code == 405:
        return  # the address exists for other methods
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.json()["fields"] == {}


def test_a_stranger_gets_json_and_no_redirect_everywhere(db: None) -> None:
    assert Client().get("/api/v1/nothing").status_code == 404
    assert Client().get("/api/v1/runs").status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/jobs"), ("DELETE", "/jobs"), ("OPTIONS", "/jobs/report"), ("TRACE", "/runs")]
)
def test_a_wrong_method_is_405_with_what_is_allowed(admin: Api, method: str, path: str) -> None:
    answer = admin.call(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_a_database_that_is_away_is_503_and_tells_nothing_of_itself(
    admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("connection to server at 10.1.2.3 failed")

    monkeypatch.setattr("cronium_admin.jobs.api.find_job", away)
    answer = admin.get("/jobs/report")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert "10.1.2.3" not in answer.content.decode()


def test_a_bug_is_500_in_the_same_form(admin: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronium_admin.jobs.api.find_job", lambda slug: 1 / 0)
    answer = admin.get("/jobs/report")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "division" not in answer.content.decode()


def test_the_description_names_every_contracted_route(db: None) -> None:
    described = json.loads(Client().get("/api/v1/openapi.json").content)
    assert set(described["paths"]) >= {
        *["/api/v1/jobs", "/api/v1/jobs/{slug}", "/api/v1/jobs/{slug}/runs", "/api/v1/runs", "/api/v1/runs/{run_id}"],
        *["/api/v1/runs/{run_id}/cancel", "/api/v1/runs/{run_id}/rerun", "/api/v1/images/{language}"],
        *["/api/v1/profiles", "/api/v1/profiles/{name}", "/api/v1/health"],
    }


# Programs are generated from these: a new route adds its own, and none of the others changes.
OPERATION_IDS = [
    *("apply_run_act", "apply_job_act"),
    *("list_job_views", "create_job_view", "get_job_view", "change_job_view", "remove_job_view"),
    *("set_job_view_default", "remove_job_view_default"),
    *("add_person", "cancel_run", "change_host"),
    *("change_person", "change_profile", "create_profile", "delete_image"),
    *("delete_person", "delete_variable", "download_log"),
    *("end_sessions", "find_log_lines", "follow_log", "get_image"),
    *("get_job", "list_advice", "get_person", "get_profile", "get_revision", "get_run"),
    *("compare_logs", "compare_runs", "get_receipt", "search_logs"),
    *("get_sandbox", "get_secret", "get_variable", "health", "launch_run"),
    *("list_hosts", "list_images", "list_jobs", "list_log_lines"),
    *("list_people", "list_profiles", "list_revisions", "list_runs", "list_secrets"),
    *("list_tokens", "make_token", "revoke_token"),
    *(
        "list_variables",
        "patch_job",
        "pin_job",
        "remove_pin",
        "post_job",
        "put_image",
        "put_secret",
        "put_variable",
        "read_metrics",
        "ready",
    ),
    *("remove_host", "remove_job", "remove_profile", "remove_run", "remove_runs", "remove_secret", "rerun_run"),
    *("reset_password", "restore_job", "run_output", "variable_history", "who_am_i", "why_it_waits"),
    "build_custom_image",
    "change_custom_image",
    "change_registry",
    "change_image_version",
    "check_registry",
    "create_custom_image",
    "create_registry",
    "get_custom_image",
    "get_image_policy",
    "get_registry",
    "get_image_version_sbom",
    "get_image_version",
    "list_custom_images",
    "list_image_policies",
    "list_image_versions",
    "list_registries",
    "put_image_policy",
    "remove_custom_image",
    "remove_image_policy",
    "remove_registry",
    "remove_image_version",
    "suggest_image_packages",
    *(
        "preview_schedule",
        "get_week",
        "get_downtime",
        "list_schedules",
        "list_job_schedules",
        "create_schedule",
        "get_schedule",
    ),
    *("change_schedule", "remove_schedule", "list_occurrences", "run_missed_times"),
    *("preview_crontab", "import_crontab"),
    *("list_calendars", "create_calendar", "get_calendar", "change_calendar", "remove_calendar"),
    *("list_incidents", "get_incident", "list_checks", "create_check", "get_check", "change_check", "remove_check"),
    *("rotate_check", "list_pings"),
    *("list_queues", "get_queue", "change_queue"),
    *("check_script", "format_script"),
]


def test_every_operation_has_an_id_of_its_own_that_stays(db: None) -> None:
    described = json.loads(Client().get("/api/v1/openapi.json").content)
    operations = [(method, one["operationId"]) for path in described["paths"].values() for method, one in path.items()]
    assert sorted(word for _, word in operations) == sorted(OPERATION_IDS)
    assert len(set(OPERATION_IDS)) == len(OPERATION_IDS)
    assert "head" not in {method for method, _ in operations}


def test_the_docs_page_styles_itself_and_runs_no_foreign_script(db: None) -> None:
    page = Client().get("/api/v1/docs")
    assert page.status_code == 200
    policy = page["Content-Security-Policy"]
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in Client().get("/api/v1/runs")["Content-Security-Policy"]
