"""What modules can do besides computing: extra state, hooks of states, types, compile()."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn


def network():
    cp.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(1, 1)
        self.calls = 0

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_extra_state_is_saved_and_loaded():
    m = nn.Sequential(Counting())
    m[0].calls = 7
    state = m.state_dict()
    assert list(state) == ["0._extra_state", "0.inner.weight", "0.inner.bias"]
    other = nn.Sequential(Counting())
    other.load_state_dict(state)
    assert other[0].calls == 7
    del state["0._extra_state"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\._extra_state"'):
        other.load_state_dict(state)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        nn.Linear(1, 1).load_state_dict(
            nn.Linear(1, 1).state_dict() | {"_extra_state": 1}, strict=True
        )


def test_hooks_before_a_state_is_collected():
    m, seen = network(), []
    handle = m[0].register_state_dict_pre_hook(lambda *args: seen.append(args))
    m.state_dict(prefix="net.")
    handle.remove()
    m.state_dict()
    assert seen == [(m[0], "net.0.", False)]


def test_a_submodule_can_be_exchanged():
    m = nn.Sequential(network())
    m.set_submodule("0.2", nn.Identity())
    assert type(m[0][2]) is nn.Identity
    m.set_submodule("0.extra", nn.Tanh())
    assert type(m[0].extra) is nn.Tanh
    with pytest.raises(AttributeError, match="has no attribute `more`"):
        m.set_submodule("0.more", nn.Tanh(), strict=True)
    with pytest.raises(ValueError, match="without a target"):
        m.set_submodule("", nn.Tanh())
    with pytest.raises(ValueError, match=r"is not an nn\.Module"):
        m.set_submodule("0.2", 5)


def test_forms_of_to():
    m = network()
    for form in (
        lambda: m.to("cpu"), lambda: m.to(cp.device("cpu")), lambda: m.to(device="cpu"),
        lambda: m.to("cpu", cp.float64), lambda: m.to(cp.device("cpu"), cp.float64, True),
        lambda: m.to(cp.ones(1, dtype=cp.float64)), lambda: m.to(dtype=cp.float64),
    ):  # fmt: skip
        assert form() is m
    assert m[0].weight.dtype is cp.float64 and m[1].running_mean.dtype is cp.float64
    assert m[1].num_batches_tracked.dtype is cp.int64
    for form in (lambda: m.to("cuda"), lambda: m.cuda(), lambda: m.to(cp.device("cuda", 0))):
        with pytest.raises(Exception, match="clearprop computes on the CPU"):
            form()
    with pytest.raises(TypeError, match="only accepts floating point"):
        m.to(cp.int64)


def test_types_and_memory():
    m = network()
    assert m.type(cp.float64)[1].num_batches_tracked.dtype is cp.float64
    assert m.share_memory() is m
    weight = m[0].weight
    assert m.to_empty(device="cpu")[0].weight is weight and weight.shape == (3, 2)
    m._apply(lambda x: x * 0 + 4)
    assert m[0].weight.tolist() == [[4.0, 4.0]] * 3
    assert m[1].running_var.tolist() == [4.0] * 3


def test_a_buffer_object_registers_itself():
    m = nn.Module()
    m.mean = nn.Buffer(cp.ones(2))
    m.scratch = nn.Buffer(cp.zeros(2), persistent=False)
    assert list(m.state_dict()) == ["mean"]
    assert [name for name, _ in m.named_buffers()] == ["mean", "scratch"]
    assert type(m.mean) is cp.Tensor and (m.mean * 2).tolist() == [2.0, 2.0]


def test_compile_makes_calls_native_code():
    m, x = network(), cp.rand(4, 2)
    plain = copy.deepcopy(m)
    m.compile()
    for _ in range(3):
        a, b = m(x), plain(x)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)
        (a**2).sum().backward()
        (b**2).sum().backward()
    for p, q in zip(m.parameters(), plain.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-5)
    assert m[1].num_batches_tracked.item() == 3
    seen = []
    m.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    m(x)
    assert seen == [(4, 1)]
    other = pickle.loads(pickle.dumps(plain))
    assert other._compiled_call is None


def test_compile_of_a_part_of_a_compiled_function():
    m, x = network().eval(), cp.rand(4, 2)
    m[0].compile()
    wanted = m(x).tolist()
    np.testing.assert_allclose(cp.compile(lambda x: m(x))(x).tolist(), wanted, rtol=1e-5)


def test_compile_can_be_switched_off():
    m, x = network().eval(), cp.rand(4, 2)
    wanted = m(x).tolist()
    with cp.flags(jit=0):
        m.compile()
        assert m(x).tolist() == wanted


def test_names_of_pytorch_are_there():
    names = (
        "add_module apply bfloat16 buffers children compile cpu cuda double eval extra_repr float"
        " forward get_buffer get_extra_state get_parameter get_submodule half load_state_dict"
        " modules named_buffers named_children named_modules named_parameters parameters"
        " register_backward_hook register_buffer register_forward_hook register_forward_pre_hook"
        " register_full_backward_hook register_full_backward_pre_hook"
        " register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module"
        " register_parameter register_state_dict_post_hook register_state_dict_pre_hook"
        " requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty train"
        " type zero_grad"
    ).split()
    assert [n for n in names if n != "bfloat16" and not hasattr(nn.Module, n)] == []
