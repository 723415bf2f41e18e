"""Module: names, walks, modes and types of any tree, and what happens when something is wrong."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn


class Block(nn.Module):
    def __init__(self, width, inner=None):
        super().__init__()
        self.fc = nn.Linear(width, width)
        self.register_buffer("mean", cp.zeros(width))
        self.inner = inner

    def forward(self, x):
        x = self.fc(x) - self.mean
        return x if self.inner is None else self.inner(x)


def nested(depth):
    block = None
    for _ in range(depth):
        block = Block(2, block)
    return block


def chain(depth):
    """A tree that is much deeper than Python's stack."""
    module = nn.Identity()
    for _ in range(depth):
        module = nn.Sequential(module)
    return module


# ---------------------------------------------------------------------- names
def test_parameters_and_buffers_have_dotted_names_in_order_of_assignment():
    net = nested(2)
    assert [n for n, _ in net.named_parameters()] == [
        "fc.weight", "fc.bias", "inner.fc.weight", "inner.fc.bias",
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["mean", "inner.mean"]
    assert [n for n, _ in net.named_modules()] == ["", "fc", "inner", "inner.fc"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == []
    assert [n for n, _ in net.fc.named_parameters(prefix="net")] == ["net.weight", "net.bias"]


def test_a_shared_module_counts_once():
    fc = nn.Linear(2, 2)
    net = nn.Sequential(fc, fc)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 2
    assert len(list(net.children())) == 1
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight", "0.bias", "1.weight", "1.bias",
    ]  # fmt: skip


def test_a_tied_parameter_gets_the_gradients_of_both_places():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 1
    net(cp.ones(1, 2)).sum().backward()
    w = net[0].weight.detach().numpy()
    # d/dW of 1^T W W 1
    expected = np.outer(np.ones(2), w @ np.ones(2)) + np.outer(w.T @ np.ones(2), np.ones(2))
    np.testing.assert_allclose(net[0].weight.grad.numpy(), expected, rtol=1e-6)


def test_replacing_a_parameter_keeps_its_place():
    fc = nn.Linear(2, 3)
    fc.weight = nn.Parameter(cp.ones(3, 2))
    assert [n for n, _ in fc.named_parameters()] == ["weight", "bias"]


def test_a_parameter_replaces_a_plain_attribute_and_can_be_deleted():
    net = Block(2)
    net.scale = 3.0
    net.scale = nn.Parameter(cp.ones(1))
    assert "scale" in dict(net.named_parameters())
    del net.scale
    assert not hasattr(net, "scale")
    del net.fc
    assert list(net.parameters()) == []
    del net.mean
    assert list(net.buffers()) == []


def test_none_keeps_the_name_of_a_parameter_and_of_a_module():
    net = Block(2)
    net.fc.bias = None
    assert [n for n, _ in net.named_parameters()] == ["fc.weight"]
    net.inner = nn.Tanh()
    net.inner = None
    assert net(cp.ones(1, 2)).shape == (1, 2)
    assert "(inner): None" in repr(net)


def test_paths_find_modules_parameters_and_buffers():
    net = nested(3)
    assert net.get_submodule("inner.inner") is net.inner.inner
    assert net.get_submodule("") is net
    assert net.get_parameter("inner.fc.weight") is net.inner.fc.weight
    assert net.get_buffer("inner.mean") is net.inner.mean
    with pytest.raises(AttributeError, match=r"no attribute `iner`; did you mean 'inner'"):
        net.get_submodule("iner.fc")
    with pytest.raises(AttributeError, match=r"Linear has no attribute `wieght`.*'weight'"):
        net.get_parameter("fc.wieght")


# ---------------------------------------------------------------------- depth
@pytest.mark.parametrize("depth", [1, 7, 100])
def test_nested_modules_are_trained_through(depth):
    net = nested(depth)
    net(cp.ones(1, 2)).sum().backward()
    assert len(list(net.parameters())) == 2 * depth
    assert all(p.grad is not None for p in net.parameters())


def test_walks_do_not_recurse():
    net = chain(5000)
    assert len(list(net.modules())) == 5001
    assert net.eval().training is False
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen[0] == "Identity" and len(seen) == 5001
    assert net.state_dict() == {}
    assert net.load_state_dict({}) == ([], [])


def test_a_deep_tree_is_printed():
    text = repr(chain(400))
    assert text.count("Sequential(") == 400
    assert text.endswith("\n)")


def test_apply_visits_children_first():
    net, seen = nested(2), []
    assert net.apply(lambda m: seen.append(m)) is net
    assert seen == [net.fc, net.inner.fc, net.inner, net]


# ---------------------------------------------------------------------- modes and types
def test_train_and_eval_reach_everything_below():
    net = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    assert all(not m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(ValueError, match="training mode is expected to be boolean, got 'yes'"):
        net.train("yes")


def test_types_of_parameters_and_float_buffers_change_in_place():
    net = Block(2)
    net.register_buffer("count", cp.tensor(3))
    weight, mean = net.fc.weight, net.mean
    net(cp.ones(1, 2)).sum().backward()
    assert net.double() is net
    assert net.fc.weight is weight and weight.dtype is cp.float64
    assert weight.grad.dtype is cp.float64 and weight.requires_grad
    assert net.mean.dtype is cp.float64 and net.count.dtype is cp.int64
    assert mean.dtype is cp.float32  # a buffer may be somebody else's tensor
    assert net.half().fc.bias.dtype is cp.float16
    assert net.to(cp.float32).fc.bias.dtype is cp.float32
    assert net.to("cpu", dtype=cp.float64).fc.bias.dtype is cp.float64
    assert net.to(cp.zeros(1)).float().cpu().fc.bias.dtype is cp.float32


def test_what_cannot_be_moved_to_is_refused():
    with pytest.raises(cp.errors.ClearpropError, match="device 'cuda:0' is not there"):
        nn.Linear(1, 1).to("cuda:0")
    with pytest.raises(TypeError, match="only accepts floating point or complex dtypes"):
        nn.Linear(1, 1).to(cp.int64)


def test_frozen_parameters_get_no_gradient():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    assert net[0].requires_grad_(False) is net[0]
    net(cp.ones(1, 2)).sum().backward()
    assert net[0].weight.grad is None and net[1].weight.grad is not None


def test_zero_grad_forgets_or_fills_with_zeros():
    fc = nn.Linear(2, 1)
    fc(cp.ones(1, 2)).sum().backward()
    fc.zero_grad(set_to_none=False)
    assert fc.weight.grad.tolist() == [[0.0, 0.0]]
    fc.zero_grad()
    assert fc.weight.grad is None


# ---------------------------------------------------------------------- looks
def test_prints_as_a_tree():
    assert repr(nested(2)) == (
        "Block(\n"
        "  (fc): Linear(in_features=2, out_features=2, bias=True)\n"
        "  (inner): Block(\n"
        "    (fc): Linear(in_features=2, out_features=2, bias=True)\n"
        "  )\n"
        ")"
    )


def test_prints_extra_lines_and_own_texts():
    class Loud(nn.Module):
        def __repr__(self):
            return "LOUD!"

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.loud = Loud()

        def extra_repr(self):
            return "two\nlines"

    assert repr(Net()) == "Net(\n  two\n  lines\n  (loud): LOUD!\n)"


def test_dir_offers_parameters_buffers_and_modules():
    assert {"fc", "mean", "forward"} <= set(dir(Block(2)))


# ---------------------------------------------------------------------- mistakes
def test_forgotten_super_init_is_named():
    class Net(nn.Module):
        def __init__(self):
            self.fc = nn.Linear(1, 1)

    class Empty(nn.Module):
        def __init__(self):
            self.width = 3

        def forward(self, x):
            return x

    with pytest.raises(
        AttributeError,
        match=r"cannot assign module before Module.__init__\(\) call: call super.*in Net.__init__",
    ):
        Net()
    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first in Empty"):
        Empty()(cp.ones(1))


def test_missing_forward_is_named():
    with pytest.raises(NotImplementedError, match=r"\[Net\] is missing the required .forward."):
        type("Net", (nn.Module,), {})()(cp.ones(1))


def test_unknown_attribute_guesses_what_was_meant():
    with pytest.raises(AttributeError, match=r"'Linear' .* no attribute 'wight'; did you mean 'w"):
        nn.Linear(1, 1).wight


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fc", 3, r"cannot assign 'int' as child module 'fc' \(torch.nn.Module or None expected\)"),
        ("mean", 3, r"cannot assign 'int' as buffer 'mean' \(torch.Tensor or None expected\)"),
    ],
)
def test_a_registered_name_takes_only_its_kind(name, value, message):
    with pytest.raises(TypeError, match=message):
        setattr(Block(2), name, value)


def test_a_plain_tensor_is_not_a_parameter():
    with pytest.raises(TypeError, match=r"'Tensor' as parameter 'weight'.*nn.Parameter\(x\)"):
        nn.Linear(1, 1).weight = cp.ones(1, 1)


@pytest.mark.parametrize("method", ["register_buffer", "register_parameter", "add_module"])
def test_names_that_cannot_be_part_of_a_path_are_refused(method):
    register = getattr(nn.Linear(1, 1), method)
    with pytest.raises(KeyError, match=r"name can.{1,3}t contain"):
        register("a.b", None)
    with pytest.raises(KeyError, match=r"name can.{1,3}t be empty"):
        register("", None)
    with pytest.raises(KeyError, match="attribute 'in_features' already exists"):
        register("in_features", None)
    with pytest.raises(TypeError, match="name should be a string"):
        register(3, None)


def test_registering_takes_only_its_kind():
    fc = nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"'Tensor' object to parameter 'p'"):
        fc.register_parameter("p", cp.ones(1))
    with pytest.raises(TypeError, match="'list' object to buffer 'b'"):
        fc.register_buffer("b", [1])
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        fc.add_module("m", 3)


def test_the_scope_is_restored_after_an_error():
    class Wrong(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    net = nn.Sequential(Wrong())
    with pytest.raises(ZeroDivisionError):
        net(cp.ones(1))
    assert (cp.ones(1, requires_grad=True) * 2).node.path == ""
