"""RNN, LSTM, GRU, their cells and packed sequences, by their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.autograd import gradcheck
from clearprop.core import TABLE, Composed
from clearprop.jit.expansion import expanded
from clearprop.nn.utils import rnn

RNG = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(module, x, state, suffix):
    """One time step of one example, as the textbooks have it."""
    w = {k.removesuffix(suffix): v.detach().numpy() for k, v in module.named_parameters()}
    b, c = w.get("bias_ih", 0), w.get("bias_hh", 0)
    h = state[0]
    p, q = w["weight_ih"] @ x + b, w["weight_hh"] @ h + c
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        i, f, g, o = np.split(p + q, 4)
        cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(cell)
        return (w["weight_hr"] @ h if "weight_hr" in w else h), cell
    if isinstance(module, nn.GRU | nn.GRUCell):
        (pr, pz, pn), (qr, qz, qn) = np.split(p, 3), np.split(q, 3)
        r, z = sigmoid(pr + qr), sigmoid(pz + qz)
        return ((1 - z) * np.tanh(pn + r * qn) + z * h,)
    return (np.tanh(p + q) if module.nonlinearity == "tanh" else np.maximum(p + q, 0),)


def by_hand(module, x, state, suffix="_l0"):
    """All steps of one example."""
    out = []
    for row in x:
        state = step(module, row, state, suffix)
        out.append(state[0])
    return np.array(out), state


def near(a, b):
    np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10, atol=1e-12)


KINDS = {
    "RNN": lambda **k: nn.RNN(3, 4, dtype=cp.float64, **k),
    "RNN, relu": lambda **k: nn.RNN(3, 4, nonlinearity="relu", dtype=cp.float64, **k),
    "LSTM": lambda **k: nn.LSTM(3, 4, dtype=cp.float64, **k),
    "LSTM, projected": lambda **k: nn.LSTM(3, 4, proj_size=2, dtype=cp.float64, **k),
    "GRU": lambda **k: nn.GRU(3, 4, dtype=cp.float64, **k),
}
ALL = pytest.mark.parametrize("name", KINDS)


def states(module, rows, n):
    width = [getattr(module, "proj_size", 0) or 4, 4][: 1 + isinstance(module, nn.LSTM)]
    return [RNG.standard_normal((rows, n, w)) for w in width]


def given(hx):
    hx = [cp.tensor(s) for s in hx]
    return hx[0] if len(hx) == 1 else tuple(hx)


def tensors(state):
    return state if isinstance(state, tuple) else (state,)


@ALL
@pytest.mark.parametrize("bias", [True, False])
def test_every_step_is_the_formula(name, bias):
    m = KINDS[name](bias=bias)
    x, hx = RNG.standard_normal((6, 2, 3)), states(m, 1, 2)
    y, last = m(cp.tensor(x), given(hx))
    for n in range(2):
        out, state = by_hand(m, x[:, n], [s[0, n] for s in hx])
        near(y[:, n], out)
        for got, wanted in zip(tensors(last), state, strict=True):
            near(got[0, n], wanted)


@ALL
def test_layouts_and_missing_states(name):
    m = KINDS[name]()
    first = KINDS[name](batch_first=True)
    first.load_state_dict(m.state_dict())
    x = cp.tensor(RNG.standard_normal((5, 2, 3)))
    y, last = m(x)
    zeros = [np.zeros_like(s) for s in states(m, 1, 2)]
    near(m(x, given(zeros))[0], y.detach().numpy())
    turned, same = first(x.transpose(0, 1))
    near(turned.transpose(0, 1), y.detach().numpy())
    alone, end = m(x[:, 1])
    near(alone, y[:, 1].detach().numpy())
    for a, b, c in zip(tensors(last), tensors(same), tensors(end), strict=True):
        near(b, a.detach().numpy())
        near(c, a[:, 1].detach().numpy())
    assert m(x[:, :0])[0].shape == (5, 0, y.shape[2])


@ALL
def test_two_layers_in_both_directions(name):
    m = KINDS[name](num_layers=2, bidirectional=True)
    x, hx = RNG.standard_normal((5, 1, 3)), states(m, 4, 1)
    y, last = m(cp.tensor(x), given(hx))
    rows = x[:, 0]
    ends = []
    for layer in range(2):
        there, s = by_hand(m, rows, [h[2 * layer, 0] for h in hx], f"_l{layer}")
        back, t = by_hand(m, rows[::-1], [h[2 * layer + 1, 0] for h in hx], f"_l{layer}_reverse")
        rows = np.concatenate([there, back[::-1]], 1)
        ends += [s, t]
    near(y[:, 0], rows)
    for got, wanted in zip(tensors(last), zip(*ends, strict=True), strict=True):
        near(got[:, 0], np.array(wanted))


@ALL
@pytest.mark.parametrize("enforce", [False, True])
def test_packed_sequences_end_where_they_end(name, enforce):
    m = KINDS[name](bidirectional=True)
    lengths = [4, 3, 1] if enforce else [3, 1, 4]
    xs = [RNG.standard_normal((n, 3)) for n in lengths]
    hx = states(m, 2, 3)
    packed = rnn.pack_sequence([cp.tensor(x) for x in xs], enforce_sorted=enforce)
    y, last = m(packed, given(hx))
    padded, sizes = rnn.pad_packed_sequence(y)
    assert sizes.tolist() == lengths
    for i, x in enumerate(xs):
        alone, end = m(cp.tensor(x), given([h[:, i] for h in hx]))
        near(padded[: len(x), i], alone.detach().numpy())
        assert not padded[len(x) :, i].detach().numpy().any()
        for a, b in zip(tensors(last), tensors(end), strict=True):
            near(a[:, i], b.detach().numpy())


@ALL
def test_gradients_of_packed_sequences(name):
    m = KINDS[name](bidirectional=True)
    xs = [cp.tensor(RNG.standard_normal((n, 3)), requires_grad=True) for n in (2, 1, 3)]

    def f(*args):
        y, last = m(rnn.pack_sequence(args[:3], enforce_sorted=False))
        return y.data, *tensors(last)

    assert gradcheck(f, [*xs, *m.parameters()])


def test_cells_are_steps_of_layers():
    for cell, layer in ((nn.RNNCell, nn.RNN), (nn.LSTMCell, nn.LSTM), (nn.GRUCell, nn.GRU)):
        one, many = cell(3, 4, dtype=cp.float64), layer(3, 4, dtype=cp.float64)
        many.load_state_dict({f"{k}_l0": v for k, v in one.state_dict().items()})
        x = cp.tensor(RNG.standard_normal((5, 2, 3)))
        state = None
        for t in range(5):
            state = one(x[t], state)
        _, last = many(x)
        for a, b in zip(tensors(state), tensors(last), strict=True):
            near(a, b[0].detach().numpy())
        near(tensors(one(x[0, 1]))[0], tensors(one(x[0]))[0][1].detach().numpy())


def test_weights_are_named_and_start_as_in_pytorch():
    m = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    names = [
        f"{part}_l{layer}{way}"
        for layer in (0, 1)
        for way in ("", "_reverse")
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    ]
    assert list(m.state_dict()) == names
    assert [p.shape for p in m.all_weights[2]] == [(16, 4), (16, 2), (16,), (16,), (2, 4)]
    values = np.concatenate([p.detach().numpy().ravel() for p in m.parameters()])
    assert np.abs(values).max() <= 0.5 < 0.5 + np.abs(values).min()
    assert m.flatten_parameters() is None


def test_dropout_lies_between_the_layers():
    m = nn.GRU(3, 4, 2, dropout=1.0, dtype=cp.float64)
    x = cp.tensor(RNG.standard_normal((5, 2, 3)))
    alone = nn.GRU(4, 4, dtype=cp.float64)
    alone.load_state_dict({k: m.state_dict()[k.replace("l0", "l1")] for k in alone.state_dict()})
    near(m(x)[0], alone(cp.zeros(5, 2, 4, dtype=cp.float64))[0].detach().numpy())
    assert not np.allclose(m.eval()(x)[0].detach().numpy(), m.train()(x)[0].detach().numpy())


@ALL
def test_compiled_steps_are_native_and_those_of_eager_mode(name):
    m = KINDS[name](num_layers=2)

    def f(x):
        y, last = m(x)
        loss = (y * y).sum() + sum(s.sum() for s in tensors(last))
        return loss, *cp.autograd.grad(loss, [x, *m.parameters()])

    x = cp.tensor(RNG.standard_normal((5, 2, 3)), requires_grad=True)
    compiled = cp.compile(f)
    for a, b in zip(compiled(x), f(x), strict=True):
        near(a, b.detach().numpy())
    assert "eager" not in compiled.explain()


def test_packing_inside_a_compiled_function():
    m = nn.LSTM(3, 4, dtype=cp.float64)

    def f(x):
        packed = rnn.pack_padded_sequence(x, [2, 4], enforce_sorted=False)
        y, sizes = rnn.pad_packed_sequence(m(packed)[0])
        return y, sizes

    compiled = cp.compile(f)
    for _ in range(2):
        x = cp.tensor(RNG.standard_normal((4, 2, 3)))
        for a, b in zip(compiled(x), f(x), strict=True):
            near(a, b.detach().numpy())
    with pytest.raises(cp.errors.TraceError, match="lengths"):
        cp.compile(lambda x, n: rnn.pack_padded_sequence(x, n).data)(x, cp.tensor([4, 2]))


def test_the_tape_shows_one_node_per_layer():
    node = nn.LSTM(3, 4)(cp.zeros(5, 2, 3))[0].grad_fn
    names = []
    while node is not None and len(names) < 9:
        names.append(node.name)
        node = node.next_functions[0][0] if node.next_functions else None
    assert "LstmBackward" in names and len(names) < 6


def test_composed_primitives_can_be_written_out():
    sweeps = [p for p in TABLE.values() if isinstance(p.lower, Composed)]
    assert {"lstm", "lstm_back", "gru", "gru_back"} <= {p.name for p in sweeps}
    m = nn.LSTM(3, 4)
    graph = cp.graph.trace(m, cp.zeros(5, 2, 3)).graph
    assert any(e.prim.name == "lstm" for e in graph.equations)
    whole = expanded(graph)
    assert not any(isinstance(e.prim.lower, Composed) for e in whole.equations)
    assert whole.inputs == graph.inputs


# ---------------------------------------------------------------------- sequences
A = [np.array([1.0, 2]), np.array([3.0, 4, 5, 6]), np.array([7.0])]


def test_padding_and_back():
    xs = [cp.tensor(a) for a in A]
    assert rnn.pad_sequence(xs, True, -1).tolist() == [
        [1, 2, -1, -1],
        [3, 4, 5, 6],
        [7, -1, -1, -1],
    ]
    left = rnn.pad_sequence(xs, True, padding_side="left")
    assert left.tolist() == [[0, 0, 1, 2], [3, 4, 5, 6], [0, 0, 0, 7]]
    again = rnn.unpad_sequence(rnn.pad_sequence(xs), cp.tensor([2, 4, 1]))
    assert [x.tolist() for x in again] == [a.tolist() for a in A]


def test_packing_and_back():
    packed = rnn.pack_sequence([cp.tensor(a) for a in A], enforce_sorted=False)
    assert packed.data.tolist() == [3, 1, 7, 4, 2, 5, 6]
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    assert [x.tolist() for x in rnn.unpack_sequence(packed)] == [a.tolist() for a in A]
    padded, lengths = rnn.pad_packed_sequence(packed, True, -1, total_length=5)
    assert padded.tolist()[0] == [1, 2, -1, -1, -1] and lengths.tolist() == [2, 4, 1]
    assert packed.float().data.dtype is cp.float32
    assert packed.to(cp.float32).cpu().double().data.dtype is cp.float64


X = cp.zeros(5, 3, 4)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: nn.LSTM(4, 3)(cp.zeros(5, 3, 2)), RuntimeError, "Expected 4, got 2"),
        (lambda: nn.LSTM(4, 3)(cp.zeros(4)), ValueError, "2D or 3D, got 1D instead"),
        (lambda: nn.GRU(4, 3)(X.double()), ValueError, "does not match weight dtype"),
        (lambda: nn.GRU(4, 3)(X[:0]), RuntimeError, "length to be larger than 0"),
        (lambda: nn.GRU(4, 3)(X, cp.zeros(1, 2, 3)), RuntimeError, r"Expected hidden size \(1, 3"),
        (lambda: nn.GRU(4, 3)(X, cp.zeros(3, 3)), RuntimeError, "hx should also be 3-D but got 2"),
        (lambda: nn.LSTM(4, 3)(X, (cp.zeros(1, 3, 3), cp.zeros(1, 2, 3))), RuntimeError, "en.1"),
        (lambda: nn.LSTM(4, 3)(X, cp.zeros(1, 3, 3)), IndexError, r"tuple \(h, c\)"),
        (lambda: nn.RNN(4, 3, nonlinearity="elu"), ValueError, "Unknown nonlinearity 'elu'"),
        (lambda: nn.GRU(4, 3, proj_size=2), ValueError, "only supported for LSTM"),
        (lambda: nn.LSTM(4, 3, proj_size=3), ValueError, "smaller than hidden_size"),
        (lambda: nn.LSTM(4, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: nn.LSTM(4, 3, 2, dropout=2.0), ValueError, "dropout should be a number"),
        (lambda: nn.LSTMCell(4, 3)(X), ValueError, "1D or 2D, got 3D instead"),
        (lambda: nn.LSTMCell(4, 3)(X[0], X[0]), TypeError, "must be tuple of Tensors"),
        (lambda: nn.GRUCell(4, 3)(X[0], cp.zeros(2, 3)), RuntimeError, "doesn.t match"),
        (lambda: nn.GRUCell(4, 3)(X[0], cp.zeros(3, 2)), RuntimeError, "inconsistent hidden_size"),
        (lambda: rnn.pack_padded_sequence(X, [3, 5, 1]), RuntimeError, "in decreasing order"),
        (lambda: rnn.pack_padded_sequence(X, [5, 3]), RuntimeError, "equal to batch_size"),
        (lambda: rnn.pack_padded_sequence(X, [5, 3, 0]), RuntimeError, "greater than 0"),
        (lambda: rnn.pack_padded_sequence(X, [6, 3, 1]), RuntimeError, "have 5 steps"),
        (lambda: rnn.pad_sequence([]), RuntimeError, "empty list of sequences"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


def test_dropout_of_one_layer_is_a_warning():
    with pytest.warns(UserWarning, match="all but last recurrent layer"):
        nn.LSTM(4, 3, dropout=0.5)
