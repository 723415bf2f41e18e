"""Files that are whole at any moment: written beside the old one, synced, and renamed over it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def atomic_write(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data`, or raise OSError and leave it as it was.

    >>> import pathlib, tempfile
    >>> from clearprop.serialization import atomic_write
    >>> file = pathlib.Path(tempfile.mkdtemp(), "note.txt")
    >>> atomic_write(file, b"whole")
    >>> file.read_bytes()
    b'whole'
    """
    with atomic_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write to, which becomes `path` when the block ends without an error.

    After an error in the block, or a full disk (OSError), the old file is as it was and the new one
    is gone. A link stays a link to the new file; what is no regular file (a pipe, /dev/stdout) is
    written to directly.

    >>> import pathlib, tempfile
    >>> from clearprop.serialization import atomic_file
    >>> path = pathlib.Path(tempfile.mkdtemp(), "note.txt")
    >>> with atomic_file(path) as file:
    ...     _ = file.write(b"in pieces")
    ...     path.exists()
    False
    >>> path.exists()
    True
    """
    target = Path(path)
    if target.exists() and not target.is_file() and not target.is_dir():
        with open(target, "wb") as file:
            yield file
        return
    target = target.resolve()
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(beside, target.stat().st_mode & 0o7777)
        os.replace(beside, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        # The user knows the name of the file, not that of the temporary one.
        if isinstance(error, OSError) and error.filename in (None, str(beside)):
            reason = f"{error.strerror}; it could not be written and is as it was before"
            raise OSError(error.errno, reason, str(path)) from error
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last through a power failure, where folders can be synced."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
