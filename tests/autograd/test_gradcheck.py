"""gradcheck and gradgradcheck: they pass what is right and catch every planted fault."""

from __future__ import annotations

import pytest

import clearprop as cp
from clearprop.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def leaf(*values):
    return cp.tensor(list(values), dtype=cp.float64, requires_grad=True)


def block(forward, backward):
    """A block of one input x with saved x; backward(g, x)."""

    class Block(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, g):
            return backward(g, *ctx.saved_tensors)

    return Block.apply


RIGHT = {
    "tanh": (cp.tanh, (leaf(0.3, -0.7),)),
    "matmul": (cp.matmul, (cp.ones(2, 3).double().requires_grad_(), leaf(1.0, 2.0, 3.0))),
    "two outputs": (lambda x: (x.exp(), x.sin()), (leaf(0.3, -0.7),)),
    "broadcasting": (lambda x, y: x * y[:, None], (leaf(0.3, -0.7), leaf(1.0, 2.0, 3.0))),
    "a constant beside it": (lambda x, n: x * n, (leaf(0.3), cp.tensor([2.0]).double())),
    "an unused input": (lambda x, y: x * 2, (leaf(0.3), leaf(0.4))),
    "an empty input": (lambda x: x * 2, (cp.zeros(0).double().requires_grad_(),)),
    "a 0-d input": (lambda x: x**3, (cp.tensor(0.4).double().requires_grad_(),)),
    "a constant output": (lambda x: x.floor(), (leaf(0.3, 1.5),)),
    "a block": (block(lambda x: x**3, lambda g, x: g * 3 * x * x), (leaf(0.3),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    f, xs = RIGHT[name]
    assert gradcheck(f, xs)


@pytest.mark.parametrize("name", ["tanh", "two outputs", "broadcasting", "a block"])
def test_what_is_right_passes_to_second_order(name):
    f, xs = RIGHT[name]
    assert gradgradcheck(f, xs)


WRONG = {
    "factor": lambda g, x: g * 2 * x * x,
    "sign": lambda g, x: -g * 3 * x * x,
    "zero": lambda g, x: g * 0,
    "none": lambda g, x: None,
    "ignores what arrives": lambda g, x: 3 * x * x,
    "nan": lambda g, x: g * float("nan"),
    "a little off": lambda g, x: g * (3 * x * x + 1e-3),
    "one element": lambda g, x: g * (3 * x * x + cp.tensor([0.0, 0.0, 0.1]).double()),
    "reversed": lambda g, x: (g * 3 * x * x).flip(0),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_fault_is_caught(name):
    f = block(lambda x: x**3, WRONG[name])
    x = leaf(0.5, 1.5, -1.2)
    with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to inp"):
        gradcheck(lambda x: f(x) * cp.tensor([1.0, 2.0, 3.0]).double(), (x,))


def test_a_fault_in_the_second_derivative_only_is_caught():
    f = block(lambda x: x**3, lambda g, x: g * 3 * (x * x.detach()))
    assert gradcheck(f, (leaf(0.5),))
    with pytest.raises(GradcheckError):
        gradgradcheck(f, (leaf(0.5),))


def test_a_fault_in_the_second_input_is_named():
    def f(x, y):
        return x * y + y.detach() * y.detach()

    with pytest.raises(GradcheckError, match="with respect to input 1"):
        gradcheck(f, (leaf(1.0), leaf(2.0)))


def test_a_fault_in_the_second_output_is_named():
    with pytest.raises(GradcheckError, match="for output 1 with respect to input 0"):
        gradcheck(lambda x: (x * 2, x * x.detach()), (leaf(1.5),))


def test_the_message_has_both_numbers():
    f = block(lambda x: x * 4, lambda g, x: g * 5)
    with pytest.raises(GradcheckError, match=r"output\[1\] / d input\[1\] is 5 by backward and 4"):
        gradcheck(lambda x: cp.stack([x[0] * 4, f(x)[1]]), (leaf(1.0, 2.0),))


def test_without_exception_the_answer_is_false():
    f = block(lambda x: x**3, WRONG["sign"])
    assert gradcheck(f, (leaf(1.0),), raise_exception=False) is False
    assert gradgradcheck(cp.tanh, (leaf(1.0),), raise_exception=False) is True


def test_tolerances_are_used():
    f = block(lambda x: x * 4, lambda g, x: g * 4.001)
    assert gradcheck(f, (leaf(1.0),), atol=0.01)
    assert gradcheck(f, (leaf(1.0),), rtol=0.01)
    assert not gradcheck(f, (leaf(1.0),), atol=1e-5, rtol=1e-5, raise_exception=False)


def test_float32_is_refused():
    with pytest.raises(ValueError, match=r"input 0 is .*need float64"):
        gradcheck(cp.tanh, (cp.ones(2, requires_grad=True),))


def test_no_input_with_gradient_is_refused():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(cp.tanh, (cp.ones(2).double(),))


def test_inputs_and_grads_are_left_as_they_were():
    x = leaf(0.3, -0.7)
    gradcheck(cp.tanh, x)
    gradgradcheck(cp.tanh, x)
    assert x.tolist() == [0.3, -0.7]
    assert x.grad is None
