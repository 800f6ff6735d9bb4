"""Checks of script texts: the program for the sandbox, the tools' answers, the rows, the host, and the API."""

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from cronium_admin.accounts.models import User
from cronium_admin.core.database.clock import database_now
from cronium_admin.core.errors import ApiError
from cronium_admin.images import inventory
from cronium_admin.script_checks import service
from cronium_admin.script_checks.findings import MAX_PROBLEMS, read_formatted, read_problems
from cronium_admin.script_checks.models import Action, ScriptCheck
from cronium_admin.script_checks.service import request_check, take_check
from cronium_admin.script_checks.tools import ToolFailed, ToolOutput, build_program, compute_digest, parse_output
from cronium_admin.workers import script_checks
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.script_checks import ScriptChecker
from executor.docker.errors import EngineError
from executor.sandbox.subnets import SubnetPool
from executor.spec import RunResult
from tests.conftest import Api
from tests.fakes.engine import FakeEngine

IMAGE = service.IMAGES[0]
TEXT = "echo hello\n"
RUFF = {
    "code": "F821",
    "message": "Undefined name `x`",
    "location": {"row": 2, "column": 7},
    "end_location": {"row": 2, "column": 8},
    "url": "https://docs.astral.sh/ruff/rules/undefined-name",
}


def encode(code: int, out: str, err: str = "") -> bytes:
    """What the program in the sandbox prints."""
    out, err = (base64.encodebytes(text.encode()).decode().rstrip("\n") for text in (out, err))
    return f"{code}\n{out}\n--\n{err}\n--\n".replace("\n\n--", "\n--").encode()


class TestProgram:
    @pytest.mark.parametrize(
        "text",
        [
            "echo hi\n",
            "--\n--\n",
            "'; touch /tmp/owned; '\n$(touch /tmp/owned)\n",
            "é \U0001f600 \x01\x1b[31m\n",
            "x" * 5000,
        ],
    )
    def test_the_text_reaches_the_tool_and_nothing_else(self, text: str, tmp_path: Path) -> None:
        program = build_program("check", "bash", text)
        command = next(line for line in program.splitlines() if line.startswith("run shellcheck"))
        program = program.replace("cd /tmp", f"cd {tmp_path}").replace(command, "run cat <text")
        done = subprocess.run(["bash"], input=program.encode(), capture_output=True, check=True, cwd=tmp_path)
        assert parse_output(done.stdout) == ToolOutput(0, text, "")
        assert not Path("/tmp/owned").exists()
        assert "owned" not in program

    def test_line_ends_and_marks_are_those_of_a_run(self) -> None:
        def find_text(action: str, text: str) -> str:
            lines = build_program(action, "bash", text).split("<<'--'\n")[1].split("\n--")[0]
            return base64.b64decode(lines).decode()

        assert find_text("check", "\ufeffecho a\r\necho b\r\n") == "echo a\necho b\n"
        assert find_text("format", "\ufeffecho a\n") == "echo a\n"

    def test_a_tool_that_was_stopped_says_so(self) -> None:
        for output in (b"", b"0\n", b"no number\n--\n--\n", b"0\n!\n--\n--\n", b"\xff\n--\n--\n"):
            with pytest.raises(ToolFailed, match="more memory or time"):
                parse_output(output)
        with pytest.raises(ToolFailed, match="did not finish within 10 seconds"):
            parse_output(encode(124, ""))

    def test_the_digest_depends_on_text_language_and_action(self) -> None:
        digests = {
            compute_digest(*key) for key in (("check", "bash", "a"), ("check", "node", "a"), ("format", "bash", "a"))
        }
        assert len(digests) == 3


class TestFindings:
    def test_ruff(self) -> None:
        rows = [RUFF, RUFF | {"code": "B006", "location": {"row": 1, "column": 1}, "url": "javascript:alert(1)"}]
        problems, is_cut = read_problems("python", ToolOutput(1, json.dumps(rows), ""))
        assert [(row["line"], row["rule"], row["severity"], row["url"]) for row in problems] == [
            (1, "B006", "warning", ""),
            (2, "F821", "error", RUFF["url"]),
        ]
        assert not is_cut

    def test_syntax_errors_of_ruff_have_no_rule(self) -> None:
        problems, _ = read_problems("python", ToolOutput(1, json.dumps([RUFF | {"code": None, "url": None}]), ""))
        assert (problems[0]["rule"], problems[0]["severity"]) == ("invalid-syntax", "error")

    def test_shellcheck(self) -> None:
        row = {"line": 3, "endLine": 3, "column": 1, "endColumn": 9, "level": "warning", "code": 2164}
        out = json.dumps({"comments": [row | {"message": "Use 'cd ... || exit'\x1b[31m"}]})
        problem = read_problems("bash", ToolOutput(1, out, ""))[0][0]
        assert (problem["line"], problem["rule"], problem["severity"]) == (3, "SC2164", "warning")
        assert problem["url"] == "https://www.shellcheck.net/wiki/SC2164"
        assert "\x1b" not in problem["message"]

    def test_node(self) -> None:
        err = "/tmp/script.mjs:2\nlet a = = 2\n        ^^\n\nSyntaxError: Unexpected token '='\n    at x\n"
        problem = read_problems("node", ToolOutput(1, "", err))[0][0]
        assert (problem["line"], problem["column"], problem["end_column"]) == (2, 9, 11)
        assert problem["message"] == "Unexpected token '='"
        assert read_problems("node", ToolOutput(0, "", "")) == ([], False)

    @pytest.mark.parametrize("language", ["python", "bash", "node"])
    @pytest.mark.parametrize(
        "out",
        [
            "",
            "{}",
            "[1]",
            "[[",
            "[" * 100_000,
            '{"comments": 1}',
            '[{"code": "F821"}]',
            '{"comments": [{"line": "x"}]}',
        ],
    )
    def test_an_answer_that_is_none_is_told(self, language: str, out: str) -> None:
        with pytest.raises(ToolFailed, match="can't be read: why"):
            read_problems(language, ToolOutput(2, out, "why"))

    def test_many_problems_are_cut(self) -> None:
        problems, is_cut = read_problems("python", ToolOutput(1, json.dumps([RUFF] * 1000), ""))
        assert (len(problems), is_cut) == (MAX_PROBLEMS, True)

    def test_a_formatted_text_never_replaces_a_text_by_nothing(self) -> None:
        assert read_formatted("a =  1\n", ToolOutput(0, "a = 1\n", "")) == "a = 1\n"
        assert read_formatted("a = 1\n", ToolOutput(0, "a = 1\n", "")) is None
        assert read_formatted("\ufeffa =  1\n", ToolOutput(0, "a = 1\n", "")) == "\ufeffa = 1\n"
        for output in (ToolOutput(0, "", ""), ToolOutput(1, "a = 1\n", "")):
            with pytest.raises(ToolFailed):
                read_formatted("a =  1\n", output)


def report(*references: str) -> None:
    images = [inventory.ReportedImage(f"sha256:{index:064}", (name,), 1) for index, name in enumerate(references)]
    inventory.store_report("east", images)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(service, "wake_workers", lambda *call: calls.append(call))
    return calls


@pytest.fixture
def editor(people: dict[str, User]) -> User:
    return people["editor"]


@pytest.mark.django_db
@pytest.mark.usefixtures("woken")
class TestRows:
    def test_equal_texts_are_checked_once(self, editor: User, people: dict[str, User], woken: list[Any]) -> None:
        report(IMAGE)
        assert request_check(editor, Action.CHECK, "bash", TEXT).state == "waiting"
        assert request_check(people["admin"], Action.CHECK, "bash", TEXT).state == "waiting"
        assert len(woken) == ScriptCheck.objects.count() == 1
        row = take_check("east")
        assert row is not None
        assert take_check("west") is None
        service.store_answer(row, [{"line": 1}])
        answer = request_check(people["admin"], Action.CHECK, "bash", TEXT)
        assert (answer.state, answer.problems) == ("done", ({"line": 1},))
        assert len(woken) == 1
        assert ScriptCheck.objects.get().text == "", "the text is not kept"
        service.store_failure(row, "too late")
        assert request_check(editor, Action.CHECK, "bash", TEXT).state == "done"

    def test_without_an_image_nothing_is_requested(self, editor: User) -> None:
        assert request_check(editor, Action.CHECK, "bash", TEXT).message == service.NO_IMAGE
        report("other:1")
        assert request_check(editor, Action.CHECK, "bash", TEXT).message == service.NO_IMAGE
        assert not ScriptCheck.objects.exists()

    def test_it_can_be_switched_off(self, editor: User, settings: Any) -> None:
        report(IMAGE)
        settings.CONFIG = settings.CONFIG.model_copy(update={"script_checks": "off"})
        assert request_check(editor, Action.CHECK, "bash", TEXT).message == service.SWITCHED_OFF

    def test_a_check_that_no_host_makes_ends_and_is_made_again_later(self, editor: User) -> None:
        report(IMAGE)
        request_check(editor, Action.CHECK, "bash", TEXT)
        old = database_now() - service.TAKE_TIME - timedelta(seconds=1)
        ScriptCheck.objects.update(requested_at=old)
        assert take_check("east") is None
        assert request_check(editor, Action.CHECK, "bash", TEXT).message == service.NO_HOST
        ScriptCheck.objects.update(requested_at=old - service.RETRY_TIME)
        assert request_check(editor, Action.CHECK, "bash", TEXT).state == "waiting"
        assert take_check("east") is not None

    def test_a_failure_is_told_and_tried_again_later(self, editor: User) -> None:
        report(IMAGE)
        request_check(editor, Action.CHECK, "bash", TEXT)
        row = take_check("east")
        assert row is not None
        service.store_failure(row, "The tool did not finish.\0" + "x" * 900)
        assert request_check(editor, Action.CHECK, "bash", TEXT).message.startswith("The tool did not finish.x")
        ScriptCheck.objects.update(finished_at=database_now() - service.RETRY_TIME - timedelta(seconds=1))
        assert request_check(editor, Action.CHECK, "bash", TEXT).state == "waiting"

    def test_one_user_can_not_fill_the_queue(self, editor: User, people: dict[str, User]) -> None:
        report(IMAGE)
        for number in range(service.MAX_OPEN):
            request_check(editor, Action.CHECK, "bash", f"echo {number}\n")
        with pytest.raises(ApiError) as refused:
            request_check(editor, Action.CHECK, "bash", "one more\n")
        assert refused.value.status == 429
        assert request_check(people["admin"], Action.CHECK, "bash", "one more\n").state == "waiting"
        ScriptCheck.objects.update(finished_at=database_now())
        request_check(editor, Action.CHECK, "bash", "and one\n")
        for number in range(service.PER_MINUTE):
            ScriptCheck.objects.create(digest=f"{number}", finished_at=database_now(), requested_by=editor)
        with pytest.raises(ApiError):
            request_check(editor, Action.CHECK, "bash", "too many in a minute\n")

    def test_expired_rows(self, editor: User) -> None:
        report(IMAGE)
        request_check(editor, Action.CHECK, "bash", TEXT)
        assert not service.find_expired_checks().exists()
        ScriptCheck.objects.update(requested_at=database_now() - timedelta(hours=2))
        assert service.find_expired_checks().count() == 1
        ScriptCheck.objects.update(finished_at=database_now())
        assert not service.find_expired_checks().exists()
        ScriptCheck.objects.update(requested_at=database_now() - service.KEEP_TIME - timedelta(days=1))
        assert service.find_expired_checks().count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
@pytest.mark.usefixtures("woken")
class TestHost:
    @pytest.fixture
    def checker(self, transactional_db: None) -> Iterator[ScriptChecker]:
        database, engine, cleared = DatabaseThreads(1), FakeEngine(), threading.Event()
        cleared.set()
        state = {"is_draining": False, "is_unsafe": False, "closing": threading.Event()}
        context: Any = SimpleNamespace(host="east", engine=engine, database=database, **state)
        yield ScriptChecker(context, SubnetPool(ip_network("10.213.0.0/16")), cleared, lambda: True)
        database._pool.submit(connections.close_all).result()
        database.close()
        engine.close()

    def run(
        self, checker: ScriptChecker, user: User, monkeypatch: pytest.MonkeyPatch, result: Any, action: str = "check"
    ) -> ScriptCheck:
        def run_tool(engine: Any, image: str, program: str, settings: Any, is_stopped: Any, on_result: Any) -> Any:
            assert image == IMAGE
            if isinstance(result, Exception):
                raise result
            on_result(*result)

        report(IMAGE)
        monkeypatch.setattr(script_checks, "run_tool", run_tool)
        monkeypatch.setattr(script_checks, "find_linter", lambda engine: IMAGE)
        request_check(user, action, "python", "x =  1\n")
        checker.make_requested()
        return ScriptCheck.objects.get()

    def test_answers_are_stored(self, checker: ScriptChecker, editor: User, monkeypatch: pytest.MonkeyPatch) -> None:
        done = RunResult("succeeded", "exit_code", "", 0)
        row = self.run(checker, editor, monkeypatch, (done, encode(1, json.dumps([RUFF]))))
        assert (row.host, [problem["rule"] for problem in row.problems], row.message) == ("east", ["F821"], "")
        ScriptCheck.objects.all().delete()
        row = self.run(checker, editor, monkeypatch, (done, encode(0, "x = 1\n")), "format")
        assert row.formatted == "x = 1\n"

    @pytest.mark.parametrize(
        ("result", "words"),
        [
            ((RunResult("timed_out", "timeout", "late"), b""), "more time, memory or output"),
            ((RunResult("succeeded", "exit_code", "", 0), b"nonsense"), "more memory or time"),
            (EngineError("The engine does not answer."), "The engine does not answer."),
        ],
    )
    def test_failures_are_told(
        self, checker: ScriptChecker, editor: User, monkeypatch: pytest.MonkeyPatch, result: Any, words: str
    ) -> None:
        assert words in self.run(checker, editor, monkeypatch, result).message

    @pytest.mark.parametrize("name", ["is_draining", "is_unsafe"])
    def test_an_unsafe_or_draining_host_checks_nothing(
        self, checker: ScriptChecker, editor: User, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        setattr(checker._context, name, True)
        assert self.run(checker, editor, monkeypatch, AssertionError()).host == ""


@pytest.mark.django_db
@pytest.mark.usefixtures("woken")
class TestApi:
    @pytest.mark.parametrize("route", ["check", "format"])
    def test_only_editors_may(self, people: dict[str, User], route: str) -> None:
        body = {"language": "bash", "script": TEXT}
        for role, status in (("viewer", 403), ("operator", 403), ("editor", 200), ("admin", 200)):
            assert Api(people[role]).call("POST", f"/scripts/{route}", body).status_code == status
        assert Api(None).call("POST", f"/scripts/{route}", body).status_code == 401

    def test_an_answer(self, admin: Api) -> None:
        report(IMAGE)
        body = {"language": "python", "script": "import x\nx\n"}
        assert admin.call("POST", "/scripts/check", body).json()["state"] == "waiting"
        row = take_check("east")
        assert row is not None
        service.store_answer(row, *read_problems("python", ToolOutput(1, json.dumps([RUFF]), "")))
        answer = admin.call("POST", "/scripts/check", body).json()
        assert (answer["state"], answer["more"], answer["problems"][0]["rule"]) == ("done", False, "F821")

    @pytest.mark.parametrize(
        ("script", "word"), [("a\0b", "NUL"), ("\ud800", "surrogate"), ("x" * 1_000_001, "1,000,001 bytes")]
    )
    def test_refused_texts(self, admin: Api, script: str, word: str) -> None:
        answer = admin.call("POST", "/scripts/check", {"language": "bash", "script": script})
        assert answer.status_code in (400, 413, 422)
        assert word in answer.json()["detail"] or answer.status_code != 422

    def test_node_is_not_formatted(self, admin: Api) -> None:
        report(IMAGE)
        answer = admin.call("POST", "/scripts/format", {"language": "node", "script": "1\n"}).json()
        assert (answer["state"], answer["formatted"]) == ("unavailable", None)


@pytest.mark.django_db
@pytest.mark.usefixtures("woken")
def test_the_pages_count_known_problems(job: Any, people: dict[str, User]) -> None:
    client = Client()
    client.force_login(people["editor"])
    address = f"/jobs/{job.slug}/script/"
    assert "problem" not in client.get(address).content.decode().split("script-title")[1]
    report(IMAGE)
    request_check(people["editor"], Action.CHECK, job.language, job.script)
    row = take_check("east")
    assert row is not None
    problem = dict.fromkeys(("column", "end_line", "end_column"), 1) | {"line": 1, "severity": "error", "tool": "ruff"}
    service.store_answer(row, [problem | {"rule": "<b>F821</b>", "message": "<script>alert(1)</script>", "url": ""}])
    page = client.get(address).content.decode()
    assert "1 problem in this text" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    page = client.get(f"/jobs/{job.slug}/edit/").content.decode()
    assert 'id="known-problems"' in page
    assert "<script>alert(1)" not in page


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_the_edits_of_a_formatted_text() -> None:
    """They give the new text, and leave the lines that stay alone."""
    root = Path(__file__).resolve().parents[2] / "frontend"
    program = (
        "import { diff } from './node_modules/@codemirror/merge/dist/index.js';"
        "const [a, b] = ['x =  1\\nkeep\\ny=2', 'x = 1\\nkeep\\ny = 2'];"
        "const edits = diff(a, b, { scanLimit: 500, timeout: 500 });"
        "let text = a; for (const e of [...edits].reverse())"
        " text = text.slice(0, e.fromA) + b.slice(e.fromB, e.toB) + text.slice(e.toA);"
        "if (text !== b || edits.some((e) => a.slice(e.fromA, e.toA).includes('keep'))) process.exit(1)"
    )
    if not (root / "node_modules").exists():
        pytest.skip("the packages of the frontend are not installed")
    subprocess.run(["node", "--input-type=module", "-e", program], cwd=root, check=True)
