"""Exported files: every primitive, every layer, ten models, and what cannot be exported."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
import clearprop.optim  # its primitive is in the table, too
from clearprop import nn
from clearprop.core import TABLE, Map, float64, wrap
from clearprop.core.tree import tensors_in
from clearprop.graph import trace

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
ort = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:onnx")

from clearprop.onnx import ExportError, export  # noqa: E402
from clearprop.onnx.forms import FORMS  # noqa: E402

HERE = Path(__file__).parent


def beside(name, path):
    """A module that lies in a folder of tests."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


sys.path.insert(0, str(HERE.parent / "contract"))
checks = beside("checks", HERE.parent / "contract" / "checks.py")
layers = beside("test_layers_contract", HERE.parent / "contract" / "test_layers_contract.py")
models = beside("onnx_models", HERE / "models.py")
sys.path.pop(0)

# What ONNX has no operators for.
NO_FORM = """
    binomial_quantile bitwise_left_shift bitwise_right_shift cholesky cholesky_info cofactor digamma
    eigh eigvalsh eliminate erfcx erfinv exponent gamma_quantile gamma_slope gammainc gammaincc gcd
    histc histogram i0 i0e i1 i1e inv lcm lgamma log_ndtr lstsq lu_info lu_pivots mantissa
    matrix_exp mode ndtri nextafter pinv poisson_quantile polygamma qr record round_to_bfloat16
    row_order sinc slogdet solve solve_triangular svd svdvals zeta
""".split()
HAS_FORM = [c for p in TABLE.values() if p.name not in NO_FORM for c in checks.cases(p)]
MAPS = [c for c in HAS_FORM if isinstance(c.prim.lower, Map) and c.number != 3]
FEW = [c for c in HAS_FORM if not isinstance(c.prim.lower, Map) and c.number == 0]
LAYERS = [
    (f"{name} {i}", entry)
    for name, entries in layers.ENTRIES.items()
    for i, entry in enumerate(entries)
]


def in_runtime(path, *tensors):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {i.name: t.numpy() for i, t in zip(session.get_inputs(), tensors, strict=True)}
    return session.run(None, feeds)


def single(case):
    """The inputs in single precision."""
    if case.params.get("to") is float64:
        case.params["to"] = cp.float32
    arrays = [a.astype(np.float32) if a.dtype == np.float64 else a for a in case.arrays()]
    return [wrap(a, None) for a in arrays]


def one_primitive(case, path):
    xs = single(case)
    done = export(lambda *xs: checks.run(case, list(xs)), tuple(xs), path, dynamic_batch=False)
    assert "onnxruntime" in done.checked_by  # the numbers have been compared there


def test_elementwise_primitives(tmp_path):
    def all_of(lists):
        return [checks.run(case, xs)[0] for case, xs in zip(MAPS, lists, strict=True)]

    done = export(all_of, ([single(c) for c in MAPS],), tmp_path / "all.onnx", dynamic_batch=False)
    assert done.checked_by == ("onnx.checker", "onnxruntime", "onnx.reference")


@pytest.mark.parametrize("case", FEW, ids=str)
def test_a_primitive(case, tmp_path):
    one_primitive(case, tmp_path / "one.onnx")


@pytest.mark.nightly
@pytest.mark.parametrize("case", HAS_FORM, ids=str)
def test_every_case_of_a_primitive(case, tmp_path):
    one_primitive(case, tmp_path / "one.onnx")


@pytest.mark.parametrize("name", NO_FORM)
def test_what_has_no_form_is_refused(name):
    assert name in TABLE and name not in FORMS


# Layers whose example has no batch, or another first axis: for one size only.
FIXED = "Linear 1, InstanceNorm1d, EmbeddingBag, RNN, LSTM, GRU, GRUCell, Conv1d".split(", ")


def one_layer(entry, path, dynamic):
    module = entry.make().float()
    args = tuple(
        cp.tensor(a.astype(np.float32) if a.dtype.kind == "f" else a)
        if isinstance(a, np.ndarray)
        else a
        for a in entry.inputs
    )
    done = export(module, args, path, dynamic_batch=dynamic)
    assert "onnxruntime" in done.checked_by
    module.eval()
    tensors = tensors_in(args)
    wanted = [t.detach().numpy() for t in tensors_in(module(*args))]
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}
    feeds = {n: t.numpy() for n, t in zip(done.inputs, tensors, strict=True) if n in names}
    for a, b in zip(wanted, session.run(None, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1, np.abs(a).max(initial=0)))


@pytest.mark.filterwarnings("ignore:kl_div")
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(e, id=n, marks=() if n.endswith(" 0") else pytest.mark.nightly)
        for n, e in LAYERS
    ],
)
def test_a_layer(entry, tmp_path):
    one_layer(entry, tmp_path / "layer.onnx", dynamic=False)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:kl_div")
@pytest.mark.parametrize("entry", [e for _, e in LAYERS], ids=[n for n, _ in LAYERS])
def test_a_layer_for_every_batch_size(entry, tmp_path, request):
    try:
        one_layer(entry, tmp_path / "layer.onnx", dynamic=True)
    except ExportError as error:
        assert "dynamic_batch=False" in str(error)
        assert request.node.callspec.id.split()[0] in [n.split()[0] for n in FIXED]


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model(name, tmp_path):
    model, example, axes = models.made(name)
    path = tmp_path / "model.onnx"
    done = export(model, example, path, axes)
    assert done.checked_by[:2] == ("onnx.checker", "onnxruntime")
    assert all(m.training for m in model.modules())  # as before
    model.eval()
    larger = [cp.cat([t, t, t], 0)[:7] for t in example]
    (found,) = in_runtime(path, *larger)
    wanted = model(*larger).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    graph = onnx.load(path).graph
    given = {i.name for i in graph.initializer}
    assert {k for k, _ in model.named_parameters()} <= given
    scopes = {node.name.rsplit("/", 1)[0] for node in graph.node if "/" in node.name}
    assert all(s.startswith(type(model).__name__) for s in scopes) and scopes


@pytest.mark.parametrize("opset", [17, 20, 23, 26])
@pytest.mark.parametrize("name", ["lenet", "transformer"])
def test_other_opsets(name, opset, tmp_path):
    model, example, axes = models.made(name)
    done = export(model, example, tmp_path / "m.onnx", axes, opset=opset)
    assert done.opset == opset
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == opset


def test_double_precision(tmp_path):
    model, (x,), _ = models.made("mlp")
    model.double().eval()
    x = x.double()
    export(model, x, tmp_path / "m.onnx")
    np.testing.assert_allclose(
        in_runtime(tmp_path / "m.onnx", x)[0], model(x).detach().numpy(), rtol=1e-12
    )


def test_a_batch_on_another_axis(tmp_path):
    net = nn.LSTM(3, 4)
    x, h, c = cp.randn(5, 2, 3), cp.randn(1, 2, 4), cp.randn(1, 2, 4)
    export(net, (x, (h, c)), tmp_path / "m.onnx", (1, 1, 1))
    x, h, c = cp.randn(5, 6, 3), cp.randn(1, 6, 4), cp.randn(1, 6, 4)
    found = in_runtime(tmp_path / "m.onnx", x, h, c)
    for a, b in zip(tensors_in(net(x, (h, c))), found, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_sizes_that_follow_from_the_batch(tmp_path):
    def f(x):
        n = x.shape[0]
        rows = cp.arange(n)
        picked = x[rows, rows % 3]
        return picked, x.reshape(n * 2, -1), x.mean(0), x.var(0), cp.zeros(n, 2) + rows[:, None]

    example = cp.randn(4, 6)
    export(f, example, tmp_path / "m.onnx")
    x = cp.randn(9, 6)
    for a, b in zip(f(x), in_runtime(tmp_path / "m.onnx", x), strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)


def test_a_traced_graph_and_names(tmp_path):
    w = cp.randn(3, 2)
    x = cp.randn(4, 3)
    traced = trace(lambda x: (x @ w).relu(), x)
    done = export(traced, x, tmp_path / "m.onnx", input_names=["rows"], output_names=["score"])
    assert (done.inputs, done.outputs) == (("rows",), ("score",))
    np.testing.assert_allclose(
        in_runtime(tmp_path / "m.onnx", x)[0], (x @ w).relu().numpy(), rtol=1e-5
    )


# ---------------------------------------------------------------------- what is refused
class Head(nn.Module):
    def forward(self, x):
        return cp.linalg.svdvals(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 3), Head()

    def forward(self, x):
        return self.head(self.body(x))


def test_the_error_names_the_block_and_the_line(tmp_path):
    with pytest.raises(
        ExportError, match=r"svdvals in Net\.head at .*test_export\.py:\d+: ONNX has"
    ):
        export(Net(), cp.randn(3, 3), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_random_numbers_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"at .*test_export\.py:\d+ uses random numbers"):
        export(lambda x: x + cp.rand(2), cp.randn(2), tmp_path / "m.onnx", False)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("n", cp.zeros(1))

    def forward(self, x):
        self.n += 1
        return x + self.n


def test_what_lasts_from_run_to_run_is_refused(tmp_path):
    net = Counter()
    with pytest.raises(ExportError, match="keeps something from one run to the next"):
        export(net, cp.randn(2), tmp_path / "m.onnx", False)
    assert net.n.item() == 0


def test_a_decision_on_the_batch_size_is_refused(tmp_path):
    def f(x):
        return x.exp() if x.shape[0] == 67 else x.sin()

    with pytest.raises(ExportError, match=r"depends on the batch size; .*dynamic_batch=False"):
        export(f, cp.randn(2, 2), tmp_path / "m.onnx")
    export(f, cp.randn(2, 2), tmp_path / "m.onnx", dynamic_batch=False)


def test_a_network_for_one_size_only_is_refused(tmp_path):
    with pytest.raises(ExportError, match="does not run with batch size 67"):
        export(lambda x: x.reshape(2, 3), cp.randn(2, 3), tmp_path / "m.onnx")


def test_a_wrong_file_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMS, "sum", lambda w, step, names: FORMS["prod"](w, step, names))
    with pytest.raises(ExportError, match="differs in onnxruntime"):
        export(lambda x: x.sum(1), cp.randn(2, 3), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [16, 27])
def test_opsets_that_are_not_written(opset, tmp_path):
    with pytest.raises(ExportError, match="opset must be from 17 to 26"):
        export(nn.Linear(2, 2), cp.randn(1, 2), tmp_path / "m.onnx", opset=opset)
