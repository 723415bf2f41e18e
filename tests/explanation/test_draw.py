"""draw: the right boxes and arrows, escaped text, nothing changed in the model."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import clearprop as cp
from clearprop import nn
from clearprop.explanation.dag import dag_of
from clearprop.explanation.layout import place, ranks


def titles(drawing):
    return [e.text for e in ET.fromstring(drawing.svg).iter() if e.attrib.get("class") == "title"]


def arrows(drawing):
    return len(re.findall(r'class="arrow"', drawing.svg))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
        self.gain = nn.Parameter(cp.ones(3))

    def forward(self, x):
        return x + self.body(x) * self.gain


def test_a_chain_of_modules():
    d = cp.draw(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), cp.zeros(1, 2))
    assert sorted(titles(d)) == ["Linear", "Linear", "ReLU", "input", "output"]
    assert arrows(d) == 4
    assert d.boxes == 5


def test_a_skip_connection_and_a_parameter_of_a_module_with_children():
    d = cp.draw(Residual(), cp.zeros(1, 3))
    assert sorted(titles(d)) == ["Linear", "Tanh", "add", "gain", "input", "mul", "output"]
    assert arrows(d) == 7


def test_every_op():
    d = cp.draw(nn.Linear(2, 3), cp.zeros(1, 2), detail="ops")
    assert {"linear", "weight", "bias"} <= set(titles(d))


def test_the_history_of_a_tensor():
    x = cp.tensor(2.0, requires_grad=True)
    d = cp.draw(3 * x.exp() + x)
    assert sorted(titles(d)) == ["add", "exp", "leaf", "mul", "output"]
    assert arrows(d) == 5
    assert "test_draw.py" in d.svg


def test_nothing_changes_in_the_model():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    x = cp.zeros(1, 2)
    cp.draw(model, x)
    assert model.training and model[1].training
    assert all(p.grad is None for p in model.parameters())
    assert not x.requires_grad


def test_names_are_escaped():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<script>", nn.Linear(1, 1))

        def forward(self, x):
            return self._modules["<script>"](x)

    svg = cp.draw(Named(), cp.zeros(1, 1)).svg
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


def test_a_long_chain_is_drawn_without_recursion():
    x = cp.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(2000):
        y = y + 1
    assert cp.draw(y).boxes == 2002


def test_several_outputs_and_inputs():
    class Two(nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "parts": (a * b,)}

    d = cp.draw(Two(), cp.zeros(2), cp.zeros(2))
    assert sorted(titles(d)) == ["add", "input 0", "input 1", "mul", "output 0", "output 1"]


def test_saved_and_shown(tmp_path):
    d = cp.draw(nn.Linear(1, 1), cp.zeros(1, 1))
    d.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == d.svg == d._repr_svg_()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((cp.zeros(2),), {}, ValueError, "requires grad"),
        ((nn.Linear(1, 1),), {}, TypeError, "example input"),
        ((3,), {}, TypeError, "Tensor or a Module"),
        ((nn.Linear(1, 1), cp.zeros(1, 1)), {"detail": "op"}, ValueError, "detail"),
    ],
)
def test_mistakes(arguments, options, error, words):
    with pytest.raises(error, match=words):
        cp.draw(*arguments, **options)


def test_rows_of_the_layout():
    assert ranks("abcd", [("a", "b"), ("b", "c"), ("d", "c")]) == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_boxes_of_a_row_do_not_touch():
    sizes = dict.fromkeys(range(12), (50.0, 20.0))
    at = place(sizes, [(0, k) for k in range(1, 11)] + [(k, 11) for k in range(1, 11)]).at
    row = sorted(at[k][0] for k in range(1, 11))
    assert all(b - a >= 50 for a, b in pairwise(row))


def test_a_module_that_is_called_twice_has_two_boxes():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    out = model(cp.zeros(1, 2))
    assert sum(b.kind == "module" for b in dag_of([out], [], model, "modules").boxes.values()) == 3
