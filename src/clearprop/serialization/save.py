"""`save` and `load`: a state_dict, or any nested state, in a file whose ending says the format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from clearprop.core import Tensor
from clearprop.core import device as Device
from clearprop.core.device import require_cpu
from clearprop.errors import DataError
from clearprop.serialization.nested import pack_state, unpack_state
from clearprop.serialization.tensors import (
    load_npz,
    load_safetensors,
    save_npz,
    save_safetensors,
)
from clearprop.serialization.torch_file import load_torch, save_torch

ZIP = "_use_new_zipfile_serialization"
STATE = "clearprop.state"  # where the JSON of a nested state lies: metadata, or an array of bytes
# PyTorch takes any name; these are what people call its files.
TORCH = (
    ".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl", ".th", ".t7", ".torch", ".model", ".params",
    ".dat", "",
)  # fmt: skip
ENDINGS = (".safetensors", ".npz", *TORCH)
ENDING = "{who}: {path}: unknown ending {ending!r}; use .safetensors, .npz, or .pt (PyTorch's)"
File = str | os.PathLike[str] | IO[bytes]


def save(obj: Any, f: File, **options: Any) -> None:
    """Write a state to the path `f`, all or nothing: `.safetensors`, `.npz`, or `.pt`, `.pth` and
    what else PyTorch's files are called, which `torch.load` reads. Into a file that is open for
    writing goes PyTorch's format. PyTorch's options change nothing.

    A flat dict of tensors (`model.state_dict()`) is written under its own names, so that others can
    read it; anything else that `pack_state` takes keeps its structure beside the tensors.
    Errors: ValueError for another ending, TypeError for what no state may hold, OSError.

    >>> import pathlib, tempfile
    >>> import clearprop as cp
    >>> file = pathlib.Path(tempfile.mkdtemp(), "state.safetensors")
    >>> cp.save({"epoch": 3, "model": {"w": cp.ones(2)}}, file)
    >>> cp.load(file)
    {'epoch': 3, 'model': {'w': tensor([1., 1.])}}
    """
    _check_options("save", options, {"pickle_module", "pickle_protocol", ZIP})
    ending, path = _ending("save", f), f
    if hasattr(obj, "state_dict"):
        kind = type(obj).__name__
        raise TypeError(f"save: {kind} is an object, not a state; save its state_dict()")
    if ending in TORCH:
        save_torch(path, obj)
        return
    assert isinstance(path, str | os.PathLike)
    if _is_flat(obj):
        tensors, text = obj, None
    else:
        tensors, text = pack_state(obj)
    if ending == ".safetensors":
        save_safetensors(path, tensors, None if text is None else {STATE: text})
    elif text is None:
        save_npz(path, tensors)
    else:
        save_npz(path, tensors | {STATE: np.frombuffer(text.encode(), np.uint8)})


def load(f: File, map_location: Any = None, **options: Any) -> Any:
    """What `save` wrote, the tensors of any other safetensors or `.npz` file by name, or the state
    in a file of PyTorch's, given its path or the open file. No code in a file is ever run, whatever
    `weights_only` says; tensors come to the CPU.

    Errors: ValueError for another ending, DataError for a file that is damaged or holds objects
    that are no state, DeviceError for another `map_location` than the CPU.
    """
    _check_options("load", options, {"pickle_module", "weights_only", "mmap"})
    if isinstance(map_location, str | Device):
        require_cpu(map_location, "load")
    ending, path = _ending("load", f), f
    if ending in TORCH:
        return load_torch(path)
    assert isinstance(path, str | os.PathLike)
    if ending == ".safetensors":
        tensors, metadata = load_safetensors(path)
        text = metadata.get(STATE)
    else:
        tensors = load_npz(path)
        stored = tensors.pop(STATE, None)
        text = None if stored is None else stored.numpy().tobytes().decode("utf-8", "replace")
    if text is None:
        return tensors
    try:
        return unpack_state(tensors, text)
    except DataError as error:
        raise DataError(f"load: {path}: {error}", path) from error


def _is_flat(obj: Any) -> bool:
    return (
        isinstance(obj, dict)
        and bool(obj)
        and STATE not in obj
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())
    )


def _check_options(who: str, options: dict[str, Any], known: set[str]) -> None:
    for name in options:
        if name not in known:
            raise TypeError(f"{who}() got an unexpected keyword argument {name!r}")


def _ending(who: str, path: File) -> str:
    if not isinstance(path, str | os.PathLike):
        if not hasattr(path, "write" if who == "save" else "seek"):
            raise AttributeError(
                f"{who}: expected a path, or a file that can be written to and 'seek'ed in; got"
                f" {type(path).__name__}"
            )
        return TORCH[0]
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(ENDING.format(who=who, path=path, ending=ending))
    return ending
