"""One table of requests of scripts and their results: each helper, through a real sidecar, to service and database."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from cronium_admin.runs.models import Run, Status
from cronium_admin.runtime_api import condition, handlers, output
from cronium_admin.variables import service
from cronium_admin.variables.models import Change, Receipt, Variable
from tests.unit.test_helpers import IMAGES, LANGUAGES, Result, environment, run
from tests.unit.test_sidecar import AUTH, path, start
from tests.users import get_admin

Through = Callable[[int], Awaitable[str]]  # puts something before a port of ours; the new address
VALUES: list[Any] = [0, False, "", None, [], {}, 1.5, -0.0, 1e22, 2**53, 'é 🦊 "q" $HOME `id` \\ \'\n', {"value": 1}]


@pytest.fixture
def living(run: Run) -> Run:
    """The run that the sidecar of these tests belongs to."""
    Run.objects.filter(pk=run.pk).update(status=Status.RUNNING)
    run.refresh_from_db()
    return run


class Inside:
    """Runs scripts with a sidecar whose worker is the service itself, on the test's connection."""

    def __init__(self, run_id: UUID) -> None:
        self.asked: list[dict[str, Any]] = []
        self._run_id, self._connection = run_id, connections["default"]

    def __call__(self, language: str, script: str, through: Through | None = None) -> Result:
        return asyncio.run(self._run(language, script, through))

    async def _run(self, language: str, script: str, through: Through | None) -> Result:
        sidecar = await start(answer_seconds=25)  # a machine with much to do is no worker that is away
        sidecar.worker.answer, sidecar.worker.asked = self._answer, self.asked
        address = await through(sidecar.port) if through else f"http://127.0.0.1:{sidecar.port}"
        return await run(language, script, {**environment(sidecar), "CRONIUM_RUNTIME_API": address})

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        connections["default"] = self._connection  # an event loop would open another, outside of our transaction
        return reply(self._run_id, message)


@pytest.fixture
def inside(living: Run, monkeypatch: pytest.MonkeyPatch) -> Inside:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    return Inside(living.pk)


def reply(run_id: UUID, message: dict[str, Any]) -> dict[str, Any]:
    """As the worker's end of the channel does."""
    made = handlers.handle_request(run_id, message["op"], message["body"])
    if made.error:
        return {"ok": False, "status": made.status, "error": made.error, "message": made.message}
    return {"ok": True, "data": made.data}


def quoted(language: str, value: Any) -> str:
    """A value as a literal of the language."""
    text = json.dumps(value)
    if language == "bash":
        return "'" + text.replace("'", "'\\''") + "'"
    return f"json.loads({text!r})" if language == "python" else f"JSON.parse({json.dumps(text)})"


SHOW = {"bash": "{}", "python": "print(json.dumps({}))", "node": "console.log(JSON.stringify(await {}))"}
DO = {"bash": "{}", "python": "{}", "node": "await {}"}
# The calls in each language; KEY and VALUE are placeholders.
GET = {
    "bash": "cronium_get_variable KEY",
    "python": "cronium.get_variable('KEY')",
    "node": "cronium.getVariable('KEY')",
}
SET = {
    "bash": "cronium_set_variable KEY VALUE",
    "python": "cronium.set_variable('KEY', VALUE)",
    "node": "cronium.setVariable('KEY', VALUE)",
}
ADD = {
    "bash": "cronium_increment_variable KEY VALUE",
    "python": "cronium.increment_variable('KEY', VALUE)",
    "node": "cronium.incrementVariable('KEY', VALUE)",
}
OUTPUT = {
    "bash": "cronium_output VALUE",
    "python": "cronium.output(VALUE)",
    "node": "cronium.output(VALUE)",
}
CONDITION = {
    "bash": "cronium_set_condition VALUE",
    "python": "cronium.set_condition(VALUE)",
    "node": "cronium.setCondition(VALUE)",
}


def call(how: dict[str, str], what: dict[str, str], language: str, key: str = "k", value: Any = None) -> str:
    return how[language].format(what[language].replace("KEY", key)).replace("VALUE", quoted(language, value))


@pytest.mark.parametrize("language", LANGUAGES)
def test_any_value_comes_back_as_itself(inside: Inside, living: Run, language: str) -> None:
    keys = [f"k.{at}" for at in range(len(VALUES))]
    steps = [call(DO, SET, language, key, value) for key, value in zip(keys, VALUES, strict=True)]
    steps += [call(SHOW, GET, language, key) for key in keys]
    result = inside(language, "\n".join(steps))
    assert (result.code, result.err) == (0, "")
    got = [json.loads(line) for line in result.out.splitlines()]
    assert got == VALUES
    assert [type(value) for value in got] == [type(v) for v in VALUES] or language == "node"  # which has one number
    assert Variable.objects.filter(job=living.job).count() == len(VALUES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_own_and_shared_are_two_variables(inside: Inside, living: Run, language: str) -> None:
    steps = [call(DO, SET, language, "increment", "own"), call(DO, SET, language, "shared/increment", "all")]
    steps += [call(SHOW, GET, language, "increment"), call(SHOW, GET, language, "shared/increment")]
    assert (inside(language, "\n".join(steps))).out == '"own"\n"all"\n'
    assert Variable.objects.get(job=None).changed_by == f"{living.job_slug} #{living.number}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_not_there_is_null(inside: Inside, language: str) -> None:
    assert inside(language, call(SHOW, GET, language)) == Result(0, "null\n", "")
    if language != "bash":
        wanted = {"python": "cronium.get_variable('k', 7)", "node": "cronium.getVariable('k', 7)"}
        assert (inside(language, SHOW[language].format(wanted[language]))).out == "7\n"
        service.set_variable(service.resolve_key(Run.objects.select_related("job").get(), "k"), None, get_admin())
        assert (inside(language, SHOW[language].format(wanted[language]))).out == "null\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_increments_count_and_keep_whole_numbers_whole(inside: Inside, language: str) -> None:
    steps = [call(SHOW, ADD, language, "n", value) for value in (1, 41, -2, 0.5)]
    assert (inside(language, "\n".join(steps))).out == "1\n42\n40\n40.5\n"
    assert Change.objects.filter(kind="increment").count() == 4


REFUSED = [
    (ADD, "text", 1, 409, "NOT_A_NUMBER"),
    (ADD, "n", "1", 400, "NOT_A_NUMBER"),
    (ADD, "n", True, 400, "NOT_A_NUMBER"),
    (SET, "k", "nul \0", 400, "INVALID"),
    (SET, "a/b", 1, 400, "BAD_KEY"),
    (GET, "a b", None, 400, "BAD_KEY"),
]


@pytest.mark.parametrize("language", ["python", LANGUAGES[2]])
def test_a_no_has_a_status_and_is_asked_once(inside: Inside, living: Run, language: str) -> None:
    service.set_variable(service.resolve_key(living, "text"), "words", get_admin())
    for what, key, value, status, code in REFUSED:
        before = len(inside.asked)
        result = inside(language, call(DO, what, language, key, value))
        assert result.code == 1
        assert f"({code}, status {status})" in result.err, (key, result.err[-300:])
        assert len(inside.asked) <= before + 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_condition_is_kept_and_is_true_or_false(inside: Inside, living: Run, language: str) -> None:
    for value in (True, False):
        words = CONDITION[language].replace("VALUE", str(value) if language == "python" else str(value).lower())
        assert (inside(language, DO[language].format(words))).code == 0
        living.refresh_from_db()
        assert living.condition is value
    result = inside(language, call(DO, CONDITION, language, value="false"))
    assert result.code == 1
    living.refresh_from_db()
    assert living.condition is False


LIMIT = 5 * 1024 * 1024
LONG = {
    "bash": 'v=$(printf \'%0{}d\' 0); cronium_output "\\"$v\\""',
    "python": "cronium.output('0' * {})",
    "node": "await cronium.output('0'.repeat({}))",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_output_of_exactly_five_mib_fits_and_one_byte_more_does_not(
    inside: Inside, living: Run, language: str
) -> None:
    fits = LIMIT - 2  # and its quotes
    assert inside(language, LONG[language].format(fits)) == Result(0, "", "")
    living.refresh_from_db()
    assert living.output == "0" * fits
    result = inside(language, LONG[language].format(fits + 1))
    assert result.code == 1
    assert f"{LIMIT + 1} bytes" in result.err
    assert f"{LIMIT} are allowed" in result.err
    assert len(inside.asked) == 1, "it is refused where it is made"


async def test_the_sidecar_takes_exactly_five_mib_too() -> None:
    sidecar = await start()
    headers = AUTH + "X-Cronium-Body: value\r\n"
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        answered, answer = await sidecar.ask(
            "POST", path("output"), body=b"[" + b" " * (size - 2) + b"]", headers=headers
        )
        assert answered == status
        assert status == 200 or answer["error"] == "TOO_LARGE"
    assert len(sidecar.worker.asked) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_that_looks_like_its_wrapping_is_a_value(inside: Inside, living: Run, language: str) -> None:
    steps = [call(DO, SET, language, "k", {"value": {"value": 1}}), call(SHOW, GET, language)]
    steps.append(call(DO, OUTPUT, language, value={"output": 1}))
    assert json.loads(inside(language, "\n".join(steps)).out) == {"value": {"value": 1}}
    living.refresh_from_db()
    assert living.output == {"output": 1}


HUNDRED = {
    "bash": "for _ in $(seq 100); do cronium_increment_variable n >/dev/null & done; wait",
    "python": """
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(100) as pool:
    print(sorted(pool.map(lambda _: cronium.increment_variable('n'), range(100))) == list(range(1, 101)))
""",
    "node": """
const all = await Promise.all(Array.from({ length: 100 }, () => cronium.incrementVariable('n')));
console.log(all.sort((a, b) => a - b).every((n, at) => n === at + 1) ? 'True' : all);
""",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_hundred_increments_at_once_are_a_hundred(inside: Inside, language: str) -> None:
    result = inside(language, HUNDRED[language])
    assert result == Result(0, "" if language == "bash" else "True\n", "")
    assert Variable.objects.get().value == 100


@dataclass
class Answers:
    """A server that gives these answers, one per connection, then the last one again; None closes the connection."""

    answers: list[tuple[int, bytes] | None]
    heads: list[bytes] = field(default_factory=list)

    async def through(self, port: int) -> str:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if lengths := [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]:
            await reader.readexactly(int(lengths[0].split(b":")[1]))
        answer = self.answers[min(len(self.heads), len(self.answers) - 1)]
        self.heads.append(head)
        if answer is not None:
            status, body = answer
            start_line = b"HTTP/1.1 %d Said\r\nContent-Type: application/json\r\n" % status
            writer.write(start_line + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        writer.close()

    @property
    def keys(self) -> set[bytes]:
        """The distinct Idempotency-Keys that arrived."""
        lines = [line for head in self.heads for line in head.lower().split(b"\r\n")]
        return {line for line in lines if line.startswith(b"idempotency-key")}


NO = b'{"error": "CODE", "message": "words"}'
YES = b'{"success": true, "data": 7}'


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 429])
def test_a_4xx_is_never_tried_again(inside: Inside, language: str, status: int) -> None:
    server = Answers([(status, NO), (200, YES)])
    result = inside(language, call(DO, ADD, language, "k", 1), server.through)
    assert result.code == (4 if language == "bash" else 1)
    assert f"status {status}" in result.err
    assert "CODE" in result.err
    assert "words" in result.err
    assert len(server.heads) == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("what", "keys"), [(GET, 0), (ADD, 1)])
def test_a_lost_connection_and_a_5xx_are_tried_again(
    inside: Inside, language: str, what: dict[str, str], keys: int
) -> None:
    server = Answers([None, (500, NO), (503, NO), (200, YES)])
    result = inside(language, call(SHOW, what, language, "k", 1), server.through)
    assert result == Result(0, "7\n", "")
    assert len(server.heads) == 4
    assert len(server.keys) == keys, "a write keeps its key over its tries, a read needs none"


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_gives_up_after_six_tries(inside: Inside, language: str) -> None:
    server = Answers([(502, NO)])
    result = inside(language, call(DO, SET, language, "k", 1), server.through)
    assert result.code == (4 if language == "bash" else 1)
    assert "status 502" in result.err
    assert (len(server.heads), len(server.keys)) == (6, 1)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("way", ["lost", "502"])
def test_a_write_that_is_tried_again_counts_once(inside: Inside, living: Run, language: str, way: str) -> None:
    """The worker executes it; the first answer is lost."""
    spoiled: list[bytes] = []
    refusal = b'{"error": "BACKEND_UNAVAILABLE", "message": "away"}'
    head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(refusal)

    async def through(port: int) -> str:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up, down = await asyncio.open_connection("127.0.0.1", port)
            asked = await reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1]))
            down.write(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + body)
            answer = await up.read()
            if not spoiled:
                spoiled.append(answer)
                answer = b"" if way == "lost" else head + refusal
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    result = inside(language, call(SHOW, ADD, language, "n", 5), through)
    assert result == Result(0, "5\n", "")
    assert b'"data": 5' in spoiled[0]
    assert len(inside.asked) == 2, "it was asked twice"
    assert len({message["body"]["idempotency_key"] for message in inside.asked}) == 1
    assert Variable.objects.get().value == 5
    assert Change.objects.count() == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_that_has_ended_gets_403(inside: Inside, living: Run, language: str) -> None:
    Run.objects.filter(pk=living.pk).update(status=Status.SUCCEEDED)
    for what in (GET, SET, ADD):
        result = inside(language, call(DO, what, language, "k", 1))
        assert result.code == (4 if language == "bash" else 1)
        assert "RUN_ENDED" in result.err
    assert not Variable.objects.exists()


def test_the_async_twin_means_the_same(inside: Inside, living: Run) -> None:
    script = """
import asyncio
from cronium import aio
async def main():
    await asyncio.gather(*(aio.increment_variable('n') for _ in range(100)))
    await aio.set_variable('shared/v', 'é')
    await aio.set_condition(False)
    await aio.output([await aio.get_variable('n'), await aio.get_variable('shared/v'), await aio.get_variable('x', 3)])
    print(await aio.event('job'), json.dumps(await aio.input()))
asyncio.run(main())
"""
    result = inside("python", script)
    assert (result.code, result.err) == (0, "")
    living.refresh_from_db()
    assert (living.output, living.condition) == ([100, "é", 3], False)


@pytest.mark.parametrize(
    ("method", "rest", "body", "headers", "asked"),
    [
        ("PUT", "variables/k", b'{"value": 1}', "", {"key": "k", "value": 1}),
        ("PUT", "variables/k", b"false", "", {"key": "k", "value": False}),
        ("PUT", "variables/k", b' {"value": 1}', "X-Cronium-Body: value\r\n", {"key": "k", "value": {"value": 1}}),
        ("PUT", "variables/k", b'{"value": 1, "key": "z"}', "", {"key": "k", "value": {"value": 1, "key": "z"}}),
        ("PUT", "variables/shared%2Fk", b"1", "", {"key": "shared/k", "value": 1}),
        ("PUT", "variables/shared/increment", b"1", "", {"key": "shared/increment", "value": 1}),
        ("POST", "variables/shared/increment", b"2", "", {"key": "shared", "amount": 2}),
        ("POST", "variables/k/increment", b"{}", "", {"key": "k", "amount": 1}),
        ("POST", "variables/k/increment", b"", "", {"key": "k", "amount": 1}),
        ("POST", "condition", b'{"condition": false}', "", {"condition": False}),
        ("POST", "condition", b"true", "Idempotency-Key: a.b\r\n", {"condition": True, "idempotency_key": "a.b"}),
        ("GET", "variables/k", None, "", {"key": "k"}),
    ],
)
async def test_the_sidecar_asks_the_worker_in_these_words(
    method: str, rest: str, body: bytes | None, headers: str, asked: dict[str, Any]
) -> None:
    sidecar = await start()
    sidecar.worker.answer = lambda _: {"ok": True, "data": {"found": True, "value": 1}}
    assert (await sidecar.ask(method, path(rest), body=body, headers=AUTH + headers))[0] == 200
    assert sidecar.worker.asked[-1]["body"] == asked


async def test_the_sidecar_marks_what_is_not_there() -> None:
    sidecar = await start()
    sidecar.worker.answer = lambda _: {"ok": True, "data": {"found": False, "value": None}}
    head = f"GET {path('variables/k')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{AUTH}\r\n"
    assert b"cronium-variable: missing" in (await sidecar.raw(head.encode())).lower()


async def test_a_key_that_is_none_and_a_variable_too_large_are_refused_before_the_worker() -> None:
    sidecar = await start()
    headers = AUTH + "Idempotency-Key: a b\r\n"
    status, answer = await sidecar.ask("PUT", path("variables/k"), body=b"1", headers=headers)
    assert (status, answer["error"]) == (400, "BAD_IDEMPOTENCY_KEY")
    assert (await sidecar.ask("PUT", path("variables/k"), body=b" " * 300_000 + b"1"))[0] == 413
    assert sidecar.worker.asked == []


class TestService:
    """The worker's side alone."""

    @pytest.mark.parametrize(
        ("operation", "body", "status", "error"),
        [
            ("nothing", {}, 404, "NOT_FOUND"),
            ("output", [], 400, "BAD_REQUEST"),
            ("output", {}, 400, "BAD_REQUEST"),
            ("set_variable", {"value": 1}, 400, "BAD_KEY"),
            ("set_variable", {"value": 1, "key": "shared/"}, 400, "BAD_KEY"),
            ("set_variable", {"value": 1, "key": "/x"}, 400, "BAD_KEY"),
            ("set_variable", {"value": 1, "key": ".."}, 400, "BAD_KEY"),
            ("set_variable", {"value": 1, "key": "k", "idempotency_key": 7}, 400, "BAD_IDEMPOTENCY_KEY"),
            ("set_variable", {"value": float("inf"), "key": "k"}, 400, "INVALID"),
            ("set_variable", {"value": "x" * (256 * 1024 - 1), "key": "k"}, 413, "TOO_LARGE"),
            ("condition", {"condition": 1}, 400, "BAD_REQUEST"),
            ("increment_variable", {"key": "k", "amount": None}, 400, "NOT_A_NUMBER"),
            ("increment_variable", {"key": "k", "amount": 2**5000}, 409, "TOO_LARGE"),
        ],
    )
    def test_says_no_in_words(self, living: Run, operation: str, body: Any, status: int, error: str) -> None:
        made = handlers.handle_request(living.pk, operation, body)
        assert (made.status, made.error) == (status, error)
        assert made.message
        assert not Variable.objects.exists()

    def test_a_key_used_for_something_else_is_refused(self, living: Run) -> None:
        first = {"key": "a", "amount": 1, "idempotency_key": "once"}
        assert [handlers.handle_request(living.pk, "increment_variable", first).data for _ in range(3)] == [1, 1, 1]
        made = handlers.handle_request(living.pk, "increment_variable", first | {"key": "b"})
        assert (made.status, made.error) == (409, "IDEMPOTENCY_KEY_REUSED")
        handlers.delete_receipts(living.pk)
        assert not Receipt.objects.exists()

    @pytest.mark.parametrize(
        ("operation", "body", "member", "same", "others"),
        [
            (
                "set_variable",
                {"key": "k" * 128},
                "value",
                [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
                [None, {"a": 1}, "", 1],
            ),
            ("set_variable", {"key": "shared/k"}, "value", [1], [1.0, True, "1", [1]]),
            ("increment_variable", {"key": "k"}, "amount", [1], [2, 1.0, -1]),
            ("output", {}, "output", [["x"]], [["y"], "x", None]),
            ("condition", {}, "condition", [True], [False]),
        ],
    )
    def test_a_key_used_for_another_value_is_refused_and_nothing_is_stored(
        self, living: Run, operation: str, body: Any, member: str, same: list[Any], others: list[Any]
    ) -> None:
        body = {**body, "idempotency_key": "once"}
        answers = [handlers.handle_request(living.pk, operation, {**body, member: value}) for value in same * 2]
        assert {answer.status for answer in answers} == {200}
        stored = list(Variable.objects.values()), Run.objects.values("output", "condition").get(pk=living.pk)
        for value in others:
            made = handlers.handle_request(living.pk, operation, {**body, member: value})
            assert (made.status, made.error) == (409, "IDEMPOTENCY_KEY_REUSED"), value
            assert "with another value" in made.message
        assert (list(Variable.objects.values()), Run.objects.values("output", "condition").get(pk=living.pk)) == stored

    def test_a_receipt_of_before_is_answered(self, living: Run) -> None:
        body = {"key": "a", "amount": 1, "idempotency_key": "once"}
        assert handlers.handle_request(living.pk, "increment_variable", body).data == 1
        Receipt.objects.update(what="increment_variable a")
        assert handlers.handle_request(living.pk, "increment_variable", body).data == 1

    def test_history_says_who_and_is_bounded(self, living: Run) -> None:
        for _ in range(130):
            handlers.handle_request(living.pk, "increment_variable", {"key": "n", "amount": 1})
        changes = service.list_changes(service.resolve_key(living, "n"))
        assert [change.text for change in changes] == [str(n) for n in range(130, 30, -1)]
        assert Change.objects.count() == 100
        assert {(change.by, change.run_id) for change in changes} == {("report #1", living.pk)}

    def test_a_job_that_was_deleted_leaves_only_what_is_shared(self, living: Run) -> None:
        assert living.job
        living.job.delete()
        assert handlers.handle_request(living.pk, "get_variable", {"key": "k"}).error == "JOB_DELETED"
        assert handlers.handle_request(living.pk, "increment_variable", {"key": "shared/k", "amount": 2}).data == 2

    def test_a_scope_has_room_for_so_many(self, living: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_PER_SCOPE", 2)
        made = [
            handlers.handle_request(living.pk, "set_variable", {"key": key, "value": 1}) for key in ("a", "b", "c", "a")
        ]
        assert [one.error for one in made] == ["", "", "TOO_MANY", ""]


def test_helpers_have_the_names_of_the_contract() -> None:
    types = (IMAGES / "node" / "cronium.d.ts").read_text()
    code = (IMAGES / "node" / "cronium.js").read_text().split("module.exports")[1]
    for name in (
        "input",
        "output",
        "context",
        "event",
        "getVariable",
        "setVariable",
        "incrementVariable",
        "setCondition",
    ):
        assert f"function {name}" in types
        assert f"  {name}," in code
    bash, python, aio = (
        (IMAGES / name).read_text() for name in ("bash/cronium.sh", "python/cronium.py", "python/cronium_aio.py")
    )
    for name in ("input", "output", "context", "event", "get_variable", "set_variable", "increment_variable"):
        assert f"\ncronium_{name}() (" in bash
        assert f"\ndef {name}(" in python
        assert f"\nasync def {name}(" in aio


def test_the_document_names_every_code_and_operation_that_there_is() -> None:
    """And no others."""
    document = (IMAGES.parent / "docs" / "runtime-api.md").read_text()
    table = document.split("| status | code | when |")[1].split("\n\n")[0]
    told = set(re.findall(r"\| (\d{3}) \| `([A-Z_]+)` \|", table))
    sidecar = "".join((IMAGES / "runtime-api" / "sidecar" / name).read_text() for name in ("api.py", "http.py"))
    built = set(re.findall(r'ApiError\(\s*(\d{3}),\s*"([A-Z_]+)"', sidecar))
    worker = "".join(Path(str(module.__file__)).read_text() for module in (handlers, service, output, condition))
    asked_by_pages = {("409", "CHANGED_MEANWHILE"), ("404", "NOT_FOUND")}
    found = {(status, code.upper()) for status, code in re.findall(r'ApiError\(\s*(\d{3}),\s*"([a-z_]+)"', worker)}
    built |= {("400" if status == "422" else status, code) for status, code in found} - asked_by_pages
    # Built at the place of the error: HTTP's own status for a head too large, and the two kinds of an unfit value.
    built |= {("431", "BAD_REQUEST"), ("413", "TOO_LARGE"), ("400", "INVALID")}
    assert told == built
    for operation in (*handlers.WRITES, "get_variable"):
        assert f"| `{operation}` |" in document
