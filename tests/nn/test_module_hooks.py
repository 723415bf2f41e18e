"""Hooks of modules: before and after forward, in the backward pass, around state dicts."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn


class Scale(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x, plus=0.0):
        return x * self.by + plus


class Two(nn.Module):
    """Two inputs, two outputs."""

    def forward(self, x, y):
        return x * y, x + y


X = cp.tensor([1.0, 2.0])


# ---------------------------------------------------------------------- forward
def test_forward_hooks_see_and_replace():
    m, seen = Scale(2.0), []
    m.register_forward_pre_hook(lambda m, args: seen.append(args[0].tolist()))
    m.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    m.register_forward_hook(lambda m, args, out: seen.append(out.tolist()))
    m.register_forward_hook(lambda m, args, out: out * 10)
    assert m(X).tolist() == [40, 60]
    assert seen == [[1, 2], [4, 6]]


def test_a_pre_hook_may_return_one_value():
    m = Scale(2.0)
    m.register_forward_pre_hook(lambda m, args: args[0] * 0)
    assert m(X).tolist() == [0, 0]


def test_a_removed_hook_is_not_called():
    m = Scale(2.0)
    handle = m.register_forward_hook(lambda m, args, out: out * 10)
    handle.remove()
    assert m(X).tolist() == [2, 4]
    with m.register_forward_hook(lambda m, args, out: out * 10):
        assert m(X).tolist() == [20, 40]
    assert m(X).tolist() == [2, 4]


def test_prepended_hooks_come_first():
    m, seen = Scale(1.0), []
    for name in ("a", "b"):
        m.register_forward_hook(lambda *_, name=name: seen.append(name))
    for name in ("c", "d"):
        m.register_forward_hook(lambda *_, name=name: seen.append(name), prepend=True)
    m(X)
    assert seen == ["d", "c", "a", "b"]


def test_hooks_with_kwargs_see_and_replace_them():
    m = Scale(1.0)
    m.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"plus": kwargs["plus"] + 1}), with_kwargs=True
    )
    m.register_forward_hook(lambda m, args, kwargs, out: out * kwargs["plus"], with_kwargs=True)
    assert m(X, plus=2.0).tolist() == [12, 15]


def test_a_pre_hook_with_kwargs_returns_both_or_nothing():
    m = Scale(1.0)
    m.register_forward_pre_hook(lambda m, args, kwargs: None, with_kwargs=True)
    assert m(X, plus=1.0).tolist() == [2, 3]
    m.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"return None or a tuple of .new_args, new_kwargs"):
        m(X)


def test_always_called_hooks_run_after_an_error():
    m, seen = Scale("not a number"), []
    m.register_forward_hook(lambda m, args, out: seen.append("plain"))
    m.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(TypeError):
        m(X)
    assert seen == [None]


def test_activations_of_every_layer_can_be_collected():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    found = {}
    for name, m in net.named_modules():
        m.register_forward_hook(lambda m, args, out, name=name: found.update({name: out}))
    y = net(X)
    assert list(found) == ["0", "1", "2", ""] and found[""] is y
    np.testing.assert_array_equal(found["1"].detach().numpy(), np.tanh(found["0"].detach().numpy()))


# ---------------------------------------------------------------------- backward
def record(into):
    def hook(module, grad_input, grad_output):
        into.append(
            tuple(
                [None if g is None else g.tolist() for g in gs] for gs in (grad_input, grad_output)
            )
        )

    return hook


def test_full_backward_hook_sees_gradients_of_inputs_and_outputs():
    m, seen = Scale(3.0), []
    m.register_full_backward_hook(record(seen))
    x = X.clone().requires_grad_()
    (m(x) * cp.tensor([1.0, 10.0])).sum().backward()
    assert seen == [([[3, 30]], [[1, 10]])]
    assert x.grad.tolist() == [3, 30]


def test_full_backward_hook_sees_only_its_own_call():
    # x and the output go elsewhere, too; those gradients are not the module's
    m, seen = Scale(3.0), []
    m.register_full_backward_hook(record(seen))
    x = X.clone().requires_grad_()
    y = m(x)
    (y.sum() + (x * 100).sum()).backward()
    assert seen == [([[3, 3]], [[1, 1]])]
    assert x.grad.tolist() == [103, 103]


def test_full_backward_hook_of_several_inputs_and_outputs():
    m, seen = Two(), []
    m.register_full_backward_hook(record(seen))
    x, y = X.clone().requires_grad_(), cp.tensor([5.0, 7.0])
    product, total = m(x, y)
    (product + 2 * total).sum().backward()
    assert seen == [([[7, 9], None], [[1, 1], [2, 2]])]
    assert x.grad.tolist() == [7, 9]


def test_full_backward_hook_of_an_unused_output_sees_none():
    m, seen = Two(), []
    m.register_full_backward_hook(record(seen))
    x = X.clone().requires_grad_()
    m(x, X)[0].sum().backward()
    assert seen == [([[1, 2], None], [[1, 1], None])]


def test_full_backward_hook_without_an_input_that_wants_gradients():
    fc, seen = nn.Linear(2, 1, bias=False), []
    fc.register_full_backward_hook(record(seen))
    fc(X).sum().backward()
    assert seen == [([None], [[1]])]
    assert fc.weight.grad.tolist() == [[1, 2]]


def test_full_backward_hook_replaces_the_gradient_of_the_input():
    m = Scale(3.0)
    m.register_full_backward_hook(lambda m, grad_input, grad_output: (grad_input[0] * 0.5,))
    x = X.clone().requires_grad_()
    m(x).sum().backward()
    assert x.grad.tolist() == [1.5, 1.5]


def test_full_backward_pre_hook_replaces_the_gradient_of_the_output():
    m, seen = Scale(3.0), []
    m.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 2,))
    m.register_full_backward_hook(record(seen))
    x = X.clone().requires_grad_()
    m(x).sum().backward()
    assert seen == [([[6, 6]], [[2, 2]])]
    assert x.grad.tolist() == [6, 6]


def test_a_backward_hook_that_returns_too_much_is_refused():
    m = Scale(3.0)
    m.register_full_backward_hook(lambda *_: (None, None))
    with pytest.raises(
        RuntimeError, match=r"of Scale.*invalid number of grad_input, got 2, but ex"
    ):
        m(X.clone().requires_grad_()).sum().backward()


def test_second_derivatives_go_through_a_hooked_module():
    m, seen = nn.Tanh(), []
    m.register_full_backward_hook(record(seen))
    x = cp.tensor([0.3], dtype=cp.float64, requires_grad=True)
    (g,) = cp.autograd.grad(m(x).sum(), x, create_graph=True)
    (h,) = cp.autograd.grad(g.sum(), x)
    t = np.tanh(0.3)
    np.testing.assert_allclose(h.numpy(), [-2 * t * (1 - t * t)], rtol=1e-12)


def test_a_hooked_module_under_no_grad():
    m, seen = Scale(3.0), []
    m.register_full_backward_hook(record(seen))
    with cp.no_grad():
        assert m(X.clone().requires_grad_()).tolist() == [3, 6]
    assert seen == []


# ---------------------------------------------------------------------- state dicts
def test_state_dict_hook_changes_what_is_saved():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    net[1].register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop(prefix + "bias"))
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight"]


def test_load_pre_hook_renames_old_keys_and_leaves_the_given_dict_alone():
    fc = nn.Linear(1, 1)

    def rename(module, state, prefix, meta, strict, missing, unexpected, errors):
        state[prefix + "weight"] = state.pop(prefix + "w")

    net = nn.Sequential(fc)
    fc.register_load_state_dict_pre_hook(rename)
    old = {"0.w": cp.full((1, 1), 7.0), "0.bias": cp.zeros(1)}
    net.load_state_dict(old)
    assert fc.weight.tolist() == [[7.0]] and list(old) == ["0.w", "0.bias"]


def test_load_pre_hook_can_report_an_error():
    fc = nn.Linear(1, 1)
    fc.register_load_state_dict_pre_hook(lambda *args: args[-1].append("too old"))
    with pytest.raises(RuntimeError, match="too old"):
        fc.load_state_dict(fc.state_dict())


def test_load_post_hook_may_forgive_missing_keys():
    fc = nn.Linear(1, 1)
    handle = fc.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    fc.load_state_dict({"weight": cp.full((1, 1), 7.0)})
    assert fc.weight.tolist() == [[7.0]]
    handle.remove()
    with pytest.raises(RuntimeError, match="Missing key"):
        fc.load_state_dict({"weight": cp.ones(1, 1)})
