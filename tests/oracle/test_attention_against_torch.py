"""Attention and Transformer layers against PyTorch: initial weights, values, first and second
gradients, printing, errors.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings(
    "ignore:::torch", "ignore:Support for mismatched", "ignore:enable_nested_tensor"
)

LIBRARIES = (cp, torch)
RNG = np.random.default_rng(0)
N = RNG.standard_normal
LOOK = N((5, 6)) > -0.3
LOOK[2] = False  # a query that may look nowhere
LOOK[0] = True


@pytest.fixture(autouse=True)
def differentiable_twice():
    """PyTorch's fused kernels have no second derivative; those made of parts do."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def in_library(t, value):
    return t.tensor(value) if isinstance(value, np.ndarray) else value


def gradients(t, outs, wanted, twice):
    """Outputs, gradients, and gradients of gradients, as arrays."""
    rng = np.random.default_rng(5)
    seeds = [t.tensor(rng.standard_normal(tuple(y.shape)).astype(str(y.dtype).split(".")[-1]))
             for y in outs]  # fmt: skip
    total = sum((y * s).sum() for y, s in zip(outs, seeds, strict=True))
    gs = t.autograd.grad(
        total, wanted, create_graph=twice, allow_unused=True, materialize_grads=True
    )
    more = ()
    if twice:
        squares = sum((g * g).sum() for g in gs)
        more = t.autograd.grad(squares, wanted, allow_unused=True, materialize_grads=True)
    return [a.detach().numpy() for a in (*outs, *gs, *more)]


def assert_same(mine, theirs, dtype="float64"):
    tol = 1e-10 if dtype == "float64" else 3e-5
    for a, b in zip(mine, theirs, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        size = max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0))
        np.testing.assert_allclose(a, b, tol, tol * size)


Q, K, V = N((2, 3, 5, 4)), N((2, 3, 6, 4)), N((2, 3, 6, 2))
ATTENTION = [
    ((Q, K, V), {}),
    ((Q, K, V), {"is_causal": True}),
    ((Q, K, V), {"attn_mask": N((5, 6)), "scale": 0.3}),
    ((Q, K, V), {"attn_mask": LOOK}),
    ((Q, K, V), {"attn_mask": N((2, 1, 5, 6))}),
    ((Q, K, V), {"attn_mask": np.where(LOOK, 0.5, -np.inf)}),
    ((Q, K[:, :1], V[:, :1]), {"attn_mask": N((3, 1, 6)) > 0}),
    ((Q[0, 0], K[0, 0], V[0, 0]), {"is_causal": True}),
    ((N((2, 4, 5, 4)), N((2, 2, 6, 4)), N((2, 2, 6, 2))), {"enable_gqa": True}),
    ((Q[:, :, :0], K, V), {}),
]


@pytest.mark.parametrize("case", range(len(ATTENTION)))
@pytest.mark.parametrize(
    ("dtype", "twice"), [("float64", False), ("float64", True), ("float32", False)]
)
def test_scaled_dot_product_attention(case, dtype, twice):
    arrays, options = ATTENTION[case]
    twice = twice and arrays[0].size > 0
    both = []
    for t in LIBRARIES:
        xs = [t.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
        given = {
            k: in_library(t, v.astype(dtype) if getattr(v, "dtype", None) == np.float64 else v)
            for k, v in options.items()
        }
        y = t.nn.functional.scaled_dot_product_attention(*xs, **given)
        both.append(gradients(t, [y], xs, twice))
    assert_same(*both, dtype)


MASK = N((5, 5))


def test_the_gradient_of_a_mask():
    both = []
    for t in LIBRARIES:
        q, m = t.tensor(Q, requires_grad=True), t.tensor(MASK, requires_grad=True)
        y = t.nn.functional.scaled_dot_product_attention(q, q, q, m)
        both.append(gradients(t, [y], [q, m], True))
    assert_same(*both)


MODULES = [
    ({}, {}),
    ({"bias": False, "batch_first": True}, {}),
    ({}, {"need_weights": False}),
    ({}, {"average_attn_weights": False}),
    ({"add_bias_kv": True, "add_zero_attn": True}, {"key_padding_mask": True}),
    ({"kdim": 3, "vdim": 5}, {}),
    ({}, {"attn_mask": N((4, 6)) > 0.5}),
    ({}, {"attn_mask": N((3 * 2, 4, 6))}),
    ({}, {"attn_mask": N((4, 6)), "key_padding_mask": True, "need_weights": False}),
    ({"add_zero_attn": True}, {"attn_mask": N((4, 6)), "need_weights": False}),
]


@pytest.mark.parametrize("case", range(len(MODULES)))
@pytest.mark.parametrize("batched", [True, False])
def test_multihead_attention(case, batched):
    options, given = MODULES[case]
    if not batched and getattr(given.get("attn_mask"), "ndim", 0) == 3:
        given = given | {"attn_mask": given["attn_mask"][:2]}
    both = []
    for t in LIBRARIES:
        rng = np.random.default_rng(1)
        t.manual_seed(2)
        m = t.nn.MultiheadAttention(4, 2, **options).double()
        widths = 4, options.get("kdim", 4), options.get("vdim", 4)
        arrays = [rng.standard_normal((n, 3, w)) for n, w in zip((4, 6, 6), widths, strict=True)]
        if not batched:
            arrays = [a[:, 0] for a in arrays]
        elif options.get("batch_first"):
            arrays = [a.swapaxes(0, 1) for a in arrays]
        xs = [t.tensor(np.ascontiguousarray(a), requires_grad=True) for a in arrays]
        masks = {k: in_library(t, v) for k, v in given.items()}
        if masks.get("key_padding_mask") is not None:
            padding = np.zeros((3, 6), bool)
            padding[1, 3:] = padding[0, 5:] = True
            masks["key_padding_mask"] = t.tensor(padding if batched else padding[1])
        out, weights = m(*xs, **masks)
        assert (weights is None) == (given.get("need_weights") is False)
        outs = [out] if weights is None else [out, weights]
        found = gradients(t, outs, [*xs, *m.parameters()], True)
        both.append([*(v.numpy() for v in m.state_dict().values()), *found])
        both[-1].append(np.frombuffer(f"{m!r} {list(m.state_dict())}".encode(), np.uint8))
    if options.get("add_bias_kv"):
        assert_same(both[0][:-1], both[1][:-1])  # of normal numbers, which agree to rounding
    else:
        assert_same(*both)


LAYERS = [
    {},
    {"norm_first": True, "activation": "gelu", "batch_first": True},
    {"bias": False, "layer_norm_eps": 0.1},
]


@pytest.mark.parametrize("options", LAYERS)
@pytest.mark.parametrize("kind", ["Encoder", "Decoder", "Transformer"])
def test_transformers(kind, options):
    both = []
    for t in LIBRARIES:
        rng = np.random.default_rng(1)
        t.manual_seed(2)
        nn, first = t.nn, options.get("batch_first", False)
        causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=t.float64)
        padding = t.tensor(np.array([[False] * 4, [False, False, True, True], [False] * 4]))
        here, there = ((3, 5, 4), (3, 4, 4)) if first else ((5, 3, 4), (4, 3, 4))
        x, memory = (t.tensor(rng.standard_normal(s), requires_grad=True) for s in (here, there))
        if kind == "Transformer":
            m = nn.Transformer(4, 2, 2, 2, 8, dropout=0.0, dtype=t.float64, **options)
            y = m(memory, x, tgt_mask=causal, src_key_padding_mask=padding)
        elif kind == "Encoder":
            layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, dtype=t.float64, **options)
            m = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=t.float64))
            y = m(memory, src_key_padding_mask=padding)
        else:
            layer = nn.TransformerDecoderLayer(4, 2, 8, 0.0, dtype=t.float64, **options)
            m = nn.TransformerDecoder(layer, 2)
            y = m(x, memory, tgt_mask=causal, memory_key_padding_mask=padding.double() * -3.0)
        found = gradients(t, [y], [x, memory, *m.parameters()], True)
        weights = [v.numpy() for v in m.state_dict().values()]
        shown = np.frombuffer(f"{m!r} {list(m.state_dict())}".encode(), np.uint8)
        both.append([*weights, shown, *found])
    n = len(weights) + 1
    for a, b in zip(both[0][:n], both[1][:n], strict=True):
        np.testing.assert_array_equal(a, b)
    assert_same(*both)


def raised(call, t):
    try:
        call(t, t.ones(5, 2, 8))
    except Exception as error:
        return error
    return None


def mha(t, **options):
    return t.nn.MultiheadAttention(8, 2, **options)


def sdpa(t, *args, **options):
    return t.nn.functional.scaled_dot_product_attention(*args, **options)


MISTAKES = [
    lambda t, x: t.nn.MultiheadAttention(7, 2),
    lambda t, x: t.nn.MultiheadAttention(0, 2),
    lambda t, x: mha(t)(x, x[:3], x),
    lambda t, x: mha(t)(x[..., :4], x, x),
    lambda t, x: mha(t)(x[0, 0], x, x),
    lambda t, x: mha(t)(x[:, 0], x, x),
    lambda t, x: mha(t)(x, x, x, is_causal=True),
    lambda t, x: mha(t)(x, x, x, attn_mask=t.zeros(4, 5)),
    lambda t, x: mha(t)(x, x, x, attn_mask=t.zeros(2, 5, 5)),
    lambda t, x: mha(t)(x, x, x, key_padding_mask=t.zeros(5, 2).bool()),
    lambda t, x: mha(t)(x, x, x, key_padding_mask=t.zeros(2, 5).long()),
    lambda t, x: mha(t)(x, x, x, key_padding_mask=t.zeros(5)),
    lambda t, x: mha(t)(x.double(), x.double(), x.double()),
    lambda t, x: sdpa(t, x, x, x.double()),
    lambda t, x: sdpa(t, x.long(), x.long(), x.long()),
    lambda t, x: sdpa(t, x[0, 0], x[0, 0], x[0, 0]),
    lambda t, x: sdpa(t, x, x[..., :4], x),
    lambda t, x: sdpa(t, x, x, x, attn_mask=t.zeros(2, 2).long()),
    lambda t, x: sdpa(t, x, x, x, attn_mask=t.zeros(2, 2).double()),
    lambda t, x: sdpa(t, x, x, x, attn_mask=t.zeros(3, 2)),
    lambda t, x: sdpa(t, x, x, x, dropout_p=1.5),
    lambda t, x: t.nn.TransformerEncoderLayer(8, 2, 4, activation="elu"),
    lambda t, x: t.nn.Transformer(8, 2, 1, 1, 4)(x, x[:, :1]),
    lambda t, x: t.nn.Transformer(8, 2, 1, 1, 4)(x, x[..., :4]),
]


@pytest.mark.parametrize("call", MISTAKES)
def test_mistakes_raise_the_same_type(call):
    mine, theirs = raised(call, cp), raised(call, torch)
    assert theirs is not None and isinstance(mine, type(theirs))
