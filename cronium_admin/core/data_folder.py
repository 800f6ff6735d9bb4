"""The data folder: restricts its files to their owner, and creates and checks the secrets that are stored in it.

Does not import Django, because the settings use it.
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
OTHERS_MASK = 0o077  # the permission bits of all users but the owner
# A data folder is restricted to its owner, so these folders of the system can't be one.
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
    """The message names the fault and its remedy, for the operator who starts Cronium."""


def find_unrestricted(*places: Path) -> Iterator[Path]:
    """Yields the paths on which other users have a permission: of `places`, and of the direct entries of folders.

    Deeper levels are protected by their parent folder, and may belong to another program. Symbolic links are not
    followed; other file systems that are mounted inside are skipped.
    """
    for path in places:
        with suppress(FileNotFoundError):
            status = path.stat(follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                yield from _find_unrestricted_in(path, status)


def _find_unrestricted_in(path: Path, status: os.stat_result) -> Iterator[Path]:
    if status.st_mode & OTHERS_MASK:
        yield path
    if not stat.S_ISDIR(status.st_mode):
        return
    with suppress(PermissionError, FileNotFoundError), os.scandir(path) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # other processes create and remove temporary files
                entry_status = entry.stat(follow_symlinks=False)
                if (
                    not entry.is_symlink()
                    and entry_status.st_dev == status.st_dev
                    and entry_status.st_mode & OTHERS_MASK
                ):
                    yield Path(entry.path)


def restrict_to_owner(*places: Path) -> tuple[list[Path], list[Path]]:
    """Removes the permissions of all users but the owner; returns the changed paths, and those of other owners."""
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
    # The cryptography library needs the base64 padding, which some tools omit.
    bare = text.strip().rstrip("=")
    return (bare + "=" * (-len(bare) % 4)).encode()


def find_encryption_key_problem(text: str) -> str:
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


# By file: the number of random bytes of a new secret, the check of a text, and the effect of a new secret.
_SECRET_FILES: dict[str, tuple[int, Callable[[str], str], str]] = {
    "secret_key": (
        50,
        _find_secret_key_problem,
        "all users must sign in again, and running scripts lose the runtime API",
    ),
    "encryption_key": (
        32,
        find_encryption_key_problem,
        "the values of all stored secrets are lost and must be set again",
    ),
    "instance_id": (9, _find_instance_id_problem, "the containers of live runs are no longer recognized"),
}


def load_or_create_secret(folder: Path, name: str) -> str:
    """The secret in `folder/name`, created on first use. Concurrent processes get the same secret.

    Raises DataFolderError for a file that is empty, damaged or not readable, and never replaces such a file.
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
        problem = "it is not text"
    else:
        problem = _SECRET_FILES[name][1](text) if text else "it is empty"
    if problem:
        raise DataFolderError(
            f"The key file {path} can't be used: {problem}. Restore it from a backup. Without a backup, remove the "
            f"file: a new key is created at the next start, and {_SECRET_FILES[name][2]}."
        )
    return text


def _create_secret(path: Path, length: int) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = _write_temporary(path, secrets.token_urlsafe(length))
    try:
        # The file appears under its name with its whole content, so no process reads half a secret.
        with suppress(FileExistsError):
            os.link(temporary, path)
        sync_to_disk(path.parent)
    finally:
        os.unlink(temporary)


def sync_to_disk(path: Path) -> None:
    """Afterwards the content of the file, or the names in the folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Replaces the text of a file atomically, also across a power failure. The file is readable by its owner only."""
    temporary = _write_temporary(path, text)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_to_disk(path.parent)


def _write_temporary(path: Path, text: str) -> str:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def describe_unusable_folder(error: OSError, path: Path) -> str:
    place = error.filename or path
    return (
        f"The data folder {path.parent} can't be used: {place}: {error.strerror}. It must be a folder that user "
        f"{os.geteuid()} can read and write, on a disk with free space. CRONIUM_DATA_DIR sets it."
    )
