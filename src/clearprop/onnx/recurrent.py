"""LSTM, GRU and RNN of ONNX, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop import ops
from clearprop.onnx.operators import Node, operator, static, tensor

USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "Sigmoid": ops.sigmoid, "Tanh": ops.tanh, "Relu": ops.relu,
}  # fmt: skip
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@operator("LSTM", "GRU", "RNN")
def _recurrent(
    node: Node, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, h0: Any = None,
    c0: Any = None, peep: Any = None,
) -> Any:  # fmt: skip
    x, w, r = tensor(x), tensor(w), tensor(r)
    batch_first = node.get("layout", 0)
    if batch_first:
        x = x.transpose(0, 1)
        h0, c0 = (None if s is None else tensor(s).transpose(0, 1) for s in (h0, c0))
    time, n, _ = x.shape
    if lengths is not None and (static(node, lengths) != time).any():
        raise node.refuse("sequences of several lengths are not supported")
    if peep is not None or node.get("clip") is not None or node.get("input_forget", 0):
        raise node.refuse("peepholes, clip and input_forget are not supported")
    direction = node.get("direction", b"forward").decode()
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(direction)
    names = [s.decode() for s in node.get("activations", [])] or [*USUAL[node.kind]] * w.shape[0]
    if ways is None or len(ways) != w.shape[0] or any(s not in ACTIVATIONS for s in names):
        raise node.refuse(f"direction {direction!r} with activations {names} is not supported")
    size, per = r.shape[-1], len(names) // len(ways)
    outs, last, cells = [], [], []
    for d, backwards in enumerate(ways):
        f = [ACTIVATIONS[s] for s in names[d * per : (d + 1) * per]]
        zero = ops.zeros(n, size, dtype=x.dtype)
        h = zero if h0 is None else tensor(h0)[d]
        c = zero if c0 is None else tensor(c0)[d]
        bias = ops.zeros(2 * GATES[node.kind] * size, dtype=x.dtype) if b is None else tensor(b)[d]
        wb, rb = bias[: GATES[node.kind] * size], bias[GATES[node.kind] * size :]
        steps: list[Any] = [None] * time
        for t in range(time)[:: -1 if backwards else 1]:
            h, c = STEPS[node.kind](node, f, x[t], h, c, w[d], r[d], wb, rb)
            steps[t] = h
        outs.append(ops.stack(steps))
        last.append(h)
        cells.append(c)
    y, h, c = ops.stack(outs, 1), ops.stack(last), ops.stack(cells)
    if batch_first:
        y, h, c = y.permute(2, 0, 1, 3), h.transpose(0, 1), c.transpose(0, 1)
    return (y, h, c) if node.kind == "LSTM" else (y, h)


def _lstm(node: Node, f: Any, x: Any, h: Any, c: Any, w: Any, r: Any, wb: Any, rb: Any) -> Any:
    i, o, g, m = (x @ w.mT + h @ r.mT + (wb + rb)).chunk(4, -1)
    c = f[0](g) * c + f[0](i) * f[1](m)
    return f[0](o) * f[2](c), c


def _gru(node: Node, f: Any, x: Any, h: Any, c: Any, w: Any, r: Any, wb: Any, rb: Any) -> Any:
    size = h.shape[-1]
    a, wh = x @ w.mT + wb, r[2 * size :]
    z, reset = f[0](a[:, : 2 * size] + h @ r[: 2 * size].mT + rb[: 2 * size]).chunk(2, -1)
    if node.get("linear_before_reset", 0):
        new = f[1](a[:, 2 * size :] + reset * (h @ wh.mT + rb[2 * size :]))
    else:
        new = f[1](a[:, 2 * size :] + (reset * h) @ wh.mT + rb[2 * size :])
    return (1 - z) * new + z * h, c


def _rnn(node: Node, f: Any, x: Any, h: Any, c: Any, w: Any, r: Any, wb: Any, rb: Any) -> Any:
    return f[0](x @ w.mT + h @ r.mT + (wb + rb)), c


STEPS = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
