"""RNN, LSTM, GRU, cells and packed sequences against PyTorch: initial weights, values, first and
second gradients, printing, errors.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:dropout option")

LIBRARIES = (cp, torch)
OPTIONS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("RNN", {"bias": False, "batch_first": True}),
    ("LSTM", {"batch_first": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 2, "bias": False}),
    ("GRU", {"num_layers": 2}),
    ("GRU", {"bidirectional": True, "batch_first": True}),
    ("GRU", {"bias": False}),
]


def results(t, name, options, how, dtype, twice):
    """The initial weights; outputs and gradients of an input of 5 steps and 3 examples."""
    rng = np.random.default_rng(0)
    t.manual_seed(3)
    m = getattr(t.nn, name)(4, 3, **options).to(getattr(t, dtype))
    first = bool(options.get("batch_first"))
    shape = {"single": (5, 4)}.get(how, (3, 5, 4) if first else (5, 3, 4))
    x = t.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True)
    wanted, given, hx = [x, *m.parameters()], x, None
    if how != "no state":
        ways = options.get("num_layers", 1) * (1 + bool(options.get("bidirectional")))
        widths = [options.get("proj_size", 3), 3][: 1 + (name == "LSTM")]
        n = () if how == "single" else (3,)
        hx = [
            t.tensor(rng.standard_normal((ways, *n, w)).astype(dtype), requires_grad=True)
            for w in widths
        ]
        wanted += hx
        hx = tuple(hx) if name == "LSTM" else hx[0]
    if how == "packed":
        pack = t.nn.utils.rnn.pack_padded_sequence
        given = pack(x, t.tensor([2, 5, 3]), batch_first=first, enforce_sorted=False)
    y, last = m(given, hx)
    if how == "packed":
        y, lengths = t.nn.utils.rnn.pad_packed_sequence(y, batch_first=first)
        assert lengths.tolist() == [2, 5, 3]
    outs = [y, *(last if name == "LSTM" else [last])]
    seeds = [t.tensor(rng.standard_normal(tuple(o.shape)).astype(dtype)) for o in outs]
    total = sum((o * s).sum() for o, s in zip(outs, seeds, strict=True))
    gs = t.autograd.grad(total, wanted, create_graph=twice)
    more = t.autograd.grad(sum((g * g).sum() for g in gs), wanted) if twice else ()
    arrays = [a.detach().numpy() for a in (*m.parameters(), *outs, *gs, *more)]
    return len(list(m.parameters())), arrays, (repr(m), list(m.state_dict()))


@pytest.mark.parametrize(("name", "options"), OPTIONS)
@pytest.mark.parametrize("how", ["state", "no state", "single", "packed"])
@pytest.mark.parametrize(
    ("dtype", "twice"), [("float64", False), ("float64", True), ("float32", False)]
)
def test_same_numbers(name, options, how, dtype, twice):
    (n, mine, shown), (_, theirs, wanted) = (
        results(t, name, options, how, dtype, twice) for t in LIBRARIES
    )
    assert shown == wanted
    tol = 1e-10 if dtype == "float64" else 2e-5
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        assert a.dtype == b.dtype and a.shape == b.shape
        if i < n:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, tol, tol * max(1.0, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("options", [{}, {"bias": False}])
@pytest.mark.parametrize("n", [(), (4,)])
def test_cells(name, options, n):
    both = []
    for t in LIBRARIES:
        rng = np.random.default_rng(0)
        t.manual_seed(1)
        m = getattr(t.nn, name)(3, 2, **options).double()
        x, h, c = (t.tensor(rng.standard_normal((*n, k)), requires_grad=True) for k in (3, 2, 2))
        out = m(x, (h, c) if name == "LSTMCell" else h)
        out = out if name == "LSTMCell" else (out,)
        wanted = [x, h, *m.parameters()]
        gs = t.autograd.grad(sum((o * o).sum() for o in out), wanted, create_graph=True)
        gs += t.autograd.grad(sum((g * g).sum() for g in gs), wanted)
        first = m(x)
        first = first[0] if name == "LSTMCell" else first
        both.append([a.detach().numpy() for a in (*m.parameters(), *out, first, *gs)])
        both[-1].append(repr(m))
    for a, b in zip(*both, strict=True):
        if isinstance(a, str):
            assert a == b
        else:
            np.testing.assert_allclose(a, b, 1e-11, 1e-12)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (10, 7, 2), (65, 128, 1)])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_initial_weights_are_those_of_pytorch(name, sizes):
    both = []
    for t in LIBRARIES:
        t.manual_seed(7)
        both.append(getattr(t.nn, name)(*sizes, bidirectional=True).state_dict())
    for key, value in both[1].items():
        np.testing.assert_array_equal(both[0][key].numpy(), value.numpy())


def test_packing_as_in_pytorch():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, 2)) for n in (2, 4, 4, 1)]
    both = []
    for t in LIBRARIES:
        rnn = t.nn.utils.rnn
        packed = rnn.pack_sequence([t.tensor(a) for a in arrays], enforce_sorted=False)
        padded, lengths = rnn.pad_packed_sequence(packed, True, -2.0, 6)
        rows = rnn.unpack_sequence(packed)
        left = rnn.pad_sequence(rows, padding_side="left", padding_value=3.0)
        both.append([*packed, padded, lengths, *rows, left])
        assert packed._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    for a, b in zip(*both, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def raised(call, t):
    try:
        call(t, t.ones(5, 3, 4))
    except Exception as error:
        return error
    return None


MISTAKES = [
    lambda t, x: t.nn.LSTM(4, 3)(x[..., :2]),
    lambda t, x: t.nn.LSTM(4, 3)(x[0, 0]),
    lambda t, x: t.nn.LSTM(4, 3)(x[None]),
    lambda t, x: t.nn.LSTM(4, 3)(x, t.zeros(1, 3, 3)),
    lambda t, x: t.nn.LSTM(4, 3)(x, (t.zeros(1, 2, 3), t.zeros(1, 3, 3))),
    lambda t, x: t.nn.LSTM(4, 3)(x, (t.zeros(3, 3), t.zeros(3, 3))),
    lambda t, x: t.nn.LSTM(4, 3)(x[:, 0], (t.zeros(1, 1, 3), t.zeros(1, 1, 3))),
    lambda t, x: t.nn.GRU(4, 3)(x, t.zeros(1, 2, 3)),
    lambda t, x: t.nn.GRU(4, 3)(x.double()),
    lambda t, x: t.nn.GRU(4, 3)(x[:0]),
    lambda t, x: t.nn.RNN(4, 3, nonlinearity="elu"),
    lambda t, x: t.nn.RNN(4, 3, proj_size=2),
    lambda t, x: t.nn.LSTM(4, 3, proj_size=-1),
    lambda t, x: t.nn.LSTM(4, 3.0),
    lambda t, x: t.nn.LSTM(4, 3, 0),
    lambda t, x: t.nn.LSTM(4, 3, 2, dropout=-0.1),
    lambda t, x: t.nn.LSTMCell(4, 3)(x),
    lambda t, x: t.nn.LSTMCell(4, 3)(x[0, :, :2]),
    lambda t, x: t.nn.LSTMCell(4, 3)(x[0], x[0]),
    lambda t, x: t.nn.GRUCell(4, 3)(x[0], t.zeros(2, 3)),
    lambda t, x: t.nn.GRUCell(4, 3)(x[0], t.zeros(3, 2)),
    lambda t, x: t.nn.RNNCell(4, 3, nonlinearity="elu")(x[0]),
    lambda t, x: t.nn.utils.rnn.pack_padded_sequence(x, [3, 5, 1]),
    lambda t, x: t.nn.utils.rnn.pack_padded_sequence(x, [5, 3]),
    lambda t, x: t.nn.utils.rnn.pack_padded_sequence(x, [5, 3, 0]),
    lambda t, x: t.nn.utils.rnn.pack_padded_sequence(x[0, 0], [5, 3]),
    lambda t, x: t.nn.utils.rnn.pad_sequence([]),
    lambda t, x: t.nn.utils.rnn.pad_sequence((1, 2)),
    lambda t, x: t.nn.utils.rnn.pad_sequence([x], padding_side="up"),
    lambda t, x: t.nn.utils.rnn.pad_packed_sequence(
        t.nn.utils.rnn.pack_sequence([x]), total_length=2
    ),
]


@pytest.mark.parametrize("call", MISTAKES)
def test_mistakes_raise_the_same_type(call):
    mine, theirs = raised(call, cp), raised(call, torch)
    assert theirs is not None and isinstance(mine, type(theirs))
