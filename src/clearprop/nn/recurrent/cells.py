"""One time step: RNNCell, LSTMCell, GRUCell."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.errors import ShapeError
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module
from clearprop.nn.recurrent import sweep
from clearprop.ops.broadcasting import here


class RNNCellBase(Module):
    """What the cells share: their weights, and the checks of their inputs."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        kind = {"dtype": dtype, "device": device}
        self.weight_ih = Parameter(ops.empty(rows, input_size, **kind))
        self.weight_hh = Parameter(ops.empty(rows, hidden_size, **kind))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(ops.empty(rows, **kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)) everywhere."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _rows(self, input: Tensor, states: Any) -> tuple[Tensor, list[Tensor]]:
        """Input and states with a batch axis; zeros where no state is given."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead: it is"
                f" {input.aval}{here()}"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: input has inconsistent input_size: got {input.shape[-1]} expected"
                f" {self.input_size}: the input is {input.aval}{here()}"
            )
        x = input if input.ndim == 2 else ops.unsqueeze(input, 0)
        out = []
        for i, state in enumerate(states):
            if state is None:
                out.append(ops.zeros(x.shape[0], self.hidden_size, dtype=x.dtype))
                continue
            if state.ndim not in (1, 2):
                raise ValueError(
                    f"{name}: Expected hidden to be 1D or 2D, got {state.ndim}D instead{here()}"
                )
            h = state if input.ndim == 2 else ops.unsqueeze(state, 0)
            if h.shape[-1] != self.hidden_size or h.ndim != 2:
                got = h.shape[1]
                raise ShapeError(
                    f"{name}: hidden{i} has inconsistent hidden_size: got {got}, expected"
                    f" {self.hidden_size}: the state is {state.aval}{here()}"
                )
            if h.shape[0] != x.shape[0]:
                raise ShapeError(
                    f"{name}: Input batch size {x.shape[0]} doesn't match hidden{i} batch size"
                    f" {h.shape[0]}{here()}"
                )
            out.append(h)
        return x, out

    def _projected(self, x: Tensor, both: bool) -> Tensor:
        bias = self.bias_ih
        if both and bias is not None:
            bias = bias + self.bias_hh
        return F.linear(x, self.weight_ih, bias)

    def extra_repr(self) -> str:
        shown = [f"{self.input_size}, {self.hidden_size}"]
        if not self.bias:
            shown.append("bias=False")
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            shown.append(f"nonlinearity={self.nonlinearity}")
        return ", ".join(shown)


def _once(x: Tensor) -> dict[str, Any]:
    return {"runs": ((x.shape[0], 1),), "reverse": False}


class RNNCell(RNNCellBase):
    """h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh); relu instead of tanh with nonlinearity='relu'.
    x: (N, in) or (in), h: (N, hidden) or (hidden), zeros if not given.

    >>> import clearprop as cp
    >>> cp.nn.RNNCell(3, 5)(cp.zeros(4, 3)).shape
    (4, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        if self.nonlinearity not in ("tanh", "relu"):
            raise ShapeError(f"RNNCell: Unknown nonlinearity: {self.nonlinearity}{here()}")
        x, state = self._rows(input, (hx,))
        cell = sweep.RNN_RELU if self.nonlinearity == "relu" else sweep.RNN_TANH
        _, h = cell(self._projected(x, True), self.weight_hh, *state, **_once(x))
        return h if input.ndim == 2 else ops.squeeze(h, 0)


class LSTMCell(RNNCellBase):
    """One step of LSTM: (x, (h, c)) -> (h', c'); the state is zeros if not given.

    >>> import clearprop as cp
    >>> h, c = cp.nn.LSTMCell(3, 5)(cp.zeros(4, 3))
    >>> h.shape, c.shape
    ((4, 5), (4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        if hx is not None and not isinstance(hx, tuple | list):
            raise TypeError(
                "LSTMCell: lstm_cell(): argument 'hx' (position 2) must be tuple of Tensors, not"
                f" {type(hx).__name__}: write cell(x, (h, c)){here()}"
            )
        x, state = self._rows(input, (None, None) if hx is None else hx)
        _, h, c = sweep.LSTM(self._projected(x, True), self.weight_hh, *state, **_once(x))
        return (h, c) if input.ndim == 2 else (ops.squeeze(h, 0), ops.squeeze(c, 0))


class GRUCell(RNNCellBase):
    """One step of GRU: (x, h) -> h'; the state is zeros if not given.

    >>> import clearprop as cp
    >>> cp.nn.GRUCell(3, 5)(cp.zeros(3)).shape
    (5,)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, state = self._rows(input, (hx,))
        b = self.bias_hh
        if b is None:
            b = ops.zeros(3 * self.hidden_size, dtype=x.dtype)
        a = self._projected(x, False)
        _, h = sweep.GRU(a, self.weight_hh, *state, b, **_once(x))
        return h if input.ndim == 2 else ops.squeeze(h, 0)
