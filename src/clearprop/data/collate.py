"""From a list of rows to a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, get_default_dtype, wrap
from clearprop.errors import ShapeError
from clearprop.ops import from_numpy, stack

UNKNOWN = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
    "found {}; pass collate_fn= to say how such rows become a batch"
)


def default_collate(batch: Sequence[Any]) -> Any:
    """Put rows together into a batch with one more dimension in front.

    Tensors, arrays and numbers are stacked (Python floats as float64, ints as int64, as PyTorch
    does), strings stay a list, and tuples, lists, dicts and named tuples of these are put together
    entry by entry.

    >>> from clearprop.data import default_collate
    >>> default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ['a', 'b']]
    >>> default_collate([{"x": 0.5}, {"x": 1.5}])["x"].tolist()
    [0.5, 1.5]
    """
    first = batch[0]
    match first:
        case Tensor():
            return _stack(batch)
        case np.ndarray():
            if first.dtype.kind not in "biuf":
                raise TypeError(UNKNOWN.format(first.dtype))
            return _stack([from_numpy(np.asarray(a)) for a in batch])
        case np.number() | np.bool_():
            return from_numpy(np.asarray(batch))
        case bool() | int():
            a = np.asarray(batch)
            return from_numpy(a if a.dtype.kind in "bi" else a.astype(get_default_dtype().np))
        case float():
            return from_numpy(np.asarray(batch, dtype=np.float64))
        case str() | bytes():
            return list(batch)
        case Mapping():
            return _rebuilt(first, {k: default_collate([row[k] for row in batch]) for k in first})
        case tuple() if hasattr(first, "_fields"):
            return type(first)(*map(default_collate, _columns(batch)))
        case tuple():
            return [default_collate(column) for column in _columns(batch)]
        case Sequence():
            return _rebuilt(first, [default_collate(column) for column in _columns(batch)])
    raise TypeError(UNKNOWN.format(type(first)))


def default_convert(row: Any) -> Any:
    """A row as a DataLoader with `batch_size=None` gives it: arrays become tensors."""
    match row:
        case np.ndarray() | np.number() | np.bool_():
            return from_numpy(np.asarray(row)) if row.dtype.kind in "biuf" else row
        case str() | bytes() | Tensor():
            return row
        case Mapping():
            return _rebuilt(row, {k: default_convert(v) for k, v in row.items()})
        case tuple() if hasattr(row, "_fields"):
            return type(row)(*map(default_convert, row))
        case tuple():
            return [default_convert(v) for v in row]
        case Sequence():
            return _rebuilt(row, [default_convert(v) for v in row])
    return row


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    want = tensors[0].shape
    for i, t in enumerate(tensors):
        if t.shape != want:
            raise ShapeError(
                "default_collate: stack expects each tensor to be equal size, but got "
                f"{list(want)} at entry 0 and {list(t.shape)} at entry {i}; "
                "pad the rows, or pass collate_fn="
            )
    if any(t.requires_grad for t in tensors):
        return stack(list(tensors), 0)
    return wrap(np.stack([t.array("a row") for t in tensors]), None)


def _columns(batch: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    size = len(batch[0])
    for i, row in enumerate(batch):
        if len(row) != size:
            raise ShapeError(
                "default_collate: each element in list of batch should be of equal size; "
                f"entry 0 has {size} parts and entry {i} has {len(row)}"
            )
    return list(zip(*batch, strict=True))


def _rebuilt(like: Any, parts: Any) -> Any:
    """`parts` in the row's container type; a plain dict or list where that cannot be made."""
    make: Callable[[Any], Any] = type(like)
    try:
        if isinstance(like, MutableMapping):
            mapping = copy.copy(like)
            mapping.update(parts)
            return mapping
        if isinstance(like, MutableSequence):
            sequence = copy.copy(like)
            sequence[:] = parts
            return sequence
        return make(parts)
    except TypeError:
        return parts
