"""Nested Python state as named arrays and JSON, and back, exactly.

    value = null | true | 1 | 0.5 | "text" | [value, ...]
          | {"tuple": [value, ...]} | {"dict": [[key, value], ...]}
          | {"tensor": name} | {"array": name}

Dicts are pairs, because the keys of an optimizer's state are numbers, which JSON would make text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError

Arrays = dict[str, Tensor | np.ndarray]


def pack_state(state: Any) -> tuple[Arrays, str]:
    """The tensors and arrays of `state` by the path that leads to them, and the rest as JSON text.

    `state` may hold int, float (also nan and inf), bool, None, str, list, tuple, dict (with int or
    str keys), Tensor and ndarray; NumPy's numbers become Python's. TypeError for anything else,
    ValueError for a list or dict that contains itself. The tensors are not copied.

    >>> import clearprop as cp
    >>> from clearprop.serialization import pack_state, unpack_state
    >>> tensors, text = pack_state({"step": 3, "state": {0: cp.ones(2)}})
    >>> tensors
    {'state/0': tensor([1., 1.])}
    >>> unpack_state(tensors, text)
    {'step': 3, 'state': {0: tensor([1., 1.])}}
    """
    arrays: Arrays = {}
    try:
        tree = _packed(state, "", arrays)
    except RecursionError:
        raise ValueError("pack_state: the state contains itself, or is nested too deeply") from None
    return arrays, json.dumps(tree)


def unpack_state(tensors: Mapping[str, Tensor | np.ndarray], text: str) -> Any:
    """The state that `pack_state` took apart; DataError for text or tensors that are not of it."""
    try:
        return _unpacked(json.loads(text), tensors)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"unpack_state: the text is damaged: {error}") from error


def _packed(value: Any, path: str, arrays: Arrays) -> Any:
    match value:
        case Tensor():
            return {"tensor": _put(value.detach(), path, arrays)}
        case np.ndarray():
            return {"array": _put(value, path, arrays)}
        case np.generic():
            return value.item()
        case None | bool() | int() | float() | str():
            return value
        case list():
            return [_packed(v, f"{path}/{i}", arrays) for i, v in enumerate(value)]
        case tuple():
            return {"tuple": [_packed(v, f"{path}/{i}", arrays) for i, v in enumerate(value)]}
        case dict():
            return {
                "dict": [
                    [_key(k, path), _packed(v, f"{path}/{k}", arrays)] for k, v in value.items()
                ]
            }
    raise TypeError(
        f"pack_state: {path or 'the state'} is a {type(value).__name__}; wanted numbers, text, "
        "None, lists, tuples, dicts, tensors and arrays"
    )


def _key(key: Any, path: str) -> int | str:
    if type(key) not in (int, str):
        raise TypeError(
            f"pack_state: {path or 'the state'} has the key {key!r}, a {type(key).__name__}; "
            "keys are int or str"
        )
    return key  # type: ignore[no-any-return]


def _put(value: Tensor | np.ndarray, path: str, arrays: Arrays) -> str:
    # File formats have names that they change (a zip file ends one at a zero byte).
    name = unique = re.sub(r"[^\w./ -]", "_", path.removeprefix("/")) or "value"
    n = 1
    while unique in arrays:  # {"a/b": x, "a": {"b": y}} leads to both by the same path
        n += 1
        unique = f"{name}#{n}"
    arrays[unique] = value
    return unique


def _unpacked(value: Any, tensors: Mapping[str, Tensor | np.ndarray]) -> Any:
    match value:
        case {"tensor": str(name)}:
            found = _get(name, tensors)
            return found if isinstance(found, Tensor) else wrap(found, None)
        case {"array": str(name)}:
            found = _get(name, tensors)
            return found.numpy() if isinstance(found, Tensor) else found
        case {"tuple": list(items)}:
            return tuple(_unpacked(v, tensors) for v in items)
        case {"dict": list(pairs)} if all(isinstance(p, list) and len(p) == 2 for p in pairs):
            return {k: _unpacked(v, tensors) for k, v in pairs if _is_key(k)}
        case list():
            return [_unpacked(v, tensors) for v in value]
        case dict():
            raise DataError(f"unpack_state: {sorted(value)} is no part of a packed state")
    return value


def _is_key(key: Any) -> bool:
    if type(key) not in (int, str):
        raise DataError(f"unpack_state: {key!r} is no key of a packed state")
    return True


def _get(name: str, tensors: Mapping[str, Tensor | np.ndarray]) -> Tensor | np.ndarray:
    if name not in tensors:
        raise DataError(f"unpack_state: the tensor {name!r} is missing")
    return tensors[name]
