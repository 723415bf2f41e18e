"""MultiheadAttention."""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.nn import init
from clearprop.nn.functional.multihead import multi_head_attention_forward
from clearprop.nn.layers import Linear
from clearprop.nn.module import Module


class NonDynamicallyQuantizableLinear(Linear):
    """Linear, under the name by which PyTorch prints the output layer of attention."""


class MultiheadAttention(Module):
    """Concat(head_1, ...) W_o^T + b_o, head_i = softmax(Q_i K_i^T / sqrt(E / heads)) V_i with
    projections Q, K, V of query, key and value (Vaswani et al. 2017). Query (L, N, E), key (S, N,
    kdim), value (S, N, vdim), with batch_first (N, L, E) ..., or without N.

    Returns (output (L, N, E), weights). The weights are (N, L, S), averaged over the heads; with
    average_attn_weights=False (N, heads, L, S); None with need_weights=False. In masks True, or
    -inf, is where a query may not look: `key_padding_mask` (N, S), `attn_mask` (L, S) or (N *
    heads, L, S). `is_causal` says that attn_mask is the causal one.

    >>> import clearprop as cp
    >>> x = cp.randn(5, 2, 8)
    >>> y, weights = cp.nn.MultiheadAttention(8, num_heads=2)(x, x, x)
    >>> y.shape, weights.shape
    ((5, 2, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                "MultiheadAttention: embed_dim and num_heads must be greater than 0, got"
                f" embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        assert embed_dim % num_heads == 0, (
            f"MultiheadAttention: embed_dim must be divisible by num_heads, got {embed_dim} and"
            f" {num_heads}"
        )
        super().__init__()
        kind = {"dtype": dtype, "device": device}
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self._qkv_same_embed_dim = self.kdim == self.vdim == embed_dim
        shapes: dict[str, tuple[int, ...] | None] = {
            "q_proj_weight": (embed_dim, embed_dim),
            "k_proj_weight": (embed_dim, self.kdim),
            "v_proj_weight": (embed_dim, self.vdim),
            "in_proj_weight": None,
        }
        if self._qkv_same_embed_dim:
            shapes = {**dict.fromkeys(shapes), "in_proj_weight": (3 * embed_dim, embed_dim)}
        shapes["in_proj_bias"] = (3 * embed_dim,) if bias else None
        for name, shape in shapes.items():
            empty = None if shape is None else Parameter(ops.empty(shape, **kind))
            self.register_parameter(name, empty)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **kind)
        for name in ("bias_k", "bias_v"):
            empty = Parameter(ops.empty(1, 1, embed_dim, **kind)) if add_bias_kv else None
            self.register_parameter(name, empty)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Projections Xavier uniform, biases 0, bias_k and bias_v Xavier normal."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = self._parameters[name]
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turned = self.batch_first and query.ndim == 3
        if turned:
            query, key, value = (ops.transpose(x, 0, 1) for x in (query, key, value))
        out, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (ops.transpose(out, 0, 1) if turned else out), weights
