"""Per layer and epoch: how large the gradients are, how large the weights, how far a step goes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.train.callback import Callback
from clearprop.train.trainer import Trainer


class GradientLog(Callback):
    """Rows in `rows`: epoch, name (of the layer), grad_norm, weight_norm, update_ratio.

    grad_norm is the norm of the layer's gradient before clipping, and update_ratio
    |change of the weights| / |weights| in a step; both are means over the batches of the epoch.
    A ratio near 1e-3 is usual; one far above it is a learning rate too high for that layer, one
    far below it a layer that hardly learns.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.sums: dict[str, list[float]] = {}  # layer: [grad_norm, update_ratio, batches]
        self._before: dict[str, list[tuple[Any, np.ndarray]]] = {}

    def on_fit_start(self, trainer: Trainer) -> None:
        self.rows, self.sums = [], {}

    def on_backward_end(self, trainer: Trainer) -> None:
        gradients: dict[str, list[np.ndarray]] = {}
        self._before = {}
        for layer, p in layers(trainer.model):
            if p.grad is not None:
                gradients.setdefault(layer, []).append(p.grad.detach().numpy())
                self._before.setdefault(layer, []).append((p, p.detach().numpy().copy()))
        for layer, found in gradients.items():
            sums = self.sums.setdefault(layer, [0.0, 0.0, 0])
            sums[0] += norm(found)
            sums[2] += 1

    def on_batch_end(self, trainer: Trainer) -> None:
        for layer, weights in self._before.items():
            size = norm([before for _, before in weights])
            change = norm([p.detach().numpy() - before for p, before in weights])
            self.sums[layer][1] += change / size if size else 0.0

    def on_epoch_end(self, trainer: Trainer) -> None:
        weights: dict[str, list[np.ndarray]] = {}
        for layer, p in layers(trainer.model):
            weights.setdefault(layer, []).append(p.detach().numpy())
        for layer, (gradient, ratio, batches) in self.sums.items():
            self.rows.append(
                {
                    "epoch": trainer.epoch,
                    "name": layer,
                    "grad_norm": gradient / batches,
                    "weight_norm": norm(weights[layer]),
                    "update_ratio": ratio / batches,
                }
            )
        self.sums = {}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.sums = state["rows"], state["sums"]


def layers(model: Any) -> Iterator[tuple[str, Any]]:
    """(layer, parameter): `fc.weight` and `fc.bias` are of `fc`, the model's own of its class."""
    for name, parameter in model.named_parameters():
        yield name.rpartition(".")[0] or type(model).__name__, parameter


def norm(arrays: list[np.ndarray]) -> float:
    """The 2-norm of all elements together."""
    return math.sqrt(sum(float(np.vdot(a, a)) for a in arrays))
