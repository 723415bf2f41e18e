"""Padding as modules: zeros or a number, the mirror image, the border, the other end."""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor
from clearprop.nn import functional as F
from clearprop.nn.convolution import spread
from clearprop.nn.module import Module


class _Pad(Module):
    """F.pad by (before, after) of the last axis, then of the one before it, and so on."""

    axes: int
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = spread(padding, 2 * self.axes)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis; padding: a number, or 2 of them, (left, right).

    >>> import clearprop as cp
    >>> cp.nn.ZeroPad1d(1)(cp.zeros(1, 2, 6)).shape
    (1, 2, 8)
    """

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two axes; padding: a number, or 4 of them, (left, right, top, bottom).

    >>> import clearprop as cp
    >>> cp.nn.ZeroPad2d(1)(cp.zeros(1, 2, 6, 6)).shape
    (1, 2, 8, 8)
    """

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three axes; padding: a number, or 6 of them, (left, right, top, bottom,
    front, back).

    >>> import clearprop as cp
    >>> cp.nn.ZeroPad3d(1)(cp.zeros(1, 2, 6, 6, 6)).shape
    (1, 2, 8, 8, 8)
    """

    axes = 3


class ConstantPad1d(_ConstantPad):
    """A number, value, around the last axis; padding: a number, or 2 of them, (left, right).

    >>> import clearprop as cp
    >>> cp.nn.ConstantPad1d(1, 3.5)(cp.zeros(1, 2, 6)).shape
    (1, 2, 8)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """A number, value, around the last two axes; padding: a number, or 4 of them, (left, right,
    top, bottom).

    >>> import clearprop as cp
    >>> cp.nn.ConstantPad2d(1, 3.5)(cp.zeros(1, 2, 6, 6)).shape
    (1, 2, 8, 8)
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """A number, value, around the last three axes; padding: a number, or 6 of them, (left, right,
    top, bottom, front, back).

    >>> import clearprop as cp
    >>> cp.nn.ConstantPad3d(1, 3.5)(cp.zeros(1, 2, 6, 6, 6)).shape
    (1, 2, 8, 8, 8)
    """

    axes = 3


class ReflectionPad1d(_Pad):
    """The mirror image, the border left out, around the last axis; padding: a number, or 2 of them,
    (left, right).

    >>> import clearprop as cp
    >>> cp.nn.ReflectionPad1d(1)(cp.zeros(1, 2, 6)).shape
    (1, 2, 8)
    """

    axes = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """The mirror image, the border left out, around the last two axes; padding: a number, or 4 of
    them, (left, right, top, bottom).

    >>> import clearprop as cp
    >>> cp.nn.ReflectionPad2d(1)(cp.zeros(1, 2, 6, 6)).shape
    (1, 2, 8, 8)
    """

    axes = 2
    mode = "reflect"


class ReflectionPad3d(_Pad):
    """The mirror image, the border left out, around the last three axes; padding: a number, or 6 of
    them, (left, right, top, bottom, front, back).

    >>> import clearprop as cp
    >>> cp.nn.ReflectionPad3d(1)(cp.zeros(1, 2, 6, 6, 6)).shape
    (1, 2, 8, 8, 8)
    """

    axes = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """The border around the last axis; padding: a number, or 2 of them, (left, right).

    >>> import clearprop as cp
    >>> cp.nn.ReplicationPad1d(1)(cp.zeros(1, 2, 6)).shape
    (1, 2, 8)
    """

    axes = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """The border around the last two axes; padding: a number, or 4 of them, (left, right, top,
    bottom).

    >>> import clearprop as cp
    >>> cp.nn.ReplicationPad2d(1)(cp.zeros(1, 2, 6, 6)).shape
    (1, 2, 8, 8)
    """

    axes = 2
    mode = "replicate"


class ReplicationPad3d(_Pad):
    """The border around the last three axes; padding: a number, or 6 of them, (left, right, top,
    bottom, front, back).

    >>> import clearprop as cp
    >>> cp.nn.ReplicationPad3d(1)(cp.zeros(1, 2, 6, 6, 6)).shape
    (1, 2, 8, 8, 8)
    """

    axes = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """The other end around the last axis; padding: a number, or 2 of them, (left, right).

    >>> import clearprop as cp
    >>> cp.nn.CircularPad1d(1)(cp.zeros(1, 2, 6)).shape
    (1, 2, 8)
    """

    axes = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """The other end around the last two axes; padding: a number, or 4 of them, (left, right, top,
    bottom).

    >>> import clearprop as cp
    >>> cp.nn.CircularPad2d(1)(cp.zeros(1, 2, 6, 6)).shape
    (1, 2, 8, 8)
    """

    axes = 2
    mode = "circular"


class CircularPad3d(_Pad):
    """The other end around the last three axes; padding: a number, or 6 of them, (left, right, top,
    bottom, front, back).

    >>> import clearprop as cp
    >>> cp.nn.CircularPad3d(1)(cp.zeros(1, 2, 6, 6, 6)).shape
    (1, 2, 8, 8, 8)
    """

    axes = 3
    mode = "circular"
