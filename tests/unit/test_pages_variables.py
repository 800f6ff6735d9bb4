"""The pages of variables: list, history, editor, conflict, delete. And the output on a run's page."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cronium_admin.accounts.models import User
from cronium_admin.jobs.models import Job
from cronium_admin.runs import state_machine
from cronium_admin.runs.models import Run, Status
from cronium_admin.runs.state_machine import Ending
from cronium_admin.variables import listing, service, views
from cronium_admin.variables.models import Variable
from cronium_admin.variables.service import VariableRef
from tests.conftest import Api
from tests.users import get_admin

HOSTILE = "</pre><img src=x onerror=alert(1)>"
MIB = 1024 * 1024


@pytest.fixture
def client(people: dict[str, User]) -> Client:
    client = Client()
    client.force_login(people["editor"])
    return client


@pytest.fixture
def day(job: Job) -> Variable:
    return service.set_variable(VariableRef(job, "day"), {"n": 1}, get_admin())


def page(client: Client, address: str, **data: Any) -> str:
    answer = client.get(address, data)
    assert answer.status_code == 200
    return answer.content.decode()


class TestList:
    def test_empty_shows_the_helpers_in_three_languages(self, client: Client, people: dict[str, User]) -> None:
        text = page(client, "/variables/")
        assert "No variables yet" in text
        for words in ("cronium_set_variable last_report", "cronium.set_variable(", "cronium.setVariable("):
            assert words in text
        client.force_login(people["viewer"])
        assert "/variables/new/" not in page(client, "/variables/")

    @pytest.mark.parametrize(
        ("value", "kind"),
        [({}, "object"), ([], "array"), ("t", "string"), (True, "boolean"), (None, "null"), (-1.5, "number")],
    )
    def test_says_value_type_and_who(self, client: Client, job: Job, value: Any, kind: str) -> None:
        service.set_variable(VariableRef(job, "k"), value, get_admin())
        text = page(client, "/variables/")
        assert f'data-label="Type">{kind}</td>' in text
        assert f'data-label="Value"><div class="mono">{json.dumps(value).replace(chr(34), "&quot;")}</div></td>' in text
        assert "Cronium" in text

    def test_a_run_is_named_with_a_link(self, client: Client, run: Run) -> None:
        service.set_variable(VariableRef(None, "k"), 1, run)
        assert f'<a href="/runs/{run.pk}/">report #1</a>' in page(client, "/variables/")

    def test_narrows_by_scope_and_name_and_keeps_that_over_pages(
        self, client: Client, job: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(views, "PAGE_SIZE", 2)
        for name in ("a1", "a2", "a3", "b"):
            service.set_variable(VariableRef(job, name), 1, get_admin())
        service.set_variable(VariableRef(None, "a0"), 1, get_admin())
        text = page(client, "/variables/", scope="report", q="A")
        assert ">a1<" in text
        assert ">a3<" not in text
        link = text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
        assert "scope=report" in link
        assert "q=A" in link
        text = page(client, "/variables/" + link)
        assert ">a3<" in text
        assert ">b<" not in text
        assert ">a0<" in page(client, "/variables/", scope="shared")
        assert "No variable matches" in page(client, "/variables/", scope="report", q="nothing")
        assert page(client, "/variables/", after="junk", q="\0", scope="\0")

    def test_costs_the_same_for_any_number_and_loads_no_value(self, client: Client, job: Job) -> None:
        counts = []
        for size in (1, 40):
            for number in range(size):
                service.set_variable(VariableRef(job if number % 2 else None, f"v{number}"), "x" * 5000, get_admin())
            with CaptureQueriesContext(
                connection,
            ) as seen:
                page(client, "/variables/")
            counts.append(len(seen))
            assert not [one["sql"] for one in seen if '"runtime_variable"."text", "' in one["sql"]]
        assert counts == [5, 5]  # session, the person, variables, jobs to choose from, live runs


class TestOne:
    def test_shows_value_and_history(self, client: Client, run: Run) -> None:
        place = VariableRef(run.job, "n")
        service.set_variable(place, 1, get_admin())
        service.increment_variable(place, 41, run)
        text = page(client, "/variables/report/n/")
        assert '<pre class="json" tabindex="0" aria-label="Value">42</pre>' in text
        assert '<span class="mono dim">1</span> → <span class="mono">42</span>' in text
        assert f'<a href="/runs/{run.pk}/">report #1</a>' in text
        assert "/variables/report/n/edit/" in text

    def test_history_has_pages_and_says_what_is_not_kept(
        self, client: Client, day: Variable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(105):
            service.set_variable(VariableRef(day.job, "day"), number, get_admin())
        seen, address = [], "/variables/report/day/"
        while address:
            text = page(client, address)
            seen += [int(row.split("<")[0]) for row in text.split('data-label="Version">')[1:]]
            older = text.split('rel="next" href="')[1:]
            address = "/variables/report/day/" + older[0].split('"')[0] if older else ""
        assert seen == list(range(106, 6, -1))
        assert "not kept" in text
        assert page(client, "/variables/report/day/?before=junk")

    def test_a_deleted_one_shows_its_history(self, client: Client, day: Variable) -> None:
        service.delete_variable(VariableRef(day.job, "day"), get_admin())
        text = page(client, "/variables/report/day/")
        assert "This variable was deleted" in text
        assert "/variables/new/?scope=report&amp;name=day" in text
        assert client.get("/variables/report/day/value.json").status_code == 404
        assert client.get("/variables/report/day/edit/")["Location"] == "/variables/new/?scope=report&name=day"

    @pytest.mark.parametrize("address", ["/variables/nowhere/k/", "/variables/report/k/", "/variables/report/a b/"])
    def test_what_is_not_there_is_404(self, client: Client, job: Job, address: str) -> None:
        assert client.get(address).status_code == 404
        assert client.get(address + "delete/").status_code in (302, 404)

    def test_what_is_in_it_is_text(self, client: Client, job: Job) -> None:
        service.set_variable(VariableRef(job, "k"), {HOSTILE: HOSTILE}, get_admin())
        service.set_variable(VariableRef(job, "k"), [HOSTILE], get_admin())
        for address in ("", "report/k/", "report/k/edit/", "report/k/delete/"):
            text = page(client, f"/variables/{address}")
            assert HOSTILE not in text
            assert "&lt;img src=x" in text

    @pytest.mark.parametrize("value", ["x" * (5 * MIB - 2), [{"k": n} for n in range(400_000)]], ids=["text", "list"])
    def test_five_mib_make_a_small_page_and_a_whole_download(self, client: Client, job: Job, value: Any) -> None:
        text = json.dumps(value, separators=(",", ":"))
        Variable.objects.create(job=job, name="big", text=text, changed_by="tests")
        assert len(client.get("/variables/").content) < 30_000
        answer = client.get("/variables/report/big/")
        assert len(answer.content) < 60_000
        assert "the first 20000 characters are shown" in answer.content.decode()
        download = client.get("/variables/report/big/value.json")
        assert download.content.decode() == text
        assert download["Content-Disposition"] == 'attachment; filename="big.json"'
        assert download["Content-Type"] == "application/json"

    def test_costs_the_same_with_any_history(
        self, client: Client, day: Variable, django_assert_num_queries: Any
    ) -> None:
        for size in (1, 50):
            for number in range(size):
                service.set_variable(VariableRef(day.job, "day"), number, get_admin())
            with django_assert_num_queries(6):  # session, the person, the job, the variable, its history, live runs
                page(client, "/variables/report/day/")

    def test_is_never_kept_by_the_browser(self, client: Client, day: Variable) -> None:
        for address in ("", "report/day/", "report/day/edit/", "report/day/value.json"):
            assert "no-store" in client.get(f"/variables/{address}")["Cache-Control"]


class TestEditor:
    @pytest.mark.parametrize("scope", ["report", "shared"])
    def test_makes_one(self, client: Client, job: Job, scope: str) -> None:
        assert f'<option value="{job.slug}" selected>' in page(client, "/variables/new/?scope=report")
        sent = {"scope": scope, "name": "k.1", "text": '{"é":\r\n 1e22}', "version": "0"}
        assert client.post("/variables/new/", sent)["Location"] == f"/variables/{scope}/k.1/"
        row = service.find_variable(service.resolve_scope(get_admin(), scope, "k.1"))
        assert row is not None
        assert (row.text, row.changed_by) == ('{"é":1e+22}', "editor")

    def test_changes_what_was_looked_at(self, client: Client, day: Variable) -> None:
        text = page(client, "/variables/report/day/edit/")
        assert "{\n  &quot;n&quot;: 1\n}" in text
        assert '<input type="hidden" name="version" value="1">' in text
        answer = client.post("/variables/report/day/edit/", {"text": "[0, false]", "version": "1"})
        assert answer.status_code == 302
        day.refresh_from_db()
        assert (day.value, day.version) == ([0, False], 2)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"a": 1,\n "b" 2}', "line 2, column 6"),
            ("", "Enter a JSON value"),
            ("NaN", "NaN is not a JSON value"),
            ('{"a": 1, "a": 2}', "is given twice"),
            ('"a\\u0000b"', "NUL"),
            ('"\\ud800"', "half a surrogate pair"),
            ('"' + "x" * 256 * 1024 + '"', "at most 262,144 are allowed"),
            ("[" * 5000, "not valid JSON"),
        ],
    )
    def test_bad_json_is_said_where_it_stands_and_nothing_is_lost(
        self, client: Client, day: Variable, text: str, said: str
    ) -> None:
        for address in ("/variables/report/day/edit/", "/variables/new/"):
            sent = {"scope": "report", "name": "other", "text": text, "version": "1" if "day" in address else "0"}
            answer = client.post(address, sent)
            shown = answer.content.decode()
            assert answer.status_code == 422
            assert said in shown.split('id="text-error"')[1].split("</p>")[0]
            assert text.replace('"', "&quot;") in shown
        assert [row.version for row in Variable.objects.all()] == [1]

    @pytest.mark.parametrize(
        ("name", "scope", "field"), [("a b", "report", "name"), ("", "report", "name"), ("k", "gone", "scope")]
    )
    def test_a_bad_place_is_said_beside_its_field(
        self, client: Client, job: Job, name: str, scope: str, field: str
    ) -> None:
        answer = client.post("/variables/new/", {"scope": scope, "name": name, "text": "1", "version": "0"})
        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.content.decode()
        assert not Variable.objects.exists()

    def test_a_change_in_between_is_409_with_both_values(self, client: Client, day: Variable, run: Run) -> None:
        service.set_variable(VariableRef(day.job, "day"), "theirs", run)
        answer = client.post("/variables/report/day/edit/", {"text": '"mine"', "version": "1"})
        text = answer.content.decode()
        assert answer.status_code == 409
        assert "it was changed while you edited it" in text
        assert "report #1" in text
        assert 'aria-label="Current value">&quot;theirs&quot;</pre>' in text
        assert "\n&quot;mine&quot;</textarea>" in text
        assert service.find_variable(VariableRef(day.job, "day")).value == "theirs"  # type: ignore[union-attr]
        version = text.split('name="version" value="')[1].split('"')[0]
        assert client.post("/variables/report/day/edit/", {"text": '"mine"', "version": version}).status_code == 302
        assert service.find_variable(VariableRef(day.job, "day")).value == "mine"  # type: ignore[union-attr]

    def test_a_deletion_in_between_is_409_too(self, client: Client, day: Variable) -> None:
        service.delete_variable(VariableRef(day.job, "day"), get_admin())
        answer = client.post("/variables/report/day/edit/", {"text": "2", "version": "1"})
        assert (answer.status_code, "it was deleted" in answer.content.decode()) == (409, True)
        assert client.post("/variables/report/day/edit/", {"text": "2", "version": "0"}).status_code == 302

    def test_making_one_that_is_there_is_409(self, client: Client, day: Variable) -> None:
        answer = client.post("/variables/new/", {"scope": "report", "name": "day", "text": "2", "version": "0"})
        assert answer.status_code == 409
        assert "there is already a variable of this name" in answer.content.decode()
        day.refresh_from_db()
        assert day.version == 1

    def test_no_more_than_fit_a_scope(self, client: Client, day: Variable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_PER_SCOPE", 1)
        answer = client.post("/variables/new/", {"scope": "report", "name": "k", "text": "2", "version": "0"})
        assert answer.status_code == 422
        assert "Delete some" in answer.content.decode()


class TestDelete:
    def test_asks_and_then_does_it(self, client: Client, day: Variable) -> None:
        assert "Scripts then read null" in page(client, "/variables/report/day/delete/")
        assert client.post("/variables/report/day/delete/", {"version": "1"})["Location"] == "/variables/"
        assert service.find_variable(VariableRef(day.job, "day")) is None
        assert client.post("/variables/report/day/delete/", {"version": "1"}).status_code == 302

    @pytest.mark.parametrize("sent", ["1", "", "junk"])
    def test_not_what_was_changed_since(self, client: Client, day: Variable, sent: str) -> None:
        service.set_variable(VariableRef(day.job, "day"), "theirs", get_admin())
        answer = client.post("/variables/report/day/delete/", {"version": sent})
        assert answer.status_code == 409
        assert "&quot;theirs&quot;" in answer.content.decode()
        assert service.find_variable(VariableRef(day.job, "day")) is not None


def test_a_jobs_page_counts_its_variables(client: Client, day: Variable) -> None:
    service.set_variable(VariableRef(None, "all"), 1, get_admin())
    service.set_variable(VariableRef(day.job, "gone"), 1, get_admin())
    service.delete_variable(VariableRef(day.job, "gone"), get_admin())
    assert '<a href="/variables/?scope=report">1 variable</a>' in page(client, "/jobs/report/settings/")
    with CaptureQueriesContext(connection) as seen:
        client.get("/jobs/report/runs/")
    assert not [one for one in seen if "runtime_variable" in one["sql"]]


def test_types_are_told_from_the_first_character() -> None:
    for value in (0, -1, 1.5, 1e22):
        assert listing.detect_type(json.dumps(value)) == "number"


class TestOutcome:
    @pytest.fixture
    def living(self, run: Run) -> Run:
        Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, started_at=timezone.now())
        return run

    @staticmethod
    def give(run: Run, **values: Any) -> None:
        Run.objects.filter(pk=run.pk).update(**values, **({"output_at": timezone.now()} if "output" in values else {}))

    @pytest.mark.parametrize(("condition", "word"), [(True, "true"), (False, "false")])
    def test_the_condition_has_a_word(self, client: Client, living: Run, condition: bool, word: str) -> None:
        self.give(living, condition=condition)
        text = page(client, f"/runs/{living.pk}/")
        assert f"<span>{word}</span>" in text

    def test_without_output_and_condition_the_section_is_hidden(self, client: Client, living: Run) -> None:
        assert 'aria-labelledby="outcome-title" hidden>' in page(client, f"/runs/{living.pk}/")
        self.give(living, condition=False)
        assert 'aria-labelledby="outcome-title">' in page(client, f"/runs/{living.pk}/")

    @pytest.mark.parametrize("value", [0, False, "", None, HOSTILE, {"é": [1]}])
    def test_an_output_is_shown_as_json_and_as_text(self, client: Client, living: Run, value: Any) -> None:
        assert "<dt>Output</dt>" not in page(client, f"/runs/{living.pk}/")
        self.give(living, output=value)
        text = page(client, f"/runs/{living.pk}/")
        assert HOSTILE not in text
        assert f"/api/v1/runs/{living.pk}/output" in text
        shown = text.split('aria-label="Output">')[1].split("</pre>")[0]
        for escaped, plain in (("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">")):
            shown = shown.replace(escaped, plain)
        assert json.loads(shown) == value

    def test_five_mib_are_folded_and_cut(self, client: Client, living: Run) -> None:
        self.give(living, output=["x" * 1022] * 5 * 1024)
        answer = client.get(f"/runs/{living.pk}/")
        assert len(answer.content) < 60_000
        assert "<summary>Show the output</summary>" in answer.content.decode()
        assert "The first 20000 characters" in answer.content.decode()

    def test_a_refresh_brings_it_once_and_loads_it_no_more(self, client: Client, living: Run) -> None:
        self.give(living, output=[1])
        address = f"/runs/{living.pk}/live/"
        text = page(client, address)
        version = text.split('data-version="')[1].split('"')[0]
        with CaptureQueriesContext(connection) as seen:
            again = page(client, address, outcome=version)
        assert "run-outcome" not in again
        assert not [one["sql"] for one in seen if '"runs_run"."output", "' in one["sql"]]
        self.give(living, output=[1])
        assert "run-outcome" in page(client, address, outcome=version)
        version = page(client, address).split('data-version="')[1].split('"')[0]
        self.give(living, condition=False)
        assert "run-outcome" in page(client, address, outcome=version)

    def test_no_list_loads_outputs(self, client: Client, viewer: Api, living: Run) -> None:
        self.give(living, output=[1])
        with CaptureQueriesContext(connection) as seen:
            for address in ("/runs/", "/runs/rows/", "/jobs/", "/jobs/report/runs/"):
                page(client, address)
            assert "output" not in viewer.get("/runs").json()["items"][0]
        assert not [one["sql"] for one in seen if '."output"' in one["sql"]]

    def test_a_jobs_page_loads_one_output(self, client: Client, living: Run) -> None:
        """Its list of runs and the sentence on its health need none."""
        self.give(living, output=["the last"])
        state_machine.finish(living.pk, living.lease_epoch, Ending(Status.SUCCEEDED, "exit_code", "It exited.", 0))
        with CaptureQueriesContext(connection) as seen:
            text = page(client, "/jobs/report/")
        assert "The last run succeeded" in text
        assert "the last" in text.split('aria-label="Last output">')[1].split("</pre>")[0]
        (loaded,) = [one["sql"] for one in seen if '."output"' in one["sql"]]
        assert loaded.endswith("LIMIT 1")
        for tab in ("script", "history", "settings", "use"):
            with CaptureQueriesContext(connection) as seen:
                page(client, f"/jobs/report/{tab}/")
            assert not [one["sql"] for one in seen if '."output"' in one["sql"]], tab

    @pytest.mark.parametrize("value", [0, None, "é", {"b": 1, "a": [None]}])
    def test_the_api_gives_it_alone_and_in_the_run(self, viewer: Api, living: Run, value: Any) -> None:
        none = viewer.get(f"/runs/{living.pk}/output")
        assert (none.status_code, none.json()["code"]) == (404, "no_output")
        assert viewer.get(f"/runs/{living.pk}").json()["output_at"] is None
        self.give(living, output=value, condition=False)
        alone = viewer.get(f"/runs/{living.pk}/output")
        assert (alone.status_code, alone["Content-Type"], alone.json()) == (200, "application/json", value)
        assert alone["Cache-Control"] == "no-store"
        whole = viewer.get(f"/runs/{living.pk}").json()
        assert (whole["output"], whole["condition"], bool(whole["output_at"])) == (value, False, True)
        assert viewer.get("/runs/00000000-0000-4000-8000-000000000000/output").status_code == 404
