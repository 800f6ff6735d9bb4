"""The receipt of a run: what it says, that it has no secrets, and its digest."""

import hashlib
import json
from typing import Any

from cronium_admin.accounts.models import Project, User
from cronium_admin.runs.models import Run
from cronium_admin.runs.receipt import MAX_VALUE_BYTES, NOT_ENDED, NOT_SEALED, digest_receipt
from tests.conftest import Api
from tests.unit.log_storage import give_log
from tests.unit.test_projects import make_job_in, make_member, sign_in, south  # noqa: F401 - a fixture


def get_receipt(api: Api, run: Run) -> Any:
    return api.get(f"/runs/{run.pk}/receipt").json()


def test_it_says_what_ran_and_what_came_of_it(run: Run, viewer: Api) -> None:
    give_log(run, b"one\ntwo\n")
    Run.objects.filter(pk=run.pk).update(started_at=run.created_at, exit_code=0, host="east")
    receipt = get_receipt(viewer, run)
    assert receipt["final"] == {"ended": True, "log_sealed": True, "notes": []}
    assert receipt["script"]["sha256"] == hashlib.sha256(b"echo hello").hexdigest()
    assert receipt["log"]["sha256"] == hashlib.sha256(b"one\ntwo\n").hexdigest()
    assert (receipt["log"]["lines"], receipt["env"], receipt["host"]) == (2, ["REGION"], "east")
    assert receipt["input"]["value"] == {"day": 1}
    assert receipt["input"]["sha256"] == hashlib.sha256(b'{"day":1}').hexdigest()
    assert receipt["limits"]["asked"]["cpu"] == "0.5"
    assert receipt["times"]["created_at"].endswith("Z")


def test_its_digest_is_that_of_the_canonical_form(run: Run, viewer: Api) -> None:
    give_log(run, b"one\n")
    receipt = get_receipt(viewer, run)
    told = receipt.pop("sha256")
    text = json.dumps(receipt, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert told == hashlib.sha256(text.encode()).hexdigest() == digest_receipt(receipt)
    assert get_receipt(viewer, run)["sha256"] == told, "the same run has the same receipt"
    receipt["host"] = "elsewhere"
    assert digest_receipt(receipt) != told


def test_a_run_that_is_not_final_says_so(run: Run, viewer: Api, people: dict[str, User]) -> None:
    assert get_receipt(viewer, run)["final"]["notes"] == [NOT_ENDED, NOT_SEALED]
    Run.objects.filter(pk=run.pk).update(status="lost", started_at=run.created_at, finished_at=run.created_at)
    assert get_receipt(viewer, run)["final"]["notes"] == [NOT_SEALED]
    page = sign_in(people["viewer"]).get(f"/runs/{run.pk}/receipt/").content.decode()
    assert NOT_SEALED in page


def test_no_value_of_a_variable_or_secret_is_in_it(run: Run, viewer: Api, people: dict[str, User]) -> None:
    Run.objects.filter(pk=run.pk).update(differs={"env": {"TOKEN": "hunter2"}, "secrets": ["API_KEY"]})
    receipt = get_receipt(viewer, run)
    assert (receipt["env"], receipt["secrets"]) == (["TOKEN"], ["API_KEY"])
    page = sign_in(people["admin"]).get(f"/runs/{run.pk}/receipt/").content.decode()
    assert "TOKEN" in page
    assert "hunter2" not in json.dumps(receipt) + page


def test_of_a_long_value_it_has_the_digest_only(run: Run, viewer: Api, people: dict[str, User]) -> None:
    Run.objects.filter(pk=run.pk).update(output="<b>" * MAX_VALUE_BYTES, output_at=run.created_at)
    output = get_receipt(viewer, run)["output"]
    assert "value" not in output
    assert output["bytes"] == 3 * MAX_VALUE_BYTES + 2
    assert sign_in(people["viewer"]).get(f"/runs/{run.pk}/receipt/").status_code == 200


def test_a_receipt_of_another_project_is_not_found(run: Run, south: Project) -> None:  # noqa: F811
    make_job_in(south)
    member = make_member("admin", south)
    assert Api(member).get(f"/runs/{run.pk}/receipt").status_code == 404
    assert sign_in(member).get(f"/runs/{run.pk}/receipt/").status_code == 404
