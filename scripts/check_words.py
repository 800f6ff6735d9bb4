#!/usr/bin/env python
"""Checks names and words: functions begin with a verb, docstrings add to the name, and prose uses standard terms.
`make lint` runs it.

A new verb is added to VERBS. A function whose name a library or a protocol gives is added to GIVEN.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERBS = frozenset(
    """
    abandon abort accept accumulate acquire add admit adopt advance allocate allow always announce anonymize answer
    append apply archive are ask assign attach authenticate await beat begin bind borrow bracket build call can cancel
    canonicalize cast change changed charge check choose claim clean clear close collect commit compare compile
    complete compress compute conclude configure confirm connect consume continue convert count cover create cut
    decide declare decorate decrypt delete derive describe detach detect diff digest discard disconnect dispatch
    download drain drop dump edit enable encode encrypt end enqueue ensure enter escape estimate evaluate exclude exec
    execute exit expand expect expire explain extend extract feed fetch filter find finish fire fold follow forbid
    forget format forward free from generate get give guess hand handle has hash hide hit hold holds identify ignore
    import increment insert inspect intersect is iterate join judge keep launch leave limit list listen load lock log
    look make mark mask match may measure merge mint mount move name normalize note observe offer omit on open
    overlaps pack pad parse pass peek pin ping place plan point pop prepare present preview print process provide
    prune publish pull push put query quote raise read receive reconnect record redirect reencrypt refer refresh
    refuse register reject relay release remember remove render renew reopen replace replay report request requeue
    require rerun reserve reset resolve restart restore restrict resume retire retry revoke rotate round run runs same
    save schedule seal search select send serve set settle shift shorten show sign skip sort split start stop store
    stream strip submit suggest sum summarize sweep switch sync tag take to tolerate track translate treat try unpack
    untag update upload use validate verify wait wake watch work wrap write
    """.split()  # noqa: SIM905
)
# Names that Django, ASGI, asyncio, logging, argparse or a protocol of ours gives, and names of pure conversions.
GIVEN = frozenset(
    """
    aclear_expired acreate_model_instance address adelete aexists aget aget_expiry_age aget_session_from_db
    application as_postgresql as_sql as_sqlite asave changelist_view connection_lost connection_made counter
    data_received database_now database_work deconstruct default default_log_limit_mb exists first_version following
    form_valid formatMessage health hurry later living login main now output output_hash output_unified
    password_change patch_job post post_job readable readinto ready seek tell recv recv_into shutdown startup text
    translated_errors variable_history visible_to visit who_am_i why_it_waits wrapper
    """.split()  # noqa: SIM905
)
RIDDLES = {
    r"\bwhoever\b": "name the actor: the user, the process, an attacker",
    r"\bnobody sees to\b": "orphaned",
    r"\blet(s|ting)? go of\b": "releases, or has lost its lease",
    r"\bg[eo]t(s|ting)? through\b": "escapes, reaches or bypasses",
    r"\bbehind (its|the|their) backs?\b": "in the background",
    r"\bhung up on\b": "disconnected",
    r"\bputs? back into the queue\b": "requeues",
    r"\bdisguises?\b": "encoding",
    r"\bnudged?s?\b": "notification, notifies",
    r"\bmade anew\b": "recreated",
    r"\bwhat (is|was|are) told\b": "the report, the message",
    r"\bback office\b": "Django's admin site",
    r"\banew\b": "again, recreated",
    r"\bt(ake|akes|aken|ook) up again\b": "adopted, resumed",
    r"\bgave no answer\b": "did not answer",
    r"\bcarr(y|ies|ied) out\b": "executes",
    r"\bg(o|oes) on\b": "continues",
    r"\b(is|are|was|were|be) told\b": "receives, is notified",
    r"\bg(ive|ives|ave|iven) (it|them) up\b": "releases",
    r"\blets? in\b": "admits, allows",
    r"\bh(old|olds|eld)s? up\b": "delays, blocks",
    r"\blooks? after\b": "checks, maintains",
    r"\bturned over\b": "rotated",
    r"\blives? on\b": "continues, is long-lived",
}
# Words of a docstring that add nothing to a name.
FILLERS = "a an the of to in on at for with and or by is are be its it this that if from as all into only once"


def find_functions_without_verb(path: Path) -> Iterator[str]:
    """Yields `file:line name` of functions without a verb. Properties and template tags may be nouns."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("__"):
            continue
        decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        name = node.name.strip("_")
        is_exempt = re.search(r"property|setter|register|contextmanager|receiver", decorators) or name in GIVEN
        if not is_exempt and name.split("_")[0] not in VERBS:
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def _stem_words(text: str) -> set[str]:
    separated = re.sub("([A-Z])", r" \1", text).lower()
    return {re.sub(r"(ies|es|s|ed|ing|e|y)$", "", word) for word in re.findall("[a-z]+", separated)}


def find_repeating_docstrings(path: Path) -> Iterator[str]:
    """Yields `file:line name` of functions whose docstring has no word beside those of name, parameters and types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (docstring := ast.get_docstring(node)):
            known = f"{node.name} {ast.unparse(node.args)} {ast.unparse(node.returns) if node.returns else ''}"
            if not _stem_words(docstring) - _stem_words(known) - _stem_words(FILLERS):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def find_riddles(path: Path) -> Iterator[str]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        for pattern, instead in RIDDLES.items():
            if found := re.search(pattern, line, re.IGNORECASE):
                yield f"{path.relative_to(ROOT)}:{number} {found[0]!r}: write {instead}"


def main() -> int:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [ROOT / name for name in listed if (ROOT / name).is_file()]
    ours = [path for path in files if path.parts[len(ROOT.parts)] in ("cronium_admin", "executor", "cron_rules")]
    code = [path for path in ours if path.suffix == ".py" and "migrations" not in path.parts]
    prose = [path for path in files if path.suffix == ".md" and path.name != "CHANGELOG.md"]
    tests = [path for path in files if path.suffix == ".py" and path.parts[len(ROOT.parts)] == "tests"]
    problems = [f"no verb: {found}" for path in code for found in find_functions_without_verb(path)]
    problems += [f"docstring repeats the name: {found}" for path in code for found in find_repeating_docstrings(path)]
    problems += [f"riddle: {found}" for path in (*prose, *code, *tests) for found in find_riddles(path)]
    for problem in problems:
        print(problem)  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
