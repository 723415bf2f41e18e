"""PyTorch's `.pt` and `.pth` files, read and written without PyTorch, and without running anything
that a file brings along.

Such a file is a zip archive: `data.pkl` (see `pickled`), `data/0`, `data/1`, ... with the bytes of
the tensors, `byteorder` and `version`. What an archive claims is compared with its size before
memory is taken for it.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError
from clearprop.serialization.atomic import atomic_file
from clearprop.serialization.pickled import Storage, Writer, parse

MOST_ENTRIES = 100_000
FREE = 1 << 20  # an expanded tensor up to this many bytes may be larger than its storage
OLD = (
    "{path}: no zip archive. It is damaged, or was written by a PyTorch before 1.6 (or with"
    " _use_new_zipfile_serialization=False): load it there and save it again"
)


def save_torch(path: str | os.PathLike[str] | IO[bytes], state: Any) -> None:
    """Write a state (nested dicts, lists, numbers, text, tensors) so that PyTorch's
    `torch.load(path)` reads it, all or nothing; or into a file that is open for writing.

    Errors: TypeError for what no state may hold; OSError, and the old file is as it was.
    """
    writer = Writer()
    try:
        data = writer.dump(state)
    except RecursionError:
        raise ValueError("save: the state contains itself, or is nested too deeply") from None
    with _writable(path) as file, zipfile.ZipFile(file, "w") as archive:
        entries = [("data.pkl", data), ("byteorder", b"little"), ("version", b"3\n")]
        entries += [
            (f"data/{i}", a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes())
            for i, a in enumerate(writer.arrays)
        ]
        for name, content in entries:
            with archive.open(zipfile.ZipInfo(f"archive/{name}"), "w", force_zip64=True) as member:
                member.write(content)


@contextmanager
def _writable(path: str | os.PathLike[str] | IO[bytes]) -> Iterator[Any]:
    if not isinstance(path, str | os.PathLike):
        yield path
        return
    with atomic_file(path) as file:
        yield file


def _size(file: Any) -> int:
    """How many bytes a file has, given its path or the open file."""
    if isinstance(file, str | os.PathLike):
        return os.path.getsize(file)
    here = file.tell()
    size: int = file.seek(0, os.SEEK_END)
    file.seek(here)
    return size


def load_torch(path: str | os.PathLike[str] | IO[bytes]) -> Any:
    """The state in a file (a path, or one that is open for reading) that `torch.save` or
    `save_torch` wrote; tensors of every device come to the CPU, bfloat16 becomes float32.

    DataError: no such file, damaged, or holding objects other than states; nothing of the file is
    ever run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(archive, _size(path)).state()
    except DataError as error:
        raise DataError(f"load: {path}: {error}", path) from error
    except zipfile.BadZipFile as error:
        raise DataError("load: " + OLD.format(path=path), path) from error
    except RecursionError as error:
        raise DataError(f"load: {path}: nested too deeply", path) from error
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"load: {path}: cannot be read: {reason}", path) from error


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise DataError(f"an archive of {len(entries)} entries")
        if sum(e.file_size for e in entries) > size:
            raise DataError(
                f"the archive claims to hold {sum(e.file_size for e in entries)} bytes, but the"
                f" file has only {size}"
            )
        pickles = [e.filename for e in entries if e.filename.split("/")[1:] == ["data.pkl"]]
        if len(pickles) != 1:
            raise DataError("no data.pkl is in it: this is no file of PyTorch's")
        self.folder = pickles[0].split("/")[0]
        self.entries = {e.filename: e for e in entries}
        self.arrays: dict[str, np.ndarray] = {}
        self.big_endian = False

    def state(self) -> Any:
        order = f"{self.folder}/byteorder"
        self.big_endian = order in self.entries and self.read(order).strip() == b"big"
        return parse(self.read(f"{self.folder}/data.pkl"), self.rebuild)

    def read(self, name: str) -> bytes:
        entry = self.entries.get(name)
        if entry is None:
            raise DataError(f"damaged: {name} is missing")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise DataError(f"{name} is compressed or encrypted, which PyTorch's files are not")
        try:
            return self.archive.read(name)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
            raise DataError(f"damaged: {name}: {error}") from error

    def storage(self, s: Storage) -> np.ndarray:
        """The elements of a storage."""
        if s.key not in self.arrays:
            kind = np.dtype("uint16" if s.type == "bfloat16" else s.type)
            raw = self.read(f"{self.folder}/data/{s.key}")
            if len(raw) != s.numel * kind.itemsize:
                raise DataError(
                    f"damaged: storage {s.key!r} should have {s.numel} elements of {s.type}, but"
                    f" holds {len(raw)} bytes"
                )
            stored = np.frombuffer(raw, kind.newbyteorder(">" if self.big_endian else "<"))
            if s.type == "bool":
                stored = np.frombuffer(raw, np.uint8) != 0
            a = stored.astype(kind)
            if s.type == "bfloat16":  # the upper half of a float32
                a = (a.astype(np.uint32) << 16).view(np.float32)
            self.arrays[s.key] = a
        return self.arrays[s.key]

    def rebuild(self, s: Storage, offset: Any, size: Any, stride: Any) -> Tensor:
        numbers = [offset, *size, *stride] if _tuples(size, stride) else [None]
        if any(type(n) is not int or n < 0 for n in numbers) or len(size) != len(stride):
            raise DataError(f"damaged: a tensor of size {size!r} and stride {stride!r}")
        a = self.storage(s)
        last = offset + sum((n - 1) * k for n, k in zip(size, stride, strict=True))
        numel = math.prod(size)
        if numel and last >= a.size:
            raise DataError(
                f"damaged: a tensor of size {list(size)} reaches element {last} of a storage that"
                f" has {a.size}"
            )
        if numel > a.size and numel * a.itemsize > FREE:
            raise DataError(
                f"a tensor of size {list(size)} claims {numel} elements of a storage that has"
                f" {a.size}"
            )
        if not numel:
            return wrap(np.empty(size, a.dtype), None)
        strides = tuple(k * a.itemsize for k in stride)
        view = np.lib.stride_tricks.as_strided(a[offset:], size, strides)
        whole = not offset and view.size == a.size and view.flags.c_contiguous
        return wrap(view if whole else view.copy(), None)


def _tuples(*values: Any) -> bool:
    return all(isinstance(v, tuple) and len(v) <= 64 for v in values)
