"""Compiled objects on disk: a second process loads what the first one compiled.

An entry is a file named after the hash of everything that the code depends on; it begins with the
hash of its content, so a truncated or damaged file is noticed and built anew. Files are written
under another name and moved, so that processes may share the folder. It is read only where it
belongs to the user and nobody else may write to it: what is in it is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
import warnings
from pathlib import Path

from clearprop.flags import flags

MAGIC = b"clearprop object 1\n"
LARGEST = 512 << 20  # bytes in the folder before the oldest entries go

_told: set[str] = set()


def folder() -> Path:
    """Where objects are kept: the flag CACHE_DIR, else the system's place for caches."""
    if flags.cache_dir:
        return Path(str(flags.cache_dir)).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "clearprop" / "objects"


def key(*parts: str) -> str:
    """The name of the entry for code that depends on these texts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode())
        digest.update(part.encode())
    return digest.hexdigest()


def load(name: str) -> bytes | None:
    """The object of that name; None if there is none that can be trusted."""
    if not flags.cache:
        return None
    place = folder()
    try:
        if not place.is_dir() or not _ours(place):
            return None
        content = (place / f"{name}.o").read_bytes()
    except OSError:
        return None
    head, body = content[: len(MAGIC) + 32], content[len(MAGIC) + 32 :]
    if head != MAGIC + hashlib.sha256(body).digest():
        _warn("damaged", f"a damaged object in the compile cache {place} was replaced")
        return None
    return body


def store(name: str, body: bytes) -> None:
    """Keep an object; where that cannot be done, say so once and go on."""
    if not flags.cache:
        return
    place = folder()
    temporary = ""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _ours(place):
            return
        handle, temporary = tempfile.mkstemp(prefix="new-", dir=place)
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + hashlib.sha256(body).digest() + body)
        os.replace(temporary, place / f"{name}.o")
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        _warn("write", f"cannot write to the compile cache {place}: {error}; code is compiled anew"
              " in every process. CLEARPROP_CACHE_DIR names another folder, CLEARPROP_CACHE=0"
              " turns the cache off")  # fmt: skip
        return
    _shrink(place)


def _ours(place: Path) -> bool:
    """Whether only the user can have put files there."""
    if os.name == "nt":
        return True  # folders of the profile belong to the user
    status = place.stat()
    if status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return True
    _warn("owner", f"the compile cache {place} is not used: it belongs to somebody else, or others"
          " may write to it, and what it holds is executed")  # fmt: skip
    return False


def _shrink(place: Path) -> None:
    """Remove the entries that were written longest ago when there are too many."""
    try:
        found = [(p.stat().st_mtime, p.stat().st_size, p) for p in place.glob("*.o")]
    except OSError:
        return
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= LARGEST:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _warn(what: str, text: str) -> None:
    if what not in _told:
        _told.add(what)
        warnings.warn(f"clearprop: {text}", RuntimeWarning, stacklevel=2)
