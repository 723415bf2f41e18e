"""A recurrent layer's way through time as one primitive, and its derivative as another.

In eager mode each is one kernel: a few NumPy calls per step, and one matrix product for the weights
of all steps. Where derivatives of derivatives are wanted, the sweep is run again in ops and
differentiated by the tape.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.autograd import Function, enable_grad, grad
from clearprop.core import (
    Aval,
    Composed,
    Example,
    Primitive,
    Tensor,
    apply_many,
    float64,
    local,
    primitive,
)
from clearprop.nn.recurrent import kernels as on_arrays
from clearprop.nn.recurrent import steps
from clearprop.nn.recurrent.calculus import Arrays, Tensors


@dataclass(frozen=True)
class Sweep:
    """A primitive, the primitive of its derivative, and how many of its results are for users: the
    others are kept for the derivative. `function` is the sweep in ops.
    """

    forward: Primitive
    backward: Primitive
    function: Callable[..., Any]
    results: int

    def __call__(self, *inputs: Tensor, **params: Any) -> tuple[Tensor, ...]:
        return _Run.apply(self, params, *inputs)  # type: ignore[no-any-return]


class _Run(Function):
    """The sweep with its derivative."""

    @staticmethod
    def forward(ctx: Any, sweep: Sweep, params: dict[str, Any], *inputs: Tensor) -> Any:
        outs = apply_many(sweep.forward, *inputs, **params)
        ctx.sweep, ctx.params = sweep, params
        kept = (outs[0], *outs[sweep.results :])  # hidden states, and what is no result
        ctx.save_for_backward(*inputs, *kept)
        return outs[: sweep.results]

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> Any:
        sweep, params = ctx.sweep, ctx.params
        n = sweep.forward.arity
        inputs, kept = ctx.saved_tensors[:n], ctx.saved_tensors[n:]
        if local.c.grad:
            wanted = ctx.needs_input_grad[2:]
            return None, None, *_again(sweep, params, inputs, wanted, gs)
        return None, None, *apply_many(sweep.backward, *gs, *kept, *inputs, **params)


def _again(sweep: Sweep, params: Any, inputs: Any, wanted: Any, gs: Any) -> list[Tensor | None]:
    """The cotangents of the inputs, recorded."""
    with enable_grad():
        outs = sweep.function(*inputs, **params)[: sweep.results]
        xs = [x for x, w in zip(inputs, wanted, strict=True) if w]
        found = iter(grad(outs, xs, gs, create_graph=True, materialize_grads=True))
    return [next(found) if w else None for w in wanted]


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


def _entry(
    name: str,
    doc: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    shape: Callable[..., Any],
    results: int,
    inputs: tuple[Aval, ...],
    kernels: tuple[Callable[..., Any], Callable[..., Any]] | None = None,
) -> Sweep:
    """Both primitives of one kind of layer. `inputs`: an example, of five rows in three steps of
    two, two and one.
    """
    outs = shape(*inputs)
    kept = (outs[0], *outs[results:])
    examples = [
        {"runs": ((2, 2), (1, 1)), "reverse": False},
        {"runs": ((2, 2), (1, 1)), "reverse": True},
    ]
    if kernels is None:
        kernels = functools.partial(forward, Arrays), functools.partial(backward, Arrays)
    arity, function = len(inputs), functools.partial(forward, Tensors)
    return Sweep(
        primitive(
            name,
            doc=f"{doc}: the states of all steps, the last ones, and what the derivative needs.",
            eager=_on_rows(kernels[0]),
            shape=lambda *avals, **_: shape(*avals),
            vjp=(None,) * arity,
            lower=Composed(function),
            outputs=len(outs),
            examples=[Example(inputs, p) for p in examples],
        ),
        primitive(
            f"{name}_back",
            doc=f"The derivative of {name}: the cotangents of its inputs.",
            eager=_on_rows(kernels[1]),
            shape=lambda *avals, **_: avals[-arity:],
            vjp=(None,) * (results + len(kept) + arity),
            lower=Composed(functools.partial(backward, Tensors)),
            outputs=arity,
            examples=[Example((*outs[:results], *kept, *inputs), p) for p in examples],
        ),
        function,
        results,
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
    return y, h0, c0, x, c


def _rnn_shape(x: Aval, w: Aval, h0: Aval) -> tuple[Aval, ...]:
    return x, h0


def _gru_shape(x: Aval, w: Aval, h0: Aval, b: Aval) -> tuple[Aval, ...]:
    n, k = x.shape[0], h0.shape[1]
    return Aval((n, k), x.dtype), h0, Aval((n, 4 * k), x.dtype)


def _rnn(name: str, relu: bool) -> Sweep:
    return _entry(
        f"rnn_{name}",
        f"Elman's layer through time, h = {name}(x + h W^T)",
        functools.partial(steps.rnn, relu=relu),
        functools.partial(steps.rnn_back, relu=relu),
        _rnn_shape,
        2,
        (_f(5, 3), _f(3, 3), _f(2, 3)),
    )


def _lstm(name: str, doc: str, inputs: tuple[Aval, ...]) -> Sweep:
    kernels = on_arrays.lstm, on_arrays.lstm_back
    return _entry(name, doc, steps.lstm, steps.lstm_back, _lstm_shape, 3, inputs, kernels)


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
GRU = _entry(
    "gru",
    "Gated recurrent units through time",
    steps.gru,
    steps.gru_back,
    _gru_shape,
    2,
    (_f(5, 9), _f(9, 3), _f(2, 3), _f(9)),
)
