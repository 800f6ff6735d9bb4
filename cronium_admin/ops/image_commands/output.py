"""Progress and connections of the subcommands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker
from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from cronium_admin.core.errors import ApiError
from cronium_admin.images.engine_connection import connect_engine

SECONDS = 60
# Takes a step's name, the finished steps, their number, and a detail.
Report = Callable[[str, int, int, str], None]


@contextmanager
def open_client() -> Iterator[docker.APIClient]:
    try:
        client = connect_engine(SECONDS)
    except ApiError as error:
        raise CommandError(error.message) from error
    try:
        yield client
    finally:
        if client is not None:
            client.close()


@contextmanager
def open_reporter(command: BaseCommand) -> Iterator[Report]:
    """A bar on a terminal, else one line for each report."""
    console = Console(file=getattr(command.stdout, "_out", None))
    if not console.is_terminal:
        yield lambda step, done, total, detail: command.stdout.write(f"[{done}/{total}] {step}: {detail}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("Images", total=None)

        def report(step: str, done: int, total: int, detail: str) -> None:
            text = detail.splitlines()[0][:70] if detail else ""
            bar.update(task, total=total, completed=done, description=f"{step}: {text}")

        yield report


def format_size(size: int) -> str:
    """As on the pages: 1 MB is 1024 * 1024 bytes."""
    return filesizeformat(size).replace("\xa0", " ")
