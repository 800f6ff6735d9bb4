"""Each route of the API refuses parameters that it does not have, and single ones that are given twice."""

from typing import Any

import pytest

from cronium_admin.runs.models import Run
from tests.conftest import Api
from tests.unit.test_api_access import ROUTES, furnished  # noqa: F401 - a fixture

MONITORING = ("/health", "/ready", "/metrics")


def check_refused(answer: Any, name: str, words: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "invalid"), (name, body)
    assert body["detail"] == f"{name}: {body['fields'][name][0]}"
    assert words in body["detail"]


@pytest.mark.parametrize(("method", "path", "body", "least", "status"), ROUTES)
def test_an_unknown_parameter_is_refused(
    method: str,
    path: str,
    body: Any,
    least: str,
    status: int,
    admin: Api,
    furnished: Run,  # noqa: F811 - a fixture
) -> None:
    path = path.format(run=furnished.pk, ended=furnished.pk)
    path += ("&" if "?" in path else "?") + "nonsense=1"
    answer = admin.call(method, path, body)
    if path.startswith(MONITORING):  # probes may add parameters
        assert answer.status_code == status
    else:
        check_refused(answer, "nonsense", "Unknown parameter. Th")
    assert Api(None).call(method, path, body).status_code in (401, *([status] if path.startswith(MONITORING) else []))


def test_the_error_names_the_parameters(admin: Api) -> None:
    check_refused(admin.get("/checks?q=1"), "q", "Unknown parameter. The parameters are: after.")
    check_refused(admin.get("/hosts?limit=1"), "limit", "This route takes no parameters.")
    check_refused(admin.get("/runs?inputs.region=eu"), "inputs.region", "input, input.NAME, job")
    check_refused(admin.get("/jobs?%EF%BF%BD=1"), "\ufffd", "pinned, project")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/jobs?tag=a&tag=b", "tag"),
        ("/jobs?limit=1&limit=1", "limit"),
        ("/runs?period=1h&period=24h", "period"),
        ("/runs?after=&after=", "after"),
        ("/incidents?state=open&state=closed", "state"),
        ("/schedules?job=&job=", "job"),
        ("/variables?q=a&q=b", "q"),
        ("/logs/search?q=a&q=b", "q"),
    ],
)
def test_a_single_parameter_given_twice_is_refused(admin: Api, path: str, name: str) -> None:
    check_refused(admin.get(path), name, "Given more than once. Give it once.")


def test_a_delete_with_a_mistyped_version_deletes_nothing(admin: Api, furnished: Run) -> None:  # noqa: F811 - a fixture
    check_refused(admin.call("DELETE", "/jobs/idle?revisoin=1"), "revisoin", "The parameters are: revision.")
    assert admin.get("/jobs/idle").status_code == 200


def test_a_filter_of_an_act_given_twice_is_refused(admin: Api) -> None:
    jobs = admin.post("/job-acts", {"act": "run", "filter": "tag=a&tag=b"})
    check_refused(jobs, "filter", "tag is given more than once.")
    runs = admin.post("/run-acts", {"act": "cancel", "filter": "status=live&since=2027-01-01&since=2027-01-02"})
    check_refused(runs, "filter", "since is given more than once.")
