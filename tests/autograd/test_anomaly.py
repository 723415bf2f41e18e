"""detect_anomaly: the first nan or inf, forward or backward, is named with op, module and line."""

from __future__ import annotations

import inspect

import pytest

import clearprop as cp
from clearprop.autograd import detect_anomaly, set_detect_anomaly

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def leaf(*values):
    return cp.tensor(list(values), dtype=cp.float64, requires_grad=True)


class Net(cp.nn.Module):
    def __init__(self, op):
        super().__init__()
        self.inner = cp.nn.Sequential(cp.nn.Identity(), Block(op))

    def forward(self, x):
        return self.inner(x)


class Block(cp.nn.Module):
    def __init__(self, op):
        super().__init__()
        self.op = op

    def forward(self, x):
        return self.op(x)


FORWARD = {
    "log of a negative": (lambda x: x.log(), -1.0, "log", "nan"),
    "log of zero": (lambda x: x.log(), 0.0, "log", "inf"),
    "exp that overflows": (lambda x: x.exp(), 1000.0, "exp", "inf"),
    "division by zero": (lambda x: 1 / x, 0.0, "div", "inf"),
    "zero over zero": (lambda x: x / x, 0.0, "div", "nan"),
    "root of a negative": (lambda x: x.sqrt(), -4.0, "sqrt", "nan"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_the_forward_pass_stops_at_the_op_that_made_it(name):
    f, value, op, kind = FORWARD[name]
    with (
        detect_anomaly(),
        pytest.raises(RuntimeError, match=f"^{op}: the forward pass made {kind}") as e,
    ):
        (f(leaf(value) * 1) * 2).sum()
    assert "test_anomaly.py" in str(e.value)


BACKWARD = {
    "sqrt at 0": (lambda x: x.sqrt(), "SqrtBackward", "inf"),
    "x ** 0.5 at 0": (lambda x: x**0.5, "PowScalarBackward", "inf"),
    "norm by hand at 0": (lambda x: (x * x).sqrt(), "SqrtBackward", "inf"),
}


@pytest.mark.parametrize("name", BACKWARD)
def test_the_backward_pass_stops_at_the_op_whose_gradient_is_not_finite(name):
    f, op, kind = BACKWARD[name]
    with detect_anomaly():
        y = f(leaf(0.0, 1.0)).sum()
        with pytest.raises(RuntimeError, match=f"Function '{op}' returned {kind} values") as e:
            y.backward()
    assert "test_anomaly.py" in str(e.value)
    assert "1 non-finite elements of 2" in str(e.value)


def test_the_hidden_nan_behind_where_is_found():
    x = leaf(-1.0, 4.0)
    with cp.no_grad():
        root = x.sqrt()
    assert root.isnan().tolist() == [True, False]
    with detect_anomaly(), pytest.raises(RuntimeError, match="sqrt: the forward pass made nan"):
        cp.where(x > 0, x.sqrt(), x)


def test_a_forward_error_names_the_module_and_the_line():
    net = Net(lambda x: x.log())
    with detect_anomaly(), pytest.raises(RuntimeError) as e:
        net(leaf(-1.0))
    assert "in Net.inner.1" in str(e.value)
    assert "The source line: net = Net(lambda x: x.log())" in str(e.value)


def test_a_backward_error_names_the_module_and_the_line():
    net = Net(lambda x: x.sqrt())
    with detect_anomaly():
        y = net(leaf(0.0)).sum()
        with pytest.raises(RuntimeError) as e:
            y.backward()
    assert "sqrt in Net.inner.1" in str(e.value)
    assert "The source line: net = Net(lambda x: x.sqrt())" in str(e.value)


def test_the_line_number_is_the_users():
    x = leaf(-1.0)
    with detect_anomaly(), pytest.raises(RuntimeError) as e:
        here = inspect.currentframe().f_lineno + 1
        x.log()
    assert f"test_anomaly.py:{here}" in str(e.value)


def test_what_came_in_broken_is_not_blamed_on_the_next_op():
    with detect_anomaly():
        y = leaf(float("nan"), float("inf")) * 2 + 1
    assert y.isfinite().tolist() == [False, False]


def test_a_broken_seed_is_not_blamed_on_an_op():
    x = leaf(1.0)
    with detect_anomaly():
        (x * 2).backward(cp.tensor([float("nan")], dtype=cp.float64))
    assert x.grad.isnan().item()


def test_finite_work_is_unchanged():
    plain, checked = leaf(0.3, 0.7), leaf(0.3, 0.7)
    (plain.tanh() @ plain.exp()).backward()
    with detect_anomaly():
        (checked.tanh() @ checked.exp()).backward()
    assert checked.grad.tolist() == plain.grad.tolist()


def test_outside_nothing_is_checked():
    with detect_anomaly():
        pass
    assert leaf(-1.0).log().isnan().item()


def test_the_state_returns_after_an_error_and_in_nested_blocks():
    with detect_anomaly():
        with detect_anomaly(False):
            assert True
        with pytest.raises(RuntimeError, match="log"):
            leaf(-1.0).log()
    assert leaf(-1.0).log().isnan().item()


def test_check_nan_false_checks_nothing():
    with detect_anomaly(check_nan=False):
        assert leaf(-1.0).log().isnan().item()


def test_set_detect_anomaly_switches_until_it_is_switched_back():
    set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="log"):
            leaf(-1.0).log()
    finally:
        set_detect_anomaly(False)
    assert leaf(-1.0).log().isnan().item()


def test_set_detect_anomaly_as_a_block():
    with set_detect_anomaly(True), pytest.raises(RuntimeError, match="log"):
        leaf(-1.0).log()
    assert leaf(-1.0).log().isnan().item()


def test_a_custom_function_is_named():
    class Bad(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * float("inf")

    with detect_anomaly():
        y = Bad.apply(leaf(1.0))
        with pytest.raises(RuntimeError, match="Function 'BadBackward' returned inf"):
            y.backward()
