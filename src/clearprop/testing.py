"""`assert_close`: tensors, or nested lists, tuples and dicts of them, are equal up to rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, as_dtype, dtype, float16, float32, float64
from clearprop.ops import as_tensor, promote_types

# rtol, atol: about the square root of the precision, as PyTorch has them
TOLERANCES = {float16: (1e-3, 1e-5), float32: (1.3e-6, 1e-5), float64: (1e-7, 1e-7)}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol |expected|, elementwise; the message
    says how many elements differ, by how much, and where.

    Tolerances default by dtype; shapes and (unless check_dtype=False) dtypes must be equal. Options
    about devices, layouts and strides change nothing.

    >>> import clearprop as cp
    >>> cp.testing.assert_close({"w": cp.ones(2)}, {"w": cp.ones(2) + 1e-7})
    """
    del allow_subclasses, check_device, check_layout, check_stride
    if (rtol is None) != (atol is None):
        raise ValueError(
            "assert_close: Both 'rtol' and 'atol' must be either specified or omitted, but got no"
            f" {'rtol' if rtol is None else 'atol'}."
        )
    wrong = _difference(actual, expected, rtol, atol, equal_nan, check_dtype, "")
    if wrong is not None:
        raise AssertionError(wrong if msg is None else msg(wrong) if callable(msg) else msg)


def _difference(
    a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool, check_dtype: bool, place: str
) -> str | None:
    """What is not close, None if nothing is."""
    options = rtol, atol, equal_nan, check_dtype
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            return (
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: {sorted(map(str, set(b) - set(a)))}\n"
                f"Additional keys in the actual mapping: {sorted(map(str, set(a) - set(b)))}"
                f"{_at(place)}"
            )
        parts = [(a[key], b[key], key) for key in a]
    elif _is_list(a) and _is_list(b):
        if len(a) != len(b):
            return f"The length of the sequences mismatch: {len(a)} != {len(b)}{_at(place)}"
        parts = [(x, y, i) for i, (x, y) in enumerate(zip(a, b, strict=True))]
    else:
        return _tensor_difference(a, b, *options, place)
    for x, y, key in parts:
        wrong = _difference(x, y, *options, f"{place}[{key!r}]")
        if wrong is not None:
            return wrong
    return None


def _is_list(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str | bytes)


def _tensor_difference(
    a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool, check_dtype: bool, place: str
) -> str | None:
    numbers = not isinstance(a, Tensor | np.ndarray) and not isinstance(b, Tensor | np.ndarray)
    if numbers:  # Python's numbers are double
        check_dtype = False
        x, y = (as_tensor(v, float64 if isinstance(v, float) else None) for v in (a, b))
    else:
        x, y = as_tensor(a), as_tensor(b)
    if x.shape != y.shape:
        return (
            "The values for attribute 'shape' do not match:"
            f" {list(x.shape)} != {list(y.shape)}.{_at(place)}"
        )
    if check_dtype and x.dtype is not y.dtype:
        return f"The values for attribute 'dtype' do not match: {x.dtype} != {y.dtype}.{_at(place)}"
    if rtol is None:
        rtol, atol = map(max, zip(_tolerances(x.dtype), _tolerances(y.dtype), strict=True))
    common = promote_types(x.dtype, y.dtype)
    u, v = (t.detach().numpy().astype(common.np) for t in (x, y))
    with np.errstate(all="ignore"):
        close = np.isclose(u, v, rtol=rtol, atol=atol, equal_nan=equal_nan)
        if close.all():
            return None
        wide = np.float64 if u.dtype.kind == "f" else object
        gap = np.asarray(np.abs(u.astype(wide) - v.astype(wide)), np.float64)
        share = gap / np.abs(v.astype(np.float64))
    what = "equal" if not rtol and not atol else "close"
    if not close.ndim:
        return (
            f"Scalars are not {what}!\n\nExpected {v} but got {u}.\n"
            f"Absolute difference: {gap} (up to {atol} allowed)\n"
            f"Relative difference: {share} (up to {rtol} allowed){_at(place)}"
        )
    wrong = int((~close).sum())
    lines = [
        f"Tensor-likes are not {what}!\n",
        f"Mismatched elements: {wrong} / {close.size} ({100 * wrong / close.size:.1f}%)",
    ]
    for name, by, limit in (("absolute", gap, atol), ("relative", share, rtol)):
        worst = np.where(close, -1.0, np.where(np.isnan(by), np.inf, by))
        where = tuple(int(i) for i in np.unravel_index(int(worst.argmax()), by.shape))
        lines.append(
            f"Greatest {name} difference: {by[where]} at index {where} (up to {limit} allowed)"
        )
    return "\n".join(lines) + _at(place)


def _at(place: str) -> str:
    return f"\n\nThe failure occurred for item {place}" if place else ""


def _tolerances(d: dtype) -> tuple[float, float]:
    return TOLERANCES.get(as_dtype(d), (0.0, 0.0))


__all__ = ["assert_close"]
