"""From a traced graph to an ONNX file: every equation becomes the form of its primitive.

Elementwise primitives are written from their formula, composed ones are written out first, the rest
have an entry in `forms.FORMS`. So a module needs nothing of its own to be exported: what can be
traced can be exported, as far as ONNX has the primitives that it is made of.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clearprop._version import __version__
from clearprop.autograd import no_grad
from clearprop.core import Map, Tensor, local, wrap
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.graph import Traced, optimize, trace
from clearprop.graph.evaluate import evaluate
from clearprop.jit.expansion import expanded
from clearprop.nn import Module
from clearprop.onnx.checking import check
from clearprop.onnx.elementwise import elementwise
from clearprop.onnx.forms import FORMS
from clearprop.onnx.library import ExportError, helper
from clearprop.onnx.sizes import FIXED, Pair, Size, Step, Value, pair
from clearprop.onnx.writer import NOWHERE, Writer, onnx_type, tensor_proto
from clearprop.serialization import atomic_write

OLDEST, NEWEST, USUAL = 17, 26, 18  # opsets
BATCHES = (67, 71)  # primes: no other size of a network is likely to change alike
MOST_BYTES = 2**31 - 2**20  # what one message of protobuf holds
FOLDED = 2**20  # constants up to this many elements are worked out


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: names of inputs and outputs, and the programs that ran the file and came
    to clearprop's numbers.
    """

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    checked_by: tuple[str, ...]


def export(
    module_or_graph: Any,
    example: Any,
    path: str | os.PathLike[str],
    dynamic_batch: bool | Sequence[int | None] = True,
    *,
    opset: int = USUAL,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Exported:
    """Write a network as an ONNX file.

    `module_or_graph` is a module (exported as in eval mode, where dropout and batch statistics are
    fixed), a function of Tensors, or what `graph.trace` gave, which keeps the sizes it has.
    `example` is its argument, or a tuple of them. With `dynamic_batch` the first axis of every
    argument may have any size; a sequence says which axis it is for each argument (None: no such
    axis). Parameters are initializers under their names in `state_dict`, and names of nodes begin
    with the path of their module.

    Before the file is there it passes onnx.checker, and gives clearprop's numbers for the example
    and for other batch sizes in onnxruntime, if that is installed, or else in onnx.reference.

    Errors: ExportError, with module path and line, for a block that has no ONNX form, depends on
    the batch size in another way than by sizes, or draws random numbers; TraceError for what cannot
    be traced.

    >>> import clearprop as cp
    >>> net = cp.nn.Sequential(cp.nn.Linear(3, 4), cp.nn.ReLU(), cp.nn.Linear(4, 2))
    >>> done = cp.onnx.export(net, cp.rand(5, 3), "net.onnx")
    >>> done.inputs, done.outputs
    (('x',), ('output',))
    """
    if not OLDEST <= opset <= NEWEST:
        raise ExportError(f"export: opset must be from {OLDEST} to {NEWEST}, got {opset}")
    given = example if isinstance(example, tuple) else (example,)
    tensors = [t.detach() for t in tensors_in(given)]
    with _as_in_use(module_or_graph), no_grad():
        traced, read, axes = _read(module_or_graph, given, tensors, dynamic_batch)
        writer = Writer(read, opset)
        names_in = _input_names(module_or_graph, traced.arguments, input_names)
        outputs = _write(writer, read, traced, names_in, axes)
        names_out = _output_names(len(outputs), output_names)
        model = _model(writer, read, traced, outputs, names_in, names_out, axes)
        data = model.SerializeToString()
        if len(data) > MOST_BYTES:
            raise ExportError(
                f"export: the file would have {len(data)} bytes, {MOST_BYTES} at most"
            )
        run = _runner(module_or_graph, traced, given)
        with _unchanged(traced):
            checked = check(data, run, [t.value for t in tensors], axes, names_in)
    atomic_write(Path(path), data)
    return Exported(Path(path), tuple(names_in), tuple(names_out), opset, checked)


# ---------------------------------------------------------------------- reading
@contextmanager
def _as_in_use(module: Any) -> Iterator[None]:
    """Eval mode for every part, and afterwards the mode that each had."""
    parts = list(module.modules()) if isinstance(module, Module) else []
    before = [part.training for part in parts]
    if any(before):
        module.eval()
    try:
        yield
    finally:
        if any(before):
            for part, mode in zip(parts, before, strict=True):
                part.training = mode


@contextmanager
def _unchanged(traced: Traced) -> Iterator[None]:
    """What a run writes to is afterwards what it was."""
    written = set(traced.graph.writes)
    first = traced.graph.inputs[traced.arguments :]
    arrays = [a for v, a in zip(first, traced.captured, strict=False) if v in written]
    before = [a.copy() for a in arrays]
    try:
        yield
    finally:
        for array, old in zip(arrays, before, strict=True):
            np.copyto(array, old)


def _axes(tensors: Sequence[Any], dynamic: Any) -> list[int | None]:
    """For each argument the axis of the batch."""
    if isinstance(dynamic, bool):
        return [0 if dynamic and t.ndim else None for t in tensors]
    axes = list(dynamic)
    if len(axes) != len(tensors):
        raise ExportError(
            f"export: dynamic_batch has {len(axes)} axes, there are {len(tensors)} arguments"
        )
    for i, (axis, t) in enumerate(zip(axes, tensors, strict=True)):
        if axis is not None and not -t.ndim <= axis < t.ndim:
            raise ExportError(f"export: argument {i} is {t.aval}, it has no axis {axis}")
    return [None if a is None else a % t.ndim for a, t in zip(axes, tensors, strict=True)]


def _read(
    network: Any, given: tuple[Any, ...], tensors: list[Tensor], dynamic: Any
) -> tuple[Traced, Pair, list[int | None]]:
    """The graph of the network, read with two batch sizes if the batch is open."""
    if isinstance(network, Traced):
        graph = expanded(optimize(network.graph))
        return network, pair(graph, graph, None), [None] * len(tensors)
    axes = _axes(tensors, dynamic)
    names = {}
    if isinstance(network, Module):
        state = [*network.named_parameters(), *network.named_buffers()]
        names = {id(t.value): name for name, t in state if t is not None}

    def read(batch: int) -> tuple[Traced, Any]:
        arrays = iter(
            np.empty([batch if i == axis else n for i, n in enumerate(t.shape)], t.value.dtype)
            for t, axis in zip(tensors, axes, strict=True)
        )
        arguments = map_tensors(lambda _: wrap(next(arrays), None), given)
        traced = trace(network, *arguments, names=names)
        _refuse_effects(traced)
        return traced, expanded(optimize(traced.graph))

    if all(axis is None for axis in axes):
        traced, graph = read(0)
        return traced, pair(graph, graph, None), axes
    try:
        (traced, one), (again, two) = map(read, BATCHES)
    except ExportError:
        raise
    except Exception as error:
        try:
            trace(network, *given)
        except Exception:
            raise error from None
        raise ExportError(
            f"export: the network does not run with batch size {BATCHES[0]}: {error}; {FIXED}"
        ) from error
    if [s.array is t.array for s, t in zip(traced.sources, again.sources, strict=False)].count(
        False
    ):
        raise ExportError(f"export: {traced.graph.name} reads other arrays with another batch size")
    return traced, pair(one, two, BATCHES), axes


def _refuse_effects(traced: Traced) -> None:
    graph = traced.graph
    drawn = set(graph.inputs[traced.arguments + len(traced.sources) :])
    for e in graph.equations:
        if drawn & set(e.inputs):
            raise ExportError(
                f"export: {e.prim.name} {e.origin} uses random numbers or options that are asked"
                " for at every run; a file has none (is dropout called with training=True?)"
            )


def _input_names(network: Any, n: int, names: Sequence[str] | None) -> list[str]:
    if names is None:
        function = network.forward if isinstance(network, Module) else network
        names = []
        if callable(function):
            kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            found = inspect.signature(function).parameters.values()
            names = [p.name for p in found if p.kind in kinds]
        if n != len(names[:n]):
            names = ["input"] if n == 1 else [f"input_{i}" for i in range(n)]
    if len(set(names[:n])) != n:
        raise ExportError(f"export: there are {n} arguments, input_names are {list(names)}")
    return list(names[:n])


def _output_names(n: int, names: Sequence[str] | None) -> list[str]:
    if names is None:
        names = ["output"] if n == 1 else [f"output_{i}" for i in range(n)]
    if len(set(names)) != n or len(names) != n:
        raise ExportError(f"export: there are {n} results, output_names are {list(names)}")
    return list(names)


# ---------------------------------------------------------------------- writing
def _write(
    w: Writer, read: Pair, traced: Traced, names_in: list[str], axes: list[int | None]
) -> list[str]:
    """Write the nodes; the names of the results."""
    for name in (*names_in, "output", *(v.hint for v in read.inputs if v.hint)):
        w.unique(name)
    captured = traced.captured
    for i, value in enumerate(read.inputs):
        if i < traced.arguments:
            w.names[value] = names_in[i]
            if axes[i] is not None and w.batch_input is None:
                w.batch_input = (names_in[i], axes[i])  # type: ignore[assignment]
            continue
        if i >= traced.arguments + len(captured):
            continue
        w.names[value] = value.hint or w.unique("weight")
        w.initializers[w.names[value]] = captured[i - traced.arguments]
    known = dict(read.constants)
    repeats: dict[
        Value, Value
    ] = {}  # what an expand repeats: elementwise nodes repeat by themselves

    def name_of(v: Value) -> str:
        if v not in w.names:
            one, two = known[v]
            same = one is two or (
                one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")
            )
            w.names[v] = w.constant(one) if same else w.varying(one, two)
        return w.names[v]

    for step in read.steps:
        w.origin = step.origin
        if _fold(step, known):
            continue
        try:
            inputs = step.inputs
            if isinstance(step.prim.lower, Map):
                inputs = _unrepeated(step, repeats)
            if step.prim.name == "expand":
                repeats[step.outputs[0]] = step.inputs[0]
            outs = _form(step)(w, step, [name_of(v) for v in inputs])
        except ExportError as error:
            text = str(error).removeprefix("export: ")
            raise ExportError(f"export: {step.prim.name} {step.origin}: {text}") from error
        for v, name in zip(step.outputs, outs if isinstance(outs, list) else [outs], strict=True):
            w.names[v] = name
    w.origin = NOWHERE
    return [name_of(v) for v in read.outputs]


def _form(step: Step) -> Callable[..., Any]:
    if isinstance(step.prim.lower, Map):
        return elementwise
    found = FORMS.get(step.prim.name)
    if found is None:
        raise ExportError(
            f"ONNX has no operators for it ({step.prim.doc.rstrip('.')}); replace the block, or"
            " export what comes before it and compute the rest outside"
        )
    return found


def _unrepeated(step: Step, repeats: dict[Value, Value]) -> tuple[Value, ...]:
    """The inputs before they were repeated, if one of them has the whole shape."""
    out = step.outputs[0].shape
    short = tuple(repeats.get(v, v) for v in step.inputs)
    if any(v.shape == out for v in short):
        return short
    return (step.inputs[0], *short[1:])


def _fold(step: Step, known: dict[Value, tuple[np.ndarray, np.ndarray]]) -> bool:
    """Work out what constants alone give, if it is the same for every batch size."""
    if step.prim.name == "expand" or not step.inputs:
        return False
    given = [known.get(v) for v in step.inputs]
    sizes = [n for v in (*step.inputs, *step.outputs) for n in v.shape]
    if any(g is None or g[0] is not g[1] for g in given) or any(isinstance(n, Size) for n in sizes):
        return False
    if any(math.prod(map(int, v.shape)) > FOLDED for v in step.outputs):  # type: ignore[arg-type]
        return False
    arrays = [g[0] for g in given if g is not None]
    out = local.c.run(step.prim.eager, *arrays, **step.params)
    for v, array in zip(step.outputs, out if step.prim.outputs > 1 else (out,), strict=True):
        whole = np.asarray(array)
        known[v] = (whole, whole)
    return True


def _model(
    w: Writer,
    read: Pair,
    traced: Traced,
    outputs: list[str],
    names_in: list[str],
    names_out: list[str],
    axes: list[int | None],
) -> Any:
    """The file's message."""

    def info(name: str, value: Value, batch: int | None = None) -> Any:
        shape = [
            "batch" if i == batch else n if isinstance(n, int) else _dimension(n, w)
            for i, n in enumerate(value.shape)
        ]
        return helper.make_tensor_value_info(name, onnx_type(value.dtype), shape)

    for source, name in zip(outputs, names_out, strict=True):
        w.nodes.append(
            helper.make_node("Identity", [source], [name], name=w.unique(f"give {name}"))
        )
    nodes = _needed(w.nodes, set(names_out))
    used = {name for node in nodes for name in node.input}
    tensors = [tensor_proto(n, a) for n, a in w.initializers.items() if n in used]
    graph = helper.make_graph(
        nodes,
        traced.graph.name or "network",
        [info(n, v, axes[i]) for i, (n, v) in enumerate(zip(names_in, read.inputs, strict=False))],
        [info(n, v) for n, v in zip(names_out, read.outputs, strict=True)],
        initializer=tensors,
    )
    imports = [helper.make_opsetid("", w.opset)]
    wants = [s.owner() for s in traced.sources if s.owner is not None and s.wants]
    trained = {id(t.value) for t in wants if t is not None}
    model = helper.make_model(
        graph,
        producer_name="clearprop",
        producer_version=__version__,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
    )
    fixed = [n for n, a in w.initializers.items() if n in used and id(a) not in trained]
    helper.set_model_props(model, {"clearprop.constants": "\n".join(fixed)})
    return model


def _dimension(n: Size, w: Writer) -> str | None:
    return "batch" if w.batches == (n.one, n.two) else None


def _needed(nodes: list[Any], wanted: set[str]) -> list[Any]:
    """The nodes that lead to the outputs."""
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            while node.output[-1] not in wanted:
                node.output.pop()
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _runner(
    network: Any, traced: Traced, given: tuple[Any, ...]
) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """What the network gives for other arrays in place of the example's."""

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        if isinstance(network, Traced):
            return [np.asarray(a) for a in evaluate(traced.graph, [*arrays, *traced.captured])]
        left = iter(arrays)
        arguments = map_tensors(lambda _: wrap(next(left).copy(), None), given)
        return [t.numpy() for t in tensors_in(network(*arguments))]

    return run


__all__ = ["Exported", "export"]
