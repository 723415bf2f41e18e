"""Attention: softmax(q k^T scale + mask) v, for many queries, heads and examples at once."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import LEADING, Aval, Tensor, apply2, bool_, float64, wrap
from clearprop.errors import DtypeError, ShapeError
from clearprop.nn.composed import pair
from clearprop.nn.functional.dropout import dropout
from clearprop.ops.broadcasting import broadcast_shapes, constant, expand_to, here, need_tensors
from clearprop.ops.contract import MATMUL
from clearprop.ops.elementwise import where


# ---------------------------------------------------------------------- on arrays
def _forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *more: np.ndarray,
    scale: float, masked: bool, dropped: bool, safe: bool,
) -> Any:  # fmt: skip
    """(output, weights, softmax)."""
    s = np.matmul(q * q.dtype.type(scale), k.mT)
    if masked:
        s += more[0]
    if s.size:
        top = s.max(-1, keepdims=True)
        if safe:
            top[top == -math.inf] = 0
        s -= top
    np.exp(s, s)
    total = s.sum(-1, keepdims=True)
    if safe:
        total[total == 0] = 1
    s /= total
    w = s * more[-1] if dropped else s
    return np.matmul(w, v), w, s


def _backward(
    g: np.ndarray, gw: np.ndarray, w: np.ndarray, s: np.ndarray,
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *more: np.ndarray,
    scale: float, masked: bool, dropped: bool, safe: bool,
) -> Any:  # fmt: skip
    """Cotangents of (q, k, v, mask, dropout)."""
    d = np.matmul(g, v.mT)
    if any(gw.strides) or (gw.size and gw[(0,) * gw.ndim]):
        d += gw
    drop = (d * s,) if dropped else ()
    if dropped:
        d *= more[-1]
    d -= np.einsum("...ij,...ij->...i", d, s)[..., None]
    d *= s
    c = q.dtype.type(scale)
    gq, gk = np.matmul(d, k), np.matmul(d.mT, q)
    gq *= c
    gk *= c
    return gq, gk, np.matmul(w.mT, g), *((d,) if masked else ()), *drop


# ---------------------------------------------------------------------- in ops
def _product(x: Tensor, y: Tensor) -> Tensor:
    return apply2(MATMUL, x, y)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, *more: Tensor,
    scale: float, masked: bool, dropped: bool, safe: bool,
) -> Any:  # fmt: skip
    """(output, weights, softmax)."""
    s = _product(q * scale, k.mT)
    if masked:
        s = s + more[0]
    if not s.numel():
        weights = s
    elif safe:
        top = ops.amax(s.detach(), -1, True)
        top = where(top == -math.inf, constant(0, top.value.dtype, top.shape), top)
        e = ops.exp(s - expand_to(top, s.shape))
        total = ops.sum(e, -1, True)
        total = where(total == 0, constant(1, total.value.dtype, total.shape), total)
        weights = e / expand_to(total, e.shape)
    else:
        weights = ops.softmax(s, -1)
    w = weights * more[-1] if dropped else weights
    return _product(w, v), w, weights


def _attend_back(
    g: Tensor, gw: Tensor, w: Tensor, s: Tensor, q: Tensor, k: Tensor, v: Tensor, *more: Tensor,
    scale: float, masked: bool, dropped: bool, safe: bool,
) -> Any:  # fmt: skip
    """Cotangents of (q, k, v, mask, dropout)."""
    d = _product(g, v.mT) + gw
    drop = (d * s,) if dropped else ()
    if dropped:
        d = d * more[-1]
    d = (d - expand_to(ops.sum(d * s, -1, True), d.shape)) * s
    return (
        _product(d, k) * scale,
        _product(d.mT, q) * scale,
        _product(w.mT, g),
        *((d,) if masked else ()),
        *drop,
    )


def _shape(q: Aval, k: Aval, v: Aval, *_: Aval, **__: Any) -> tuple[Aval, ...]:
    w = Aval((*q.shape[:-1], k.shape[-2]), q.dtype)
    return Aval((*q.shape[:-1], v.shape[-1]), q.dtype), w, w


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


def _kind(masked: bool, dropped: bool) -> Any:
    flags: Any = {"masked": masked, "dropped": dropped}
    name = "attention" + "_masked" * masked + "_dropped" * dropped
    more = (_f(2, 3, 4),) * (masked + dropped)
    return pair(
        name,
        doc="softmax(q k^T scale [+ mask]) [* dropout] times v; the weights, and the softmax.",
        kernels=(functools.partial(_forward, **flags), functools.partial(_backward, **flags)),
        functions=(functools.partial(_attend, **flags), functools.partial(_attend_back, **flags)),
        shape=_shape,
        results=2,
        keeps=(1, 2),
        inputs=(_f(2, 3, 2), _f(2, 4, 2), _f(2, 4, 3), *more),
        params=[{"scale": 0.5, "safe": safe} for safe in (False, True)],
        batch=LEADING,
    )


_KINDS = {(m, d): _kind(m, d) for m in (False, True) for d in (False, True)}


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    dropout_p: float,
    scale: float,
    safe: bool,
) -> tuple[Tensor, Tensor]:
    """(output, weights) for q (..., L, E), k (..., S, E), v (..., S, F) of equal batch axes; bias
    broadcasts to (..., L, S). A query that may look nowhere gets zeros if `safe`, else nan.
    """
    shape = (*q.shape[:-1], k.shape[-2])
    more = [] if bias is None else [expand_to(bias, shape)]
    if dropout_p > 0:
        more.append(dropout(constant(1, q.value.dtype, shape), dropout_p))
    kind = _KINDS[bias is not None, dropout_p > 0]
    out, weights = kind(q, k, v, *more, scale=float(scale), safe=safe)
    return out, weights


def as_bias(mask: Tensor, d: Any, keep: bool) -> Tensor:
    """A mask as numbers to be added: -inf where attention is not allowed. `keep`: True in a bool
    mask allows it.
    """
    if mask.dtype is not bool_:
        return mask
    low = constant(-math.inf, d.np, mask.shape)
    none = constant(0, d.np, mask.shape)
    return where(mask, none, low) if keep else where(mask, low, none)


def causal_bias(rows: int, columns: int, d: Any) -> Tensor:
    """-inf where the column comes after the row, else 0."""
    later = np.arange(columns)[None] > np.arange(rows)[:, None]
    return wrap(np.where(later, d.np.type(-math.inf), d.np.type(0)), None)


# ---------------------------------------------------------------------- for users
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask) v;  q: (..., L, E), k: (..., S, E), v: (..., S, F), out:
    (..., L, F), scale 1/sqrt(E) unless given (Vaswani et al. 2017).

    `attn_mask` broadcasts to (..., L, S): bool, True where a query may look, or numbers to add.
    `is_causal`: query i looks at keys 0 to i. `dropout_p` applies always: give 0 in evaluation.
    `enable_gqa`: q may have a multiple of the heads (axis -3) of k and v. A query that may look
    nowhere gets zeros.

    >>> import clearprop as cp
    >>> q, v = cp.zeros(1, 2, 4), cp.tensor([[[2.0], [4.0]]])
    >>> cp.nn.functional.scaled_dot_product_attention(q, q, v, is_causal=True)
    tensor([[[2.],
             [3.]]])
    """
    op = "scaled_dot_product_attention"
    _check(op, query, key, value)
    if not 0 <= dropout_p <= 1:
        raise ShapeError(
            f"{op}: dropout probability has to be between 0 and 1, but got {dropout_p}{here()}"
        )
    if enable_gqa:
        key, value = (_repeated(op, x, query) for x in (key, value))
    batch = broadcast_shapes(op, query.shape[:-2], key.shape[:-2], value.shape[:-2])
    query, key, value = (expand_to(x, (*batch, *x.shape[-2:])) for x in (query, key, value))
    rows, columns, d = query.shape[-2], key.shape[-2], query.dtype
    bias = causal_bias(rows, columns, d) if is_causal else None
    if attn_mask is not None:
        if attn_mask.dtype not in (bool_, d):
            raise DtypeError(
                f"{op}: Expected attn_mask dtype to be bool or float or to match query dtype, but"
                f" got attn_mask.dtype: {attn_mask.dtype} and  query.dtype: {d} instead.{here()}"
            )
        given = as_bias(attn_mask, d, True)
        if broadcast_shapes(op, given.shape, (*batch, rows, columns)) != (*batch, rows, columns):
            raise ShapeError(
                f"{op}: attn_mask {attn_mask.aval} does not broadcast to the scores"
                f" {[*batch, rows, columns]}{here()}"
            )
        if bias is not None:
            shape = broadcast_shapes(op, given.shape, bias.shape)
            given = expand_to(given, shape) + expand_to(bias, shape)
        bias = given
    size = query.shape[-1]
    if scale is None:
        scale = 1 / math.sqrt(size) if size else math.inf
    return attend(query, key, value, bias, dropout_p, scale, True)[0]


def _check(op: str, q: Tensor, k: Tensor, v: Tensor) -> None:
    need_tensors(op, q, k, v)
    if q.dtype is not k.dtype or q.dtype is not v.dtype:
        raise DtypeError(
            f"{op}: Expected query, key, and value to have the same dtype, but got query.dtype:"
            f" {q.dtype} key.dtype: {k.dtype} and value.dtype: {v.dtype} instead.{here()}"
        )
    if not q.is_floating_point():
        raise DtypeError(f"{op}: expected scalar type Float but found {q.aval}{here()}")
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(
            f"{op}: Expected query, key, and value to all be  at least 2 dimensional, but got"
            f" query.dim: {q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead.{here()}"
        )
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ShapeError(
            f"{op}: sizes do not fit: query {q.aval} and key {k.aval} want one last size, key and"
            f" value {v.aval} one length (axis -2){here()}"
        )


def _repeated(op: str, x: Tensor, query: Tensor) -> Tensor:
    """Every head of x as often as it takes to have the query's heads."""
    if x.ndim < 3 or query.ndim < 3 or query.shape[-3] % x.shape[-3]:
        raise ShapeError(
            f"{op}: Number of heads in key and value must divide the number of heads in query:"
            f" {x.aval} and {query.aval}, heads on axis -3{here()}"
        )
    return ops.repeat_interleave(x, query.shape[-3] // x.shape[-3], -3)
