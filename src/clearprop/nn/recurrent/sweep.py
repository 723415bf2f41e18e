"""A recurrent layer's way through time as one primitive, and its derivative as another. In eager
mode each is one kernel: a few NumPy calls per step, and one matrix product for the weights of all
steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import Aval, float64
from clearprop.nn.composed import Pair, pair
from clearprop.nn.recurrent import kernels as on_arrays
from clearprop.nn.recurrent import steps
from clearprop.nn.recurrent.calculus import Arrays, Tensors

# examples of five rows in three steps of two, two and one
_WAYS = [{"runs": ((2, 2), (1, 1)), "reverse": reverse} for reverse in (False, True)]


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


def _sweep(
    name: str,
    doc: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    shape: Callable[..., Any],
    results: int,
    inputs: tuple[Aval, ...],
    kernels: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
) -> Pair:
    """Both primitives of one kind of layer; the derivative gets the states of all steps, and what
    is no result.
    """
    if kernels is None:
        kernels = functools.partial(forward, Arrays), functools.partial(backward, Arrays)
    n = len(shape(*inputs))
    return pair(
        name,
        doc=f"{doc}: the states of all steps, the last ones, and what the derivative needs.",
        kernels=(_on_rows(kernels[0]), _on_rows(kernels[1])),
        functions=(functools.partial(forward, Tensors), functools.partial(backward, Tensors)),
        shape=lambda *avals, **_: shape(*avals),
        results=results,
        keeps=(0, *range(results, n)),
        inputs=inputs,
        params=_WAYS,
    )


def _on_rows(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel on arrays whose rows lie in memory one after the other (a cotangent that repeats
    one number does not).
    """

    def run(*arrays: np.ndarray, **params: Any) -> Any:
        return kernel(*map(np.ascontiguousarray, arrays), **params)

    return run


def _lstm_shape(x: Aval, w: Aval, h0: Aval, c0: Aval, *hr: Aval) -> tuple[Aval, ...]:
    n = x.shape[0]
    y, c = Aval((n, h0.shape[1]), x.dtype), Aval((n, c0.shape[1]), x.dtype)
    return y, h0, c0, Aval((4 * n, c0.shape[1]), x.dtype), c


def _rnn_shape(x: Aval, w: Aval, h0: Aval) -> tuple[Aval, ...]:
    return x, h0


def _gru_shape(x: Aval, w: Aval, h0: Aval, b: Aval) -> tuple[Aval, ...]:
    n, k = x.shape[0], h0.shape[1]
    return Aval((n, k), x.dtype), h0, Aval((n, 4 * k), x.dtype)


def _rnn(name: str, relu: bool) -> Pair:
    return _sweep(
        f"rnn_{name}",
        f"Elman's layer through time, h = {name}(x + h W^T)",
        functools.partial(steps.rnn, relu=relu),
        functools.partial(steps.rnn_back, relu=relu),
        _rnn_shape,
        2,
        (_f(5, 3), _f(3, 3), _f(2, 3)),
    )


def _lstm(name: str, doc: str, inputs: tuple[Aval, ...]) -> Pair:
    kernels = on_arrays.lstm, on_arrays.lstm_back
    return _sweep(name, doc, steps.lstm, steps.lstm_back, _lstm_shape, 3, inputs, kernels)


RNN_TANH, RNN_RELU = _rnn("tanh", False), _rnn("relu", True)
LSTM = _lstm(
    "lstm",
    "A long short-term memory through time",
    (_f(5, 12), _f(12, 3), _f(2, 3), _f(2, 3)),
)
LSTM_PROJECTED = _lstm(
    "lstm_projected",
    "A long short-term memory with projected output",
    (_f(5, 12), _f(12, 2), _f(2, 2), _f(2, 3), _f(2, 3)),
)
GRU = _sweep(
    "gru",
    "Gated recurrent units through time",
    steps.gru,
    steps.gru_back,
    _gru_shape,
    2,
    (_f(5, 9), _f(9, 3), _f(2, 3), _f(9)),
)
