"""Loaded files: the cases that ship with onnx, ten models and back, and files that are refused."""

import importlib.util
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.core import wrap
from clearprop.core.tree import tensors_in

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")
from onnx import TensorProto, helper  # noqa: E402

from clearprop.onnx import ImportRefused, export, load  # noqa: E402
from clearprop.onnx.importing import network_of  # noqa: E402

HERE = Path(__file__).parent
if "onnx_models" not in sys.modules:
    spec = importlib.util.spec_from_file_location("onnx_models", HERE / "models.py")
    sys.modules["onnx_models"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["onnx_models"])
models = sys.modules["onnx_models"]


def results(net, arrays):
    with cp.no_grad():
        out = net(*(wrap(np.array(a), None) for a in arrays))
    return [t.numpy() for t in tensors_in(out)]


# ---------------------------------------------------------------------- what ships with onnx
@pytest.mark.filterwarnings("ignore")
def test_single_nodes(capsys):
    from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415

    passed, refused, wrong = 0, 0, []
    for case in collect_testcases(None):
        inputs, wanted = case.data_sets[0]
        try:
            found = results(network_of(case.model.SerializeToString(), None, case.name), inputs)
        except ImportRefused:
            refused += 1
            continue
        for a, b in zip(wanted, found, strict=True):
            half = a.dtype == np.float16
            same = (a.shape, a.dtype) == (b.shape, b.dtype) and np.allclose(
                a, b, rtol=1e-2 if half else case.rtol, atol=1e-3 if half else 1e-5, equal_nan=True
            )
            if not same:
                wrong.append(case.name)
        passed += 1
    with capsys.disabled():
        print(f"\nsingle nodes of onnx: {passed} pass, {refused} are refused, {len(wrong)} wrong")
    assert not wrong
    assert passed - len(wrong) >= 900


# ---------------------------------------------------------------------- there and back
@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_and_back(name, tmp_path):
    pytest.importorskip("onnxruntime")
    model, example, axes = models.made(name)
    export(model, example, tmp_path / "m.onnx", axes)
    net = load(tmp_path / "m.onnx")
    model.eval()
    larger = [cp.cat([t, t, t], 0)[:7] for t in example]
    np.testing.assert_allclose(
        net(*larger).detach().numpy(), model(*larger).detach().numpy(), rtol=1e-5, atol=1e-5
    )
    state = dict(model.named_parameters())
    assert {k: v.shape for k, v in net.named_parameters()} == {k: v.shape for k, v in state.items()}
    net(*larger).square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    export(net, tuple(larger), tmp_path / "again.onnx", axes)  # a loaded network can be traced


def test_a_loaded_network_learns(tmp_path):
    export(
        nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), cp.rand(3, 2), tmp_path / "m"
    )
    net = load(tmp_path / "m")
    x = cp.rand(32, 2)
    y = (x[:, :1] - x[:, 1:]) * 2
    optimizer = cp.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(100):
        loss = nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


# ---------------------------------------------------------------------- what is refused
def file_of(nodes, inputs=("x",), outputs=("y",), initializers=(), imports=None):
    info = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"rows of {n}", f"columns of {n}"])
        for n in (*inputs, *outputs)
    ]
    graph = helper.make_graph(
        nodes, "g", info[: len(inputs)], info[len(inputs) :], initializer=list(initializers)
    )
    imports = imports or [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def refused(model, match, folder=None):
    with pytest.raises(ImportRefused, match=match):
        net = network_of(model.SerializeToString(), folder, "file")
        results(net, [np.ones((2, 3), np.float32)])


def test_other_domains_are_refused():
    node = helper.make_node("Relu", ["x"], ["y"], domain="evil")
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    refused(file_of([node], imports=imports), "domain 'evil'")


def test_graphs_in_nodes_are_refused():
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    refused(file_of([node]), "has a graph in it")


def test_unknown_operators_are_refused_by_name():
    refused(file_of([helper.make_node("Multinomial", ["x"], ["y"], name="n")]), "Multinomial 'n'")


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "link", "gone"])
def test_data_outside_the_folder_is_refused(place, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(24))
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    t = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 3])
    t.data_location = TensorProto.EXTERNAL
    t.external_data.add(key="location", value=place)
    node = helper.make_node("Add", ["x", "w"], ["y"])
    refused(file_of([node], initializers=[t]), "outside the folder|damaged|cut off", folder)
    (folder / "data").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    t.external_data[0].value = "data"
    net = network_of(file_of([node], initializers=[t]).SerializeToString(), folder, "file")
    np.testing.assert_array_equal(
        results(net, [np.zeros((2, 3), np.float32)])[0], [[0, 1, 2], [3, 4, 5]]
    )


def shape_tensor(*sizes):
    return helper.make_tensor("s", TensorProto.INT64, [len(sizes)], sizes)


@pytest.mark.parametrize("kind", ["Expand", "Tile", "ConstantOfShape"])
def test_huge_values_are_refused(kind):
    huge = shape_tensor(10**6, 10**6)
    inputs = ["s"] if kind == "ConstantOfShape" else ["x", "s"]
    refused(file_of([helper.make_node(kind, inputs, ["y"])], initializers=[huge]), "not allowed")


def test_huge_broadcasts_are_refused():
    net = network_of(
        file_of([helper.make_node("Add", ["a", "b"], ["y"])], ("a", "b")).SerializeToString(),
        None,
        "file",
    )
    with pytest.raises(ImportRefused, match="not allowed"):
        results(net, [np.ones((10**5, 1), np.float32), np.ones((1, 10**5), np.float32)])


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_text("no model")
    with pytest.raises(ImportRefused, match="damaged"):
        load(tmp_path / "m.onnx")


def mutated(data, rng):
    """The file with a few bytes changed, cut off, or repeated."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        out[rng.integers(len(out))] = rng.integers(256)
    where = int(rng.integers(len(out)))
    match rng.integers(4):
        case 0:
            return bytes(out[:where])
        case 1:
            return bytes(out[:where] + out[where // 2 :])
    return bytes(out)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.nightly)])
def test_mutated_files(count, tmp_path):
    """Refused, or what onnxruntime computes if that accepts the file; no other error."""
    ort = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = []
    for name in ("lenet", "lstm", "transformer", "mlp"):
        model, example, axes = models.made(name)
        export(model, example, tmp_path / "m.onnx", axes)
        files.append(((tmp_path / "m.onnx").read_bytes(), [t.numpy() for t in example]))
    ran = compared = 0
    for i in range(count):
        data, arrays = files[i % len(files)]
        data = mutated(data, rng)
        try:
            found = results(network_of(data, None, "mutated"), arrays)
        except (ImportRefused, TypeError) as error:
            assert isinstance(error, ImportRefused) or "inputs" in str(error)
            continue
        ran += 1
        try:
            options = ort.SessionOptions()
            options.log_severity_level = 4
            session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            feeds = {v.name: a for v, a in zip(session.get_inputs(), arrays, strict=True)}
            wanted = session.run(None, feeds)
        except Exception:
            continue  # the other program refuses it
        compared += 1
        for a, b in zip(wanted, found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, np.abs(a).max()))
    assert ran > compared > 0 or ran == compared > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024
