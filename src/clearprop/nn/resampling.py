"""Other sizes and other places, as modules: Upsample, PixelShuffle, Unfold and their like."""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor
from clearprop.nn import functional as F
from clearprop.nn.module import Module


class Upsample(Module):
    """F.interpolate to `size`, or by `scale_factor`;  x: (N, C, *S). mode: nearest, linear,
    bilinear, bicubic, trilinear.

    >>> import clearprop as cp
    >>> cp.nn.Upsample(scale_factor=2)(cp.tensor([[[0.0, 1.0]]]))
    tensor([[[0., 0., 1., 1.]]])
    """

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
        align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name = type(self).__name__
        self.size = size
        if isinstance(scale_factor, tuple | list):
            self.scale_factor: Any = tuple(map(float, scale_factor))
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(input, self.size, self.scale_factor, self.mode, self.align_corners,
                             self.recompute_scale_factor)  # fmt: skip

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample of planes in mode nearest.

    >>> import clearprop as cp
    >>> cp.nn.UpsamplingNearest2d(size=4)(cp.zeros(1, 2, 2, 3)).shape
    (1, 2, 4, 4)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample of planes in mode bilinear with corners aligned.

    >>> import clearprop as cp
    >>> cp.nn.UpsamplingBilinear2d(scale_factor=2)(cp.zeros(1, 2, 2, 3)).shape
    (1, 2, 4, 6)
    """

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(Module):
    """(..., C r r, H, W) -> (..., C, H r, W r): the channels of a place become a square of places.

    >>> import clearprop as cp
    >>> cp.nn.PixelShuffle(2)(cp.zeros(1, 12, 3, 4)).shape
    (1, 3, 6, 8)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(..., C, H r, W r) -> (..., C r r, H, W): the inverse of PixelShuffle.

    >>> import clearprop as cp
    >>> cp.nn.PixelUnshuffle(2)(cp.zeros(1, 3, 6, 8)).shape
    (1, 12, 3, 4)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """(N, g c, ...) with channels taken from each of the g groups in turn.

    >>> import clearprop as cp
    >>> cp.nn.ChannelShuffle(2)(cp.zeros(1, 6, 3, 4)).shape
    (1, 6, 3, 4)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class Unfold(Module):
    """(N, C, H, W) -> (N, C KH KW, T): windows of all channels as columns.

    >>> import clearprop as cp
    >>> cp.nn.Unfold(3, padding=1)(cp.zeros(2, 3, 5, 6)).shape
    (2, 27, 30)
    """

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding},"
            f" stride={self.stride}"
        )


class Fold(Module):
    """(N, C KH KW, T) -> (N, C, H, W): columns added up where Unfold took them from.

    >>> import clearprop as cp
    >>> cp.nn.Fold((5, 6), 3, padding=1)(cp.zeros(2, 27, 30)).shape
    (2, 3, 5, 6)
    """

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
        stride: Any = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding,
                      self.stride)  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size},"
            f" dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
