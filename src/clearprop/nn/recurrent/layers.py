"""RNN, LSTM and GRU over whole sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.errors import ShapeError
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module
from clearprop.nn.recurrent import sweep
from clearprop.nn.utils.rnn import PackedSequence, runs_of
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import here
from clearprop.ops.movement import reshape_to

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class RNNBase(Module):
    """What RNN, LSTM and GRU share: weights of all layers and directions, the way through time."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = dropout, bidirectional, proj_size
        self._check_options()
        width = proj_size or hidden_size
        rows = GATES[mode] * hidden_size
        for layer in range(num_layers):
            inside = input_size if layer == 0 else width * (1 + bidirectional)
            shapes = {
                "weight_ih": (rows, inside),
                "weight_hh": (rows, width),
                **({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}),
                **({"weight_hr": (proj_size, hidden_size)} if proj_size else {}),
            }
            for suffix in self._suffixes(layer):
                for name, shape in shapes.items():
                    empty = ops.empty(shape, dtype=dtype, device=device)
                    self.register_parameter(name + suffix, Parameter(empty))
        self.reset_parameters()

    def _check_options(self) -> None:
        name, p = type(self).__name__, self.dropout
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise ValueError(
                f"{name}: dropout should be a number in range [0, 1] representing the probability"
                f" of an element being zeroed, got {p!r}"
            )
        if p > 0 and self.num_layers == 1:
            warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero"
                f" dropout expects num_layers greater than 1, but got dropout={p} and"
                " num_layers=1"
            )
        if not isinstance(self.hidden_size, int):
            raise TypeError(
                f"{name}: hidden_size should be of type int, got: {type(self.hidden_size).__name__}"
            )
        for option in ("hidden_size", "num_layers"):
            if getattr(self, option) <= 0:
                raise ValueError(f"{name}: {option} must be greater than zero")
        if self.proj_size < 0:
            raise ValueError(
                f"{name}: proj_size should be a positive integer or zero to disable projections"
            )
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"{name}: proj_size has to be smaller than hidden_size")

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def reset_parameters(self) -> None:
        """U(-1/sqrt(hidden_size), 1/sqrt(hidden_size)) everywhere."""
        bound = 1 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: there is no GPU whose library would want the weights in one piece."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [
            [self._parameters[n + suffix] for n in names if n + suffix in self._parameters]  # type: ignore[misc]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    # ------------------------------------------------------------------ checks
    def check_input(self, input: Tensor) -> None:
        """Errors for an input of another dtype or width than the layer's."""
        weight = self._parameters["weight_ih_l0"]
        assert weight is not None
        if input.dtype is not weight.dtype:
            raise ValueError(
                f"{type(self).__name__}: RNN input dtype ({input.dtype}) does not match weight"
                f" dtype ({weight.dtype}). Convert input: input.to({weight.dtype}), or convert"
                f" model: model.to({input.dtype}){here()}"
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: input.size(-1) must be equal to input_size. Expected"
                f" {self.input_size}, got {input.shape[-1]}: the input is {input.aval}{here()}"
            )

    def _state(self, given: Tensor | None, width: int, what: str, like: Tensor, n: int) -> Tensor:
        """The first hidden state (layers, n, width): the given one, checked, or zeros."""
        wanted = (self.num_layers * (1 + self.bidirectional), n, width)
        if given is None:
            return ops.zeros(wanted, dtype=like.dtype)
        if given.shape != wanted:
            raise ShapeError(
                f"{type(self).__name__}: Expected {what} size {wanted}, got"
                f" {list(given.shape)}{here()}"
            )
        return given

    # ------------------------------------------------------------------ the way through time
    def _start(self, hx: Any, like: Tensor, n: int) -> list[Tensor]:
        return [self._state(hx, self.hidden_size, "hidden", like, n)]

    def _rank(self, hx: Any, ndim: int, batched: bool) -> None:
        states = hx if isinstance(hx, tuple | list) else (hx,)
        if all(s.ndim == ndim for s in states):
            return
        kind = "batched 3-D" if batched else "unbatched 2-D"
        if len(states) == 1:
            got, names, noun = f"{states[0].ndim}-D", "hx", "tensor"
        else:
            got = f"({', '.join(f'{s.ndim}-D' for s in states)})"
            names, noun = "hx and cx", "tensors"
        raise ShapeError(
            f"{type(self).__name__}: For {kind} input, {names} should also be {ndim}-D but got"
            f" {got} {noun}{here()}"
        )

    def _sweep(self, x: Tensor, state: list[Tensor], suffix: str, runs: Any, back: bool) -> Any:
        """One layer in one direction: (h of all steps, last state, ...)."""
        raise NotImplementedError

    def _parts(self, suffix: str) -> list[Any]:
        get = self._parameters.get
        return [get(n + suffix) for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def _through(self, x: Tensor, state: list[Tensor], runs: Any) -> tuple[Tensor, list[Tensor]]:
        """All layers: x (rows of all steps, width) and the last states (layers, n, width)."""
        last: list[list[Tensor]] = [[] for _ in state]
        at = 0
        for layer in range(self.num_layers):
            ways = []
            for suffix in self._suffixes(layer):
                begin = [s[at] for s in state]  # type: ignore[index]
                y, *ends = self._sweep(x, begin, suffix, runs, suffix.endswith("_reverse"))
                ways.append(y)
                for ended, end in zip(last, ends, strict=True):
                    ended.append(end)
                at += 1
            x = ways[0] if len(ways) == 1 else ops.cat(ways, 1)
            if layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, [ops.stack(ends) for ends in last]

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        name = type(self).__name__
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead: it is"
                f" {input.aval}{here()}"
            )
        batched = input.ndim == 3
        self.check_input(input)
        if hx is not None:
            self._rank(hx, 3 if batched else 2, batched)
        x = input if batched else ops.unsqueeze(input, 1)
        if batched and self.batch_first:
            x = ops.transpose(x, 0, 1)
        times, n = x.shape[:2]
        if not times:
            raise ShapeError(
                f"{name}: Expected sequence length to be larger than 0 in RNN, the input is"
                f" {input.aval}{here()}"
            )
        if hx is not None and not batched:
            hx = _each(hx, lambda s: ops.unsqueeze(s, 1))
        rows = reshape_to(ops.contiguous(x), (times * n, x.shape[2]))
        y, last = self._through(rows, self._start(hx, rows, n), ((n, times),))
        y = reshape_to(y, (times, n, y.shape[1]))
        if not batched:
            return ops.squeeze(y, 1), self._joined([ops.squeeze(s, 1) for s in last])
        return (ops.transpose(y, 0, 1) if self.batch_first else y), self._joined(last)

    def _packed(self, packed: PackedSequence, hx: Any) -> Any:
        self.check_input(packed.data)
        runs = runs_of(packed)
        n = runs[0][0]
        order, back = packed.sorted_indices, packed.unsorted_indices
        if hx is not None and order is not None:
            hx = _each(hx, lambda s: ops.index_select(s, 1, order))
        y, last = self._through(packed.data, self._start(hx, packed.data, n), runs)
        if back is not None:
            last = [ops.index_select(s, 1, back) for s in last]
        return PackedSequence(y, packed.batch_sizes, order, back), self._joined(last)

    def _joined(self, last: list[Tensor]) -> Any:
        return last[0]

    def extra_repr(self) -> str:
        options = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        shown = [
            f"{name}={getattr(self, name)}"
            for name, usual in options.items()
            if getattr(self, name) != usual
        ]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *shown])


def _each(hx: Any, f: Any) -> Any:
    return tuple(map(f, hx)) if isinstance(hx, tuple | list) else f(hx)


def _projected(x: Tensor, weight: Tensor, *biases: Tensor | None) -> Tensor:
    """x W^T + the sum of the biases."""
    given = [b for b in biases if b is not None]
    return F.linear(x, weight, sum(given[1:], given[0]) if given else None)


class RNN(RNNBase):
    """h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh) (Elman 1990); relu instead of tanh with
    nonlinearity='relu'. Input (T, N, in), (N, T, in) with batch_first, (T, in), or packed.

    Returns (h of all steps, of the last layer (T, N, D * hidden); last h of all layers (D * layers,
    N, hidden)), D = 2 if bidirectional. All weights start as U(+-1/sqrt(hidden)).

    >>> import clearprop as cp
    >>> y, h = cp.nn.RNN(3, 5, num_layers=2)(cp.zeros(7, 4, 3))
    >>> y.shape, h.shape
    ((7, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNN: Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        _no_projection("RNN", proj_size)
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first,
            dropout, bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _sweep(self, x: Tensor, state: list[Tensor], suffix: str, runs: Any, back: bool) -> Any:
        w, u, b, c = self._parts(suffix)
        layer = sweep.RNN_RELU if self.mode == "RNN_RELU" else sweep.RNN_TANH
        return layer(_projected(x, w, b, c), u, *state, runs=runs, reverse=back)


def _no_projection(name: str, proj_size: int) -> None:
    if proj_size:
        raise ValueError(f"{name}: proj_size argument is only supported for LSTM, not RNN or GRU")


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997), with a = x_t W_ih^T + b_ih + h W_hh^T
    + b_hh: i, f, o = sigmoid(a_i, a_f, a_o), g = tanh(a_g); c_t = f c_{t-1} + i g;
    h_t = o tanh(c_t), with proj_size times W_hr^T. Weights hold the gates in the order i, f, g, o.
    Input as for RNN; returns (h of all steps, (last h, last c)).

    >>> import clearprop as cp
    >>> y, (h, c) = cp.nn.LSTM(3, 5, bidirectional=True, batch_first=True)(cp.zeros(4, 7, 3))
    >>> y.shape, h.shape, c.shape
    ((4, 7, 10), (2, 4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def _start(self, hx: Any, like: Tensor, n: int) -> list[Tensor]:
        h, c = (None, None) if hx is None else _pair(hx)
        return [
            self._state(h, self.proj_size or self.hidden_size, "hidden[0]", like, n),
            self._state(c, self.hidden_size, "hidden[1]", like, n),
        ]

    def _rank(self, hx: Any, ndim: int, batched: bool) -> None:
        super()._rank(_pair(hx), ndim, batched)

    def _sweep(self, x: Tensor, state: list[Tensor], suffix: str, runs: Any, back: bool) -> Any:
        w, u, b, c = self._parts(suffix)
        down = self._parameters.get("weight_hr" + suffix)
        a = _projected(x, w, b, c)
        if down is None:
            return sweep.LSTM(a, u, *state, runs=runs, reverse=back)
        return sweep.LSTM_PROJECTED(a, u, *state, down, runs=runs, reverse=back)

    def _joined(self, last: list[Tensor]) -> Any:
        return last[0], last[1]


def _pair(hx: Any) -> Sequence[Tensor]:
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        raise IndexError(
            "LSTM: the state is a tuple (h, c) of two Tensors, got"
            f" {type(hx).__name__}: write lstm(x, (h, c)){here()}"
        )
    return hx


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014): r, z = sigmoid(W_i x + b_i + W_h h + b_h) for r and
    z; n = tanh(W_in x + b_in + r (W_hn h + b_hn)); h_t = (1 - z) n + z h_{t-1}. Weights hold the
    gates in the order r, z, n. Input and results as for RNN.

    >>> import clearprop as cp
    >>> y, h = cp.nn.GRU(3, 5)(cp.zeros(7, 3))
    >>> y.shape, h.shape
    ((7, 5), (1, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: int = 0,
    ) -> None:
        _no_projection("GRU", proj_size)
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            0, device, dtype,
        )  # fmt: skip

    def _sweep(self, x: Tensor, state: list[Tensor], suffix: str, runs: Any, back: bool) -> Any:
        w, u, b, c = self._parts(suffix)
        if c is None:
            c = ops.zeros(3 * self.hidden_size, dtype=x.dtype)
        return sweep.GRU(_projected(x, w, b), u, *state, c, runs=runs, reverse=back)
