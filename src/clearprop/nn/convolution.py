"""Convolutions and transposed convolutions as modules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module
from clearprop.ops.broadcasting import here

_MODES = ("zeros", "reflect", "replicate", "circular")
_NAMED = ("same", "valid")


def spread(value: Any, n: int) -> tuple[Any, ...]:
    """A number as n numbers, a sequence as a tuple."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n


class _Conv(Module):
    """What all convolutions have: options, weights, initial values, printing."""

    axes: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        output_padding: Any = 0,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self.axes
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = spread(kernel_size, n), spread(stride, n)
        self.padding = padding if isinstance(padding, str) else spread(padding, n)
        self.dilation, self.output_padding = spread(dilation, n), spread(output_padding, n)
        self.groups, self.padding_mode = groups, padding_mode
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
        for what, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(
                    f"{name}: {what} must be divisible by groups, got {channels} and {groups}"
                )
        if isinstance(padding, str) and padding not in _NAMED:
            raise ValueError(
                f"{name}: Invalid padding string {padding!r}, should be one of 'same', 'valid'"
            )
        if padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{name}: padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {', '.join(map(repr, _MODES))}, but got"
                f" padding_mode={padding_mode!r}"
            )
        first, second = in_channels, out_channels // groups
        if not self.transposed:
            first, second = out_channels, in_channels // groups
        self.weight = Parameter(
            ops.empty(first, second, *self.kernel_size, dtype=dtype, device=device)
        )
        if bias:
            self.bias = Parameter(ops.empty(out_channels, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values: U(-b, b), b = 1/sqrt(weight.shape[1] * elements of the
        kernel).
        """
        if self.weight.numel():
            init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan = math.prod(self.weight.shape[1:])
        if self.bias is not None and fan:
            bound = 1 / math.sqrt(fan)
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        zeros = (0,) * self.axes
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size},"
            f" stride={self.stride}"
        ]
        shown = (
            ("padding", self.padding, zeros), ("dilation", self.dilation, (1,) * self.axes),
            ("output_padding", self.output_padding, zeros), ("groups", self.groups, 1),
            ("bias", self.bias is not None, True), ("padding_mode", self.padding_mode, "zeros"),
        )  # fmt: skip
        return ", ".join(parts + [f"{name}={v}" for name, v, usual in shown if v != usual])


class _Forward(_Conv):
    convolve: Callable[..., Tensor]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, device, dtype)  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        convolve = type(self).convolve
        if self.padding_mode == "zeros":
            return convolve(input, self.weight, self.bias, self.stride, self.padding,
                            self.dilation, self.groups)  # fmt: skip
        wide = F.pad(input, self._around(), mode=self.padding_mode)
        return convolve(wide, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def _around(self) -> tuple[int, ...]:
        """The padding as F.pad takes it: (before, after) from the last axis on."""
        pairs: list[tuple[int, int]]
        if self.padding == "valid":
            pairs = [(0, 0)] * self.axes
        elif self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(n // 2, n - n // 2) for n in total]
        else:
            pairs = [(p, p) for p in spread(self.padding, self.axes)]
        return tuple(n for pair in reversed(pairs) for n in pair)


class Conv1d(_Forward):
    """y[n,o,t] = b[o] + sum over c, k of w[o,c,k] x[n,c, t*stride + k*dilation - padding];  x: (N,
    in, L) or (in, L), w: (out, in/groups, K). padding: a number, 'same' or 'valid'; padding_mode
    says what is put there. Initial w and b: U(-1/sqrt(fan), 1/sqrt(fan)), fan = in/groups K.

    >>> import clearprop as cp
    >>> cp.nn.Conv1d(3, 8, 5, padding="same")(cp.zeros(2, 3, 10)).shape
    (2, 8, 10)
    """

    axes = 1
    convolve = staticmethod(F.conv1d)


class Conv2d(_Forward):
    """Conv1d with two axes of space;  x: (N, in, H, W) or (in, H, W), w: (out, in/groups, KH, KW).
    Options are one number or a pair.

    >>> import clearprop as cp
    >>> cp.nn.Conv2d(1, 6, 5, padding=2)(cp.zeros(4, 1, 28, 28)).shape
    (4, 6, 28, 28)
    """

    axes = 2
    convolve = staticmethod(F.conv2d)


class Conv3d(_Forward):
    """Conv1d with three axes of space;  x: (N, in, D, H, W) or (in, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.Conv3d(1, 2, 3)(cp.zeros(1, 1, 5, 6, 7)).shape
    (1, 2, 3, 4, 5)
    """

    axes = 3
    convolve = staticmethod(F.conv3d)


class _Transposed(_Conv):
    transposed = True
    convolve: Callable[..., Tensor]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(
                f'{type(self).__name__}: Only "zeros" padding mode is supported, got'
                f" {padding_mode!r}"
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
                         bias, padding_mode, device, dtype, output_padding)  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        more = self.output_padding
        if output_size is not None:
            more = self._missing(input, tuple(output_size))
        return type(self).convolve(input, self.weight, self.bias, self.stride, self.padding, more,
                                   self.groups, self.dilation)  # fmt: skip

    def _missing(self, x: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The output_padding that makes the result as large as wanted."""
        n, name = self.axes, type(self).__name__
        lead = x.ndim - n
        if len(wanted) == x.ndim:
            wanted = wanted[lead:]
        if len(wanted) != n:
            raise ValueError(
                f"{name}: for {x.ndim}D input, output_size must have {n} or {x.ndim} elements (got"
                f" {len(wanted)}){here()}"
            )
        least = [
            (t - 1) * s - 2 * p + d * (k - 1) + 1
            for t, s, p, d, k in zip(
                x.shape[lead:], spread(self.stride, n), spread(self.padding, n),
                spread(self.dilation, n), self.kernel_size, strict=True,
            )
        ]  # fmt: skip
        most = [a + s - 1 for a, s in zip(least, spread(self.stride, n), strict=True)]
        if any(not a <= m <= b for a, m, b in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"{name}: requested an output size of {wanted}, but valid sizes range from"
                f" {least} to {most} (for an input of {x.shape[lead:]}){here()}"
            )
        return tuple(m - a for m, a in zip(wanted, least, strict=True))


class ConvTranspose1d(_Transposed):
    """The adjoint of Conv1d with the same options: x[n,c,t] w[c,o,k] is added to y[n,o, t*stride +
    k*dilation - padding];  x: (N, in, T) or (in, T), w: (in, out/groups, K). Several sizes give the
    same T: output_padding, or output_size when it is called, says which.

    >>> import clearprop as cp
    >>> cp.nn.ConvTranspose1d(3, 8, 4, stride=2, padding=1)(cp.zeros(2, 3, 10)).shape
    (2, 8, 20)
    """

    axes = 1
    convolve = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """ConvTranspose1d with two axes of space;  x: (N, in, H, W) or (in, H, W).

    >>> import clearprop as cp
    >>> up = cp.nn.ConvTranspose2d(3, 8, 3, stride=2, padding=1)
    >>> up(cp.zeros(2, 3, 5, 5), output_size=(10, 10)).shape
    (2, 8, 10, 10)
    """

    axes = 2
    convolve = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """ConvTranspose1d with three axes of space;  x: (N, in, D, H, W) or (in, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.ConvTranspose3d(1, 2, 2, stride=2)(cp.zeros(1, 1, 3, 4, 5)).shape
    (1, 2, 6, 8, 10)
    """

    axes = 3
    convolve = staticmethod(F.conv_transpose3d)
