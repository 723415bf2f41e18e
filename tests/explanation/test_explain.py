"""explain: the paths of the chain rule with symbols and numbers, and what they add up to."""

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.errors import AutogradError, MissingExtraError
from clearprop.explanation import symbols


def worked_example(value=1.0):
    x = cp.tensor(value, dtype=cp.float64, requires_grad=True)
    y1 = 2 * x**2 + cp.exp(2 * x)
    y2 = cp.exp(x)
    z = 3 * y1 + y2**2
    return x, y1, y2, z


@pytest.mark.parametrize("value", [-0.5, 0.0, 1.0, 2.0])
def test_the_worked_example_in_numbers(value):
    x, *_, z = worked_example(value)
    d = cp.explain(z, wrt=x, symbolic=False)
    assert [p.names for p in sorted(d.paths, key=lambda p: p.names)] == [
        ["z", "y1", "x"],
        ["z", "y2", "x"],
    ]
    e = math.exp(value)
    factors = {p.names[1]: [f.number for f in p.factors] for p in d.paths}
    assert factors["y1"] == pytest.approx([3, 4 * value + 2 * e**2])
    assert factors["y2"] == pytest.approx([2 * e, e])
    assert d.total == pytest.approx(12 * value + 8 * e**2)
    assert sum(p.value for p in d.paths) == pytest.approx(d.total)
    assert d.count == 2 and d.carried == 1.0 and d.formula is None


def test_the_worked_example_in_symbols():
    sympy = pytest.importorskip("sympy")
    x, *_, z = worked_example()
    d = cp.explain(z, wrt=x)
    s = sympy.Symbol("x", real=True)
    assert sympy.simplify(d.formula - (12 * s + 8 * sympy.exp(2 * s))) == 0
    text = str(d)
    assert "12*x + 8*exp(2*x) = 71.1124" in text
    assert "z ← y1 ← x   3 · (4*x + 2*exp(2*x))" in text
    assert "dz/dx = ∂z/∂y1·∂y1/∂x + ∂z/∂y2·∂y2/∂x" in text
    assert r"\frac{\partial z}{\partial y_{1}}" in d.latex() and "12 x + 8 e^{2 x}" in d.latex()
    assert d._repr_latex_().startswith("$")


def test_in_a_notebook():
    pytest.importorskip("sympy")
    x, *_, z = worked_example()
    page = ET.fromstring(cp.explain(z, wrt=x)._repr_html_())
    assert len(page.findall(".//{http://www.w3.org/1998/Math/MathML}math")) >= 7
    assert "<script" not in cp.explain(z, wrt=x)._repr_html_()


def test_every_op_has_a_name_of_its_own_if_asked():
    x, *_, z = worked_example()
    d = cp.explain(z, wrt=x, detail="ops", symbolic=False)
    assert d.count == 3
    assert {"y1", "y2", "z", "x", "v1"} <= {v.name for v in d.values}
    assert sum(p.value for p in d.paths) == pytest.approx(d.total)


def test_names_come_from_the_lines_where_variables_are_gone():
    x, *_, z = worked_example()
    assert {v.name for v in cp.explain(z, wrt=x).values} == {"x", "y1", "y2", "z"}


def test_without_names_ops_are_shown():
    x = cp.tensor(2.0, requires_grad=True)
    d = cp.explain(3 * cp.exp(x) + x, wrt=x, symbolic=False)
    assert d.count == 2
    assert d.total == pytest.approx(3 * math.exp(2) + 1, rel=1e-6)
    assert d.z == "z" and any(p.names == ["z", "x"] for p in d.paths)


def test_a_name_that_comes_again_gets_a_number():
    x = cp.tensor(0.3, requires_grad=True)
    h = x
    for _ in range(3):
        h = cp.sin(h)
    d = cp.explain(h, wrt=x, symbolic=False)
    (path,) = d.paths
    assert path.names == ["h3", "h2", "h1", "x"] or path.names == ["h", "h2", "h1", "x"]
    h.backward()
    assert d.total == pytest.approx(x.grad.item(), rel=1e-6)


def test_the_branch_that_the_numbers_take():
    pytest.importorskip("sympy")
    x = cp.tensor(1.0, requires_grad=True)
    d = cp.explain(cp.relu(x - 3) + cp.relu(x + 3), wrt=x)
    assert d.total == 1 and d.formula == 1
    assert any("<= 0" in note for note in d.notes)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: cp.sigmoid(x) * cp.tanh(x),
        lambda x: cp.log(x) / cp.sqrt(x) + x.pow(3),
        lambda x: cp.where(x > 1, x * x, cp.sin(x)),
        lambda x: cp.nn.functional.softplus(x) - cp.abs(x - 5),
        lambda x: (x.reshape(1, 1) @ x.reshape(1, 1)).sum() + cp.clamp(x, 0, 1),
        lambda x: cp.atan2(x, x + 1) * cp.erf(x),
    ],
)
@pytest.mark.parametrize("value", [0.4, 1.7])
def test_symbols_and_numbers_agree(f, value):
    sympy = pytest.importorskip("sympy")
    x = cp.tensor(value, dtype=cp.float64, requires_grad=True)
    z = f(x)
    d = cp.explain(z, wrt=x)
    (g,) = cp.autograd.grad(z, x)
    assert d.total == pytest.approx(g.item())
    assert d.formula is not None
    assert float(d.formula.subs(sympy.Symbol("x", real=True), value)) == pytest.approx(g.item())


def test_one_element_of_a_tensor():
    pytest.importorskip("sympy")
    w = cp.tensor([1.0, 2.0, 3.0], dtype=cp.float64, requires_grad=True)
    b = cp.tensor(0.5, dtype=cp.float64, requires_grad=True)
    h = (w * 2 + b).tanh()
    d = cp.explain(h, wrt=w, index=1)
    assert d.total == pytest.approx(2 * (1 - math.tanh(4.5) ** 2))
    assert str(d.formula) == "2 - 2*tanh(b + 2*w)**2"
    assert cp.explain(h, wrt=b, index=2).total == pytest.approx(1 - math.tanh(6.5) ** 2)


def test_one_element_of_the_gradient_of_a_loss():
    w = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    loss = (w**2).mean()
    assert cp.explain(loss, wrt=w, index=2).total == pytest.approx(2.0)


def test_norms_along_the_paths_of_a_network():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    loss = nn.functional.cross_entropy(net(cp.rand(5, 3)), cp.tensor([0, 1, 1, 0, 1]))
    d = cp.explain(loss, wrt=net[0].weight)
    assert d.x == "net.0.weight"
    assert sum(p.share for p in d.paths) == pytest.approx(1, rel=1e-5)
    loss.backward()
    np.testing.assert_allclose(d.total, net[0].weight.grad.numpy(), rtol=1e-5)
    np.testing.assert_allclose(sum(p.value for p in d.paths), d.total, rtol=1e-4, atol=1e-7)
    assert "‖·‖" in str(d) and "aligned" in d.latex() and "cp-explain" in d._repr_html_()


def test_of_many_paths_the_strongest():
    x = cp.tensor(1.0, dtype=cp.float64, requires_grad=True)
    s = x
    for i in range(40):
        s = s + s * 0.01 * (i + 1)
    d = cp.explain(s, wrt=x, k=3, symbolic=False, detail="ops")
    assert d.count == 2**40
    values = [0.01 * (i + 1) for i in range(40)]
    # the largest product takes every factor above 1 and leaves out the others: here none is above
    assert [p.value for p in d.paths] == pytest.approx([1.0, *sorted(values, reverse=True)[:2]])
    assert d.carried == pytest.approx(
        sum(p.value for p in d.paths) / math.prod(1 + v for v in values)
    )


def test_custom_blocks_and_ops_with_several_outputs():
    class Twice(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = cp.tensor([1.0, 3.0], requires_grad=True)
    top = cp.sort(Twice.apply(x), descending=True)[0]
    z = (top * cp.tensor([1.0, 10.0])).sum()
    d = cp.explain(z, wrt=x)
    np.testing.assert_allclose(d.total, [20.0, 2.0])


def test_nothing_is_changed():
    x, *_, z = worked_example()
    cp.explain(z, wrt=x)
    assert x.grad is None
    z.backward()
    assert x.grad.item() == pytest.approx(12 + 8 * math.e**2)


def test_mistakes():
    x, *_, z = worked_example()
    with pytest.raises(AutogradError, match="no path leads from z back to other"):
        other = cp.tensor(1.0, requires_grad=True)
        cp.explain(z, wrt=other)
    with pytest.raises(AutogradError, match="no path leads"):
        cp.explain((z.detach() * other), wrt=x)
    with pytest.raises(AutogradError, match="nothing was recorded behind"):
        cp.explain(cp.tensor(1.0), wrt=x)
    with pytest.raises(ValueError, match="detail"):
        cp.explain(z, wrt=x, detail="op")
    with pytest.raises(ValueError, match="k must be"):
        cp.explain(z, wrt=x, k=0)
    with pytest.raises(TypeError, match="two tensors"):
        cp.explain(3.0, wrt=x)
    with pytest.raises(IndexError, match="no element of x"):
        cp.explain(z, wrt=x, index=(0, 1))
    z.backward()
    with pytest.raises(AutogradError, match="before backward"):
        cp.explain(z, wrt=x)


def test_without_sympy(monkeypatch):
    def missing(name, extra):
        raise MissingExtraError(f"{name} is not installed: clearprop[{extra}]")

    monkeypatch.setattr(symbols, "optional_import", missing)
    x, *_, z = worked_example()
    with pytest.raises(MissingExtraError, match=r"clearprop\[explain\]"):
        cp.explain(z, wrt=x, symbolic=True)
    assert cp.explain(z, wrt=x, symbolic=False).count == 2


def test_a_deep_chain_without_recursion():
    x = cp.tensor(1.0, dtype=cp.float64, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y * 1.001
    d = cp.explain(y, wrt=x, symbolic=False, detail="ops")
    assert d.count == 1
    assert d.total == pytest.approx(1.001**3000)
    assert "more" in str(d)
