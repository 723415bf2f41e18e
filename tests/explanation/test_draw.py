"""draw: the right boxes and arrows, escaped text, nothing changed in the model."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

import clearprop as cp
from clearprop import nn
from clearprop.autograd import no_grad
from clearprop.explanation.dag import Detail, dag_of
from clearprop.explanation.layout import place
from clearprop.explanation.recorded import items_of_module
from clearprop.graph import trace


def titles(drawing):
    return [e.text for e in ET.fromstring(drawing.svg).iter() if e.attrib.get("class") == "title"]


def arrows(drawing):
    return len(re.findall(r'class="arrow[ "a-z]*" marker-end', drawing.svg))


def boxes_of(model, *example, **options):
    return dag_of(
        items_of_module(model, example, options.get("gradients", False)), Detail(**options)
    )


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
    assert sorted(titles(d)) == ["add", "exp", "mul", "output", "x"]
    assert arrows(d) == 5
    assert "test_draw.py" in d.svg
    assert "with 3" in d.svg


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
    assert cp.draw(y, most=3000).boxes == 2002
    assert titles(cp.draw(y)) == ["x", "2000 ops", "y"]


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
        ((3,), {}, TypeError, "a Tensor, a Module"),
        ((nn.Linear(1, 1), cp.zeros(1, 1)), {"detail": "op"}, ValueError, "detail"),
    ],
)
def test_mistakes(arguments, options, error, words):
    with pytest.raises(error, match=words):
        cp.draw(*arguments, **options)


def test_boxes_of_a_row_do_not_touch():
    sizes = dict.fromkeys(range(12), (50.0, 20.0))
    at = place(sizes, [(0, k) for k in range(1, 11)] + [(k, 11) for k in range(1, 11)]).at
    row = sorted(at[k][0] for k in range(1, 11))
    assert all(b - a >= 50 for a, b in pairwise(row))


def test_arrows_go_down_from_side_to_side():
    found = place({"a": (50, 20), "b": (60, 30)}, [("a", "b")])
    (start, *_, end) = found.routes["a", "b"]
    assert start == (found.at["a"][0], found.at["a"][1] + 10)
    assert end == (found.at["b"][0], found.at["b"][1] - 15)


def test_a_frame_holds_its_boxes_and_no_others():
    sizes = dict.fromkeys("abcd", (50.0, 20.0))
    found = place(
        sizes, [("a", "b"), ("b", "c"), ("a", "d"), ("c", "d")], {"b": ["f"], "c": ["f", "g"]}
    )
    x0, y0, x1, y1 = found.frames["f"]
    inside = {k for k, (x, y) in found.at.items() if x0 < x < x1 and y0 < y < y1}
    assert inside == {"b", "c"}
    assert found.frames["g"][0] > x0 and found.frames["g"][3] < y1


def test_nothing_to_lay_out():
    assert place({}, []).width == 0


def test_a_module_that_is_called_twice_has_two_boxes():
    layer = nn.Linear(2, 2)
    dag = boxes_of(nn.Sequential(layer, nn.Tanh(), layer), cp.zeros(1, 2))
    modules = [b for b in dag.boxes.values() if b.kind == "module"]
    assert len(modules) == 3
    assert "call 2 of 2: shared weights" in modules[2].lines


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Residual()
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.block(self.block(x)))


def test_modules_inside_modules_are_frames():
    d = cp.draw(Nested(), cp.zeros(1, 3))
    labels = [e.text for e in ET.fromstring(d.svg).iter() if e.attrib.get("class") == "line label"]
    assert labels.count("block · Residual") == 2
    assert labels.count("body · Sequential") == 2


def test_a_weight_that_two_calls_use_stands_outside_of_both():
    dag = boxes_of(Nested(), cp.zeros(1, 3))
    (gain,) = [b for b in dag.boxes.values() if b.kind == "parameter"]
    assert (gain.title, gain.group) == ("block.gain", ())
    assert sum(source == gain.key for source, _ in dag.arrows) == 2


def test_modules_are_closed_from_a_depth_or_a_number_of_boxes_on():
    assert titles(cp.draw(Nested(), cp.zeros(1, 3), depth=1)).count("Residual") == 2
    open_, closed = cp.draw(Nested(), cp.zeros(1, 3)), cp.draw(Nested(), cp.zeros(1, 3), most=7)
    assert open_.boxes > 7 >= closed.boxes
    deep = nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.Tanh()) for _ in range(300)])
    assert cp.draw(deep, cp.zeros(1, 2)).boxes <= 302


def test_values_and_gradients_in_the_boxes():
    x = cp.tensor(1.0, requires_grad=True)
    y1 = 2 * x**2 + cp.exp(2 * x)
    y2 = cp.exp(x)
    z = 3 * y1 + y2**2
    d = cp.draw(z, values=True, gradients=True)
    for text in ("= 9.38906", "= 35.5562", "gradient 71.11", "gradient 3<", "y1 ·"):
        assert text in d.svg
    assert titles(d)[-1] == "z"


def test_a_strong_gradient_is_a_wide_line():
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    d = cp.draw((x * 1e-4 + x.exp() * 1e2).sum(), gradients=True)
    widths = [float(w) for w in re.findall(r"stroke-width:([\d.]+);stroke-opacity", d.svg)]
    assert max(widths) == 5.0 and min(widths[: arrows(d)]) < 2.5
    assert "wide = strong" in d.svg


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        h = self.a(x)
        with no_grad():
            scale = h.exp().mean()
        picked = h.argmax(1)
        return self.b(h).clamp(100, 200) + h.detach() * scale + picked.float().unsqueeze(1)


def test_cut_and_blocked_lines_are_marked():
    dag = boxes_of(Broken(), cp.rand(2, 3), gradients=True)
    name = {k: b.title for k, b in dag.boxes.items()}
    lines = {(name[a], name[b]): arrow for (a, b), arrow in dag.arrows.items()}
    assert {pair for pair, arrow in lines.items() if arrow.cut} == {
        ("Linear", "exp"),
        ("Linear", "argmax"),
        ("Linear", "mul"),
    }
    assert [pair for pair, arrow in lines.items() if arrow.blocked and not arrow.cut] == [
        ("Linear", "clamp")
    ]
    svg = cp.draw(Broken(), cp.rand(2, 3), gradients=True).svg
    assert "cut: no gradient flows" in svg and "blocked: derivative 0" in svg


def test_a_custom_block_is_one_op_and_no_cut():
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    dag = boxes_of(layer, cp.rand(1, 3, 4), gradients=True)
    assert not any(arrow.cut for arrow in dag.arrows.values())
    assert all(arrow.strength is not None for arrow in dag.arrows.values())


def test_a_traced_graph():
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    traced = trace(model, cp.zeros(1, 2))
    d = cp.draw(traced)
    assert {"0", "1", "output"} <= set(titles(d))
    assert {"linear", "tanh"} <= set(titles(cp.draw(traced.graph, detail="ops")))
    opt = cp.optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()

    assert any(t.startswith("new ") for t in titles(cp.draw(trace(step, cp.zeros(1, 2)))))
    with pytest.raises(TypeError, match="no values"):
        cp.draw(traced, values=True)


def test_random_numbers_are_not_used_up():
    before = cp.default_generator.get_state()

    class Noisy(nn.Module):
        def forward(self, x):
            return x + cp.rand(2)

    cp.draw(Noisy(), cp.zeros(2))
    assert (cp.default_generator.get_state() == before).all()


def test_the_layout_is_the_same_every_time():
    assert cp.draw(Nested(), cp.zeros(1, 3)).svg == cp.draw(Nested(), cp.zeros(1, 3)).svg
