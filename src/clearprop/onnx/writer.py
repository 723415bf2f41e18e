"""What the forms of primitives write with: nodes, initializers, and values computed from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.graph import Origin
from clearprop.onnx.library import ExportError, helper, numpy_helper
from clearprop.onnx.sizes import FIXED, Number, Pair, Size, Value, line

NOWHERE = Origin()


class Writer:
    """The nodes of a file, in order. `origin` is that of the equation being written: its module's
    path begins the names of its nodes.
    """

    def __init__(self, pair: Pair, opset: int) -> None:
        self.opset = opset
        self.batches = pair.batches
        self.origin = NOWHERE
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.names: dict[Value, str] = {}
        self.source: dict[str, tuple[str, int]] = {}  # where a run reads the batch size
        self._constants: dict[Any, str] = {}
        self._sizes: dict[Any, str] = {}
        self._counts: dict[str, int] = {}
        self._batch = ""
        self.batch_input: tuple[str, int] | None = None

    # ------------------------------------------------------------------ names
    def unique(self, stem: str) -> str:
        """A name that is not taken: stem, stem_1, ..."""
        n = self._counts.get(stem, 0)
        self._counts[stem] = n + 1
        return self.unique(f"{stem}_{n}") if n else stem

    # ------------------------------------------------------------------ nodes
    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; the name of its output, or their names."""
        scope = f"{self.origin.path}/" if self.origin.path else ""
        name = self.unique(f"{scope}{kind}")
        outs = [f"{name}_out{i or ''}" for i in range(outputs)]
        given = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(kind, list(inputs), outs, name=name, **given))
        return outs[0] if outputs == 1 else outs

    def constant(self, array: Any, dtype: Any = None) -> str:
        """An initializer without a name of its own; equal ones are one."""
        array = np.asarray(array, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self.unique("constant")
            self.initializers[name] = array
        return self._constants[key]

    def ints(self, values: Sequence[int]) -> str:
        """A vector of int64."""
        return self.constant(np.array(list(values), np.int64))

    def cast(self, name: str, dtype: Any) -> str:
        """The same as another element type."""
        return self.op("Cast", name, to=onnx_type(dtype))  # type: ignore[no-any-return]

    # ------------------------------------------------------------------ sizes
    def sizes(self, values: Sequence[Number]) -> str:
        """A vector of int64 of numbers some of which follow from the batch size."""
        fixed = [v for v in values if isinstance(v, int)]
        if len(fixed) == len(values):
            return self.ints(fixed)
        key = tuple(values)
        if key not in self._sizes:
            before, self.origin = self.origin, NOWHERE
            parts, run = [], []
            for v in values:
                if isinstance(v, int):
                    run.append(v)
                    continue
                if run:
                    parts.append(self.ints(run))
                parts.append(self._size(v))
                run = []
            parts += [self.ints(run)] if run else []
            self._sizes[key] = parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)
            self.origin = before
        return self._sizes[key]

    def _size(self, size: Size) -> str:
        """A vector of one int64: slope * batch + offset."""
        if size not in self._sizes:
            found = None if self.batches is None else line(size.one, size.two, self.batches)
            if found is None:
                raise ExportError(
                    f"a size is {size.one} and {size.two} with batch sizes {self.batches}: no"
                    f" multiple of it; {FIXED}"
                )
            slope, offset = found
            name = self.batch()
            if slope != 1:
                name = self.op("Mul", name, self.ints([slope]))
            if offset:
                name = self.op("Add", name, self.ints([offset]))
            self._sizes[size] = name
        return self._sizes[size]

    def batch(self) -> str:
        """A vector of one int64: the batch size of this run."""
        if not self._batch:
            assert self.batch_input is not None
            name, axis = self.batch_input
            self._batch = self.op("Gather", self.op("Shape", name), self.ints([axis]), axis=0)
        return self._batch

    def number(self, one: np.ndarray, two: np.ndarray) -> str:
        """A 0-d number that follows from the batch size: how many elements a mean is over."""
        assert self.batches is not None
        for inverse in (False, True):
            with np.errstate(divide="ignore", invalid="ignore"):
                ends = [float(1 / v if inverse else v) for v in (one, two)]
            if not all(np.isfinite(ends)):
                continue
            found = line(round(ends[0]), round(ends[1]), self.batches)
            if found is None or not np.allclose(ends, np.round(ends), rtol=1e-6, atol=0):
                continue
            size = Size(round(ends[0]), round(ends[1]))
            value = self.cast(self.op("Squeeze", self._size(size), self.ints([0])), one.dtype)
            return self.op("Reciprocal", value) if inverse else value
        raise ExportError(f"a number is {one} and {two} with batch sizes {self.batches}; {FIXED}")

    def varying(self, one: np.ndarray, two: np.ndarray) -> str:
        """A constant that differs with the batch size: a number, a range, or repeated rows."""
        if not one.ndim:
            return self.number(one, two)
        shape = [a if a == b else Size(a, b) for a, b in zip(one.shape, two.shape, strict=True)]
        axes = [i for i, n in enumerate(shape) if isinstance(n, Size)]
        least = tuple(slice(0, 1) if i in axes else slice(None) for i in range(one.ndim))
        if axes and one.size and (one == one[least]).all() and (two == one[least]).all():
            return self.op("Expand", self.constant(one[least]), self.sizes(shape))  # type: ignore[no-any-return]
        if len(axes) == 1 and one.dtype == np.int64:
            found = _run_along(one, two, axes[0])
            if found is not None:
                end = self.op("Squeeze", self._size(shape[axes[0]]), self.ints([0]))  # type: ignore[arg-type]
                zero, step = (self.constant(np.int64(n)) for n in (0, 1))
                run = self.op("Range", zero, end, step)
                run = self.op("Mul", run, self.constant(np.int64(found)))
                along = self.ints([-1 if i == axes[0] else 1 for i in range(one.ndim)])
                return self.op("Add", self.op("Reshape", run, along), self.constant(one[least]))  # type: ignore[no-any-return]
        raise ExportError(
            f"a constant array is {one.shape} with one batch size and {two.shape} with another;"
            f" {FIXED}"
        )


def _run_along(one: np.ndarray, two: np.ndarray, axis: int) -> int | None:
    """The step by which both grow along the axis, from the same start; None if they do not."""
    start = np.take(one, [0], axis)
    steps = np.unique(np.diff(two, axis=axis))
    if len(steps) != 1:
        return None
    for array in (one, two):
        run = np.arange(array.shape[axis]) * steps[0]
        run = run.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        if not np.array_equal(array, start + run):
            return None
    return int(steps[0])


def onnx_type(dtype: Any) -> int:
    """ONNX's number of an element type, NumPy's or ours."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(getattr(dtype, "np", dtype))))


def tensor_proto(name: str, array: np.ndarray) -> Any:
    """An initializer."""
    return numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
