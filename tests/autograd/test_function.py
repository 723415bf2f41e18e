"""autograd.Function: blocks with a backward of their own."""

from __future__ import annotations

import pytest

import clearprop as cp
from clearprop.autograd import Function, grad, gradcheck, gradgradcheck, once_differentiable


def leaf(*values):
    return cp.tensor(list(values), dtype=cp.float64, requires_grad=True)


class Cube(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


class Scale(Function):
    """Non-tensor arguments get None."""

    @staticmethod
    def forward(ctx, x, factor, name=None):
        ctx.factor, ctx.name = factor, name
        return x * factor

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None, None


class Product(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        Product.asked.append(ctx.needs_input_grad)
        return (
            g * y if ctx.needs_input_grad[0] else None,
            g * x if ctx.needs_input_grad[1] else None,
        )

    asked: list = []


class SumAndDifference(Function):
    @staticmethod
    def forward(ctx, x, y):
        return x + y, x - y

    @staticmethod
    def backward(ctx, g, h):
        return g + h, g - h


class WithContext(Function):
    @staticmethod
    def forward(x):
        return x.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


def returning(*values):
    """A block of two inputs whose backward returns these."""

    class Block(Function):
        @staticmethod
        def forward(ctx, x, n):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return tuple(v(g) if callable(v) else v for v in values)

    return Block


def test_backward_is_the_users():
    x = leaf(2.0, -1.0)
    Cube.apply(x).sum().backward()
    assert x.grad.tolist() == [12.0, 3.0]


def test_forward_is_not_recorded():
    y = Cube.apply(leaf(2.0))
    assert y.grad_fn.name == "CubeBackward"
    assert [type(node).__name__ for node, _ in y.grad_fn.next_functions] == ["Leaf"]


@pytest.mark.parametrize("block", [Cube, WithContext])
def test_first_and_second_derivatives_are_right(block):
    assert gradcheck(block.apply, (leaf(0.5, -1.2),))
    assert gradgradcheck(block.apply, (leaf(0.5, -1.2),))


def test_third_derivative():
    x = leaf(2.0)
    y = Cube.apply(x)
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
    assert y.tolist() == [6.0]


def test_arguments_that_are_no_tensors():
    x = leaf(2.0)
    Scale.apply(x, 5.0, "five").sum().backward()
    assert x.grad.tolist() == [5.0]


def test_trailing_none_may_be_too_many():
    x = leaf(2.0)
    y = returning(lambda g: g * 2, None, None, None).apply(x, 1)
    y.sum().backward()
    assert x.grad.tolist() == [2.0]


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_needs_input_grad_tells_who_asks(first, second):
    x = cp.tensor(2.0, requires_grad=first)
    y = cp.tensor(3.0, requires_grad=second)
    Product.asked.clear()
    Product.apply(x, y).backward()
    assert Product.asked == [(first, second)]
    assert (None if x.grad is None else x.grad.item()) == (3.0 if first else None)
    assert (None if y.grad is None else y.grad.item()) == (2.0 if second else None)


def test_nothing_is_recorded_without_need():
    assert not Cube.apply(cp.ones(1)).requires_grad
    with cp.no_grad():
        assert not Cube.apply(leaf(1.0)).requires_grad


def test_two_outputs():
    x, y = leaf(5.0), leaf(2.0)
    s, d = SumAndDifference.apply(x, y)
    (s * 10 + d).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([11.0], [9.0])


def test_an_output_that_nobody_used_arrives_as_zeros():
    x, y = leaf(5.0), leaf(2.0)
    _, d = SumAndDifference.apply(x, y)
    d.sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([1.0], [-1.0])


def test_without_materializing_an_unused_output_arrives_as_none():
    seen = []

    class Both(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g, h.tolist()))
            return h * 2

    x = leaf(1.0)
    Both.apply(x)[1].sum().backward()
    assert seen == [(None, [1.0])]
    assert x.grad.tolist() == [2.0]


def test_an_output_marked_non_differentiable_carries_no_gradient():
    class Round(Function):
        @staticmethod
        def forward(ctx, x):
            y, z = x * 2, x.round()
            ctx.mark_non_differentiable(z)
            return y, z

        @staticmethod
        def backward(ctx, g, h):
            return g * 2

    y, z = Round.apply(leaf(1.4))
    assert y.requires_grad
    assert not z.requires_grad


@pytest.mark.parametrize("values", [(lambda g: g,), (lambda g: g, None, lambda g: g)])
def test_a_wrong_number_of_gradients_is_an_error(values):
    y = returning(*values).apply(leaf(1.0), 1)
    message = rf"incorrect number of gradients \(expected 2, got {len(values)}\)"
    with pytest.raises(RuntimeError, match=message):
        y.backward()


def test_a_gradient_for_something_that_is_no_tensor_is_an_error():
    y = returning(lambda g: g, lambda g: g).apply(leaf(1.0), 1)
    with pytest.raises(RuntimeError, match="different from None at position 1"):
        y.backward()


def test_a_gradient_of_a_wrong_shape_is_an_error():
    y = returning(lambda g: cp.ones(3, dtype=cp.float64), None).apply(leaf(1.0, 2.0), 1)
    with pytest.raises(RuntimeError, match=r"invalid gradient at index 0 - got \[3\] but expected"):
        y.sum().backward()


def test_a_gradient_that_is_no_tensor_is_an_error():
    y = returning(1.5, None).apply(leaf(1.0), 1)
    with pytest.raises(TypeError, match="expected Variable or None at position 0"):
        y.backward()


def test_none_for_an_input_stops_the_gradient():
    x = leaf(1.0)
    returning(None, None).apply(x, 1).backward()
    assert x.grad is None


def test_saved_tensors_are_freed():
    y = Cube.apply(leaf(1.0))
    y.backward()
    with pytest.raises(RuntimeError, match="second time") as e:
        y.backward()
    assert "Cube" in str(e.value)


def test_overwriting_a_saved_tensor_is_an_error():
    x = leaf(1.0) * 1
    y = Cube.apply(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as e:
        y.backward()
    assert "saved tensor 0 of Cube" in str(e.value)


def test_once_differentiable_refuses_the_second_derivative():
    class Square(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not cp.autograd.is_grad_enabled()
            return g * 2 * ctx.saved_tensors[0]

    x = leaf(3.0)
    y = Square.apply(x)
    (g,) = grad((y * y).sum(), x, create_graph=True)
    assert g.tolist() == [108.0]
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        g.sum().backward()


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_block_without_a_method_says_which(method):
    methods = {
        "forward": staticmethod(lambda ctx, x: x * 1),
        "backward": staticmethod(lambda ctx, g: g),
    }
    del methods[method]
    block = type("Half", (Function,), methods)
    with pytest.raises(NotImplementedError, match=f"define {method}"):
        block.apply(leaf(1.0)).backward()
