"""`manage.py images push`: copies own images to a registry and prints the digests of their manifests."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cronium_admin.images.build import find_own_images
from cronium_admin.ops.image_commands.output import open_client, open_reporter
from cronium_admin.ops.image_commands.transfer import (
    add_registry_arguments,
    find_login,
    make_progress_report,
    make_remote_reference,
    parse_registry,
)
from cronium_admin.workers.own_engine import make_own_engine
from executor.docker.errors import EngineError
from executor.docker.image_calls import Transfer

HELP = "push own images to a registry"


def add_arguments(parser: ArgumentParser) -> None:
    add_registry_arguments(parser)
    parser.add_argument("reference", nargs="*", help="names of own images (default: all on the engine)")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    registry = parse_registry(options["registry"])
    with open_client() as client:
        own = find_own_images(client)
    if unknown := set(options["reference"]) - set(own):
        raise CommandError(
            f"Not an own image on the engine: {', '.join(sorted(unknown))}. There are: {', '.join(own)}."
        )
    references = options["reference"] or own
    if not references:
        raise CommandError("No own images are on the engine. Run `manage.py images build`.")
    engine = make_own_engine(4)
    pushed: dict[str, str] = {}
    try:
        login = find_login(engine, registry, options["username"])
        with open_reporter(command) as report:
            for number, reference in enumerate(references):
                remote = make_remote_reference(registry, reference)
                on_progress = make_progress_report(report, remote, number, len(references))
                engine.image_calls.tag(reference, remote)
                try:
                    digest = engine.image_calls.push(remote, login, transfer=Transfer(), on_progress=on_progress)
                finally:
                    engine.image_calls.remove(remote)
                pushed[remote] = digest
                report(remote, number + 1, len(references), digest)
    except EngineError as error:
        raise CommandError(f"{error} Pushed before: {len(pushed)} of {len(references)} images.") from error
    for remote, digest in pushed.items():
        command.stdout.write(f"{remote}@{digest}")
