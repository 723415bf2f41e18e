"""Reshaping, moving, joining and cutting: values, shared memory, gradients and refusals."""

import numpy as np
import pytest

import clearprop as cp

A = np.arange(24.0).reshape(2, 3, 4)

# name: (the op, NumPy's way, whether the result is a view)
CASES = {
    "reshape": (lambda x: x.reshape(4, -1), lambda a: a.reshape(4, 6), True),
    "view": (lambda x: x.view(6, 4), lambda a: a.reshape(6, 4), True),
    "flatten": (lambda x: x.flatten(), lambda a: a.ravel(), True),
    "flatten from 1": (lambda x: cp.flatten(x, 1), lambda a: a.reshape(2, 12), True),
    "unflatten": (lambda x: x.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2), True),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, 2), True),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1), True),
    "movedim": (lambda x: x.movedim(0, 2), lambda a: np.moveaxis(a, 0, 2), True),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2), True),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda a: a[..., None], True),
    "squeeze": (lambda x: x[:1].squeeze(), lambda a: a[0], True),
    "squeeze one": (lambda x: x[:, :1, :1].squeeze(1), lambda a: a[:, 0, :1], True),
    "expand": (lambda x: x.expand(5, -1, -1, -1), lambda a: np.broadcast_to(a, (5, 2, 3, 4)), True),
    "narrow": (lambda x: x.narrow(1, 1, 2), lambda a: a[:, 1:3], True),
    "select": (lambda x: x.select(1, -1), lambda a: a[:, -1], True),
    "flip": (lambda x: x.flip((0, 2)), lambda a: np.flip(a, (0, 2)), False),
    "roll": (lambda x: x.roll(1, 2), lambda a: np.roll(a, 1, 2), False),
    "roll all": (lambda x: x.roll(5), lambda a: np.roll(a, 5), False),
    "repeat": (lambda x: x.repeat(2, 1, 1, 3), lambda a: np.tile(a, (2, 1, 1, 3)), False),
    "tile": (lambda x: x.tile(2), lambda a: np.tile(a, 2), False),
    "repeat_interleave": (
        lambda x: x.repeat_interleave(2, 1),
        lambda a: np.repeat(a, 2, 1),
        False,
    ),
    "tril": (lambda x: x.tril(), np.tril, False),
    "triu": (lambda x: x.triu(1), lambda a: np.triu(a, 1), False),
    "cat": (lambda x: cp.cat([x, x], 1), lambda a: np.concatenate([a, a], 1), False),
    "stack": (lambda x: cp.stack([x, x], -1), lambda a: np.stack([a, a], -1), False),
    "hstack": (lambda x: cp.hstack([x, x]), lambda a: np.hstack([a, a]), False),
    "vstack": (lambda x: cp.vstack([x, x]), lambda a: np.vstack([a, a]), False),
    "split": (lambda x: x.split(3, 2)[1], lambda a: a[:, :, 3:], True),
    "split sizes": (lambda x: x.split([1, 3], 2)[1], lambda a: a[:, :, 1:], True),
    "chunk": (lambda x: x.chunk(2, 1)[1], lambda a: a[:, 2:], True),
    "unbind": (lambda x: x.unbind(1)[2], lambda a: a[:, 2], True),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name):
    f, g, _ = CASES[name]
    np.testing.assert_array_equal(f(cp.tensor(A)).numpy(), g(A))


@pytest.mark.parametrize("name", CASES)
def test_views_share_memory_and_copies_do_not(name):
    f, _, shares = CASES[name]
    x = cp.tensor(A)
    assert np.shares_memory(f(x).numpy(), x.numpy()) is shares


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_counts_where_each_element_went(name):
    f, g, _ = CASES[name]
    x = cp.tensor(A, requires_grad=True)
    y = f(x)
    weights = np.arange(1.0, y.numel() + 1).reshape(y.shape)
    (y * cp.tensor(weights)).sum().backward()
    places = g(np.arange(1, 25).reshape(A.shape)).astype(int)
    wanted = np.bincount(places.ravel(), weights.ravel(), 25)[1:]
    np.testing.assert_array_equal(x.grad.numpy().ravel(), wanted)


def test_reshape_copies_only_where_it_must():
    x = cp.tensor(A)
    assert not np.shares_memory(x.transpose(0, 2).reshape(24).numpy(), x.numpy())
    with pytest.raises(RuntimeError, match=r"view.*Use .*reshape"):
        x.transpose(0, 2).view(24)


def test_contiguous_copies_only_what_is_not():
    x = cp.tensor(A)
    assert x.contiguous() is x
    y = x.transpose(0, 2).contiguous()
    assert y.is_contiguous() and y.stride() == (6, 2, 1)


@pytest.mark.parametrize(
    ("sizes", "pieces"), [(2, [2, 2, 1]), (5, [5]), (9, [5]), ([1, 4], [1, 4]), ([0, 5], [0, 5])]
)
def test_split_sizes(sizes, pieces):
    assert [len(p) for p in cp.arange(5).split(sizes)] == pieces


@pytest.mark.parametrize(("n", "pieces"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (4, [2, 2, 1])])
def test_chunk_gives_at_most_n_pieces(n, pieces):
    assert [len(p) for p in cp.arange(5).chunk(n)] == pieces


def test_zero_elements_are_reshaped_too():
    assert cp.zeros(0, 3).reshape(3, 0).shape == (3, 0)
    assert cp.zeros(2, 0).flatten().shape == (0,)
    assert cp.cat([cp.zeros(0, 3), cp.zeros(2, 3)]).shape == (2, 3)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (
            lambda x: x.reshape(5, 5),
            RuntimeError,
            "shape '\\[5, 5\\]' is invalid for input of size",
        ),
        (lambda x: x.reshape(-1, 5), RuntimeError, "invalid for input of size 24"),
        (lambda x: x.reshape(-1, -1), RuntimeError, "only one dimension can be inferred"),
        (lambda x: x.permute(0, 1), RuntimeError, "permute"),
        (lambda x: x.permute(0, 0, 1), RuntimeError, "permute"),
        (lambda x: x.transpose(0, 3), IndexError, "Dimension out of range"),
        (lambda x: x.unsqueeze(4), IndexError, "Dimension out of range"),
        (lambda x: x.expand(2, 5, 4), RuntimeError, "must match the existing size"),
        (lambda x: x.narrow(1, 2, 2), (RuntimeError, IndexError), "narrow"),
        (lambda x: x.select(0, 2), IndexError, "out of bounds|out of range"),
        (lambda x: x.split([1, 1], 1), RuntimeError, "split"),
        (lambda x: x.t(), RuntimeError, "^t:|t\\(\\)"),
        (lambda x: cp.cat([]), (RuntimeError, ValueError), "cat"),
        (lambda x: cp.cat([x, x[0]]), RuntimeError, "cat"),
        (lambda x: cp.cat([x, x[:, :2]]), RuntimeError, "cat"),
        (lambda x: cp.stack([x, x[:1]]), RuntimeError, "stack"),
        (lambda x: x.repeat(2), RuntimeError, "repeat"),
    ],
)
def test_mistakes_are_named(f, error, message):
    with pytest.raises(error, match=message):
        f(cp.tensor(A))
