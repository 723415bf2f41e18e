"""`save` and `load`: a state_dict, or any nested state, in a file whose ending says the format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.core import Tensor
from clearprop.errors import DataError
from clearprop.serialization.nested import pack_state, unpack_state
from clearprop.serialization.tensors import (
    load_npz,
    load_safetensors,
    save_npz,
    save_safetensors,
)
from clearprop.serialization.torch_file import load_torch, save_torch

STATE = "clearprop.state"  # where the JSON of a nested state lies: metadata, or an array of bytes
TORCH = (".pt", ".pth")
ENDINGS = (".safetensors", ".npz", *TORCH)
ENDING = "{who}: {path}: unknown ending {ending!r}; use .safetensors, .npz, or .pt (PyTorch's)"


def save(obj: Any, path: str | os.PathLike[str]) -> None:
    """Write a state to `path`, all or nothing: `.safetensors`, `.npz`, or `.pt`/`.pth`, which
    PyTorch's `torch.load` reads.

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
    ending = _ending("save", path)
    if hasattr(obj, "state_dict"):
        kind = type(obj).__name__
        raise TypeError(f"save: {kind} is an object, not a state; save its state_dict()")
    if ending in TORCH:
        save_torch(path, obj)
        return
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


def load(path: str | os.PathLike[str]) -> Any:
    """What `save` wrote, the tensors of any other safetensors or `.npz` file by name, or the state
    in a `.pt` or `.pth` file of PyTorch's. No code in a file is ever run.

    Errors: ValueError for another ending, DataError for a file that is damaged or holds objects
    that are no state.
    """
    if _ending("load", path) in TORCH:
        return load_torch(path)
    if _ending("load", path) == ".safetensors":
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


def _ending(who: str, path: str | os.PathLike[str]) -> str:
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise ValueError(ENDING.format(who=who, path=path, ending=ending))
    return ending
