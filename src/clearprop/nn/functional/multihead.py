"""Attention with several heads: projections in, attention per head, one projection out."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Tensor, bool_
from clearprop.errors import ShapeError
from clearprop.nn.functional.attention import as_bias, attend, causal_bias
from clearprop.nn.functional.layers import linear
from clearprop.nn.warn import warn
from clearprop.ops.broadcasting import constant, expand_to, here
from clearprop.ops.movement import permute, reshape_to

OP = "multi_head_attention_forward"


def _check_ranks(q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None, mask: Any) -> bool:
    """Whether there is a batch axis."""
    if q.ndim not in (2, 3):
        raise AssertionError(
            f"{OP}: query should be unbatched 2D or batched 3D tensor but received {q.ndim}-D query"
            f" tensor{here()}"
        )
    batched = q.ndim == 3
    kind = "batched (3-D)" if batched else "unbatched (2-D)"
    assert k.ndim == v.ndim == q.ndim, (
        f"{OP}: For {kind} `query`, expected `key` and `value` to be {q.ndim}-D but found"
        f" {k.ndim}-D and {v.ndim}-D tensors respectively{here()}"
    )
    assert padding is None or padding.ndim == q.ndim - 1, (
        f"{OP}: For {kind} `query`, expected `key_padding_mask` to be `None` or {q.ndim - 1}-D but"
        f" found {getattr(padding, 'ndim', 0)}-D tensor instead{here()}"
    )
    assert mask is None or mask.ndim in (2, 3), (
        f"{OP}: For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found"
        f" {getattr(mask, 'ndim', 0)}-D tensor instead{here()}"
    )
    return batched


def _check_mask(name: str, mask: Tensor, d: Any) -> Tensor:
    assert mask.dtype is bool_ or mask.is_floating_point(), (
        f"{OP}: only bool and floating types of {name} are supported, got {mask.aval}{here()}"
    )
    return as_bias(mask, d, False)


def _projections(
    q: Tensor, k: Tensor, v: Tensor, weights: list[Any], bias: Tensor | None, width: int
) -> list[Tensor]:
    """Three linear layers; `weights` are three matrices, or one with all of them below each
    other.
    """
    if len(weights) == 1:
        weights = [weights[0][i * width : (i + 1) * width] for i in range(3)]
    biases = [None if bias is None else bias[i * width : (i + 1) * width] for i in range(3)]
    return [linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True)]


def _heads(x: Tensor, heads: int) -> Tensor:
    """(L, N, E) -> (N, heads, L, E / heads)."""
    length, n, width = x.shape
    split = reshape_to(ops.contiguous(x), (length, n, heads, width // heads))
    return permute(split, (1, 2, 0, 3))


def _longer(x: Tensor, more: Tensor) -> Tensor:
    return ops.cat([x, more], 0)


def _wider(mask: Tensor | None) -> Tensor | None:
    """A mask that lets every query look at one key more."""
    if mask is None:
        return None
    return ops.cat([mask, constant(0, mask.value.dtype, (*mask.shape[:-1], 1))], -1)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What MultiheadAttention computes, with all its weights given: (output (L, N, E), weights
    (N, L, S), or None). Masks: True, or -inf, where a query may not look.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask)
    if is_causal and attn_mask is None:
        raise ShapeError(
            f"{OP}: Need attn_mask if specifying the is_causal hint. You may use the Transformer"
            f" module method `generate_square_subsequent_mask` to create this mask.{here()}"
        )
    if not batched:
        query, key, value = (ops.unsqueeze(x, 1) for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = ops.unsqueeze(key_padding_mask, 0)
    rows, n, width = query.shape
    d, size = query.dtype, width // num_heads
    _check_widths(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if (
        key_padding_mask is not None
        and attn_mask is not None
        and key_padding_mask.dtype is not attn_mask.dtype
    ):
        warn(
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for"
            " both instead."
        )
    weights = (
        [q_proj_weight, k_proj_weight, v_proj_weight]
        if use_separate_proj_weight
        else [in_proj_weight]
    )
    q, k, v = _projections(query, key, value, weights, in_proj_bias, embed_dim_to_check)
    columns = k.shape[0]
    mask = None
    if is_causal and key_padding_mask is None and not need_weights:
        mask = causal_bias(rows, columns, d)
    elif attn_mask is not None:
        mask = _sized(_check_mask("attn_mask", attn_mask, d), rows, columns, n, num_heads)
    padding = None
    if key_padding_mask is not None:
        padding = _padded(_check_mask("key_padding_mask", key_padding_mask, d), n, columns)
    if bias_k is not None and bias_v is not None:
        k, v = (_longer(x, expand_to(b, (1, n, width))) for x, b in ((k, bias_k), (v, bias_v)))
        mask, padding = _wider(mask), _wider(padding)
    q, k, v = (_heads(x, num_heads) for x in (q, k, v))
    k, v = (
        x if s is None else reshape_to(s, (n, num_heads, s.shape[1], size))
        for x, s in ((k, static_k), (v, static_v))
    )
    if add_zero_attn:
        zero = constant(0, d.np, (n, num_heads, 1, size))
        k, v = (ops.cat([x, zero], 2) for x in (k, v))
        mask, padding = _wider(mask), _wider(padding)
    if mask is not None and padding is not None:
        shape = (n, num_heads if mask.ndim == 4 else 1, rows, k.shape[2])
        mask = expand_to(mask, shape) + expand_to(padding, shape)
    elif padding is not None:
        mask = padding
    out, looks = attend(
        q, k, v, mask, dropout_p if training else 0.0, 1 / math.sqrt(size), not need_weights
    )
    out = reshape_to(ops.contiguous(permute(out, (2, 0, 1, 3))), (rows, n, width))
    out = linear(out, out_proj_weight, out_proj_bias)
    if need_weights and average_attn_weights:
        looks = ops.mean(looks, 1)
    if not batched:
        out, looks = ops.squeeze(out, 1), ops.squeeze(looks, 0)
    return out, looks if need_weights else None


def _check_widths(q: Tensor, k: Tensor, v: Tensor, width: int, heads: int, separate: bool) -> None:
    assert q.shape[-1] == width, (
        f"{OP}: was expecting embedding dimension of {width}, but got {q.shape[-1]}: the query is"
        f" {q.aval}{here()}"
    )
    assert width % heads == 0, f"{OP}: embed_dim {width} not divisible by num_heads {heads}"
    if separate:
        assert k.shape[:2] == v.shape[:2], (
            f"{OP}: key's sequence and batch dims {list(k.shape[:2])} do not match value's"
            f" {list(v.shape[:2])}{here()}"
        )
    else:
        assert k.shape == v.shape, (
            f"{OP}: key shape torch.Size({list(k.shape)}) does not match value shape"
            f" torch.Size({list(v.shape)}){here()}"
        )


def _sized(mask: Tensor, rows: int, columns: int, n: int, heads: int) -> Tensor:
    """A mask (rows, columns) or (n * heads, rows, columns), checked and taken apart."""
    wanted = (rows, columns) if mask.ndim == 2 else (n * heads, rows, columns)
    if mask.shape != wanted:
        raise ShapeError(
            f"{OP}: The shape of the {mask.ndim}D attn_mask is torch.Size({list(mask.shape)}), but"
            f" should be {wanted}.{here()}"
        )
    if mask.ndim == 2:
        return reshape_to(mask, (1, 1, rows, columns))
    return reshape_to(mask, (n, heads, rows, columns))


def _padded(mask: Tensor, n: int, columns: int) -> Tensor:
    assert mask.shape[0] == n, (
        f"{OP}: Expected key_padded_mask.shape[0] to be {n}, but got {mask.shape[0]}{here()}"
    )
    assert mask.shape[1] == columns, (
        f"{OP}: Expected key_padded_mask.shape[1] to be {columns}, but got {mask.shape[1]}{here()}"
    )
    return reshape_to(mask, (n, 1, 1, columns))
