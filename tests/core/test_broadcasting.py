"""Shapes that are stretched to fit, and the gradient that is summed back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import clearprop as cp

PAIRS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 3), (1, 3)),
    ((2, 1), (1, 3)),
    ((4, 1, 3), (2, 1)),
    ((), (2, 3)),
    ((1,), (2, 3)),
    ((0, 3), (1, 3)),
    ((1, 1, 1), ()),
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
@pytest.mark.parametrize("f", [cp.add, cp.mul, cp.maximum, cp.lt])
def test_the_shape_is_that_of_numpy(a, b, f):
    wanted = np.broadcast_shapes(a, b)
    assert f(cp.ones(a), cp.ones(b)).shape == wanted
    assert f(cp.ones(b), cp.ones(a)).shape == wanted


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_gradient_is_summed_over_what_was_stretched(a, b):
    x = cp.ones(a, requires_grad=True)
    y = cp.full(b, 2.0, requires_grad=True)
    z = x * y
    z.sum().backward()
    assert x.grad.shape == a and y.grad.shape == b
    np.testing.assert_array_equal(x.grad.numpy(), np.full(a, 2.0 * z.numel() / max(1, x.numel())))
    np.testing.assert_array_equal(y.grad.numpy(), np.full(b, 1.0 * z.numel() / max(1, y.numel())))


@settings(max_examples=60, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=3))
def test_three_operands_of_any_shapes(shapes):
    arrays = [np.arange(np.prod(s, dtype=int), dtype=float).reshape(s) for s in shapes.input_shapes]
    a, b, c = arrays
    x, y, z = (cp.tensor(v, requires_grad=True) for v in arrays)
    out = x * y + z
    np.testing.assert_array_equal(out.detach().numpy(), a * b + c)
    out.sum().backward()
    for t, slope in ((x, b), (y, a), (z, np.ones(()))):
        total = np.broadcast_to(slope, shapes.result_shape)
        lead = total.ndim - t.ndim
        total = total.sum(axis=tuple(range(lead)))
        axes = tuple(
            i for i, (n, m) in enumerate(zip(t.shape, total.shape, strict=True)) if n == 1 != m
        )
        np.testing.assert_array_equal(t.grad.numpy(), total.sum(axis=axes, keepdims=True))


@pytest.mark.parametrize(
    ("a", "b", "sizes", "axis"),
    [
        ((2, 3), (2, 4), (3, 4), 1),
        ((3,), (4,), (3, 4), 0),
        ((5, 2, 3), (4, 3), (2, 4), 1),
        ((2, 0), (2, 3), (0, 3), 1),
    ],
)
@pytest.mark.parametrize("f", [cp.add, cp.mul, cp.eq, lambda x, y: x - y])
@pytest.mark.parametrize("grad", [False, True])
def test_sizes_that_differ_are_named(a, b, sizes, axis, f, grad):
    x, y = cp.ones(a, requires_grad=grad), cp.ones(b)
    text = (
        rf"The size of tensor a \({sizes[0]}\) must match the size of tensor b \({sizes[1]}\) at"
        rf" non-singleton dimension {axis}"
    )
    with pytest.raises(RuntimeError, match=text):
        f(x, y)


def test_where_broadcasts_all_three():
    c = cp.tensor([[True], [False]])
    x = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = cp.where(c, x, 0.0)
    assert y.tolist() == [[1, 2, 3], [0, 0, 0]]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize("write", [lambda x, y: x.add_(y), lambda x, y: x.__imul__(y)])
def test_in_place_never_broadcasts_its_target(write):
    x = cp.ones(3)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        write(x, cp.ones(2, 3))
    assert x.shape == (3,)


def test_in_place_broadcasts_what_is_added():
    x = cp.zeros(2, 3)
    x += cp.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [[1, 2, 3], [1, 2, 3]]


def test_broadcast_tensors_gives_all_the_common_shape():
    x, y = cp.broadcast_tensors(cp.tensor([[1], [2]]), cp.tensor([3, 4]))
    assert (x.tolist(), y.tolist()) == ([[1, 1], [2, 2]], [[3, 4], [3, 4]])


def test_strict_forbids_broadcasting_between_ranks():
    with cp.flags(strict=1):
        with pytest.raises(RuntimeError, match="STRICT forbids broadcasting between ranks"):
            cp.ones(2, 3) + cp.ones(3)
        assert (cp.ones(2, 3) + cp.ones(1, 3)).shape == (2, 3)
        with pytest.raises(RuntimeError, match="STRICT forbids implicit promotion"):
            cp.ones(2) + cp.ones(2, dtype=cp.float64)
