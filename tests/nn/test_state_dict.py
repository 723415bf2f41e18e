"""state_dict and load_state_dict: keys, sharing, and every way in which they do not fit."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)
        self.register_buffer("mean", cp.zeros(3))
        self.register_buffer("scratch", cp.zeros(1), persistent=False)
        self.register_buffer("absent", None)


def test_keys_are_dotted_names_of_parameters_and_persistent_buffers():
    # buffers of a module come after its parameters, then its children
    assert list(Net().state_dict()) == ["mean", "fc.weight", "fc.bias"]
    assert list(Net().state_dict(prefix="net.")) == ["net.mean", "net.fc.weight", "net.fc.bias"]


def test_values_share_memory_and_have_no_history():
    net = Net()
    state = net.state_dict()
    assert not state["fc.weight"].requires_grad
    assert np.may_share_memory(state["fc.weight"].numpy(), net.fc.weight.detach().numpy())
    assert net.state_dict(keep_vars=True)["fc.weight"] is net.fc.weight


def test_destination_is_filled():
    mine = {"other": 1}
    assert Net().state_dict(destination=mine) is mine
    assert list(mine) == ["other", "mean", "fc.weight", "fc.bias"]


def test_a_shared_module_is_saved_under_each_name():
    fc = nn.Linear(1, 1)
    net = nn.Sequential(fc, fc)
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    net.load_state_dict({k: cp.ones_like(v) for k, v in net.state_dict().items()})
    assert fc.weight.tolist() == [[1.0]]


def test_loading_copies_and_keeps_the_parameters():
    a, b = Net(), Net()
    weight = b.fc.weight
    keys = b.load_state_dict(a.state_dict())
    assert repr(keys) == "<All keys matched successfully>"
    assert b.fc.weight is weight and weight.requires_grad
    np.testing.assert_array_equal(weight.detach().numpy(), a.fc.weight.detach().numpy())
    assert not np.may_share_memory(weight.detach().numpy(), a.fc.weight.detach().numpy())


def test_loading_takes_the_type_of_the_module():
    fc = nn.Linear(2, 1)
    fc.load_state_dict({"weight": np.ones((1, 2)), "bias": cp.tensor([3])})
    assert fc.weight.dtype is cp.float32 and fc.bias.tolist() == [3.0]


def test_assign_puts_the_tensors_themselves_in_place():
    fc = nn.Linear(2, 1)
    given = {"weight": cp.ones(1, 2, dtype=cp.float64), "bias": cp.zeros(1, dtype=cp.float64)}
    fc.load_state_dict(given, assign=True)
    assert fc.weight.dtype is cp.float64 and fc.weight.requires_grad
    assert isinstance(fc.weight, nn.Parameter)
    assert np.may_share_memory(fc.weight.detach().numpy(), given["weight"].numpy())
    net = Net()
    net.load_state_dict({**net.state_dict(), "mean": cp.ones(3)}, assign=True)
    assert net.mean.tolist() == [1, 1, 1] and next(net.named_buffers())[0] == "mean"


def test_everything_that_does_not_fit_is_told_at_once_and_nothing_is_changed():
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = {"fc.weight": cp.ones(2, 2), "fc.bais": cp.ones(3), "mean": cp.ones(3)}
    with pytest.raises(nn.StateDictError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert text.startswith(
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "fc.bias". \n\t'
        "Unexpected key(s) in state_dict: \"fc.bais\". \n\t\tfc.bais: did you mean 'fc.bias'?\n\t"
        "size mismatch for fc.weight: copying a param with shape torch.Size([2, 2]) from checkpoint"
        ", the shape in current model is torch.Size([3, 2])."
    )
    assert "test_state_dict.py" in text
    for k, v in net.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k].numpy())
    assert isinstance(error.value, RuntimeError)


def test_not_strict_tells_what_was_left_out():
    net = Net()
    keys = net.load_state_dict({"mean": cp.ones(3), "more": cp.ones(1)}, strict=False)
    assert keys.missing_keys == ["fc.weight", "fc.bias"] and keys.unexpected_keys == ["more"]
    assert repr(keys).startswith("IncompatibleKeys(missing_keys=['fc.weight', 'fc.bias'], unexp")
    assert net.mean.tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="size mismatch for mean"):
        net.load_state_dict({"mean": cp.ones(4)}, strict=False)


@pytest.mark.parametrize("value", [1.0, "text", None, [1.0, 2.0, 3.0]])
def test_a_value_that_is_no_tensor_is_refused(value):
    with pytest.raises(RuntimeError, match=r'parameter named "mean", expected torch.Tensor or'):
        Net().load_state_dict({"mean": value}, strict=False)


def test_an_array_of_text_is_refused():
    with pytest.raises(RuntimeError, match='"mean", expected numbers but received an array of <U1'):
        Net().load_state_dict({"mean": np.array(["a", "b", "c"])}, strict=False)


def test_something_else_than_a_dict_is_refused():
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class 'int'>"):
        Net().load_state_dict(3)


def test_loading_inside_a_graph_is_seen_by_it():
    fc = nn.Linear(2, 1)
    x = cp.ones(1, 2, requires_grad=True)
    y = fc(x).sum()
    fc.load_state_dict({k: cp.ones_like(v) for k, v in fc.state_dict().items()})
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
