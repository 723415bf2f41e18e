"""How much faster clearprop's compiled steps are meant to be, and how the ratios are taken."""

from __future__ import annotations

from dataclasses import dataclass

RATIOS = ("torch eager", "torch.compile", "jax.jit", "jax scan")  # columns of TARGETS

# smallest ratio peer / clearprop; for "jax scan" many steps per call on both sides; None: no target
TARGETS: dict[str, tuple[float | None, ...]] = {
    "W1": (500, 150, 80, 15),
    "W2": (7, 3.5, 2.3, 1.4),
    "W3": (10, 4, 2.3, 1.15),
    "W4": (1.4, 1.35, 1.15, 1.1),
    "W5": (1.3, 1.25, 1.15, 1.15),
    "W6": (1.1, 1.1, 1.05, 1.03),
    "W7": (2.8, None, 1.25, 1.1),
    "W8": (30, 2.5, 8, 8),
    "W10": (2.5, 2.2, 4, 4),
    "W11a": (5, 10, 6, None),
}
NO_TARGETS = (None, None, None, None)

MLP_ROWS = ("W1", "W2", "W3", "W4", "W5", "W6")
COLD_MLP, COLD_OTHERS, WARM = 0.150, 0.300, 0.020  # seconds of a first call
PEAK_ROWS, PEAK_SHARE = ("W4", "W5", "W6"), 0.85  # rows bound by matrix products
DEPTHS, DEEPEST = (10, 100, 1000), 10.0  # layers of 64, seconds for the last


@dataclass(frozen=True)
class Ratio:
    """What was measured beside what is wanted."""

    value: float | None
    target: float | None

    @property
    def met(self) -> bool:
        return self.target is None or (self.value is not None and self.value >= self.target)

    def __str__(self) -> str:
        value = "–" if self.value is None else f"{self.value:.4g}x"
        if self.target is None:
            return value
        mark = "" if self.value is None else " met" if self.met else " missed"
        return f"{value} (>= {self.target:g}x{mark})"


def ratios(key: str, seconds: dict[str, float]) -> dict[str, Ratio]:
    """Peer over clearprop for each peer, from the seconds per step of what was measured."""
    found = {}
    for peer, target in zip(RATIOS, TARGETS.get(key, NO_TARGETS), strict=True):
        ours = seconds.get("clearprop run" if peer == "jax scan" else "clearprop")
        theirs = seconds.get(peer)
        value = theirs / ours if ours and theirs else None
        found[peer] = Ratio(value, target)
    return found


def multiply_adds(batch: int, layers: list[tuple[int, int]]) -> int:
    """Floating-point operations in the matrix products of a step of a network of dense layers.

    Forward, gradient of the weights, and gradient of the input except in the first layer.
    """
    products = [3 if i else 2 for i in range(len(layers))]
    return sum(2 * batch * n * m * times for (n, m), times in zip(layers, products, strict=True))
