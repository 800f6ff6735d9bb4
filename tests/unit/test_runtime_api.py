"""Variables over the REST API: by scope and name, with author and time of their changes."""

from typing import Any

import pytest

from cronium_admin.jobs.models import Job
from cronium_admin.variables import api
from cronium_admin.variables.models import Variable
from tests.conftest import Api


@pytest.mark.parametrize("scope", ["shared", "report"])
@pytest.mark.parametrize("value", [0, False, "", None, [], {"é": [1.5, None]}])
def test_a_value_is_kept_as_itself(editor: Api, job: Job, scope: str, value: Any) -> None:
    address = f"/variables/{scope}/k.1"
    made = editor.put(address, {"value": value}).json()
    assert (made["scope"], made["name"], made["value"], made["version"]) == (scope, "k.1", value, 1)
    assert (made["changed_by"], made["changed_run"]) == ("editor", None)
    assert editor.get(address).json() == made
    assert editor.get(f"/variables?scope={scope}&q=K.").json()["items"] == [made]


def test_a_deleted_one_keeps_its_history(editor: Api, job: Job) -> None:
    address = "/variables/report/k"
    assert editor.get(address).status_code == 404
    assert editor.get(f"{address}/history").status_code == 404
    assert editor.delete(address).status_code == 404
    editor.put(address, {"value": "x" * 3000})
    assert editor.delete(address).status_code == 204
    assert editor.get(address).status_code == 404
    assert editor.get("/variables").json() == {"items": [], "next": None}
    items = editor.get(f"{address}/history").json()["items"]
    assert [(one["kind"], one["version"], one["is_cut"]) for one in items] == [("delete", 2, False), ("set", 1, True)]
    assert editor.put(address, {"value": 1, "version": 0}).json()["version"] == 3


def test_a_change_can_be_tied_to_what_was_seen(editor: Api, job: Job) -> None:
    address = "/variables/report/k"
    assert editor.put(address, {"value": 1, "version": 0}).status_code == 200
    assert editor.put(address, {"value": 2, "version": 1}).status_code == 200
    late = editor.put(address, {"value": 3, "version": 1})
    assert (late.status_code, late.json()["code"]) == (409, "changed_meanwhile")
    assert editor.get(address).json()["value"] == 2


@pytest.mark.parametrize(
    ("address", "body", "status"),
    [
        ("/variables/nowhere/k", {"value": 1}, 404),
        ("/variables/report/a%20b", {"value": 1}, 422),
        ("/variables/report/..%20", {"value": 1}, 422),
        ("/variables/report/k", {}, 422),
        ("/variables/report/k", {"value": 1, "valeu": 2}, 422),
        ("/variables/report/k", {"value": "a\0b"}, 422),
        ("/variables/report/k", {"value": "x" * (256 * 1024)}, 413),
    ],
)
def test_what_can_not_be_kept_is_refused(editor: Api, job: Job, address: str, body: Any, status: int) -> None:
    answer = editor.put(address, body)
    assert answer.status_code == status, answer.content
    assert answer.json()["detail"]
    assert not Variable.objects.exists()


def test_pages_follow_each_other(
    viewer: Api, job: Job, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(api, "PAGE_SIZE", 2)
    for name in ("a", "b", "c"):
        for owner in (job, None):
            Variable.objects.create(job=owner, name=name, text="1", changed_by="tests")
    seen, after = [], ""
    viewer.get("/jobs")  # notes the token's use
    for _ in range(3):
        with django_assert_num_queries(2):
            page = viewer.get(f"/variables?after={after}").json()
        seen += [(one["name"], one["scope"]) for one in page["items"]]
        after = page["next"]
    assert after is None
    assert seen == [(name, scope) for name in ("a", "b", "c") for scope in ("report", "shared")]
    assert viewer.get("/variables?after=nonsense").status_code == 422
