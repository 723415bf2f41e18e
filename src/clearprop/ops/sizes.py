"""Options that are one number or one per axis of space: strides, kernels, paddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import here


def numbers(op: str, name: str, value: Any, n: int) -> tuple[int, ...]:
    """`value` for n axes: an integer counts for all of them, as does a sequence of one.

    TypeError where it is no integer, ShapeError where there are neither 1 nor n.
    """
    given = tuple(value) if isinstance(value, tuple | list) else (value,)
    if any(isinstance(v, bool) or not hasattr(v, "__index__") for v in given):
        raise TypeError(f"{op}: {name} must be an integer or {n} of them, got {value!r}{here()}")
    if len(given) not in (1, n):
        raise ShapeError(
            f"{op}: expected {name} to be a single integer value or a list of {n} values to match"
            f" the {n} axes of space, but got {name}={list(given)}{here()}"
        )
    out = tuple(v.__index__() for v in given)
    return out if len(out) == n else out * n


def listed(sizes: Iterable[int]) -> str:
    """(3 x 4)."""
    return f"({' x '.join(map(str, sizes))})"
