"""Named tensors in one file: safetensors, which other frameworks read too, and NumPy's `.npz`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clearprop.core import Tensor, wrap
from clearprop.data.files import read_npz
from clearprop.errors import DataError
from clearprop.serialization.atomic import atomic_file, atomic_write

Path = str | os.PathLike[str]
Tensors = Mapping[str, Tensor | np.ndarray]

DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "F16": "float16", "F32": "float32", "F64": "float64",
}  # fmt: skip


def save_safetensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write named tensors or arrays, and text beside them, to a safetensors file, all or nothing.

    Errors: TypeError for other values or a dtype that no tensor has; OSError, and the old file is
    as it was.

    >>> import pathlib, tempfile
    >>> import clearprop as cp
    >>> from clearprop.serialization import load_safetensors, save_safetensors
    >>> file = pathlib.Path(tempfile.mkdtemp(), "w.safetensors")
    >>> save_safetensors(file, {"w": cp.tensor([1.0, 2.0])}, {"made by": "me"})
    >>> load_safetensors(file)
    ({'w': tensor([1., 2.])}, {'made by': 'me'})
    """
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(
                f"save_safetensors: metadata is text by name, got {key!r}: {type(text).__name__}"
            )
    if "__metadata__" in tensors:
        raise ValueError("save_safetensors: a tensor cannot be called '__metadata__'; rename it")
    arrays = {name: _array("save_safetensors", name, t) for name, t in tensors.items()}
    atomic_write(path, save(arrays, metadata=metadata))


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    The file's header is checked against its size first. DataError: no such file, cut off or
    damaged, a dtype that no tensor has.
    """
    try:
        if not os.path.isfile(path):
            raise DataError(f"load_safetensors: {path}: there is no such file", path)
        with safe_open(path, framework="np") as file:
            tensors = {}
            for name in file.keys():  # noqa: SIM118  (not a dict)
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise DataError(
                        f"load_safetensors: {path}: {name!r} has dtype {dtype}, which no tensor "
                        f"has; wanted one of {', '.join(DTYPES)}",
                        path,
                    )
                tensors[name] = wrap(np.array(file.get_tensor(name)), None)
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise DataError(
            f"load_safetensors: {path}: cut off, damaged, or no safetensors file: {error}", path
        ) from error
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"load_safetensors: {path}: cannot be read: {reason}", path) from error


def save_npz(path: Path, tensors: Tensors) -> None:
    """Write named tensors or arrays to NumPy's `.npz` format, all or nothing.

    Errors: TypeError for other values or a dtype that no tensor has; OSError, and the old file is
    as it was.

    >>> import pathlib, tempfile
    >>> import clearprop as cp
    >>> from clearprop.serialization import load_npz, save_npz
    >>> file = pathlib.Path(tempfile.mkdtemp(), "w.npz")
    >>> save_npz(file, {"w": cp.tensor([1.0, 2.0])})
    >>> load_npz(file)
    {'w': tensor([1., 2.])}
    """
    arrays = {name: _array("save_npz", name, t) for name, t in tensors.items()}
    for name in arrays:
        if "\0" in name or not name.isprintable():
            raise ValueError(f"save_npz: a zip file cannot hold the name {name!r}; rename it")
    # Not numpy.savez: it has no names like "file", and writes the time into the file.
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, a in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, a, allow_pickle=False)


def load_npz(path: Path) -> dict[str, Tensor]:
    """The tensors of an `.npz` file by name; DataError if it is damaged or holds pickles."""
    return read_npz(path)


def _array(who: str, name: str, value: Tensor | np.ndarray) -> np.ndarray:
    if not isinstance(name, str):
        raise TypeError(f"{who}: names are text, got {name!r}")
    if not isinstance(value, Tensor | np.ndarray):
        raise TypeError(f"{who}: {name!r} is a {type(value).__name__}, wanted a Tensor or an array")
    a = value.detach().numpy() if isinstance(value, Tensor) else value
    if a.dtype.name not in DTYPES.values():
        raise TypeError(f"{who}: {name!r} has dtype {a.dtype}, which no tensor has")
    # Rows first and the machine's byte order: the file's format knows no strides.
    return np.asarray(a, dtype=a.dtype.name, order="C")
