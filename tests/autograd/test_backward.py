"""backward(): seeds, accumulation, what it keeps and frees, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp


def leaf(*values, dtype=cp.float64):
    return cp.tensor(list(values), dtype=dtype, requires_grad=True)


def test_gradient_weights_the_rows_of_the_jacobian():
    x = leaf(1.0, 2.0, 3.0)
    (x * x).backward(gradient=cp.tensor([1.0, 0.0, -2.0], dtype=cp.float64))
    assert x.grad.tolist() == [2.0, 0.0, -12.0]


def test_a_gradient_of_another_shape_is_an_error():
    y = leaf(1.0, 2.0) * 2
    with pytest.raises(RuntimeError, match=r"Mismatch in shape: grad_output\[0\]"):
        y.backward(gradient=cp.ones(3, dtype=cp.float64))


def test_several_outputs_need_as_many_gradients():
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
        cp.autograd.backward([x * 1, x * 2], [cp.ones(1, dtype=cp.float64)])


def test_several_outputs_add_up():
    x = leaf(1.0, 2.0)
    cp.autograd.backward([(x * 2).sum(), (x * x).sum()])
    assert x.grad.tolist() == [4.0, 6.0]


def test_the_same_output_twice_counts_twice():
    x = leaf(3.0)
    y = (x * x).sum()
    cp.autograd.backward([y, y])
    assert x.grad.tolist() == [12.0]


@pytest.mark.parametrize("shape", [(2,), (2, 1), (0,)])
def test_a_non_scalar_needs_a_gradient(shape):
    y = cp.ones(shape, requires_grad=True) * 2
    with pytest.raises(
        RuntimeError, match="grad can be implicitly created only for scalar outputs"
    ):
        y.backward()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_element_of_any_rank_is_a_scalar(shape):
    x = cp.ones(shape, requires_grad=True)
    (x * 3).backward()
    assert x.grad.shape == shape
    assert x.grad.item() == 3.0


@pytest.mark.parametrize(
    "cut",
    [
        lambda x: x.detach() * 2,
        lambda x: cp.tensor(x.tolist()),
        lambda x: cp.from_numpy(x.detach().numpy()),
    ],
)
def test_backward_without_history_is_an_error(cut):
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad and does"):
        cut(leaf(1.0)).backward()


def test_grad_accumulates_until_it_is_cleared():
    x = leaf(2.0)
    for total in (4.0, 8.0, 12.0):
        (x * x).sum().backward()
        assert x.grad.tolist() == [total]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0]


def test_accumulation_writes_into_the_same_grad():
    x = leaf(2.0)
    (x * x).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [8.0]


def test_grad_of_a_leaf_is_nobody_elses_memory():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = cp.ones(2, dtype=cp.float64)
    (x + y).backward(seed)
    x.grad.mul_(10)
    assert y.grad.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]


def test_unreachable_and_constant_tensors_have_no_grad():
    x, unused, constant = leaf(1.0), leaf(1.0), cp.ones(1, dtype=cp.float64)
    (x * constant).sum().backward()
    assert unused.grad is None
    assert constant.grad is None


def test_an_intermediate_tensor_has_no_grad():
    x = leaf(1.0)
    y = x * 2
    y.sum().backward()
    assert y.grad is None


def test_a_branch_that_was_cut_gives_nothing():
    x = leaf(3.0)
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == [3.0]


def test_inputs_limits_who_receives():
    x, y = leaf(2.0), leaf(5.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [5.0]
    assert y.grad is None


def test_inputs_may_name_an_intermediate_tensor():
    x = leaf(2.0)
    y = x * x
    (y * 3).sum().backward(inputs=[y])
    assert y.grad.tolist() == [3.0]
    assert x.grad is None


def test_inputs_accumulate():
    x = leaf(2.0)
    for _ in range(2):
        (x * x).sum().backward(inputs=x)
    assert x.grad.tolist() == [8.0]


def test_inputs_cannot_be_empty():
    with pytest.raises(RuntimeError, match="cannot be empty"):
        (leaf(1.0) * 2).sum().backward(inputs=[])


def test_a_second_backward_is_an_error_that_names_the_op():
    y = leaf(2.0).exp().sum()
    y.backward()
    with pytest.raises(
        RuntimeError, match="Trying to backward through the graph a second time"
    ) as e:
        y.backward()
    assert "retain_graph=True" in str(e.value)
    assert "exp" in str(e.value)
    assert "test_backward.py" in str(e.value)


def test_retain_graph_allows_a_second_backward():
    x = leaf(2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [8.0]
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_what_keeps_nothing_can_be_walked_twice():
    x = leaf(1.0, 2.0)
    y = (x + x).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_create_graph_retains_and_makes_the_gradient_differentiable():
    x = leaf(2.0)
    y = (x**3).sum()
    y.backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert x.grad.tolist() == [12.0]


def test_without_create_graph_the_gradient_is_a_constant():
    x = leaf(2.0)
    (x**3).sum().backward()
    assert not x.grad.requires_grad
    assert x.grad.grad_fn is None


def test_backward_restores_recording_after_an_error():
    y = leaf(2.0).exp().sum()
    y.backward()
    with pytest.raises(RuntimeError):
        y.backward()
    assert cp.autograd.is_grad_enabled()
    assert (leaf(1.0) * 2).requires_grad


def test_backward_works_where_recording_is_off():
    x = leaf(2.0)
    y = (x * x).sum()
    with cp.no_grad():
        y.backward()
    assert x.grad.tolist() == [4.0]


def test_overwriting_what_backward_needs_is_an_error():
    x = leaf(1.0, 2.0)
    y = x.exp()
    z = y.sum()
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation") as e:
        (z + (y * 0).sum()).backward()
    assert "expected version 0" in str(e.value)


@pytest.mark.parametrize("dtype", [cp.float16, cp.float32, cp.float64])
def test_grad_has_the_type_and_shape_of_its_tensor(dtype):
    x = cp.ones(2, 1, dtype=dtype, requires_grad=True)
    (x * cp.ones(3, dtype=cp.float64)).sum().backward()
    assert x.grad.dtype is dtype
    np.testing.assert_array_equal(x.grad.numpy(), [[3.0], [3.0]])


def test_a_leaf_that_is_the_output_gets_its_seed():
    x = leaf(4.0)
    x.backward()
    x.backward()
    assert x.grad.tolist() == [2.0]


@pytest.mark.parametrize("f", [lambda x: x.sum(), lambda x: x.reshape(2, 1).sum(0).sum()])
def test_grad_can_be_written_to(f):
    x = leaf(1.0, 2.0)
    f(x).backward()
    x.grad[0] = 5.0
    assert x.grad.tolist() == [5.0, 1.0]
