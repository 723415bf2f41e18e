"""Tensor hooks: when they run, what they may change, how they go away; retain_grad."""

from __future__ import annotations

import pytest

import clearprop as cp


def leaf(*values):
    return cp.tensor(list(values), dtype=cp.float64, requires_grad=True)


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y * y + y * 5).sum().backward()
    assert seen == [[17.0]]
    assert x.grad.tolist() == [51.0]


def test_what_a_hook_returns_replaces_the_gradient():
    x = leaf(2.0)
    y = x * 3
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert x.grad.tolist() == [30.0]


def test_a_hook_of_a_leaf_changes_what_is_accumulated():
    x = leaf(1.0, -5.0)
    x.register_hook(lambda g: g.clamp(-1, 1))
    (x * cp.tensor([0.5, 7.0], dtype=cp.float64)).sum().backward()
    assert x.grad.tolist() == [0.5, 1.0]


def test_a_hook_of_a_leaf_sees_each_pass_not_the_sum():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    for _ in range(2):
        (x * 3).sum().backward()
    assert seen == [[3.0], [3.0]]
    assert x.grad.tolist() == [6.0]


def test_hooks_run_in_the_order_of_registration_each_on_the_last_result():
    x = leaf(1.0)
    y = x * 1
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert x.grad.tolist() == [20.0]


def test_hooks_run_from_the_output_to_the_inputs():
    x = leaf(1.0)
    y = x * 2
    z = y.exp()
    order = []
    for name, t in (("x", x), ("y", y), ("z", z)):
        t.register_hook(lambda g, name=name: order.append(name))
    z.sum().backward()
    assert order == ["z", "y", "x"]


def test_a_removed_hook_is_not_called():
    x = leaf(1.0)
    seen = []
    first = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    first.remove()
    first.remove()
    (x * 2).sum().backward()
    assert seen == ["second"]


def test_a_hook_lives_for_a_with_block():
    x = leaf(1.0)
    seen = []
    with x.register_hook(lambda g: seen.append(1)):
        (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [1]


def test_a_hook_may_remove_itself():
    x = leaf(1.0)
    seen = []

    def once(g):
        seen.append(g.item())
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        (x * 2).sum().backward()
    assert seen == [2.0]


def test_a_hook_that_raises_stops_backward_and_recording_stays_on():
    x = leaf(1.0)

    def fail(g):
        raise KeyError("mine")

    y = x * 2
    y.register_hook(fail)
    with pytest.raises(KeyError, match="mine"):
        y.sum().backward()
    assert cp.autograd.is_grad_enabled()
    assert x.grad is None


def test_a_hook_is_part_of_the_second_derivative():
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = cp.autograd.grad(y.sum(), x, create_graph=True)
    assert g.tolist() == [18.0]  # x * 2x
    assert cp.autograd.grad(g.sum(), x)[0].tolist() == [12.0]


def test_what_a_hook_kept_is_not_changed_by_later_accumulation():
    x = leaf(1.0)
    kept = []
    x.register_hook(kept.append)
    for _ in range(3):
        (x * 2).sum().backward()
    assert [g.tolist() for g in kept] == [[2.0]] * 3


def test_hooks_run_for_autograd_grad():
    x = leaf(1.0)
    x.register_hook(lambda g: g * 7)
    assert cp.autograd.grad((x * 2).sum(), x)[0].tolist() == [14.0]


def test_a_hook_of_one_of_several_outputs():
    x = leaf(3.0, 1.0, 2.0)
    values, _ = x.sort()
    values.register_hook(lambda g: g * 2)
    (values * cp.tensor([1.0, 10.0, 100.0], dtype=cp.float64)).sum().backward()
    assert x.grad.tolist() == [200.0, 2.0, 20.0]


def test_a_hook_needs_a_tensor_that_requires_grad():
    with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't"):
        cp.ones(1).register_hook(print)


def test_retain_grad_keeps_the_gradient_of_an_intermediate_tensor():
    x = leaf(2.0)
    y = x * 3
    assert not y.retains_grad
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward()
    assert y.grad.tolist() == [12.0]
    assert x.grad.tolist() == [36.0]


def test_retained_gradients_accumulate():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    for _ in range(2):
        (y * 5).sum().backward(retain_graph=True)
    assert y.grad.tolist() == [10.0]


def test_retain_grad_sees_what_the_hooks_made():
    y = leaf(2.0) * 3
    y.register_hook(lambda g: g * 4)
    y.retain_grad()
    y.sum().backward()
    assert y.grad.tolist() == [4.0]


def test_retain_grad_of_a_leaf_changes_nothing():
    x = leaf(2.0)
    x.retain_grad()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0]


def test_retain_grad_needs_a_tensor_that_requires_grad():
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad"):
        cp.ones(1).retain_grad()


def test_a_post_accumulate_hook_sees_the_sum():
    x = leaf(1.0)
    seen = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    for _ in range(2):
        (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    assert seen == [[3.0], [6.0]]


def test_a_post_accumulate_hook_may_use_the_gradient_up():
    x = leaf(1.0)

    def step(t):
        with cp.no_grad():
            t.sub_(t.grad)
        t.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 3).sum().backward()
    assert x.tolist() == [-2.0]
    assert x.grad is None


def test_a_post_accumulate_hook_is_for_leaves():
    with pytest.raises(RuntimeError, match="cannot be registered on non-leaf tensors"):
        (leaf(1.0) * 2).register_post_accumulate_grad_hook(print)
