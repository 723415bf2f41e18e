"""An ONNX file as a Module: its weights are parameters, its nodes are run in clearprop's ops.

A file comes from anywhere: what is too large, malformed, outside its folder, nested, or not one of
ONNX's own operators is refused before anything is computed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.core import Parameter, Tensor, local, wrap
from clearprop.errors import did_you_mean
from clearprop.nn import Module
from clearprop.onnx import layers, recurrent, shapes  # noqa: F401  they enter operators
from clearprop.onnx.library import ImportRefused, helper, numpy_helper, onnx
from clearprop.onnx.operators import MOST_ELEMENTS, OPERATORS, Node, dtype_of, tensor

MOST_BYTES = 2**31
MOST_NODES = 100_000
STATISTICS = {"BatchNormalization": (3, 4)}  # inputs that are no weights
SIZES = {"Clip": (1, 2), "Pad": (2,), "Range": (0, 1, 2)}


def load(path: str | os.PathLike[str]) -> Network:
    """The network of an ONNX file, ready to run and to be trained further.

    Weights are parameters under the file's names, statistics and other constants are buffers.
    External data must lie in the folder of the file. `forward` takes the file's inputs in order and
    gives its output, or a tuple of them.

    Errors: ImportRefused (a ValueError) for a damaged file, an operator that there is none for, a
    domain other than ONNX's own, a size that is not allowed.

    >>> import clearprop as cp
    >>> _ = cp.onnx.export(cp.nn.Linear(2, 1), cp.ones(1, 2), "line.onnx")
    >>> net = cp.onnx.load("line.onnx")
    >>> [name for name, _ in net.named_parameters()], tuple(net(cp.ones(3, 2)).shape)
    (['weight', 'bias'], (3, 1))
    """
    file = Path(path)
    if file.stat().st_size > MOST_BYTES:
        raise ImportRefused(f"onnx: {file} is larger than {MOST_BYTES} bytes", file)
    return network_of(file.read_bytes(), file.parent, str(file))


def network_of(data: bytes, folder: Path | None, name: str) -> Network:
    """The network in the bytes of a file."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise ImportRefused(f"onnx: {name} is damaged: {error}", name) from error
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise ImportRefused(f"onnx: {name} has {len(graph.node)} nodes, {MOST_NODES} at most", name)
    _refuse_foreign(model, name)
    given = {p.name: _array(p, folder, name) for p in graph.initializer}
    try:
        onnx.checker.check_model(model.SerializeToString(), full_check=True)
    except Exception as error:
        raise ImportRefused(f"onnx: {name} is refused by onnx.checker: {error}", name) from error
    for value in (*graph.input, *graph.output):
        if value.type.WhichOneof("value") != "tensor_type":
            raise ImportRefused(f"onnx: {name}: {value.name!r} is no tensor", name)
        dtype_of(Node("value", value.name, 0, (), (), {}), value.type.tensor_type.elem_type)
    opset = max([o.version for o in model.opset_import if o.domain in ("", "ai.onnx")], default=1)
    nodes = [_node(n, opset) for n in graph.node]
    inputs = [i.name for i in graph.input if i.name not in given]
    fixed = {p.key: p.value for p in model.metadata_props}.get("clearprop.constants")
    kept = None if fixed is None else set(fixed.split("\n"))
    return Network(nodes, inputs, [o.name for o in graph.output], given, kept)


def _refuse_foreign(model: Any, name: str) -> None:
    graph = model.graph
    for o in model.opset_import:
        if o.domain not in ("", "ai.onnx"):
            used = any(n.domain == o.domain for n in graph.node)
            if used:
                raise ImportRefused(f"onnx: {name} uses operators of domain {o.domain!r}", name)
    if len(model.functions) or len(graph.sparse_initializer):
        raise ImportRefused(f"onnx: {name} has functions or sparse tensors: not supported", name)
    for n in graph.node:
        if n.domain not in ("", "ai.onnx"):
            raise ImportRefused(f"onnx: {name} uses {n.op_type} of domain {n.domain!r}", name)
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in n.attribute):
            raise ImportRefused(f"onnx: {name}: {n.op_type} {n.name!r} has a graph in it", name)
        if n.op_type not in OPERATORS:
            hint = did_you_mean(n.op_type, OPERATORS)
            raise ImportRefused(
                f"onnx: {name}: {n.op_type} {n.name!r} is not supported{hint}", name
            )


def _array(proto: Any, folder: Path | None, name: str) -> np.ndarray:
    """An initializer; external data only from a file in the folder."""
    size = int(np.prod([float(d) for d in proto.dims])) if len(proto.dims) else 1
    if any(d < 0 for d in proto.dims) or size > MOST_BYTES:
        raise ImportRefused(f"onnx: {name}: {proto.name!r} has sizes {list(proto.dims)}", name)
    try:
        dtype_of(Node("initializer", proto.name, 0, (), (), {}), proto.data_type)
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            proto.raw_data = _external(proto, folder, name)
            proto.data_location = onnx.TensorProto.DEFAULT
            del proto.external_data[:]
        return np.array(numpy_helper.to_array(proto))
    except ImportRefused:
        raise
    except Exception as error:
        raise ImportRefused(f"onnx: {name}: {proto.name!r} is damaged: {error}", name) from error


def _external(proto: Any, folder: Path | None, name: str) -> bytes:
    entries = {e.key: e.value for e in proto.external_data}
    place = entries.get("location", "")
    if folder is None or not place:
        raise ImportRefused(f"onnx: {name}: {proto.name!r} lies in another file", name)
    file = (folder / place).resolve()
    if Path(place).is_absolute() or not file.is_relative_to(folder.resolve()):
        raise ImportRefused(f"onnx: {name}: {proto.name!r} lies outside the folder: {place}", name)
    wanted = (
        int(np.prod(proto.dims, dtype=np.int64))
        * helper.tensor_dtype_to_np_dtype(proto.data_type).itemsize
    )
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", wanted))
    if length != wanted or offset < 0 or offset + length > file.stat().st_size:
        raise ImportRefused(f"onnx: {name}: {proto.name!r} is cut off in {place}", name)
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _node(proto: Any, opset: int) -> Node:
    try:
        since = onnx.defs.get_schema(proto.op_type, opset, "").since_version
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    except Exception as error:
        raise ImportRefused(f"onnx: {proto.op_type} {proto.name!r}: {error}") from error
    return Node(
        proto.op_type, proto.name, since, tuple(proto.input), tuple(proto.output), attributes
    )


class Network(Module):
    """The nodes of an ONNX file. Values that are known without the inputs stay arrays, so that
    sizes can be computed while the network is traced.
    """

    def __init__(
        self,
        nodes: list[Node],
        inputs: list[str],
        outputs: list[str],
        given: dict[str, np.ndarray],
        fixed: set[str] | None,
    ) -> None:
        super().__init__()
        self.nodes, self.inputs, self.outputs = nodes, inputs, outputs
        self.arrays: dict[str, np.ndarray] = {}
        self.places: dict[str, tuple[Module, str]] = {}
        no_weights = {
            n.inputs[i]
            for n in nodes
            for i in (*STATISTICS.get(n.kind, ()), *SIZES.get(n.kind, ()))
            if i < len(n.inputs)
        }
        for name, array in given.items():
            if array.dtype.kind != "f" or not array.ndim:
                self.arrays[name] = array
                continue
            trained = name not in (no_weights if fixed is None else fixed)
            self._keep(name, array, trained)
        self._last = {name: i for i, n in enumerate(nodes) for name in n.inputs}
        self._last |= dict.fromkeys(outputs, len(nodes))

    def _keep(self, name: str, array: np.ndarray, trained: bool) -> None:
        """Register a weight under its name; dots are modules."""
        *path, leaf = [part or "_" for part in name.split(".")][-32:]
        home: Module = self
        for part in path:
            if part not in home._modules:
                if hasattr(home, part):
                    part = f"{part}_"
                home.add_module(part, home._modules.get(part) or Module())
            home = home._modules[part]  # type: ignore[assignment]
        while hasattr(home, leaf) or leaf in home._modules:
            leaf = f"{leaf}_"
        if trained:
            home.register_parameter(leaf, Parameter(array))
        else:
            home.register_buffer(leaf, wrap(array, None))
        self.places[name] = (home, leaf)

    def extra_repr(self) -> str:
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}, {len(self.nodes)} nodes"

    def forward(self, *inputs: Any) -> Any:
        """The outputs of the file for its inputs, in order."""
        if len(inputs) != len(self.inputs):
            raise TypeError(
                f"onnx: got {len(inputs)} inputs, the file has {', '.join(self.inputs)}"
            )
        values: dict[str, Any] = dict(self.arrays)
        values |= {name: getattr(home, leaf) for name, (home, leaf) in self.places.items()}
        values |= zip(self.inputs, inputs, strict=True)
        for i, node in enumerate(self.nodes):
            args = [values[name] if name else None for name in node.inputs]
            while args and args[-1] is None:
                args.pop()
            outs = run(node, args)
            for name, out in zip(node.outputs, outs, strict=False):
                if name and name in self._last:
                    values[name] = out
            for name in node.inputs:
                if self._last.get(name) == i:
                    values.pop(name, None)
        found = tuple(tensor(values[name]) for name in self.outputs)
        return found[0] if len(found) == 1 else found


def run(node: Node, args: list[Any]) -> tuple[Any, ...]:
    """The outputs of one node; arrays where all inputs are arrays."""
    alone = all(a is None or isinstance(a, np.ndarray) for a in args)
    try:
        if not alone:
            out = OPERATORS[node.kind](node, *args)
        else:
            with _eager():
                out = OPERATORS[node.kind](node, *args)
    except ImportRefused:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, ZeroDivisionError,
            OverflowError, RuntimeError, MemoryError) as error:  # fmt: skip
        raise node.refuse(f"{type(error).__name__}: {error}") from error
    outs = out if isinstance(out, tuple) else (out,)
    if len(outs) < sum(1 for name in node.outputs if name):
        raise node.refuse(f"{len(node.outputs)} outputs are asked for, {len(outs)} are supported")
    if any(np.prod(o.shape, dtype=float) > MOST_ELEMENTS for o in outs):
        raise node.refuse(f"a value has more than {MOST_ELEMENTS} elements")
    return tuple(np.asarray(o.value) if alone and isinstance(o, Tensor) else o for o in outs)


@contextmanager
def _eager() -> Iterator[None]:
    """Compute now, also while a trace is going on."""
    before, local.c.interpreter = local.c.interpreter, None
    try:
        yield
    finally:
        local.c.interpreter = before
