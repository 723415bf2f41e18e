"""Every optimizer with every combination of options against its rule, and the ways to use one."""

from __future__ import annotations

import numpy as np
import pytest
from update_rules import CASES, IDS

import clearprop as cp
from clearprop import optim
from clearprop.graph import trace

NAMES = sorted({name for name, _, _ in CASES})


def gradients(steps, shape=(3, 2), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for _ in range(steps)]


def run(optimizer, p, grads):
    for g in grads:
        p.grad = cp.tensor(g, dtype=p.dtype)
        optimizer.step()


@pytest.mark.parametrize(("name", "rule", "options"), CASES, ids=IDS)
def test_200_steps_follow_the_rule(name, rule, options):
    start, grads = np.random.default_rng(1).normal(size=(3, 2)), gradients(200)
    p = cp.tensor(start, dtype=cp.float64, requires_grad=True)
    run(getattr(optim, name)([p], **options), p, grads)
    np.testing.assert_allclose(
        p.detach().numpy(), rule(start, grads, **options), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(("name", "rule", "options"), CASES, ids=IDS)
def test_float32_stays_float32_and_near_the_rule(name, rule, options):
    start, grads = np.random.default_rng(1).normal(size=(3, 2)), gradients(20)
    p = cp.tensor(start, dtype=cp.float32, requires_grad=True)
    optimizer = getattr(optim, name)([p], **options)
    run(optimizer, p, grads)
    np.testing.assert_allclose(p.detach().numpy(), rule(start, grads, **options), rtol=0, atol=2e-5)
    held = [v for k, v in optimizer.state[p].items() if k not in ("step", "eta", "mu")]
    assert all(t.dtype is cp.float32 and not t.requires_grad for t in [p.detach(), *held])


@pytest.mark.parametrize(("name", "rule", "options"), CASES, ids=IDS)
def test_state_dict_continues_bit_for_bit(name, rule, options):
    start, grads = np.random.default_rng(1).normal(size=(3, 2)), gradients(12)
    whole = cp.tensor(start, requires_grad=True)
    run(getattr(optim, name)([whole], **options), whole, grads)

    first = cp.tensor(start, requires_grad=True)
    optimizer = getattr(optim, name)([first], **options)
    run(optimizer, first, grads[:5])
    second = first.detach().clone().requires_grad_()
    again = getattr(optim, name)([second], lr=9.0)
    again.load_state_dict(optimizer.state_dict())
    run(optimizer, first, grads[5:])  # the loaded state is a copy, so this does not disturb it
    run(again, second, grads[5:])
    assert second.detach().numpy().tobytes() == whole.detach().numpy().tobytes()


def test_gradient_stays_as_it_is():
    p = cp.ones(2, requires_grad=True)
    g = p.grad = cp.tensor([1.0, -1.0])
    for name in NAMES:
        options = {} if name == "Rprop" else {"weight_decay": 0.1}
        getattr(optim, name)([p], maximize=True, **options).step()
    optim.SGD([p], momentum=0.9).step()
    assert p.grad is g
    assert g.tolist() == [1.0, -1.0]


def test_first_momentum_buffer_is_not_the_gradient_itself():
    p = cp.ones(1, requires_grad=True)
    p.grad = cp.tensor([1.0])
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    optimizer.step()
    p.grad.zero_()
    optimizer.step()
    assert p.tolist() == [-0.5]


def test_none_gradients_are_skipped_without_weight_decay():
    used, unused = cp.ones(1, requires_grad=True), cp.ones(1, requires_grad=True)
    for name in NAMES:
        used.grad = cp.ones(1)
        options = {} if name == "Rprop" else {"weight_decay": 0.5}
        getattr(optim, name)([used, unused], lr=0.1, **options).step()
    assert unused.tolist() == [1.0]
    assert used.tolist() != [1.0]


def test_step_count_is_per_parameter():
    early, late = cp.ones(1, requires_grad=True), cp.ones(1, requires_grad=True)
    optimizer = optim.Adam([early, late], lr=0.1)
    run(optimizer, early, [np.ones(1)] * 3)
    late.grad = cp.ones(1)
    optimizer.step()
    assert (optimizer.state[early]["step"], optimizer.state[late]["step"]) == (4, 1)
    assert late.item() == pytest.approx(0.9, abs=1e-6)


def test_changed_lr_rescales_old_momentum():
    p = cp.zeros(1, requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0, momentum=1.0)
    run(optimizer, p, [np.ones(1)])
    optimizer.param_groups[0]["lr"] = 10.0
    run(optimizer, p, [np.zeros(1)])
    assert p.tolist() == [-11.0]


def test_groups_have_options_of_their_own():
    a, b = cp.zeros(1, requires_grad=True), cp.zeros(1, requires_grad=True)
    optimizer = optim.SGD([{"params": a, "lr": 2.0}, {"params": [b]}], lr=1.0)
    a.grad, b.grad = cp.ones(1), cp.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (-2.0, -1.0)


def test_added_group_is_moved():
    a, b = cp.zeros(1, requires_grad=True), cp.zeros(1, requires_grad=True)
    optimizer = optim.Adagrad([a], lr=1.0)
    optimizer.add_param_group({"params": b, "lr": 0.5})
    b.grad = cp.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (0.0, -0.5)


def test_zero_grad_forgets_or_zeroes():
    p = cp.ones(2, requires_grad=True)
    optimizer = optim.SGD([p])
    p.sum().backward()  # a gradient that is a broadcast number in memory
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0, 0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_closure_runs_with_gradients_recorded_and_gives_the_loss():
    p = cp.tensor([2.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with cp.no_grad():
        assert optimizer.step(closure).item() == 4.0
    assert p.tolist() == [1.0]


def test_step_hooks_run_in_order_and_can_be_removed():
    p = cp.zeros(1, requires_grad=True)
    p.grad = cp.ones(1)
    optimizer, seen = optim.SGD([p], lr=1.0), []
    before = optimizer.register_step_pre_hook(lambda o, a, k: seen.append(("before", p.item())))
    after = optimizer.register_step_post_hook(lambda o, a, k: seen.append(("after", p.item())))
    optimizer.step()
    before.remove()
    after.remove()
    optimizer.step()
    assert seen == [("before", 0.0), ("after", -1.0)]


def test_step_is_an_update_that_autograd_does_not_record():
    p = cp.ones(2, requires_grad=True)
    (p * p).sum().backward()
    optim.Adam([p]).step()
    assert p.is_leaf and p.requires_grad


def test_step_between_forward_and_backward_is_noticed():
    p = cp.ones(2, requires_grad=True)
    loss = (p * p).sum()
    p.grad = cp.ones(2)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_hooks_may_exchange_the_closure():
    p = cp.zeros(1, requires_grad=True)
    optimizer = optim.SGD([p], lr=1.0)

    def closure(value):
        p.grad = cp.full((1,), value)
        return value

    optimizer.register_step_pre_hook(lambda o, a, k: ((lambda: closure(3.0),), k))
    assert optimizer.step(lambda: closure(1.0)) == 3.0
    assert p.tolist() == [-3.0]


def test_state_dict_hooks_see_and_replace_it():
    p = cp.zeros(1, requires_grad=True)
    optimizer, seen = optim.SGD([p], lr=1.0), []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    handle = optimizer.register_state_dict_post_hook(lambda o, state: state | {"extra": 1})
    saved = optimizer.state_dict()
    assert saved["extra"] == 1
    handle.remove()
    assert "extra" not in optimizer.state_dict()

    def halve(o, state):
        return state | {"param_groups": [{**state["param_groups"][0], "lr": 0.5}]}

    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert seen == ["first", "saving", "first", "saving", "loaded"]


class Signs(optim.Optimizer):
    """An optimizer as a program writes it: its own step, options from the groups."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        with cp.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.sub_(p.grad.sign(), alpha=group["lr"])


class Counting(Signs):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["step"] = self.state[p].get("step", 0) + 1
        super().step(closure)


def test_a_program_may_define_step_itself():
    p = cp.tensor([1.0, -1.0], requires_grad=True)
    optimizer, seen = Counting([p], lr=0.25), []
    optimizer.register_step_post_hook(lambda o, a, k: seen.append(o.state[p]["step"]))
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    for _ in range(2):
        p.grad = cp.tensor([2.0, -3.0])
        optimizer.step()
        scheduler.step()
    assert p.tolist() == [1.0 - 0.375, -1.0 + 0.375]
    assert seen == [1, 2]


def test_a_step_of_the_program_compiles_and_follows_its_options():
    p = cp.tensor([1.0, -1.0], requires_grad=True)
    optimizer = Signs([p], lr=0.25)

    @cp.compile
    def step():
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()

    step()
    optimizer.param_groups[0]["lr"] = 0.5
    step()
    assert p.tolist() == [0.25, -0.25]


def test_a_step_that_counts_in_python_is_not_traced():
    p = cp.tensor([1.0], requires_grad=True)
    optimizer = Counting([p])
    p.grad = cp.ones(1)
    with pytest.raises(cp.errors.TraceError, match=r"step\(\) of Counting.*numbers of Python"):
        trace(optimizer.step)


def test_options_that_choose_kernels_are_kept_and_change_nothing():
    p = cp.ones(2, requires_grad=True)
    optimizer = optim.Adam([p], foreach=True, fused=False, capturable=True)
    assert optimizer.param_groups[0]["foreach"] is True
    with pytest.raises(ValueError, match="differentiable=True is not possible"):
        optim.Adam([p], differentiable=True)
