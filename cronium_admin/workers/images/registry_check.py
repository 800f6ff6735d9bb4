"""Checks a registry from this host: sign-in, pull and push, each with a sentence about its result."""

from collections.abc import Callable
from typing import Any

from cronium_admin.registries.addresses import has_image, split_host
from cronium_admin.registries.models import Registry
from cronium_admin.workers.database_threads import DatabaseThreads
from cronium_admin.workers.images.certificates import write_authority
from cronium_admin.workers.images.transfer import find_login
from executor.docker.errors import EngineError, ImageNotFound, ImagePullDenied, ImageRegistryUnreachable
from executor.docker.image_calls import RegistryLogin, Transfer
from executor.docker.protocol import EngineLike

PROBE = "cronium-check"  # the repository below the registry's address that a push creates

# {"step": name, "ok": bool or None for a step that was not made, "text": sentence, "reason": code of a failure}
Result = dict[str, Any]


def check_registry(registry: Registry, engine: EngineLike, database: DatabaseThreads) -> list[Result]:
    """Raises nothing of the engine: each error is the text of its step."""
    login: RegistryLogin | None = None

    def sign_in() -> str:
        nonlocal login
        if registry.ca and not write_authority(registry, engine):
            raise EngineError(
                f"The CA can't be given to this host's engine. Put it there as /etc/docker/certs.d/"
                f"{split_host(registry.address)}/ca.crt."
            )
        login = find_login(database, registry, engine, for_admin=True)
        if login is None:
            _require_answer(registry, engine)
            return "Without credentials. The registry answers."
        engine.image_calls.check_login(login)
        return f"Signed in as {registry.username or 'the helper’s user'}."

    results = [_make_step("sign-in", sign_in)]
    if results[0]["ok"]:
        results.append(_check_pull(registry, engine, login))
        results.append(_check_push(registry, engine, login))
    return results


def _require_answer(registry: Registry, engine: EngineLike) -> None:
    """Raises if the registry can't be reached. A registry that knows no such image, or refuses to say so, answers."""
    reference = f"{registry.address}/{PROBE}:latest"
    try:
        engine.image_calls.resolve_digest(reference, None)
    except (ImageNotFound, ImagePullDenied):
        return
    except ImageRegistryUnreachable as error:  # the user does not know the name that was asked for
        raise ImageRegistryUnreachable(
            str(error).replace(f"{reference} could not be pulled", registry.address)
        ) from error


def _make_step(name: str, action: Callable[[], str]) -> Result:
    try:
        return {"step": name, "ok": True, "text": action()}
    except EngineError as error:
        return {"step": name, "ok": False, "text": str(error), "reason": error.reason}


def _check_pull(registry: Registry, engine: EngineLike, login: RegistryLogin | None) -> Result:
    image = registry.check_image
    if not registry.may_pull:
        return {"step": "pull", "ok": None, "text": "The registry is not used for pulls."}
    if not image:
        return {"step": "pull", "ok": None, "text": "Not checked: the registry names no image to check with."}

    if not has_image(registry.address, image):  # of a registry that was saved by an older version
        text = f"{image} is no image of this registry, so it is not sent the credentials. Name another image."
        return {"step": "pull", "ok": False, "text": text, "reason": ""}

    def resolve() -> str:
        return f"{image} is {engine.image_calls.resolve_digest(image, login)[:19]}."

    return _make_step("pull", resolve)


def _check_push(registry: Registry, engine: EngineLike, login: RegistryLogin | None) -> Result:
    if not registry.may_push:
        return {"step": "push", "ok": None, "text": "The registry is not used for pushes."}
    reference = f"{registry.address}/{PROBE}:latest"

    def push() -> str:
        engine.image_calls.make_empty(reference)
        try:
            digest = engine.image_calls.push(reference, login, transfer=Transfer())
        finally:
            engine.image_calls.remove(reference)
        return f"Pushed an empty image as {reference}, {digest[:19]}."

    return _make_step("push", push)
