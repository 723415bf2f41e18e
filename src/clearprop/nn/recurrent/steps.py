"""The formulas of the recurrent layers: a whole sweep through time, and its derivative by hand.

A sweep gets the projections x W_ih^T + b of all time steps, one step's rows below the other's:
`runs` = ((rows, times), ...) says how many rows each step has, which may shrink (packed sequences).
Everything is written in a calculus (arrays or tensors).

    RNN   h = act(x + h W^T)
    LSTM  i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of x + h W^T;  c = f c + i g;  h = o tanh(c),
          then h W_hr^T with a projection
    GRU   r, z = sigmoid(x + h W^T + b);  n = tanh(x + r (h W^T + b));  h = n + z (h - n)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.nn.recurrent.calculus import Calculus

Runs = tuple[tuple[int, int], ...]
Span = tuple[int, int]  # the rows of one time step


def spans(runs: Runs, reverse: bool) -> list[Span]:
    """The rows of every time step, in the order in which the sweep meets them."""
    out, start = [], 0
    for rows, times in runs:
        for _ in range(times):
            out.append((start, start + rows))
            start += rows
    return out[::-1] if reverse else out


def _fit(m: Calculus, state: Any, rows: int, initial: Any, ended: list[Any]) -> Any:
    """The state with so many rows: more begin with what `initial` says, what is over goes to
    `ended`.
    """
    now = state.shape[0]
    if now < rows:
        return m.below([state, m.rows(initial, now, rows)])
    if now > rows:
        ended.append(m.rows(state, rows, now))
        return m.rows(state, 0, rows)
    return state


def _start(m: Calculus, initial: Any, order: list[Span]) -> Any:
    return m.rows(initial, 0, order[0][1] - order[0][0])


def _finish(m: Calculus, state: Any, ended: list[Any]) -> Any:
    return m.below([state, *ended[::-1]])


def _in_time(parts: list[Any], reverse: bool) -> list[Any]:
    return parts[::-1] if reverse else parts


def before(m: Calculus, states: Any, initial: Any, order: list[Span]) -> list[Any]:
    """For every step in `order` the state that it began with; `states`: those after the steps."""
    out, state = [], _start(m, initial, order)
    for start, stop in order:
        state = _fit(m, state, stop - start, initial, [])
        out.append(state)
        state = m.rows(states, start, stop)
    return out


def gate_rows(dtype: np.dtype, hidden: int, kinds: str) -> tuple[np.ndarray, ...]:
    """Rows (half, width, shift, one, zero) for gates side by side, 's' sigmoid and 't' tanh: as
    sigmoid(x) = tanh(x/2)/2 + 1/2, all gates are width tanh(half x) + shift, and the derivative of
    y is y (one - y) + zero.
    """
    numbers = {"s": (0.5, 0.5, 0.5, 1, 0), "t": (1, 1, 0, 0, 1)}
    table = np.array([numbers[k] for k in kinds], dtype)
    return tuple(np.repeat(column, hidden)[None] for column in table.T)


# ---------------------------------------------------------------------- RNN
def rnn(m: Calculus, x: Any, w: Any, h0: Any, *, runs: Runs, reverse: bool, relu: bool) -> Any:
    """(h of all steps, last h)."""
    order, turned, ended = spans(runs, reverse), m.packed(m.turned(w)), []  # type: ignore[var-annotated]
    h, hs = _start(m, h0, order), []
    for start, stop in order:
        h = _fit(m, h, stop - start, h0, ended)
        a = m.rows(x, start, stop) + m.product(h, turned)
        h = m.relu(a) if relu else m.tanh(a)
        hs.append(h)
    return m.below(_in_time(hs, reverse)), _finish(m, h, ended)


def rnn_back(
    m: Calculus, gy: Any, gh: Any, y: Any, x: Any, w: Any, h0: Any,
    *, runs: Runs, reverse: bool, relu: bool,
) -> Any:  # fmt: skip
    """Cotangents of (x, w, h0)."""
    order, ended = spans(runs, reverse), []  # type: ignore[var-annotated]
    g, parts = _start(m, gh, order[::-1]), []
    for start, stop in order[::-1]:
        g = _fit(m, g, stop - start, gh, ended) + m.rows(gy, start, stop)
        now = m.rows(y, start, stop)
        a = m.where_positive(now, g) if relu else g * (1 - now * now)
        parts.append(a)
        g = m.product(a, w)
    gx = m.below(_in_time(parts, not reverse))
    hs = m.below(_in_time(before(m, y, h0, order), reverse))
    return gx, m.product(m.turned(gx), hs), _finish(m, g, ended)


# ---------------------------------------------------------------------- LSTM
def lstm(
    m: Calculus, x: Any, w: Any, h0: Any, c0: Any, hr: Any = None, *, runs: Runs, reverse: bool
) -> Any:
    """(h of all steps, last h, last c, gates of all steps, c of all steps): of a step with n rows n
    rows of i, then n of f, of g and of o.
    """
    order, turned, hidden = spans(runs, reverse), m.packed(m.turned(w)), c0.shape[1]
    down = None if hr is None else m.packed(m.turned(hr))
    rows = gate_rows(_numpy(x), hidden, "ssts")
    h, c = _start(m, h0, order), _start(m, c0, order)
    hs, cs, gates, ended = [], [], [], ([], [])  # type: ignore[var-annotated]
    for start, stop in order:
        h, c = (
            _fit(m, s, stop - start, s0, e)
            for s, s0, e in zip((h, c), (h0, c0), ended, strict=True)
        )
        a = m.rows(x, start, stop) + m.product(h, turned)
        gate = m.activated(a, *(m.row(v, a) for v in rows[:3]))
        i, f, g, o = (m.columns(gate, k * hidden, (k + 1) * hidden) for k in range(4))
        c = f * c + i * g
        h = o * m.tanh(c)
        if down is not None:
            h = m.product(h, down)
        hs.append(h)
        cs.append(c)
        gates.append(m.below([i, f, g, o]))
    y, all_gates, all_c = (m.below(_in_time(parts, reverse)) for parts in (hs, gates, cs))
    return y, _finish(m, h, ended[0]), _finish(m, c, ended[1]), all_gates, all_c


def lstm_back(
    m: Calculus, gy: Any, gh: Any, gc: Any, y: Any, gates: Any, cs: Any,
    x: Any, w: Any, h0: Any, c0: Any, hr: Any = None, *, runs: Runs, reverse: bool,
) -> Any:  # fmt: skip
    """Cotangents of (x, w, h0, c0), and of hr if there is one."""
    order = spans(runs, reverse)
    backwards, c_before = order[::-1], before(m, cs, c0, order)[::-1]
    g, d = _start(m, gh, backwards), _start(m, gc, backwards)
    ended: tuple[list[Any], list[Any]] = ([], [])
    parts, raw, g_all = [], [], []
    for (start, stop), last in zip(backwards, c_before, strict=True):
        g, d = (
            _fit(m, s, stop - start, s0, e)
            for s, s0, e in zip((g, d), (gh, gc), ended, strict=True)
        )
        g = g + m.rows(gy, start, stop)
        n, t = stop - start, m.tanh(m.rows(cs, start, stop))
        i, f, j, o = (m.rows(gates, 4 * start + k * n, 4 * start + (k + 1) * n) for k in range(4))
        if hr is not None:
            g_all.append(g)
            raw.append(o * t)
            g = m.product(g, hr)
        d = d + g * o * (1 - t * t)
        a_i, a_f, a_o = (
            v * y_now * (1 - y_now) for v, y_now in ((d * j, i), (d * last, f), (g * t, o))
        )
        a = m.beside([a_i, a_f, d * i * (1 - j * j), a_o])
        parts.append(a)
        d = d * f
        g = m.product(a, w)
    gx = m.below(_in_time(parts, not reverse))
    hs = m.below(_in_time(before(m, y, h0, order), reverse))
    out = gx, m.product(m.turned(gx), hs), _finish(m, g, ended[0]), _finish(m, d, ended[1])
    if hr is None:
        return out
    return *out, m.product(m.turned(m.below(g_all)), m.below(raw))


# ---------------------------------------------------------------------- GRU
def gru(m: Calculus, x: Any, w: Any, h0: Any, b: Any, *, runs: Runs, reverse: bool) -> Any:
    """(h of all steps, last h, r, z, n and h W_n^T + b_n of all steps side by side)."""
    order, turned, k = spans(runs, reverse), m.packed(m.turned(w)), h0.shape[1]
    rows = gate_rows(_numpy(x), k, "ss")
    h, hs, kept, ended = _start(m, h0, order), [], [], []  # type: ignore[var-annotated]
    for start, stop in order:
        h = _fit(m, h, stop - start, h0, ended)
        now, a = m.rows(x, start, stop), m.product(h, turned)
        a = a + m.row(b, a)
        rz = m.columns(now, 0, 2 * k) + m.columns(a, 0, 2 * k)
        rz = m.activated(rz, *(m.row(v, rz) for v in rows[:3]))
        r, z, inner = m.columns(rz, 0, k), m.columns(rz, k, 2 * k), m.columns(a, 2 * k, 3 * k)
        n = m.tanh(m.columns(now, 2 * k, 3 * k) + r * inner)
        h = n + z * (h - n)
        hs.append(h)
        kept.append(m.beside([rz, n, inner]))
    y, all_kept = (m.below(_in_time(parts, reverse)) for parts in (hs, kept))
    return y, _finish(m, h, ended), all_kept


def gru_back(
    m: Calculus, gy: Any, gh: Any, y: Any, kept: Any, x: Any, w: Any, h0: Any, b: Any,
    *, runs: Runs, reverse: bool,
) -> Any:  # fmt: skip
    """Cotangents of (x, w, h0, b)."""
    order, k = spans(runs, reverse), h0.shape[1]
    h_before = before(m, y, h0, order)
    g, ended = _start(m, gh, order[::-1]), []  # type: ignore[var-annotated]
    of_x, of_h = [], []
    for (start, stop), last in zip(order[::-1], h_before[::-1], strict=True):
        g = _fit(m, g, stop - start, gh, ended) + m.rows(gy, start, stop)
        now = m.rows(kept, start, stop)
        r, z, n, inner = (m.columns(now, i * k, (i + 1) * k) for i in range(4))
        rz = m.columns(now, 0, 2 * k)
        gn = g * (1 - z) * (1 - n * n)
        grz = m.beside([gn * inner, g * (last - n)]) * rz * (1 - rz)
        of_x.append(m.beside([grz, gn]))
        of_h.append(m.beside([grz, gn * r]))
        g = g * z + m.product(of_h[-1], w)
    gx, gs = (m.below(_in_time(parts, not reverse)) for parts in (of_x, of_h))
    hs = m.below(_in_time(h_before, reverse))
    return gx, m.product(m.turned(gs), hs), _finish(m, g, ended), m.total(gs)


def _numpy(x: Any) -> np.dtype:
    """NumPy's dtype of an array or a tensor."""
    found = getattr(x, "value", x).dtype
    return found  # type: ignore[no-any-return]
