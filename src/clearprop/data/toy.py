"""Toy sets in the plane, to look at what a network does: five to classify, two to fit.

Each is `f(n, noise, seed) -> (x, y)`: x is float32 (n, 2), roughly in [-6, 6]²; y is int64 (n,)
with classes 0 and 1, or float32 (n, 1) with the value to fit, so that it has the shape of a
network's output. Rows come in random order. The shapes and the meaning of `noise` (0 to 0.5) are
those of the TensorFlow Playground; its stream of random numbers is not, and its labels -1, +1 are
0, 1 here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.core.random import Generator

Points = tuple[Tensor, Tensor]

# Where the bumps of multi_gauss sit, and their signs.
BUMPS = np.array([(-4, 2.5), (0, 2.5), (4, 2.5), (-4, -2.5), (0, -2.5), (4, -2.5)])
SIGNS = np.array([1, -1, 1, -1, 1, -1])


def circle(n: int = 500, noise: float = 0.0, seed: int = 0) -> Points:
    """A disc (class 1, radius up to 2.5) in a ring (class 0, radius 3.5 to 5).

    Noise moves a point by U(-5, 5)·noise in each coordinate before its class is decided, and leaves
    the point where it was.

    >>> from clearprop.data import toy
    >>> x, y = toy.circle(200, noise=0.1, seed=1)
    >>> x.shape, y.shape, sorted(set(y.tolist()))
    ((200, 2), (200,), [0, 1])
    """
    draw = _Draw("circle", n, noise, seed)
    inside = np.arange(n) < n // 2
    r = np.where(inside, draw.uniform(0, 2.5), draw.uniform(3.5, 5))
    angle = draw.uniform(0, 2 * math.pi)
    x = np.stack([r * np.sin(angle), r * np.cos(angle)], axis=1)
    return draw.classes(x, np.hypot(*draw.jittered(x, 5).T) < 2.5)


def xor(n: int = 500, noise: float = 0.0, seed: int = 0) -> Points:
    """Four squares, 0.6 apart: class 1 where both coordinates have the same sign.

    Noise moves a point by U(-5, 5)·noise in each coordinate before its class is decided, and leaves
    the point where it was.
    """
    draw = _Draw("xor", n, noise, seed)
    x = np.stack([draw.uniform(-5, 5), draw.uniform(-5, 5)], axis=1)
    x += np.where(x > 0, 0.3, -0.3)
    return draw.classes(x, draw.jittered(x, 5).prod(axis=1) >= 0)


def gauss(n: int = 500, noise: float = 0.0, seed: int = 0) -> Points:
    """Two round clouds: class 1 around (2, 2), 0 around (-2, -2), with variance 0.5 + 7·noise."""
    draw = _Draw("gauss", n, noise, seed)
    label = np.arange(n) < n // 2
    centre = np.where(label, 2.0, -2.0)[:, None]
    spread = math.sqrt(0.5 + 7 * noise)
    return draw.classes(centre + spread * np.stack([draw.normal(), draw.normal()], axis=1), label)


def spiral(n: int = 500, noise: float = 0.0, seed: int = 0) -> Points:
    """Two interleaved spirals of 1.75 turns; noise moves each coordinate by U(-1, 1)·noise."""
    draw = _Draw("spiral", n, noise, seed)
    label = np.arange(n) < n // 2
    along = np.where(label, np.arange(n) / max(n // 2, 1), (np.arange(n) - n // 2) / (n - n // 2))
    turn = 1.75 * along * 2 * math.pi + np.where(label, 0, math.pi)
    x = 5 * along[:, None] * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    return draw.classes(draw.jittered(x, 1), label)


def moons(n: int = 500, noise: float = 0.0, seed: int = 0) -> Points:
    """Two half circles of radius 3 that reach into each other; noise adds N(0, (3·noise)²)."""
    draw = _Draw("moons", n, noise, seed)
    label = np.arange(n) < n // 2
    angle = draw.uniform(0, math.pi)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    x = 3 * np.where(label[:, None], -upper, upper)
    return draw.classes(x + 3 * noise * np.stack([draw.normal(), draw.normal()], axis=1), label)


def plane(n: int = 1200, noise: float = 0.0, seed: int = 0) -> Points:
    """A plane to fit: y = (x₁ + x₂) / 10, taken at a place that noise moves by U(-6, 6)·noise.

    >>> from clearprop.data import toy
    >>> x, y = toy.plane(4)
    >>> y.shape
    (4, 1)
    """
    draw = _Draw("plane", n, noise, seed)
    x = np.stack([draw.uniform(-6, 6), draw.uniform(-6, 6)], axis=1)
    return draw.values(x, draw.jittered(x, 6).sum(axis=1) / 10)


def multi_gauss(n: int = 1200, noise: float = 0.0, seed: int = 0) -> Points:
    """Six bumps of alternating sign to fit: y = ±max(0, 1 - d/2), d the distance to the nearest.

    Noise moves the place at which y is taken by U(-6, 6)·noise and leaves x where it was.
    """
    draw = _Draw("multi_gauss", n, noise, seed)
    x = np.stack([draw.uniform(-6, 6), draw.uniform(-6, 6)], axis=1)
    away = draw.jittered(x, 6)[:, None, :] - BUMPS
    height = np.maximum(0, 1 - np.hypot(away[..., 0], away[..., 1]) / 2)
    top = height.argmax(axis=1)
    return draw.values(x, SIGNS[top] * height[np.arange(n), top])


TOY_SETS: dict[str, Callable[..., Points]] = {
    "circle": circle,
    "xor": xor,
    "gauss": gauss,
    "spiral": spiral,
    "moons": moons,
    "plane": plane,
    "multi-gauss": multi_gauss,
}


class _Draw:
    """The random numbers of one set, and its last step: rows in random order, as tensors."""

    def __init__(self, name: str, n: int, noise: float, seed: int) -> None:
        if n < 1:
            raise ValueError(f"toy.{name}: n is {n}, wanted at least 1 point")
        if not 0 <= noise < math.inf:
            raise ValueError(
                f"toy.{name}: noise is {noise}, wanted a number from 0 (none) to about 0.5"
            )
        self.n = n
        self.noise = noise
        self.generator = Generator().manual_seed(seed)

    def unit(self) -> np.ndarray:
        """U(0, 1) with 53 bits."""
        words = self.generator.words(2 * self.n).astype(np.uint64)
        return ((words[::2] << 32 | words[1::2]) & (2**53 - 1)) / 2.0**53

    def uniform(self, low: float, high: float) -> np.ndarray:
        return low + (high - low) * self.unit()

    def normal(self) -> np.ndarray:
        """N(0, 1) by Box and Muller; log1p(-u), because u may be 0 but not 1."""
        r = np.sqrt(-2 * np.log1p(-self.unit()))
        return r * np.cos(2 * math.pi * self.unit())

    def jittered(self, x: np.ndarray, reach: float) -> np.ndarray:
        move = np.stack([self.uniform(-reach, reach), self.uniform(-reach, reach)], axis=1)
        return x + self.noise * move

    def classes(self, x: np.ndarray, label: np.ndarray) -> Points:
        return self._shuffled(x, label.astype(np.int64))

    def values(self, x: np.ndarray, y: np.ndarray) -> Points:
        return self._shuffled(x, y.astype(np.float32)[:, None])

    def _shuffled(self, x: np.ndarray, y: np.ndarray) -> Points:
        order = self.generator.randperm(self.n)
        return wrap(x.astype(np.float32)[order], None), wrap(y[order], None)
