"""Activations by name, and the multi-layer perceptron over scikit-learn's `coefs_`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop import nn, ops
from clearprop.core import Parameter, Tensor
from clearprop.errors import did_you_mean
from clearprop.nn import functional as F

Function = Callable[[Tensor], Tensor]

# fmt: off
ACTIVATIONS: dict[str, Function] = {
    "identity": lambda x: x, "logistic": ops.sigmoid, "tanh": ops.tanh, "relu": ops.relu,
    "leaky_relu": F.leaky_relu, "elu": F.elu, "selu": F.selu, "gelu": F.gelu, "silu": F.silu,
    "softplus": F.softplus,
}
OUTPUT_ACTIVATIONS: dict[str, Function] = {
    **ACTIVATIONS, "softmax": lambda x: ops.softmax(x, 1), "exp": ops.exp,
}
# fmt: on


def function_of(given: Any, known: dict[str, Function], what: str) -> Function:
    """An activation by name; a function or module as it is.

    Errors: a name that is not known (ValueError), another kind of object (TypeError).
    """
    if isinstance(given, str):
        if given not in known:
            raise ValueError(
                f"{what}: there is no activation {given!r}{did_you_mean(given, known)}; there are"
                f" {', '.join(known)}, or give a function of a tensor"
            )
        return known[given]
    if not callable(given):
        raise TypeError(f"{what}: wants a name or a function, got {type(given).__name__}")
    function: Function = given
    return function


class Perceptron(nn.Module):
    """h = dropout(activation(h W + b)) layer by layer, and h W + b at the end; W: (in, out).

    The parameters lie in the memory of the arrays that are given.
    """

    def __init__(
        self,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        activations: Sequence[Function],
        dropout: Sequence[float],
    ) -> None:
        super().__init__()
        self.layers = len(coefs)
        for i, (c, b) in enumerate(zip(coefs, intercepts, strict=True)):
            self.register_parameter(f"coef{i}", Parameter(ops.from_numpy(c)))
            self.register_parameter(f"intercept{i}", Parameter(ops.from_numpy(b)))
        self.activations = tuple(activations)
        self.dropout = tuple(dropout)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, (w_out, b_out) = zip(self.coefs, self.intercepts, strict=True)
        for (w, b), activation, p in zip(hidden, self.activations, self.dropout, strict=True):
            x = F.dropout(activation(x @ w + b), p, self.training)
        return x @ w_out + b_out

    @property
    def coefs(self) -> list[Tensor]:
        """The weights W, layer by layer."""
        return [getattr(self, f"coef{i}") for i in range(self.layers)]

    @property
    def intercepts(self) -> list[Tensor]:
        """The biases b."""
        return [getattr(self, f"intercept{i}") for i in range(self.layers)]

    @property
    def arrays(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Weights and biases as they are now."""
        return [w.value for w in self.coefs], [b.value for b in self.intercepts]
