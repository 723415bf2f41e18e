"""Products of matrices and vectors, and norms."""

import numpy as np
import pytest

import clearprop as cp

RNG = np.random.default_rng(0)
RANKS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]


@pytest.mark.parametrize(("a", "b"), RANKS)
def test_matmul_of_every_pair_of_ranks(a, b):
    x, y = RNG.normal(size=a), RNG.normal(size=b)
    s, t = cp.tensor(x, requires_grad=True), cp.tensor(y, requires_grad=True)
    out = s @ t
    np.testing.assert_allclose(out.detach().numpy(), x @ y, atol=1e-14)
    out.sum().backward()
    # the sum is linear in every entry: its slope is the sum of the other factor's partners
    left = x[None] if x.ndim == 1 else x
    right = y[:, None] if y.ndim == 1 else y
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    n, m = left.shape[-2], right.shape[-1]
    gx = np.broadcast_to(right.sum(-1)[..., None, :], (*batch, n, left.shape[-1]))
    gy = np.broadcast_to(left.sum(-2)[..., :, None], (*batch, right.shape[-2], m))
    for tensor, g, matrix in ((s, gx, left), (t, gy, right)):
        g = g.sum(axis=tuple(range(g.ndim - matrix.ndim)))
        axes = tuple(i for i in range(g.ndim) if matrix.shape[i] == 1 != g.shape[i])
        g = g.sum(axis=axes, keepdims=True).reshape(tensor.shape)
        np.testing.assert_allclose(tensor.grad.numpy(), g, atol=1e-13)


@pytest.mark.parametrize(
    ("f", "a", "b"),
    [
        (cp.mm, (2, 3), (3, 4)),
        (cp.mv, (2, 3), (3,)),
        (cp.dot, (3,), (3,)),
        (cp.bmm, (5, 2, 3), (5, 3, 4)),
    ],
)
def test_the_narrow_products_equal_matmul(f, a, b):
    x, y = cp.randn(a), cp.randn(b)
    assert (f(x, y) == x @ y).all()


def test_outer():
    x, y = cp.tensor([1.0, 2.0]), cp.tensor([3.0, 4.0, 5.0])
    assert cp.outer(x, y).tolist() == [[3, 4, 5], [6, 8, 10]]


def test_integers_are_multiplied_exactly():
    big = 2**53 + 1
    assert (cp.tensor([[big]]) @ cp.tensor([[1]])).item() == big


def test_addmm_and_baddbmm():
    b, x, y = cp.ones(2, 2), cp.tensor([[1.0, 2], [3, 4]]), cp.eye(2)
    assert cp.addmm(b, x, y, beta=2, alpha=3).tolist() == [[5, 8], [11, 14]]
    assert cp.baddbmm(b[None], x[None], y[None]).tolist() == [[[2, 3], [4, 5]]]


@pytest.mark.parametrize("transposed", [False, True])
def test_strided_operands(transposed):
    x = cp.tensor(RNG.normal(size=(4, 6)))
    y = x.t()[::2] if transposed else x[:, ::2].t()
    np.testing.assert_allclose((y @ x).numpy(), y.numpy() @ x.numpy(), atol=1e-14)


@pytest.mark.parametrize(
    ("f", "a", "b", "message"),
    [
        (cp.matmul, (4, 5), (3, 2), r"mat1 and mat2 shapes cannot be multiplied \(4x5 and 3x2\)"),
        (cp.mm, (4, 5), (3, 2), r"cannot be multiplied \(4x5 and 3x2\)"),
        (cp.matmul, (2, 4, 5), (3, 5, 2), "matmul"),
        (cp.matmul, (3,), (4,), "matmul"),
        (cp.matmul, (), (3,), "matmul"),
        (cp.mm, (2, 2, 2), (2, 2), "mm"),
        (cp.mv, (2, 3), (2,), "inner sizes 3 and 2 differ"),
        (cp.dot, (3,), (4,), "inner sizes 3 and 4 differ"),
        (cp.dot, (3, 3), (3,), "dot"),
        (cp.bmm, (2, 3, 4), (3, 4, 5), "bmm"),
    ],
)
def test_sizes_that_do_not_fit(f, a, b, message):
    with pytest.raises(RuntimeError, match=message):
        f(cp.ones(a), cp.ones(b))


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, np.inf])
@pytest.mark.parametrize("dim", [None, 0, -1])
def test_norms(p, dim):
    a = RNG.normal(size=(3, 4))
    wanted = np.linalg.norm(a.ravel() if dim is None else a, p, axis=dim)
    np.testing.assert_allclose(cp.norm(cp.tensor(a), p, dim).numpy(), wanted, rtol=1e-12)


def test_the_gradient_of_a_norm_points_along_the_vector():
    x = cp.tensor([3.0, 4.0], dtype=cp.float64, requires_grad=True)
    x.norm().backward()
    np.testing.assert_allclose(x.grad.numpy(), [0.6, 0.8], rtol=1e-15)


def test_the_largest_ones_share_the_gradient_of_the_maximum_norm():
    x = cp.tensor([-3.0, 1.0, 3.0], requires_grad=True)
    cp.norm(x, float("inf")).backward()
    assert x.grad.tolist() == [-0.5, 0, 0.5]


@pytest.mark.parametrize("k", [-1, 0, 1])
def test_diag_both_ways_and_trace(k):
    a = np.arange(12.0).reshape(3, 4)
    assert cp.diag(cp.tensor(a), k).tolist() == np.diag(a, k).tolist()
    assert cp.diag(cp.tensor([1.0, 2.0]), k).tolist() == np.diag([1.0, 2.0], k).tolist()
    x = cp.tensor(a, requires_grad=True)
    cp.trace(x).backward()
    assert x.grad.tolist() == np.eye(3, 4).tolist()
