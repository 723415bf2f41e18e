"""`Size`: a shape with PyTorch's methods. It is a tuple, prints as one, and every tuple of a shape
counts as one.
"""

from __future__ import annotations

import math
from typing import Any


class _Sizes(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


class Size(tuple[int, ...], metaclass=_Sizes):
    """The shape of a tensor, as `x.size()` gives it.

    >>> import clearprop as cp
    >>> cp.zeros(2, 3).size().numel(), cp.Size([2, 3]) == (2, 3), isinstance((4,), cp.Size)
    (6, True, True)
    """

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of this shape has."""
        return math.prod(self)

    def __getitem__(self, i: Any) -> Any:
        found = tuple.__getitem__(self, i)
        return Size(found) if isinstance(i, slice) else found

    def __add__(self, other: Any) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, tuple(other)))


__all__ = ["Size"]
