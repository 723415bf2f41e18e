"""How the numbers of a tensor are written: four decimals, powers of ten where they are needed, and
the corners of what is too long (PyTorch's rules).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

DECIMALS, EDGE, LONG, WIDTH = 4, 3, 1000, 82


def text_of(a: np.ndarray, prefix: str) -> str:
    """The numbers of `a` in nested brackets, continued under the end of `prefix`."""
    shown = a if a.size <= LONG else _corners(a)
    formatter = {"all": _writer(shown)} if a.size else None
    return np.array2string(
        a,
        separator=", ",
        prefix=prefix,
        threshold=LONG,
        edgeitems=EDGE,
        max_line_width=WIDTH,
        formatter=formatter,  # type: ignore[arg-type]
    )


def _corners(a: np.ndarray) -> np.ndarray:
    """The elements that are shown of a long array."""
    for axis, n in enumerate(a.shape):
        if n > 2 * EDGE:
            a = np.take(a, [*range(EDGE), *range(n - EDGE, n)], axis)
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

    def write(v: np.generic) -> str:
        number = float(v)
        if not np.isfinite(number):
            return str(number)
        if scientific:
            return f"{number:.{DECIMALS}e}"
        return f"{number:.0f}." if whole else f"{number:.{DECIMALS}f}"

    return write
