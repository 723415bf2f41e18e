"""Attention and Transformer layers, by their formulas in NumPy: masks, heads, dropout, compiled
steps, mistakes.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
import clearprop.nn.functional as F
from clearprop import nn
from clearprop.autograd import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
N = RNG.standard_normal


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention(q, k, v, mask=0.0):
    return softmax(q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + mask) @ v


def near(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10, atol=1e-12)


Q, K, V = N((2, 3, 4, 5)), N((2, 3, 6, 5)), N((2, 3, 6, 2))
CAUSAL = np.where(np.arange(6)[None] > np.arange(4)[:, None], -np.inf, 0.0)


def sdpa(*arrays, **options):
    return F.scaled_dot_product_attention(*map(cp.tensor, arrays), **options)


def test_attention_is_the_formula():
    near(sdpa(Q, K, V), attention(Q, K, V))
    near(sdpa(Q, K, V, scale=1.0), attention(Q * np.sqrt(5), K, V))
    near(sdpa(Q[0, 0], K[0, 0], V[0, 0]), attention(Q[0, 0], K[0, 0], V[0, 0]))
    near(sdpa(Q, K[:, :1], V[:1]), attention(Q, K[:, :1], V[:1]))


def test_masks_say_where_to_look():
    bias = N((4, 6))
    near(sdpa(Q, K, V, bias), attention(Q, K, V, bias))
    near(sdpa(Q, K, V, bias > 0), attention(Q, K, V, np.where(bias > 0, 0, -np.inf)))
    near(sdpa(Q, K, V, is_causal=True), attention(Q, K, V, CAUSAL))
    near(sdpa(Q, K, V, bias, is_causal=True), attention(Q, K, V, CAUSAL + bias))


def test_a_query_that_may_look_nowhere_gets_zeros_and_no_gradient():
    mask = cp.ones(4, 6) > 0
    mask[1] = False
    q, k, v = (cp.tensor(a, requires_grad=True) for a in (Q, K, V))
    y = F.scaled_dot_product_attention(q, k, v, mask)
    assert not y[:, :, 1].detach().numpy().any()
    (y * y).sum().backward()
    assert not q.grad[:, :, 1].numpy().any() and np.isfinite(k.grad.numpy()).all()


def test_query_heads_share_the_heads_of_keys():
    k, v = K[:, :1], V[:, :1]
    q = np.concatenate([Q, Q], 1)
    k2, v2 = np.concatenate([k, k + 1], 1), np.concatenate([v, v + 1], 1)
    wanted = np.concatenate([attention(Q, k, v), attention(Q, k + 1, v + 1)], 1)
    near(sdpa(q, k2, v2, enable_gqa=True), wanted)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dropped", [False, True])
def test_gradients_of_both_orders(masked, dropped):
    arrays = [N((2, 3, 2)), N((2, 4, 2)), N((2, 4, 3)), *([N((3, 4))] if masked else [])]

    def f(*xs):
        cp.manual_seed(0)
        return F.scaled_dot_product_attention(*xs, dropout_p=0.3 if dropped else 0.0)

    xs = [cp.tensor(a, requires_grad=True) for a in arrays]
    assert gradcheck(f, xs) and gradgradcheck(f, xs)


def test_one_tensor_as_query_key_and_value():
    x = cp.tensor(N((3, 2)), requires_grad=True)
    f = lambda x: F.scaled_dot_product_attention(x, x, x)
    assert gradcheck(f, [x]) and gradgradcheck(f, [x])


def test_dropout_scales_the_weights_it_keeps():
    cp.manual_seed(0)
    one = np.ones((1, 400, 4))
    out = sdpa(one, one, np.eye(400)[None], dropout_p=0.25).numpy()
    kept = out[out != 0]
    np.testing.assert_allclose(kept, 1 / 400 / 0.75)
    assert abs(kept.size / out.size - 0.75) < 0.01
    assert not sdpa(Q, K, V, dropout_p=1.0).numpy().any()


# ---------------------------------------------------------------------- several heads
def by_hand(m, query, key, value, mask=0.0):
    """(output, weights) for (length, width) arrays."""
    w = {k: v.detach().numpy() for k, v in m.named_parameters()}
    if "in_proj_weight" in w:
        weights = np.split(w["in_proj_weight"], 3)
    else:
        weights = [w[f"{x}_proj_weight"] for x in "qkv"]
    biases = np.split(w["in_proj_bias"], 3) if "in_proj_bias" in w else [0, 0, 0]
    q, k, v = (
        (x @ a.T + b).reshape(len(x), m.num_heads, -1).swapaxes(0, 1)
        for x, a, b in zip((query, key, value), weights, biases, strict=True)
    )
    looks = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(m.head_dim) + mask)
    out = (looks @ v).swapaxes(0, 1).reshape(len(query), -1)
    return out @ w["out_proj.weight"].T + w.get("out_proj.bias", 0), looks


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 3, "vdim": 5}])
def test_heads_and_their_weights(options):
    m = nn.MultiheadAttention(4, 2, dtype=cp.float64, **options)
    q, k, v = N((3, 2, 4)), N((5, 2, options.get("kdim", 4))), N((5, 2, options.get("vdim", 4)))
    y, mean = m(*map(cp.tensor, (q, k, v)))
    _, each = m(*map(cp.tensor, (q, k, v)), average_attn_weights=False)
    assert m(*map(cp.tensor, (q, k, v)), need_weights=False)[1] is None
    for n in range(2):
        out, looks = by_hand(m, q[:, n], k[:, n], v[:, n])
        near(y[:, n], out)
        near(mean[n], looks.mean(0))
        near(each[n], looks)
    alone, _ = m(*(cp.tensor(a[:, 0]) for a in (q, k, v)))
    near(alone, y[:, 0].detach().numpy())
    m.batch_first = True
    turned, _ = m(*(cp.tensor(a.swapaxes(0, 1).copy()) for a in (q, k, v)))
    near(turned, y.detach().numpy().swapaxes(0, 1))


@pytest.mark.parametrize("need_weights", [True, False])
def test_masks_of_heads(need_weights):
    m = nn.MultiheadAttention(4, 2, dtype=cp.float64)
    q, k = N((3, 2, 4)), N((5, 2, 4))
    mask, padding = N((4, 3, 5)), np.array([[False] * 5, [False, False, True, True, True]])
    y, _ = m(
        *map(cp.tensor, (q, k, k)),
        attn_mask=cp.tensor(mask),
        key_padding_mask=cp.tensor(np.where(padding, -np.inf, 0.0)),
        need_weights=need_weights,
    )
    for n in range(2):
        both = mask[2 * n : 2 * n + 2] + np.where(padding[n], -np.inf, 0)
        near(y[:, n], by_hand(m, q[:, n], k[:, n], k[:, n], both)[0])
    causal = nn.Transformer.generate_square_subsequent_mask(3, dtype=cp.float64)
    x = cp.tensor(q)
    near(
        m(x, x, x, attn_mask=causal, is_causal=True, need_weights=need_weights)[0],
        m(x, x, x, attn_mask=causal.isinf())[0].detach().numpy(),
    )


def test_more_keys_than_were_given():
    m = nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, dtype=cp.float64)
    x = cp.tensor(N((3, 2, 4)))
    y, looks = m(x, x, x, key_padding_mask=cp.ones(2, 3) > 0)
    assert looks.shape == (2, 3, 5)
    assert not looks[:, :, :3].detach().numpy().any()
    near(looks.sum(-1), np.ones((2, 3)))
    assert np.isfinite(y.detach().numpy()).all()


# ---------------------------------------------------------------------- Transformers
def norm(x, m):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + m.eps)
    return y * m.weight.detach().numpy() + m.bias.detach().numpy()


def linear(x, m):
    return x @ m.weight.detach().numpy().T + m.bias.detach().numpy()


@pytest.mark.parametrize("norm_first", [False, True])
def test_layers_are_the_formula(norm_first):
    options = {"dropout": 0.0, "norm_first": norm_first, "dtype": cp.float64}
    m = nn.TransformerDecoderLayer(4, 2, 7, **options)
    for p in m.parameters():
        nn.init.normal_(p)
    x, memory = N((3, 4)), N((5, 4))
    blocks = [
        (m.norm1, lambda y: by_hand(m.self_attn, y, y, y)[0]),
        (m.norm2, lambda y: by_hand(m.multihead_attn, y, memory, memory)[0]),
        (m.norm3, lambda y: linear(np.maximum(linear(y, m.linear1), 0), m.linear2)),
    ]
    encoder = nn.TransformerEncoderLayer(4, 2, 7, **options)
    parts = {k: v for k, v in m.state_dict().items() if "norm2" not in k and "multihead" not in k}
    encoder.load_state_dict({k.replace("norm3", "norm2"): v for k, v in parts.items()})
    for module, used, args in (
        (m, blocks, (cp.tensor(x), cp.tensor(memory))),
        (encoder, [blocks[0], blocks[2]], (cp.tensor(x),)),
    ):
        wanted = x
        for n, block in used:
            if norm_first:
                wanted = wanted + block(norm(wanted, n))
            else:
                wanted = norm(wanted + block(wanted), n)
        near(module(*args), wanted)


def test_stacks_are_copies_that_start_alike():
    layer = nn.TransformerEncoderLayer(4, 2, 7, dropout=0.0, dtype=cp.float64)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=cp.float64))
    x = cp.tensor(N((3, 2, 4)))
    near(stack(x), stack.norm(layer(layer(x))).detach().numpy())
    assert stack.layers[0].linear1.weight is not stack.layers[1].linear1.weight


def test_a_later_word_changes_nothing_before_it():
    m = nn.Transformer(8, 2, 1, 2, 16, dropout=0.0, batch_first=True, dtype=cp.float64)
    mask = m.generate_square_subsequent_mask(5, dtype=cp.float64)
    source, target = N((2, 4, 8)), N((2, 5, 8))
    y = m(cp.tensor(source), cp.tensor(target), tgt_mask=mask)
    other = target.copy()
    other[:, 3:] += 1
    z = m(cp.tensor(source), cp.tensor(other), tgt_mask=mask, tgt_is_causal=True)
    near(z[:, :3], y[:, :3].detach().numpy())
    assert not np.allclose(z[:, 3:].detach().numpy(), y[:, 3:].detach().numpy())
    for p in m.parameters():
        if p.ndim > 1:
            assert p.detach().abs().max().item() <= (6 / sum(p.shape)) ** 0.5


@pytest.mark.parametrize("training", [False, True])
def test_compiled_layers_are_native_and_those_of_eager_mode(training):
    m = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=cp.float64).train(training)
    causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=cp.float64)

    def f(x):
        loss = (m(x, causal) ** 2).sum()
        return loss, *cp.autograd.grad(loss, [x, *m.parameters()])

    compiled = cp.compile(f)
    x = cp.tensor(N((2, 5, 8)), requires_grad=True)
    for _ in range(2):
        results = []
        for g in (f, compiled):
            cp.manual_seed(1)
            results.append(g(x))
        for a, b in zip(*results, strict=True):
            near(b, a.detach().numpy())
    assert "eager mode" not in compiled.explain()


X = cp.zeros(5, 2, 8)
M = nn.MultiheadAttention(8, 2)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.MultiheadAttention(7, 2), AssertionError, "divisible by num_heads"),
        (lambda: M(X[..., :4], X, X), AssertionError, "embedding dimension of 8, but got 4"),
        (lambda: M(X, X[:3], X), AssertionError, "does not match value shape"),
        (lambda: M(X[:, 0], X, X), AssertionError, "but found 3-D and 3-D tensors"),
        (lambda: M(X, X, X, is_causal=True), RuntimeError, "Need attn_mask"),
        (lambda: M(X, X, X, attn_mask=cp.zeros(4, 5)), RuntimeError, r"should be \(5, 5\)"),
        (lambda: M(X, X, X, key_padding_mask=cp.zeros(5, 2)), AssertionError, "to be 2, but got 5"),
        (lambda: sdpa(Q, K, V.astype(np.float32)), RuntimeError, "to have the same dtype"),
        (lambda: sdpa(Q, K[..., :2], V), RuntimeError, "want one last size"),
        (lambda: sdpa(Q, K, V, np.ones((2, 6))), RuntimeError, "must match the size"),
        (lambda: sdpa(Q, K, V, np.ones((4, 6), int)), RuntimeError, "attn_mask dtype to be bool"),
        (lambda: sdpa(Q, K, V, dropout_p=-1.0), RuntimeError, "between 0 and 1"),
        (lambda: sdpa(Q, K[:, :2], V[:, :2], enable_gqa=True), RuntimeError, "must divide"),
        (
            lambda: nn.TransformerEncoderLayer(8, 2, activation="elu"),
            RuntimeError,
            "should be relu/gelu",
        ),
        (lambda: nn.Transformer(8, 2, 1, 1, 8)(X, X[:, :1]), RuntimeError, "batch number"),
    ],
)
def test_mistakes_are_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
