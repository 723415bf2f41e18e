"""How the numbers of a tensor are written: four decimals, powers of ten where they are needed, and
the corners of what is too long (PyTorch's rules).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}
OPTIONS: dict[str, Any] = {**PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed: decimals, the number of elements from which only the corners are
    shown, how many of those, the width of a line; powers of ten always, never, or (None) where they
    are needed. `profile`: 'default', 'short' or 'full'.

    >>> import clearprop as cp
    >>> cp.set_printoptions(precision=2)
    >>> cp.tensor([1 / 3])
    tensor([0.33])
    >>> cp.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(
                f"set_printoptions: profile must be one of {', '.join(PROFILES)}, got {profile!r}"
            )
        OPTIONS.update(PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems}
    given["linewidth"] = linewidth
    OPTIONS.update({name: value for name, value in given.items() if value is not None})
    OPTIONS["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options that `set_printoptions` sets."""
    return dict(OPTIONS)


def text_of(a: np.ndarray, prefix: str) -> str:
    """The numbers of `a` in nested brackets, continued under the end of `prefix`."""
    long = OPTIONS["threshold"]
    shown = a if a.size <= long else _corners(a)
    formatter = {"all": _writer(shown)} if a.size else None
    text = np.array2string(
        a,
        separator=", ",
        prefix=prefix,
        threshold=max(a.size, 1) if a.size <= long else int(long),
        edgeitems=OPTIONS["edgeitems"],
        max_line_width=OPTIONS["linewidth"] + 2,
        formatter=formatter,  # type: ignore[arg-type]
    )
    return text.replace(", ...,", ",  ...,")


def with_extras(text: str, extras: list[str]) -> str:
    """The text of a tensor with dtype and the like behind it, on lines of their own where the width
    does not suffice.
    """
    width, indent = OPTIONS["linewidth"], " " * 7
    column = len(text) - text.rfind("\n") + 1
    for extra in extras:
        if column + len(extra) + 2 > width:
            text += f",\n{indent}{extra}"
            column = len(indent) + len(extra)
        else:
            text += f", {extra}"
            column += len(extra) + 2
    return text + ")"


def _corners(a: np.ndarray) -> np.ndarray:
    """The elements that are shown of a long array."""
    edge = OPTIONS["edgeitems"]
    for axis, n in enumerate(a.shape):
        if n > 2 * edge:
            a = np.take(a, [*range(edge), *range(n - edge, n)], axis)
    return a


def _writer(a: np.ndarray) -> Callable[[np.generic], str]:
    """A function that writes one element; all to one width, which zeros, inf and nan have no say
    in.
    """
    write: Callable[[np.generic], str] = str
    counted = a
    if a.dtype.kind == "f":
        write, counted = _float_writer(a), a[np.isfinite(a) & (a != 0)]
    width = max((len(write(v)) for v in counted.ravel()), default=0) if a.ndim else 0
    return lambda v: write(v).rjust(width)


def _float_writer(a: np.ndarray) -> Callable[[np.generic], str]:
    size = np.abs(a[np.isfinite(a) & (a != 0)].astype(np.float64))
    if not size.size:
        whole, scientific = True, False
    else:
        small, large = size.min(), size.max()
        whole = bool((size == np.ceil(size)).all())
        wide = large / small > 1000 or large > 1e8
        scientific = wide or (not whole and small < 1e-4)
    if OPTIONS["sci_mode"] is not None:
        scientific = OPTIONS["sci_mode"]
    decimals = OPTIONS["precision"]

    def write(v: np.generic) -> str:
        number = float(v)
        if not np.isfinite(number):
            return str(number)
        if scientific:
            return f"{number:.{decimals}e}"
        return f"{number:.0f}." if whole else f"{number:.{decimals}f}"

    return write
