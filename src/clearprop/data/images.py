"""Transforms of images: from PIL or NumPy to tensors of shape (..., channels, height, width), and
crops, flips and scaling of those.

    augment = Compose([ToTensor(), RandomCrop(32, padding=4), RandomHorizontalFlip()])

Random ones draw from the worker's generator inside a DataLoader's worker, else from the default
one, so a seed fixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.data.workers import worker_generator
from clearprop.errors import ShapeError
from clearprop.ops import flip, from_numpy

Size = int | Sequence[int]


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Iterable[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for t in self.transforms:
            image = t(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class _Transform:
    """A transform with a repr that shows its options."""

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({options})"


class ToTensor(_Transform):
    """A PIL image or an array (height, width) or (height, width, channels) as a float32 tensor
    (channels, height, width); bytes from 0 to 255 become numbers from 0 to 1.

    >>> import numpy as np
    >>> from clearprop.data.images import ToTensor
    >>> ToTensor()(np.full((2, 2), 255, np.uint8)).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    def __call__(self, image: Any) -> Tensor:
        a = np.asarray(image)
        if a.ndim not in (2, 3):
            raise ValueError(
                "ToTensor: wanted an image (height, width) or (height, width, channels), got shape"
                f" {a.shape}"
            )
        a = a[:, :, None] if a.ndim == 2 else a
        a = np.ascontiguousarray(a.transpose(2, 0, 1))
        if a.dtype == np.uint8:
            return from_numpy(a.astype(np.float32) / np.float32(255))
        return from_numpy(a.astype(np.float32) if a.dtype.kind in "bf" else a)


class Normalize(_Transform):
    """(x - mean) / std for each channel.

    >>> import clearprop as cp
    >>> from clearprop.data.images import Normalize
    >>> Normalize([0.5], [0.25])(cp.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        self.mean = mean
        self.std = std

    def __call__(self, x: Tensor) -> Tensor:
        x = _image(x, "Normalize")
        if not x.is_floating_point():
            raise TypeError(
                f"Normalize: wanted floating-point numbers, got {x.aval}; use ToTensor()"
            )
        mean, std = (
            np.atleast_1d(np.asarray(v, x.value.dtype))[:, None, None]
            for v in (self.mean, self.std)
        )
        if (std == 0).any():
            raise ValueError("Normalize: std is 0 for a channel, which cannot be divided by")
        if any(len(v) not in (1, x.shape[-3]) for v in (mean, std)):
            raise ShapeError(
                f"Normalize: {len(mean)} means and {len(std)} stds for {x.shape[-3]} channels"
            )
        return (x - from_numpy(mean)) / from_numpy(std)


class Pad(_Transform):
    """`fill` around the image: one number, (left and right, top and bottom), or (left, top, right,
    bottom).
    """

    def __init__(self, padding: Size, fill: float = 0) -> None:
        self.padding = padding
        self.fill = fill

    def __call__(self, x: Tensor) -> Tensor:
        x = _image(x, "Pad")
        left, top, right, bottom = _sides(self.padding)
        widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
        return wrap(np.pad(x.array("Pad"), widths, constant_values=self.fill), None)


class CenterCrop(_Transform):
    """The middle of the image; a smaller image gets zeros around it."""

    def __init__(self, size: Size) -> None:
        self.size = _pair(size, "CenterCrop")

    def __call__(self, x: Tensor) -> Tensor:
        h, w = self.size
        x = _enlarged(_image(x, "CenterCrop"), h, w)
        top, left = round((x.shape[-2] - h) / 2), round((x.shape[-1] - w) / 2)
        return x[..., top : top + h, left : left + w]


class RandomCrop(_Transform):
    """A random part of the image, after `padding` (as in Pad)."""

    def __init__(self, size: Size, padding: Size | None = None, fill: float = 0) -> None:
        self.size = _pair(size, "RandomCrop")
        self.padding = padding
        self.fill = fill

    def __call__(self, x: Tensor) -> Tensor:
        x = _image(x, "RandomCrop")
        if self.padding is not None:
            x = Pad(self.padding, self.fill)(x)
        h, w = self.size
        room = (x.shape[-2] - h + 1, x.shape[-1] - w + 1)
        if min(room) < 1:
            raise ValueError(
                f"RandomCrop: Required crop size {(h, w)} is larger than input image size"
                f" {tuple(x.shape[-2:])}; give padding"
            )
        top, left = (int(worker_generator().randint(0, n, (1,))[0]) for n in room)
        return x[..., top : top + h, left : left + w]


class _RandomFlip(_Transform):
    dim = -1

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is a probability, got {p}")
        self.p = p

    def __call__(self, x: Tensor) -> Tensor:
        x = _image(x, type(self).__name__)
        u = worker_generator().uniform((1,), np.dtype(np.float32), 0.0, 1.0)[0]
        return flip(x, (self.dim,)) if u < self.p else x


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged, with probability p."""


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged, with probability p."""

    dim = -2


class Lambda(_Transform):
    """A function as a transform."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, image: Any) -> Any:
        return self.function(image)


def _image(x: Any, who: str) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{who}: wanted a Tensor, got {type(x).__name__}; put ToTensor() before it")
    if x.ndim < 3:
        raise ShapeError(f"{who}: wanted (..., channels, height, width), got {x.aval}")
    return x


def _pair(size: Size, who: str) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else tuple(size) * (2 if len(size) == 1 else 1)
    if min(h, w) < 1:
        raise ValueError(f"{who}: size {size} should be positive")
    return h, w


def _sides(padding: Size) -> tuple[int, int, int, int]:
    if isinstance(padding, int):
        return (padding,) * 4
    if len(padding) == 2:
        return (padding[0], padding[1]) * 2
    left, top, right, bottom = padding
    return left, top, right, bottom


def _enlarged(x: Tensor, h: int, w: int) -> Tensor:
    down, right = max(h - x.shape[-2], 0), max(w - x.shape[-1], 0)
    if not down and not right:
        return x
    return Pad((right // 2, down // 2, right - right // 2, down - down // 2))(x)


__all__ = [
    "CenterCrop",
    "Compose",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
    "ToTensor",
]
