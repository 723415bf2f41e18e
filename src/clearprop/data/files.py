"""Arrays from files: IDX (MNIST's own format), CIFAR-10 binary, and NumPy's `.npz`.

What a header promises is checked against the size of the file before memory is taken for it, and
every malformed file is one `DataError` with the file's name. Nothing is ever unpickled.
"""

from __future__ import annotations

import gzip
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError

Path = str | os.PathLike[str]

GZIP = b"\x1f\x8b"
MOST_DEFLATED = 1032  # deflate never makes n bytes out of fewer than n / 1032
PIECE = 1 << 20

IDX_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
CIFAR_RECORD = 1 + 3 * 32 * 32

# What a stored type becomes: clearprop has no unsigned types but uint8, and these hold every value
# of the smaller ones.
WIDER = {"u2": "i4", "u4": "i8"}
KNOWN = {"b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}


def read_idx(path: Path) -> Tensor:
    """An array in IDX format, plain or gzipped, e.g. `train-images-idx3-ubyte.gz`.

    The file is: two zero bytes, a type, the number of dimensions d, d sizes (big-endian, 4 bytes
    each), the values. uint8 stays uint8: (60000, 28, 28) for MNIST's pictures, (60000,) for its
    labels.

    >>> import pathlib, tempfile
    >>> from clearprop.data import read_idx
    >>> file = pathlib.Path(tempfile.mkdtemp(), "labels-idx1-ubyte")
    >>> _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    >>> read_idx(file).tolist()
    [5, 0, 4]
    """
    with _opened("read_idx", path) as (stream, most):
        head = _exactly(stream, 4, "read_idx", path, "the 4-byte header")
        if head[:2] != b"\0\0":
            raise DataError(
                f"read_idx: {path}: not an IDX file: it begins with {head[:2].hex(' ')}, not 00 00",
                path,
            )
        dtype, ndim = IDX_TYPES.get(head[2]), head[3]
        if dtype is None:
            known = ", ".join(f"0x{code:02x}" for code in IDX_TYPES)
            raise DataError(
                f"read_idx: {path}: unknown type code 0x{head[2]:02x}, wanted one of {known}", path
            )
        if ndim == 0:
            raise DataError(f"read_idx: {path}: the header says 0 dimensions", path)
        sizes = _exactly(stream, 4 * ndim, "read_idx", path, f"the {ndim} sizes")
        shape = tuple(np.frombuffer(sizes, dtype=">u4").tolist())
        count = math.prod(shape)
        promise = f"{list(shape)} {dtype.name}"
        if 4 + 4 * ndim + count * dtype.itemsize > most:
            raise DataError(
                f"read_idx: {path}: the header promises {promise}, {count * dtype.itemsize} bytes, "
                f"but the file can hold at most {most}; it is cut off or the header is wrong",
                path,
            )
        values = _exactly(stream, count * dtype.itemsize, "read_idx", path, promise)
        if stream.read(1):
            raise DataError(
                f"read_idx: {path}: the file goes on after {promise}, which its header promises",
                path,
            )
    return _tensor(np.frombuffer(values, dtype=dtype).reshape(shape), "read_idx", path)


def read_cifar10(path: Path | Sequence[Path]) -> tuple[Tensor, Tensor]:
    """Pictures and labels of CIFAR-10's binary version: x uint8 (n, 3, 32, 32), y int64 (n,).

    `path` is one file, e.g. `data_batch_1.bin`, or several that are put one after the other. A
    record is a label (0 to 9) and 3·1024 bytes: red, green, blue, each row by row.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    records = np.concatenate([_cifar_records(p) for p in paths])
    x = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)
    return wrap(x, None), wrap(records[:, 0].astype(np.int64), None)


def _cifar_records(path: Path) -> np.ndarray:
    with _opened("read_cifar10", path) as (stream, _):
        data = stream.read()
    whole, rest = divmod(len(data), CIFAR_RECORD)
    if rest or not whole:
        raise DataError(
            f"read_cifar10: {path}: {len(data)} bytes are {whole} records of {CIFAR_RECORD} bytes "
            f"and {rest} bytes more; the file is cut off or of another format",
            path,
            row=whole + 1,
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(whole, CIFAR_RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    if len(wrong):
        row = int(wrong[0]) + 1
        raise DataError(
            f"read_cifar10: {path}: record {row} has label {records[row - 1, 0]}, wanted 0 to 9",
            path,
            row=row,
        )
    return records


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of an `.npz` file by name.

    uint16 and uint32 become int32 and int64. Object arrays (they would be pickles), text and
    complex numbers raise `DataError`.

    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from clearprop.data import read_npz
    >>> file = pathlib.Path(tempfile.mkdtemp(), "set.npz")
    >>> np.savez(file, x=np.zeros((2, 3)), y=np.array([0, 1]))
    >>> {name: t.shape for name, t in read_npz(file).items()}
    {'x': (2, 3), 'y': (2,)}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            if not members:
                raise DataError(f"read_npz: {path}: the file holds no arrays", path)
            return {m.filename.removesuffix(".npy"): _member(archive, m, path) for m in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"read_npz: {path}: not a readable .npz file: {error or 'it is cut off'}", path
        ) from error
    except OSError as error:
        raise _unreadable("read_npz", path, error) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Tensor:
    who = f"read_npz: {path}: array {member.filename!r}"
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise DataError(f"{who}: .npy version {version}, wanted (1, 0) or (2, 0)", path)
            shape, by_columns, dtype = read_header(stream)
        except ValueError as error:
            raise DataError(f"{who}: broken header: {error}", path) from error
        if dtype.hasobject:
            raise DataError(
                f"{who}: it holds Python objects, which only pickle could read, and a pickle can "
                "run any program; save it again with a numeric dtype",
                path,
            )
        size = math.prod(shape) * dtype.itemsize
        left = member.file_size - stream.tell()
        if min(shape, default=1) < 0 or size != left:
            raise DataError(
                f"{who}: the header promises {list(shape)} {dtype.name}, {size} bytes, "
                f"but {left} follow",
                path,
            )
        if size > MOST_DEFLATED * max(member.compress_size, 1):
            raise DataError(
                f"{who}: {size} bytes cannot come out of {member.compress_size} compressed ones",
                path,
            )
        values = _exactly(stream, size, "read_npz", path, f"array {member.filename!r}")
    a = np.frombuffer(values, dtype=dtype)
    a = a.reshape(shape[::-1]).T if by_columns else a.reshape(shape)
    return _tensor(a, "read_npz", path, member.filename)


def _tensor(a: np.ndarray, who: str, path: Path, name: str = "") -> Tensor:
    kind = a.dtype.str[1:]
    kind = WIDER.get(kind, kind)
    if kind not in KNOWN:
        raise DataError(
            f"{who}: {path}: {name or 'the array'} has dtype {a.dtype}, which no tensor has; "
            "wanted bool, integers up to 64 bits (unsigned: up to 32) or floats up to 64 bits",
            path,
        )
    # Native byte order, and memory of its own that may be written to.
    return wrap(np.array(a, dtype=kind, order="C"), None)


@contextmanager
def _opened(who: str, path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """The content of a file, unpacked if it is gzipped, and the most bytes that it can have."""
    try:
        with open(path, "rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            packed = raw.read(2) == GZIP
            raw.seek(0)
            if not packed:
                yield raw, size
            else:
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield stream, size * MOST_DEFLATED  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{who}: {path}: the gzipped file is cut off or damaged: {error}", path
        ) from error
    except OSError as error:
        raise _unreadable(who, path, error) from error


def _unreadable(who: str, path: Path, error: OSError) -> DataError:
    return DataError(f"{who}: {path}: cannot be read: {error.strerror or error}", path)


def _exactly(stream: Any, size: int, who: str, path: Path, what: str) -> bytes:
    """`size` bytes, taken piece by piece, so that a wrong promise costs no memory."""
    pieces, got = [], 0
    while got < size:
        piece = stream.read(min(PIECE, size - got))
        if not piece:
            raise DataError(
                f"{who}: {path}: it is cut off: {what} has {size} bytes, the file ends after {got}",
                path,
            )
        pieces.append(piece)
        got += len(piece)
    return b"".join(pieces)
