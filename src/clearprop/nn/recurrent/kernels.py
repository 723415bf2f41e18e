"""The long short-term memory on arrays, with memory of its own for what every step needs: the same
formulas as in `steps`, half the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.nn.recurrent.calculus import Arrays
from clearprop.nn.recurrent.steps import Runs, _finish, _fit, _start, before, gate_rows, spans

KINDS = "ssts"  # i, f, g, o


def _tiled(x: np.ndarray, hidden: int, rows: int) -> list[np.ndarray]:
    """gate_rows, as often as a step has rows: quicker than a row for all of them."""
    return [np.repeat(v, rows, 0) for v in gate_rows(x.dtype, hidden, KINDS)]


def _gates(gate: np.ndarray, hidden: int) -> list[np.ndarray]:
    return [gate[:, k * hidden : (k + 1) * hidden] for k in range(4)]


def lstm(
    x: np.ndarray, w: np.ndarray, h0: np.ndarray, c0: np.ndarray, hr: Any = None,
    *, runs: Runs, reverse: bool,
) -> Any:  # fmt: skip
    """(h of all steps, last h, last c, gates of all steps, c of all steps)."""
    m, order, hidden = Arrays, spans(runs, reverse), c0.shape[1]
    half, width, shift, *_ = _tiled(x, hidden, len(c0))
    turned = m.packed(w.T)
    gates, cs = np.empty_like(x), np.empty((len(x), hidden), x.dtype)
    y = np.empty((len(x), h0.shape[1]), x.dtype)
    h, c = _start(m, h0, order), _start(m, c0, order)
    part, ended_h, ended_c = np.empty_like(c0), [], []  # type: ignore[var-annotated]
    for start, stop in order:
        h = _fit(m, h, stop - start, h0, ended_h)
        c = _fit(m, c, stop - start, c0, ended_c)
        gate, now, out = gates[start:stop], cs[start:stop], y[start:stop]
        np.matmul(h, turned, gate)
        gate += x[start:stop]
        n = stop - start
        gate *= half[:n]
        np.tanh(gate, gate)
        gate *= width[:n]
        gate += shift[:n]
        i, f, g, o = _gates(gate, hidden)
        product = part[:n]
        np.multiply(f, c, now)
        np.multiply(i, g, product)
        now += product
        if hr is None:
            np.tanh(now, out)
            out *= o
        else:
            np.tanh(now, product)
            product *= o
            np.matmul(product, hr.T, out)
        h, c = out, now
    return y, _finish(m, h, ended_h), _finish(m, c, ended_c), gates, cs


def lstm_back(
    gy: np.ndarray, gh: np.ndarray, gc: np.ndarray, y: np.ndarray, gates: np.ndarray,
    cs: np.ndarray, x: np.ndarray, w: np.ndarray, h0: np.ndarray, c0: np.ndarray, hr: Any = None,
    *, runs: Runs, reverse: bool,
) -> Any:  # fmt: skip
    """Cotangents of (x, w, h0, c0), and of hr if there is one."""
    m, order, hidden = Arrays, spans(runs, reverse), c0.shape[1]
    *_, one, zero = _tiled(x, hidden, len(c0))
    backwards, c_before = order[::-1], before(m, cs, c0, order)[::-1]
    g, d = _start(m, gh, backwards), _start(m, gc, backwards)
    gx = np.empty_like(x)
    slopes, tanhs = np.empty((len(c0), x.shape[1]), x.dtype), np.empty_like(c0)
    ended_h, ended_c, raw, g_all = [], [], [], []  # type: ignore[var-annotated]
    for (start, stop), last in zip(backwards, c_before, strict=True):
        n = stop - start
        g = _fit(m, g, n, gh, ended_h) + gy[start:stop]
        d = _fit(m, d, n, gc, ended_c)
        gate, a, slope, t = gates[start:stop], gx[start:stop], slopes[:n], tanhs[:n]
        i, f, j, o = _gates(gate, hidden)
        np.tanh(cs[start:stop], t)
        if hr is not None:
            g_all.append(g)
            raw.append(o * t)
            g = g @ hr
        a_i, a_f, a_j, a_o = _gates(a, hidden)
        np.multiply(g, t, a_o)
        np.multiply(t, t, t)
        np.subtract(1, t, t)
        t *= o
        t *= g
        d = d + t
        np.multiply(d, j, a_i)
        np.multiply(d, last, a_f)
        np.multiply(d, i, a_j)
        np.subtract(one[:n], gate, slope)
        slope *= gate
        slope += zero[:n]
        a *= slope
        d *= f
        g = a @ w
    hs = before(m, y, h0, order)
    rows = m.below(hs[::-1] if reverse else hs)
    out = gx, gx.T @ rows, _finish(m, g, ended_h), _finish(m, d, ended_c)
    return out if hr is None else (*out, m.below(g_all).T @ m.below(raw))
