"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

import pytest

import clearprop as cp
from clearprop import nn


def relus(n):
    return [nn.LeakyReLU(float(i)) for i in range(n)]


def slopes(modules):
    return [m.negative_slope for m in modules]


@pytest.mark.parametrize("make", [lambda ms: nn.Sequential(*ms), nn.ModuleList])
def test_a_numbered_container_is_a_list(make):
    box = make(relus(3))
    assert len(box) == 3
    assert slopes(box) == [0, 1, 2]
    assert box[-1].negative_slope == 2
    assert slopes(box[1:]) == [1, 2] and type(box[1:]) is type(box)
    box.append(nn.LeakyReLU(3.0)).extend([nn.LeakyReLU(4.0)])
    box.insert(1, nn.LeakyReLU(0.5))
    assert slopes(box) == [0, 0.5, 1, 2, 3, 4]
    del box[0]
    del box[3:]
    assert slopes(box) == [0.5, 1, 2]
    assert box.pop(-1).negative_slope == 2
    box[0] = nn.LeakyReLU(7.0)
    assert slopes(box) == [7, 1]
    assert [name for name, _ in box.named_children()] == ["0", "1"]
    box += make(relus(1))
    assert slopes(box + make(relus(1))) == [7, 1, 0, 0]
    with pytest.raises(IndexError, match="index 3 is out of range, there are 3"):
        box[3]
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        box.append(3)
    with pytest.raises(TypeError, match="str is not a Module subclass"):
        box.insert(0, "x")


def test_sequential_runs_its_modules_in_order():
    net = nn.Sequential(nn.LeakyReLU(0.5), nn.Linear(2, 1, bias=False), nn.Flatten(0))
    nn.init.ones_(net[1].weight)
    assert net(cp.tensor([[-2.0, 3.0]])).tolist() == [2.0]
    assert nn.Sequential()(5) == 5


def test_sequential_takes_names_and_a_part_keeps_them():
    net = nn.Sequential({"hidden": nn.Linear(2, 3), "act": nn.Tanh(), "out": nn.Linear(3, 1)})
    assert net.hidden is net[0]
    assert list(net.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
    assert [name for name, _ in net[1:].named_children()] == ["act", "out"]


def test_a_module_list_prints_equal_neighbours_on_one_line():
    box = nn.ModuleList([nn.Tanh(), nn.Tanh(), nn.Sequential(nn.ReLU()), nn.Tanh()])
    assert repr(box) == (
        "ModuleList(\n"
        "  (0-1): 2 x Tanh()\n"
        "  (2): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        "  (3): Tanh()\n"
        ")"
    )
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_a_module_dict_is_a_dict():
    box = nn.ModuleDict({"a": nn.Tanh(), "b": nn.ReLU()})
    assert list(box) == list(box.keys()) == ["a", "b"]
    assert len(box) == 2 and "a" in box and "z" not in box
    box.update({"c": nn.Linear(1, 1)})
    assert list(box.state_dict()) == ["c.weight", "c.bias"]
    assert isinstance(box.pop("a"), nn.Tanh)
    box["b"] = nn.Sigmoid()
    assert [type(m) for m in box.values()] == [nn.Sigmoid, nn.Linear]
    assert [k for k, _ in box.items()] == ["b", "c"]
    del box["b"]
    box.clear()
    assert len(box) == 0
    with pytest.raises(KeyError, match="z"):
        box["z"]


def test_a_parameter_list_is_registered():
    box = nn.ParameterList([cp.ones(2), nn.Parameter(cp.ones(3))])
    box.append(cp.zeros(1)).extend([cp.zeros(4)])
    assert [p.shape for p in box] == [(2,), (3,), (1,), (4,)]
    assert len(list(nn.Sequential(box).parameters())) == 4
    assert all(p.requires_grad for p in box)
    box[-1] = cp.zeros(5)
    assert box[3].shape == (5,)
    assert len(box[1:]) == 3
    assert "(1): Parameter of float32[3]" in repr(box)
    with pytest.raises(IndexError, match="out of range"):
        box[4]


def test_a_parameter_dict_is_registered():
    box = nn.ParameterDict({"left": cp.ones(2)})
    box["right"] = cp.ones(3)
    assert [n for n, _ in box.named_parameters()] == ["left", "right"]
    assert list(box.keys()) == list(box) == ["left", "right"]
    assert [p.shape for p in box.values()] == [(2,), (3,)]
    assert dict(box.items())["left"] is box["left"]
    assert "left" in box and len(box) == 2
    assert "(right): Parameter of float32[3]" in repr(box)
    del box["left"]
    assert list(box.state_dict()) == ["right"]


def test_a_plain_list_hides_its_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = [nn.Linear(1, 1)]
            self.seen = nn.ModuleList([nn.Linear(1, 1)])

    assert [n for n, _ in Net().named_parameters()] == ["seen.0.weight", "seen.0.bias"]
