"""Operators that make, move and pick elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.core import from_numpy_dtype, int64, wrap
from clearprop.nn import functional as F
from clearprop.onnx.library import numpy_helper
from clearprop.onnx.operators import (
    Node,
    dtype_of,
    given,
    guard,
    ints,
    operator,
    static,
    tensor,
)


# ---------------------------------------------------------------------- making
@operator("Constant")
def _constant(node: Node) -> Any:
    for name in ("value_int", "value_ints", "value_float", "value_floats"):
        if name in node.attributes:
            return np.array(node.get(name), np.int64 if "int" in name else np.float32)
    if "value" not in node.attributes:
        raise node.refuse("a constant without a value of numbers")
    return array_of(node, node.get("value"))


def array_of(node: Node, proto: Any) -> np.ndarray:
    """The array of a tensor in an attribute."""
    array = numpy_helper.to_array(proto)
    dtype_of(node, proto.data_type)
    return np.asarray(array)


@operator("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Any) -> Any:
    value = node.get("value")
    one = np.zeros(1, np.float32) if value is None else array_of(node, value)
    return np.full(guard(node, ints(node, shape)), one.reshape(-1)[0])


@operator("Range")
def _range(node: Node, start: Any, stop: Any, step: Any) -> Any:
    a, b, s = (static(node, v).reshape(()) for v in (start, stop, step))
    if not s or not np.isfinite([float(a), float(b), float(s)]).all():
        raise node.refuse("the step is 0, or a bound is not finite")
    n = max(0, math.ceil((float(b) - float(a)) / float(s)))
    guard(node, [n])
    return (a + np.arange(n) * s).astype(a.dtype)


@operator("Shape")
def _shape(node: Node, x: Any) -> Any:
    return np.array(x.shape[slice(node.get("start", 0), node.get("end"))], np.int64)


@operator("Size")
def _size(node: Node, x: Any) -> Any:
    return np.array(math.prod(x.shape), np.int64)


@operator("OneHot")
def _one_hot(node: Node, index: Any, depth: Any, values: Any) -> Any:
    index, values = tensor(index).to(int64), tensor(values)
    (n,), axis = ints(node, depth), node.get("axis", -1)
    guard(node, [*index.shape, n])
    axis = axis % (index.ndim + 1)
    along = ops.arange(n).reshape([-1 if i == axis else 1 for i in range(index.ndim + 1)])
    hit = index.unsqueeze(axis) % n == along
    inside = ((index >= -n) & (index < n)).unsqueeze(axis)
    return ops.where(hit & inside, values[1], values[0])


@operator("Trilu")
def _trilu(node: Node, x: Any, k: Any = None) -> Any:
    n = ints(node, k)[0] if k is not None else 0
    return (ops.triu if node.get("upper", 1) else ops.tril)(tensor(x), n)


@operator("EyeLike")
def _eye_like(node: Node, x: Any) -> Any:
    n, m = x.shape
    kind = node.get("dtype")
    kind = from_numpy_dtype(np.dtype(x.dtype)) if kind is None and isinstance(x, np.ndarray) else (
        x.dtype if kind is None else dtype_of(node, kind)
    )  # fmt: skip
    return wrap(np.eye(n, m, node.get("k", 0)).astype(kind.np), None)


# ---------------------------------------------------------------------- moving
@operator("Reshape")
def _reshape(node: Node, x: Any, shape: Any = None) -> Any:
    x, sizes = tensor(x), given(node, (x, shape), 1, "shape")
    if not node.get("allowzero", 0):
        sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x.reshape(sizes)


@operator("Flatten")
def _flatten(node: Node, x: Any) -> Any:
    x, axis = tensor(x), node.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@operator("Transpose")
def _transpose(node: Node, x: Any) -> Any:
    x = tensor(x)
    return x.permute(node.get("perm", list(range(x.ndim))[::-1]))


@operator("Squeeze")
def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    x, dims = tensor(x), given(node, (x, axes), 1, "axes")
    if dims is None:
        dims = [i for i, n in enumerate(x.shape) if n == 1]
    dims = {d % x.ndim for d in dims}
    if any(x.shape[d] != 1 for d in dims):
        raise node.refuse(f"axes {sorted(dims)} of {x.aval} have not size 1")
    return x.reshape([n for i, n in enumerate(x.shape) if i not in dims])


@operator("Unsqueeze")
def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    x, dims = tensor(x), given(node, (x, axes), 1, "axes")
    total = x.ndim + len(dims)
    new = {d % total for d in dims}
    if len(new) != len(dims):
        raise node.refuse(f"axes {dims} are not distinct")
    left = iter(x.shape)
    return x.reshape([1 if i in new else next(left) for i in range(total)])


@operator("Concat")
def _concat(node: Node, *xs: Any) -> Any:
    return ops.cat([tensor(x) for x in xs], node.get("axis", 1))


@operator("Split")
def _split(node: Node, x: Any, sizes: Any = None) -> Any:
    x, axis = tensor(x), node.get("axis", 0)
    parts, n = given(node, (x, sizes), 1, "split"), x.shape[axis]
    if parts is None:
        count = node.get("num_outputs", len(node.outputs))
        size = -(-n // count)
        parts = [min(size, max(0, n - i * size)) for i in range(count)]
    if sum(parts) != n or min(parts, default=0) < 0:
        raise node.refuse(f"parts {parts} of {n} elements")
    return tuple(ops.split(x, parts, axis))


@operator("Slice")
def _slice(node: Node, x: Any, *more: Any) -> Any:
    x, args = tensor(x), (x, *more)
    starts, ends = given(node, args, 1, "starts"), given(node, args, 2, "ends")
    axes = given(node, args, 3, "axes") or list(range(len(starts)))
    steps = ints(node, more[3]) if len(more) > 3 and more[3] is not None else [1] * len(starts)
    for a, b, axis, s in zip(starts, ends, axes, steps, strict=True):
        axis, n = axis % x.ndim, x.shape[axis]
        if s == 0:
            raise node.refuse("a step is 0")
        if s < 0:
            # from a down to above b: the same from the other end
            a = min(a + n if a < 0 else a, n - 1)
            b = max(b + n if b < 0 else b, -1)
            x, a, b, s = x.flip(axis), n - 1 - max(a, -1), n - 1 - b, -s
        index = [slice(None)] * axis + [slice(a, b, s)]
        x = x[tuple(index)]
    return x


@operator("Pad")
def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    x = tensor(x)
    n = given(node, (x, pads), 1, "pads")
    mode = node.get("mode", b"constant").decode()
    dims = list(range(x.ndim)) if axes is None else [d % x.ndim for d in ints(node, axes)]
    before, after = n[: len(dims)], n[len(dims) :]
    if len(after) != len(dims):
        raise node.refuse(f"{len(n)} pads for {len(dims)} axes")
    more = {d: a + b for d, a, b in zip(dims, before, after, strict=True)}
    guard(node, [m + more.get(i, 0) for i, m in enumerate(x.shape)])
    if mode == "constant":
        fill = node.get("value", 0.0) if value is None else static(node, value).reshape(()).item()
        for i, d in enumerate(dims):
            widths = [0, 0] * (x.ndim - 1 - d) + [before[i], after[i]]
            x = F.pad(x, widths, value=fill)
        return x
    for i, d in enumerate(dims):
        places = np.pad(np.arange(x.shape[d]), (max(before[i], 0), max(after[i], 0)), mode)  # type: ignore[call-overload]
        places = places[max(-before[i], 0) : len(places) - max(-after[i], 0)]
        x = ops.index_select(x, d, wrap(places.astype(np.int64), None))
    return x


@operator("Expand")
def _expand(node: Node, x: Any, shape: Any) -> Any:
    x, sizes = tensor(x), ints(node, shape)
    like = np.broadcast_shapes(x.shape, tuple(guard(node, sizes)))
    return x.expand(guard(node, like))


@operator("Tile")
def _tile(node: Node, x: Any, repeats: Any) -> Any:
    x, n = tensor(x), ints(node, repeats)
    guard(node, [a * b for a, b in zip(x.shape, n, strict=True)])
    return x.repeat(n) if n else x


@operator("DepthToSpace")
def _depth_to_space(node: Node, x: Any) -> Any:
    x, s = tensor(x), node.get("blocksize")
    n, c, h, w = x.shape
    if node.get("mode", b"DCR") == b"CRD":
        y = x.reshape(n, c // (s * s), s, s, h, w).permute(0, 1, 4, 2, 5, 3)
    else:
        y = x.reshape(n, s, s, c // (s * s), h, w).permute(0, 3, 4, 1, 5, 2)
    return y.reshape(n, c // (s * s), h * s, w * s)


@operator("SpaceToDepth")
def _space_to_depth(node: Node, x: Any) -> Any:
    x, s = tensor(x), node.get("blocksize")
    n, c, h, w = x.shape
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", b"DCR") == b"CRD" else (0, 3, 5, 1, 2, 4)
    y = x.reshape(n, c, h // s, s, w // s, s).permute(order)
    return y.reshape(n, c * s * s, h // s, w // s)


# ---------------------------------------------------------------------- picking
def _inside(node: Node, index: Any, n: int) -> Any:
    """Indices from 0 on; those that reach outside are refused where they are known."""
    index = tensor(index).to(int64)
    if isinstance(index.value, np.ndarray) and index.value.size:
        low, high = index.value.min(), index.value.max()
        if low < -n or high >= n:
            raise node.refuse(f"an index of {low} to {high} into {n} elements")
    return ops.where(index < 0, index + n, index)


@operator("Gather")
def _gather(node: Node, x: Any, index: Any) -> Any:
    x, axis = tensor(x), node.get("axis", 0)
    axis %= x.ndim
    index = _inside(node, index, x.shape[axis])
    guard(node, [*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]])
    flat = ops.index_select(x, axis, index.reshape(-1))
    return flat.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@operator("GatherElements")
def _gather_elements(node: Node, x: Any, index: Any) -> Any:
    x, axis = tensor(x), node.get("axis", 0)
    return ops.gather(x, axis, _inside(node, index, x.shape[axis]))


@operator("GatherND")
def _gather_nd(node: Node, x: Any, index: Any) -> Any:
    x, index, b = tensor(x), tensor(index), node.get("batch_dims", 0)
    k = index.shape[-1]
    parts = [_inside(node, index[..., i], x.shape[b + i]) for i in range(k)]
    grids = []
    for d in range(b):
        shape = [-1 if i == d else 1 for i in range(index.ndim - 1)]
        grids.append(ops.arange(x.shape[d]).reshape(shape).expand(index.shape[:-1]))
    return x[(*grids, *parts)]


REDUCE = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@operator("ScatterElements", "Scatter")
def _scatter_elements(node: Node, x: Any, index: Any, source: Any) -> Any:
    x, source, axis = tensor(x), tensor(source), node.get("axis", 0)
    index = _inside(node, index, x.shape[axis])
    how = node.get("reduction", b"none").decode()
    if how == "none":
        return ops.scatter(x, axis, index, source)
    return ops.scatter_reduce(x, axis, index, source, REDUCE[how], include_self=True)


@operator("ScatterND")
def _scatter_nd(node: Node, x: Any, index: Any, source: Any) -> Any:
    """The rows that an index names, as rows of x with its first axes joined."""
    x, index, source = tensor(x), tensor(index), tensor(source)
    k, how = index.shape[-1], node.get("reduction", b"none").decode()
    row = ops.zeros(index.shape[:-1], dtype=int64)
    for i in range(k):
        row = row * x.shape[i] + _inside(node, index[..., i], x.shape[i])
    width = math.prod(x.shape[k:])
    flat = x.reshape(-1, width)
    rows = row.reshape(-1, 1).expand(math.prod(row.shape), width)
    guard(node, rows.shape)
    values = source.reshape(rows.shape)
    if how == "none":
        return ops.scatter(flat, 0, rows, values).reshape(x.shape)
    return ops.scatter_reduce(flat, 0, rows, values, REDUCE[how], include_self=True).reshape(
        x.shape
    )
