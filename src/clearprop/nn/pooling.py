"""Pooling as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.core import Tensor
from clearprop.nn import functional as F
from clearprop.nn.convolution import spread
from clearprop.nn.module import Module


class _MaxPool(Module):
    pool: Callable[..., Any]

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.kernel_size, self.stride, self.padding, self.dilation,
                               self.ceil_mode, self.return_indices)  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding},"
            f" dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest element of each window, the first of equals;  x: (N, C, L) or (C, L).
    return_indices: (values, indices).

    >>> import clearprop as cp
    >>> cp.nn.MaxPool1d(2)(cp.zeros(1, 3, 8)).shape
    (1, 3, 4)
    """

    pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest element of each window of two axes;  x: (N, C, H, W) or (C, H, W).

    >>> import clearprop as cp
    >>> cp.nn.MaxPool2d(2)(cp.zeros(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest element of each window of three axes;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.MaxPool3d(2)(cp.zeros(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    pool = staticmethod(F.max_pool3d)


class _MaxUnpool(Module):
    axes: int
    unpool: Callable[..., Tensor]

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = spread(kernel_size, self.axes)
        self.stride = spread(kernel_size if stride is None else stride, self.axes)
        self.padding = spread(padding, self.axes)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        return type(self).unpool(input, indices, self.kernel_size, self.stride, self.padding,
                                 output_size)  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Zeros with the elements where MaxPool1d found them.

    >>> import clearprop as cp
    >>> y, where = cp.nn.MaxPool1d(2, return_indices=True)(cp.rand(1, 3, 8))
    >>> cp.nn.MaxUnpool1d(2)(y, where).shape
    (1, 3, 8)
    """

    axes = 1
    unpool = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Zeros with the elements where MaxPool2d found them.

    >>> import clearprop as cp
    >>> y, where = cp.nn.MaxPool2d(2, return_indices=True)(cp.rand(1, 3, 8, 8))
    >>> cp.nn.MaxUnpool2d(2)(y, where).shape
    (1, 3, 8, 8)
    """

    axes = 2
    unpool = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Zeros with the elements where MaxPool3d found them.

    >>> import clearprop as cp
    >>> y, where = cp.nn.MaxPool3d(2, return_indices=True)(cp.rand(1, 3, 8, 8, 8))
    >>> cp.nn.MaxUnpool3d(2)(y, where).shape
    (1, 3, 8, 8, 8)
    """

    axes = 3
    unpool = staticmethod(F.max_unpool3d)


class _AvgPool(Module):
    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """The mean of each window;  x: (N, C, L) or (C, L). count_include_pad: zeros of the padding
    count.

    >>> import clearprop as cp
    >>> cp.nn.AvgPool1d(2)(cp.tensor([[1.0, 3.0, 2.0, 0.0]]))
    tensor([[2., 1.]])
    """

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = spread(kernel_size, 1)
        self.stride = spread(kernel_size if stride is None else stride, 1)
        self.padding = spread(padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                            self.count_include_pad)  # fmt: skip


class _AvgPoolPlane(_AvgPool):
    pool: Callable[..., Tensor]

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                               self.count_include_pad, self.divisor_override)  # fmt: skip


class AvgPool2d(_AvgPoolPlane):
    """The mean of each window of two axes;  x: (N, C, H, W) or (C, H, W).

    >>> import clearprop as cp
    >>> cp.nn.AvgPool2d(2)(cp.ones(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPoolPlane):
    """The mean of each window of three axes;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.AvgPool3d(2)(cp.ones(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    pool = staticmethod(F.avg_pool3d)


class _LPPool(Module):
    pool: Callable[..., Tensor]

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(input, float(self.norm_type), self.kernel_size, self.stride,
                               self.ceil_mode)  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride},"
            f" ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """(sum of x^p over each window)^(1/p), p = norm_type;  x: (N, C, L) or (C, L).

    >>> import clearprop as cp
    >>> cp.nn.LPPool1d(2, 2)(cp.ones(1, 3, 8)).shape
    (1, 3, 4)
    """

    pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """(sum of x^p over each window)^(1/p), p = norm_type;  x: (N, C, H, W) or (C, H, W).

    >>> import clearprop as cp
    >>> cp.nn.LPPool2d(2, 2)(cp.ones(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """(sum of x^p over each window)^(1/p), p = norm_type;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.nn.LPPool3d(2, 2)(cp.ones(1, 3, 8, 8, 8)).shape
    (1, 3, 4, 4, 4)
    """

    pool = staticmethod(F.lp_pool3d)


class _AdaptiveMaxPool(Module):
    pool: Callable[..., Any]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(Module):
    pool: Callable[..., Tensor]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest element of windows that cover the input, output_size of them along each axis.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveMaxPool1d(3)(cp.ones(1, 2, 8)).shape
    (1, 2, 3)
    """

    pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest element of windows that cover the input, output_size of them along each axis.
    None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveMaxPool2d(3)(cp.ones(1, 2, 8, 8)).shape
    (1, 2, 3, 3)
    """

    pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest element of windows that cover the input, output_size of them along each axis.
    None keeps a size.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveMaxPool3d(3)(cp.ones(1, 2, 8, 8, 8)).shape
    (1, 2, 3, 3, 3)
    """

    pool = staticmethod(F.adaptive_max_pool3d)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of windows that cover the input, output_size of them along each axis.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveAvgPool1d(3)(cp.ones(1, 2, 8)).shape
    (1, 2, 3)
    """

    pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of windows that cover the input, output_size of them along each axis. None keeps a
    size.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveAvgPool2d(3)(cp.ones(1, 2, 8, 8)).shape
    (1, 2, 3, 3)
    """

    pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of windows that cover the input, output_size of them along each axis. None keeps a
    size.

    >>> import clearprop as cp
    >>> cp.nn.AdaptiveAvgPool3d(3)(cp.ones(1, 2, 8, 8, 8)).shape
    (1, 2, 3, 3, 3)
    """

    pool = staticmethod(F.adaptive_avg_pool3d)
