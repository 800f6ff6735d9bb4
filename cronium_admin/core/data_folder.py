"""The data folder: its files are for its owner alone, and its keys are usable or refused with a sentence.

Knows no Django, so that settings can be made from it.
"""

import os
import re
import secrets
import stat
import tempfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

UMASK = 0o077
OTHERS_MASK = 0o077  # the permission bits of everybody but the owner
# A data folder is closed to others, so it can't be one that a system needs open.
_TOP_FOLDERS = (
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib64",
    "media",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
)
_DEEPER_FOLDERS = (
    "sys",
    "tmp",
    "usr",
    "usr/local",
    "usr/share",
    "var",
    "var/lib",
    "var/log",
    "var/run",
    "var/tmp",
    "dev/shm",
)
SYSTEM_FOLDERS = frozenset({"/", *(f"/{name}" for name in (*_TOP_FOLDERS, *_DEEPER_FOLDERS))})


class DataFolderError(Exception):
    """A sentence for the person who starts Cronium: what is wrong with the data folder, and how to mend it."""


def find_unrestricted(*places: Path) -> Iterator[Path]:
    """Of the places, and of what lies directly in those that are folders, what other users have any permission on.

    Nobody gets deeper past a folder that is closed, and what lies there may be another program's. Symbolic links are
    not followed, and other file systems that are mounted inside are left out.
    """
    for place in places:
        with suppress(FileNotFoundError):
            found = place.stat(follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):
                yield from _find_unrestricted_in(place, found)


def _find_unrestricted_in(place: Path, found: os.stat_result) -> Iterator[Path]:
    if found.st_mode & OTHERS_MASK:
        yield place
    if not stat.S_ISDIR(found.st_mode):
        return
    with suppress(PermissionError, FileNotFoundError), os.scandir(place) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # temporary files of other processes come and go
                inner = entry.stat(follow_symlinks=False)
                if not entry.is_symlink() and inner.st_dev == found.st_dev and inner.st_mode & OTHERS_MASK:
                    yield Path(entry.path)


def restrict_to_owner(*places: Path) -> tuple[list[Path], list[Path]]:
    """Take the permissions of all but the owner away: what was changed, and what belongs to another user."""
    closed, failed = [], []
    for path in list(find_unrestricted(*places)):
        try:
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS_MASK)
            closed.append(path)
        except FileNotFoundError:
            continue
        except OSError:
            failed.append(path)
    return closed, failed


def pad_fernet_key(text: str) -> bytes:
    """A key as the cryptography library takes it: the padding, which some tools leave out, is put back."""
    bare = text.strip().rstrip("=")
    return (bare + "=" * (-len(bare) % 4)).encode()


def find_encryption_key_problem(text: str) -> str:
    """What is wrong with a list of keys, or nothing."""
    for number, part in enumerate(text.split(","), 1):
        try:
            is_key = len(b64decode(pad_fernet_key(part), altchars=b"-_", validate=True)) == 32
        except ValueError:
            is_key = False
        if not is_key:
            return f"key {number} must be 32 random bytes as urlsafe base64; separate keys by commas"
    return ""


def _find_secret_key_problem(text: str) -> str:
    return "" if len(text) >= 32 else "it must have at least 32 characters"


def _find_instance_id_problem(text: str) -> str:
    is_name = re.fullmatch(r"[A-Za-z0-9_-]{8,40}", text)
    return "" if is_name else "it must be 8 to 40 letters, digits, '-' and '_'"


# For each file: how many random bytes it is made of, what is wrong with a text, and what a new one would cost.
_SECRET_FILES: dict[str, tuple[int, Callable[[str], str], str]] = {
    "secret_key": (
        50,
        _find_secret_key_problem,
        "everybody signs in again, and scripts that run now lose the runtime API",
    ),
    "encryption_key": (
        32,
        find_encryption_key_problem,
        "the values of all stored secrets are lost and must be set again",
    ),
    "instance_id": (9, _find_instance_id_problem, "the containers of runs that live now are not recognized any more"),
}


def load_or_create_secret(folder: Path, name: str) -> str:
    """The secret kept in `folder/name`, made on first use; two processes that race agree on one.

    Raises DataFolderError for a file that is empty, damaged or not readable: it is never replaced silently.
    """
    path = folder / name
    try:
        if not os.path.lexists(path):
            _create_secret(path, _SECRET_FILES[name][0])
        return _read_secret(path, name)
    except OSError as error:
        raise DataFolderError(describe_unusable_folder(error, path)) from error


def _read_secret(path: Path, name: str) -> str:
    try:
        text = path.read_text().strip()
    except UnicodeDecodeError:
        text = ""
        wrong = "it is no text"
    else:
        wrong = _SECRET_FILES[name][1](text) if text else "it is empty"
    if wrong:
        raise DataFolderError(
            f"The key file {path} can't be used: {wrong}. Restore it from a backup. Without a backup, remove the file: "
            f"a new one is made at the next start, and {_SECRET_FILES[name][2]}."
        )
    return text


def _create_secret(path: Path, length: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _write_temporary(path, secrets.token_urlsafe(length))
    try:
        # The name appears with its content, or not at all: nobody reads half a secret.
        with suppress(FileExistsError):
            os.link(made, path)
        sync_to_disk(path.parent)
    finally:
        os.unlink(made)


def sync_to_disk(path: Path) -> None:
    """After this the content of a file, or the names in a folder, outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Replace the text of a file, which is then for its owner alone. Also after a power cut the file has the old text
    or the new one, whole."""
    made = _write_temporary(path, text)
    try:
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
    sync_to_disk(path.parent)


def _write_temporary(path: Path, text: str) -> str:
    """The name of a new file in the same folder that has the text, also after a power cut."""
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # for its owner alone
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(made)
        raise
    return made


def describe_unusable_folder(error: OSError, path: Path) -> str:
    """The error as a sentence that says how to mend it."""
    place = error.filename or path
    return (
        f"The data folder {path.parent} can't be used: {place}: {error.strerror}. It must be a folder on a disk with "
        f"room that user {os.geteuid()} may read and write; CRONIUM_DATA_DIR names it."
    )
