"""Fills a server so that every page shows data: jobs, and runs that wait, succeeded and failed."""

from dataclasses import dataclass

from tests.browser.scripts import python
from tests.engine.server import Server

COLOURS = r"""
print('\033[32mok\033[0m 48 files', '\033[1;33mwarn\033[0m', '\033[90mgrey\033[0m', '\033[41mred ground\033[0m')
print('\033[38;5;208morange\033[0m \033[38;2;90;90;250mblue\033[0m', '\033[7mreverse\033[0m', '\033[2mdim\033[0m')
print('on the other stream', file=sys.stderr)
print('a long line ' * 40)
import cronium
cronium.output({'rows': 40, 'names': ['a', 'b']})
cronium.set_condition(True)
for rows in 38, 40:
    cronium.set_variable('totals', {'rows': rows, 'regions': ['north', 'é <b>']})
cronium.increment_variable('reports')
"""


@dataclass(frozen=True)
class Scenery:
    """The URLs of the pages with data."""

    job: str
    running: str
    succeeded: str
    failed: str


def build(server: Server) -> Scenery:
    """Creates three jobs and three runs, two of which have ended."""
    more = {"tags": ["nightly", "billing"], "env": {"REGION": "north"}, "input": {"day": "2026-01-31"}}
    more |= {"log_limit_mb": 20, "on_log_limit": "drop"}
    recipe = {"base": "python", "python": ["requests==2.*"], "system": ["libpq5"], "steps": ["echo a\necho b"]}
    server.call("POST", "/custom-images", {"name": "python-reports", "recipe": recipe}, 201)
    server.call("PUT", "/variables/shared/last_day", {"value": "2026-01-31"})
    good = server.job(python(COLOURS), "python", name="Nightly report", slug="nightly-report", **more)
    bad = server.job("echo before; echo oops >&2; exit 3", name="A job that always fails", slug="always-fails")
    slow = server.job(
        python("print('at work')\ngate('never')"),
        "python",
        name="Slow import",
        slug="slow-import",
        timeout_seconds=3600,
    )
    succeeded, failed, running = server.launch(good), server.launch(bad), server.launch(slow)
    server.ended(succeeded)
    server.ended(failed)
    with server.watch(running) as watch:
        watch.until_line("at work")
    return Scenery(good, running, succeeded, failed)
