"""What the numbers of a dtype can hold: `finfo` and `iinfo`."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core.dtypes import FLOAT, INTEGER, as_dtype, dtype, get_default_dtype


class finfo:
    """Limits of a floating-point dtype: eps, max, min, tiny, smallest_normal, resolution, bits.

    >>> import clearprop as cp
    >>> cp.finfo(cp.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: Any = None) -> None:
        d = get_default_dtype() if type is None else as_dtype(type)
        if d.category != FLOAT:
            raise TypeError(
                f"finfo() requires a floating point input type. Use iinfo to handle '{d.name}'"
            )
        info: Any = np.finfo(d.np)
        self.bits = int(info.bits)
        self.eps, self.max, self.min = float(info.eps), float(info.max), float(info.min)
        self.tiny = self.smallest_normal = float(info.tiny)
        self.resolution = float(str(info.resolution))  # 0.001, not what a float16 makes of it
        self.dtype = d.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g},"
            f" eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g},"
            f" dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer dtype: min, max, bits.

    >>> import clearprop as cp
    >>> cp.iinfo(cp.int8).max
    127
    """

    def __init__(self, type: Any) -> None:
        d: dtype = as_dtype(type)
        if d.category != INTEGER:
            raise TypeError(
                f"iinfo() requires an integer input type. Use finfo to handle '{d.name}'"
            )
        info = np.iinfo(d.np)
        self.bits, self.min, self.max = int(info.bits), int(info.min), int(info.max)
        self.dtype = d.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
