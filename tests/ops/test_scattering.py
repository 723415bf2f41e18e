"""Writing by index, out of place and in place; diagonals; `out=`; what is asked of tensors."""

import warnings

import numpy as np
import pytest

import clearprop as cp

X = np.random.default_rng(0).normal(size=(3, 4))
ROWS = np.array([[0, 2, 2, 1], [1, 2, 0, 1]])


@pytest.mark.parametrize("how", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_is_a_loop_over_the_index(how, include_self):
    src = X[:2] + 1
    parts = [[[X[i, j]] if include_self else [] for j in range(4)] for i in range(3)]
    for i, j in np.ndindex(2, 4):
        parts[ROWS[i, j]][j].append(src[i, j])
    f = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}[how]
    wanted = [[f(p) if p else X[i, j] for j, p in enumerate(row)] for i, row in enumerate(parts)]
    x = cp.tensor(X)
    got = cp.scatter_reduce(x, 0, cp.tensor(ROWS), cp.tensor(src), how, include_self=include_self)
    np.testing.assert_allclose(got.numpy(), wanted)
    np.testing.assert_array_equal(x.numpy(), X)


def test_scattered_products_have_gradients_at_zeros():
    x = cp.ones(2, dtype=cp.float64)
    src = cp.tensor([0.0, 3.0, 0.0, 0.0], dtype=cp.float64, requires_grad=True)
    index = cp.tensor([0, 0, 1, 1])
    cp.scatter_reduce(x, 0, index, src, "prod").sum().backward()
    assert src.grad.tolist() == [3.0, 0.0, 0.0, 0.0]


def test_scatter_writes_and_its_gradient_is_read_at_the_same_places():
    x = cp.tensor(X, requires_grad=True)
    s = cp.tensor([[5.0], [6.0], [7.0]], dtype=cp.float64, requires_grad=True)
    y = cp.scatter(x, 1, cp.tensor([[3], [0], [1]]), s)
    assert [y[0, 3].item(), y[1, 0].item(), y[2, 1].item()] == [5.0, 6.0, 7.0]
    y.sum().backward()
    assert s.grad.tolist() == [[1.0], [1.0], [1.0]]
    assert x.grad.sum().item() == 9.0


def test_in_place_writes():
    x = cp.zeros(3, 4)
    x.scatter_(1, cp.tensor([[1], [2], [0]]), 1.0)
    x.index_fill_(0, cp.tensor([2]), 4.0)
    x.masked_scatter_(cp.tensor([True, False, False, False]), cp.tensor([7.0, 8.0, 9.0]))
    assert x.tolist() == [[7, 1, 0, 0], [8, 0, 1, 0], [9, 4, 4, 4]]
    x.fill_diagonal_(-1)
    assert x.diagonal().tolist() == [-1, -1, -1]


def test_a_diagonal_is_a_view():
    x = cp.tensor(X, requires_grad=True)
    y = x * 1
    y.diagonal().mul_(3)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 1 + 2 * np.eye(3, 4))
    np.testing.assert_array_equal(cp.diag_embed(cp.tensor(X), 1)[0].numpy(), np.diag(X[0], 1))


def test_a_tensor_reshaped_in_place_and_its_older_views_share_memory_and_history():
    x = cp.tensor(X, requires_grad=True)
    y = x * 2
    row = y[0]
    y.t_()
    y[:, 0] = 5.0
    assert row.tolist() == [5.0] * 4
    row.sum().backward()
    assert x.grad is None or not x.grad.any()


def test_out_is_written_and_returned():
    x, o = cp.tensor([1.0, 2.0]), cp.empty(2)
    memory = o.data_ptr()
    assert cp.exp(x, out=o) is o
    assert o.data_ptr() == memory
    np.testing.assert_allclose(o.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)
    values, indices = cp.empty(0), cp.empty(0, dtype=cp.int64)
    cp.max(cp.tensor(X, dtype=cp.float32), 1, out=(values, indices))
    np.testing.assert_array_equal(indices.numpy(), X.argmax(1))
    grown = cp.empty(0)
    assert cp.matmul(x, x, out=grown).item() == 5.0


def test_mistakes_with_out():
    x = cp.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        cp.add(x, 1, out=cp.empty(2))
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        cp.add(cp.ones(2), 0.5, out=cp.empty(2, dtype=cp.int64))
    with pytest.raises(TypeError, match="argument 'out' must be Tensor, not list"):
        cp.exp(cp.ones(2), out=[1])
    with pytest.warns(UserWarning, match="was resized since it had shape"):
        cp.add(cp.ones(2), 1, out=cp.empty(3))
    with pytest.raises(TypeError, match="unexpected keyword argument 'alpha'"):
        cp.mul(cp.ones(2), 1, alpha=2)


def test_devices_are_the_cpu():
    x = cp.zeros(2, device=cp.device("cpu"))
    assert x.device == cp.device("cpu") == "cpu"
    assert str(x.device) == "cpu"
    assert x.to(cp.device("cpu")) is x
    for use in (x.cuda, lambda: x.to("cuda"), lambda: cp.ones(2, device="cuda:0")):
        with pytest.raises(RuntimeError, match="clearprop computes on the CPU"):
            use()
    with pytest.raises(RuntimeError, match="at start of device string: fpu"):
        cp.device("fpu")


def test_limits_of_types():
    assert cp.finfo(cp.float64).eps == np.finfo(np.float64).eps
    assert cp.iinfo(cp.int16).max == 32767
    with pytest.raises(TypeError, match="requires a floating point input type"):
        cp.finfo(cp.int64)


def test_random_numbers_of_other_distributions():
    cp.manual_seed(0)
    n = 20000
    rates = cp.full((n,), 4.0)
    assert cp.poisson(rates).mean().item() == pytest.approx(4, abs=0.1)
    assert cp.binomial(cp.full((n,), 10.0), cp.full((n,), 0.3)).mean().item() == pytest.approx(
        3, abs=0.1
    )
    assert cp.empty(n).geometric_(0.25).mean().item() == pytest.approx(4, abs=0.1)
    assert cp.median(cp.empty(n).cauchy_(2.0)).item() == pytest.approx(2, abs=0.1)
    assert cp.empty(n).log_normal_(0.5, 0.2).log().mean().item() == pytest.approx(0.5, abs=0.01)
    drawn = cp.poisson(rates)
    cp.manual_seed(0)
    cp.poisson(rates), cp.binomial(rates, rates / 8)
    cp.empty(n).geometric_(0.25), cp.empty(n).cauchy_(2.0), cp.empty(n).log_normal_(0.5, 0.2)
    np.testing.assert_array_equal(cp.poisson(rates).numpy(), drawn.numpy())


def test_nothing_warns_on_plain_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cp.set_printoptions(precision=3)
        assert repr(cp.tensor([1 / 3])) == "tensor([0.333])"
        cp.set_printoptions(profile="default")
        assert cp.get_printoptions()["precision"] == 4
