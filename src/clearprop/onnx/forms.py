"""The ONNX form of every primitive that is not elementwise: movement, reductions, products,
convolution, pooling, indexing, order.

A form is called as `form(writer, step, names of the inputs)` and gives the name of the output, or
their names. What has none is refused with the block's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import bool_, int32, int64
from clearprop.onnx import elementwise as ew
from clearprop.onnx.library import ExportError
from clearprop.onnx.sizes import Number, Shape, Size, Step, Value, numbers
from clearprop.onnx.writer import Writer

LAST = np.iinfo(np.int64).max


# ---------------------------------------------------------------------- movement
def reshaped(w: Writer, x: str, shape: Shape) -> str:
    """x with another shape; the one size that follows from the batch is found by the runtime."""
    open_ = [i for i, n in enumerate(shape) if isinstance(n, Size)]
    if len(open_) == 1 and 0 not in shape:
        target = w.ints([-1 if isinstance(n, Size) else n for n in shape])
    else:
        target = w.sizes(shape)
    return w.op("Reshape", x, target, allowzero=1 if 0 in shape else None)  # type: ignore[no-any-return]


def _expand(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("Expand", names[0], w.sizes(step.params["shape"]))  # type: ignore[no-any-return]


def _reshape(w: Writer, step: Step, names: list[str]) -> str:
    return reshaped(w, names[0], step.params["shape"])


def _permute(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("Transpose", names[0], perm=step.params["dims"])  # type: ignore[no-any-return]


def sliced(w: Writer, x: str, shape: Shape, starts: Any, stops: Any, steps: Any) -> str:
    """Elements starts, starts + steps, ... below stops along each axis."""
    axes = [i for i, n in enumerate(shape) if (starts[i], steps[i]) != (0, 1) or stops[i] != n]
    if not axes:
        return x
    ends = [stops[i] if stops[i] != shape[i] else LAST for i in axes]
    first, last = (
        w.sizes([v[i] for i in axes]) for v in (starts, dict(zip(axes, ends, strict=True)))
    )
    return w.op("Slice", x, first, last, w.ints(axes), w.ints([steps[i] for i in axes]))  # type: ignore[no-any-return]


def _slice(w: Writer, step: Step, names: list[str]) -> str:
    p = step.params
    return sliced(w, names[0], step.inputs[0].shape, p["starts"], p["stops"], p["steps"])


def _unslice(w: Writer, step: Step, names: list[str]) -> str:
    """Each axis with steps gets a second one of that size behind it, filled up with zeros."""
    x, kind = names[0], step.inputs[0].dtype
    if kind is bool_:
        x = w.cast(x, int32)
    shape: list[Number] = list(step.inputs[0].shape)
    target, starts, steps = (step.params[k] for k in ("shape", "starts", "steps"))
    zero = w.constant(np.zeros((), np.int32 if kind is bool_ else kind.np))
    spread = [i for i, s in enumerate(steps) if s != 1]
    if spread and 0 not in shape:
        wide: list[Number] = []
        pads: list[Number] = []
        for i, n in enumerate(shape):
            wide += [n, 1] if i in spread else [n]
            pads += [0, steps[i] - 1] if i in spread else [0]
        x = reshaped(w, x, tuple(wide))
        x = w.op("Pad", x, w.sizes([0] * len(pads) + pads), zero)
        shape = [n * steps[i] for i, n in enumerate(shape)]
        x = reshaped(w, x, tuple(shape))
    after = [t - a - n for t, a, n in zip(target, starts, shape, strict=True)]
    if any(v != 0 for v in (*starts, *after)):
        x = w.op("Pad", x, w.sizes([*starts, *after]), zero)
    return w.cast(x, bool_) if kind is bool_ else x


def _flip(w: Writer, step: Step, names: list[str]) -> str:
    axes = list(step.params["dims"])
    if not axes:
        return names[0]
    back = w.ints([-1] * len(axes))
    return w.op("Slice", names[0], back, w.ints([-LAST] * len(axes)), w.ints(axes), back)  # type: ignore[no-any-return]


def _concat(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("Concat", *names, axis=step.params["dim"])  # type: ignore[no-any-return]


def _window(w: Writer, step: Step, names: list[str]) -> str:
    d, size, hop, apart = (step.params[k] for k in ("dim", "size", "step", "dilation"))
    (places,) = numbers("the number of windows", [step.outputs[0].shape[d]])
    index = np.arange(places)[:, None] * hop + np.arange(size) * apart
    x = w.op("Gather", names[0], w.constant(index.astype(np.int64)), axis=d)
    n = step.outputs[0].ndim
    order = [i for i in range(n) if i != d + 1]
    return w.op("Transpose", x, perm=[*order, d + 1])  # type: ignore[no-any-return]


def _diagonal(w: Writer, step: Step, names: list[str]) -> str:
    shape, offset = step.inputs[0].shape, step.params["offset"]
    n, m, length = numbers("a diagonal", [*shape[-2:], step.outputs[0].shape[-1]])
    flat = reshaped(w, names[0], (*shape[:-2], n * m))
    start = max(0, -offset) * m + max(0, offset)
    index = start + np.arange(length, dtype=np.int64) * (m + 1)
    return w.op("Gather", flat, w.constant(index), axis=len(shape) - 2)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- reductions
def _reduction(kind: str, since: int) -> Callable[..., str]:
    """`since`: the opset in which the axes became an input."""

    def form(w: Writer, step: Step, names: list[str]) -> str:
        axes, keep = list(step.params["dim"]), int(step.params["keepdim"])
        if not axes:
            return names[0]
        narrow = step.inputs[0].dtype in (bool_, *ew.SMALL)
        x = w.cast(names[0], int32) if narrow else names[0]
        if w.opset >= since:
            y = w.op(kind, x, w.ints(axes), keepdims=keep)
        else:
            y = w.op(kind, x, axes=axes, keepdims=keep)
        return w.cast(y, step.outputs[0].dtype) if narrow else y

    return form


def _any(w: Writer, step: Step, names: list[str]) -> str:
    x = names[0] if step.inputs[0].dtype is bool_ else w.cast(names[0], bool_)
    if not step.params["dim"]:
        return x
    n = ew.logical_count(w, x, list(step.params["dim"]), step.params["keepdim"])
    return w.op("Greater", n, w.constant(np.int64(0)))  # type: ignore[no-any-return]


def _all(w: Writer, step: Step, names: list[str]) -> str:
    x = names[0] if step.inputs[0].dtype is bool_ else w.cast(names[0], bool_)
    if not step.params["dim"]:
        return x
    n = ew.logical_count(w, w.op("Not", x), list(step.params["dim"]), step.params["keepdim"])
    return w.op("Equal", n, w.constant(np.int64(0)))  # type: ignore[no-any-return]


def _arg(kind: str) -> Callable[..., str]:
    def form(w: Writer, step: Step, names: list[str]) -> str:
        p = step.params
        narrow = step.inputs[0].dtype in (bool_, *ew.SMALL)
        x = w.cast(names[0], int32) if narrow else names[0]
        return w.op(kind, x, axis=p["dim"], keepdims=int(p["keepdim"]))  # type: ignore[no-any-return]

    return form


def _cumsum(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("CumSum", names[0], w.constant(np.int64(step.params["dim"])))  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- products
def _matmul(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("MatMul", *names)  # type: ignore[no-any-return]


def _pads(padding: Any) -> list[int]:
    return [*(a for a, _ in padding), *(b for _, b in padding)]


def _convolution(w: Writer, step: Step, names: list[str]) -> str:
    p = step.params
    return w.op(  # type: ignore[no-any-return]
        "Conv", *names, strides=p["stride"], pads=_pads(p["padding"]), dilations=p["dilation"],
        group=p["groups"],
    )  # fmt: skip


def _convolution_input(w: Writer, step: Step, names: list[str]) -> str:
    kernel = numbers("a kernel", step.inputs[1].shape[2:])
    return spread(w, names, step.inputs[0], kernel, step.params)


def spread(w: Writer, names: list[str], g: Value, kernel: list[int], p: dict[str, Any]) -> str:
    """A transposed convolution; `output_padding` are the places that no window reached."""
    hop, apart, padding = p["stride"], p["dilation"], p["padding"]
    sizes = numbers("a transposed convolution", (*g.shape[-len(kernel) :], *p["size"]))
    more = [
        size - ((t - 1) * s + d * (n - 1) + 1 - sum(pad))
        for t, size, s, d, n, pad in zip(
            sizes[: len(kernel)], sizes[len(kernel) :], hop, apart, kernel, padding, strict=True
        )
    ]
    ahead = [max(0, m - max(s, d) + 1) for m, s, d in zip(more, hop, apart, strict=True)]
    y = w.op(
        "ConvTranspose", *names, strides=hop, pads=_pads(padding), dilations=apart,
        group=p["groups"], output_padding=[m - a for m, a in zip(more, ahead, strict=True)],
    )  # fmt: skip
    if any(ahead):
        zero = w.constant(np.zeros((), g.dtype.np))
        y = w.op("Pad", y, w.ints([0] * (4 + len(ahead)) + ahead), zero)
    return y  # type: ignore[no-any-return]


def _convolution_weight(w: Writer, step: Step, names: list[str]) -> str:
    """A convolution of x with g in which samples are channels, and strides are dilations."""
    p, x = step.params, step.inputs[0]
    groups, (n, c) = p["groups"], numbers("channels", x.shape[:2])
    d = len(p["kernel"])
    tail = list(range(3, 3 + d))
    a = reshaped(w, names[0], (n, groups, c // groups, *x.shape[2:]))
    a = w.op("Transpose", a, perm=[2, 1, 0, *tail])
    a = reshaped(w, a, (c // groups, groups * n, *x.shape[2:]))
    b = w.op("Transpose", names[1], perm=[1, 0, *range(2, 2 + d)])
    y = w.op(
        "Conv", a, b, strides=p["dilation"], pads=_pads(p["padding"]), dilations=p["stride"],
        group=groups,
    )  # fmt: skip
    y = w.op("Transpose", y, perm=[1, 0, *range(2, 2 + d)])
    ends = w.ints(p["kernel"])
    return w.op("Slice", y, w.ints([0] * d), ends, w.ints(range(2, 2 + d)))  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- pooling
def _as_images(w: Writer, name: str, shape: Shape, d: int) -> tuple[str, bool]:
    """x as (samples, channels, places), and whether it was not."""
    if len(shape) == d + 2:
        return name, False
    lead: Number = 1
    for n in shape[: len(shape) - d]:
        lead = lead * n
    return reshaped(w, name, (lead, 1, *shape[len(shape) - d :])), True


def _max_pool(w: Writer, step: Step, names: list[str]) -> list[str]:
    p, (values, winners) = dict(step.params), step.outputs
    d, kind = len(p["kernel"]), step.inputs[0].dtype
    if not kind.is_floating_point:
        raise ExportError("MaxPool of integers has no kernel in onnxruntime")
    x, moved = _as_images(w, names[0], step.inputs[0].shape, d)
    sizes = list(step.inputs[0].shape[-d:])
    if any(max(pad) >= k for pad, k in zip(p["padding"], p["kernel"], strict=True)):
        pads = [0, 0, *(a for a, _ in p["padding"]), 0, 0, *(b for _, b in p["padding"])]
        x = w.op("Pad", x, w.ints(pads), w.constant(np.asarray(-np.inf, kind.np)))
        sizes = [n + sum(pad) for n, pad in zip(sizes, p["padding"], strict=True)]
        p["padding"] = ((0, 0),) * d
    y, places = w.op(
        "MaxPool", x, outputs=2, kernel_shape=p["kernel"], strides=p["stride"],
        pads=_pads(p["padding"]), dilations=p["dilation"],
    )  # fmt: skip
    if moved:
        y, places = reshaped(w, y, values.shape), reshaped(w, places, values.shape)
    number = _winners(w, p, places, sizes, values.shape[-d:])
    return [y, w.cast(number, winners.dtype)]


def _first(p: dict[str, Any], i: int, count: int, d: int) -> np.ndarray:
    """Where along axis i each window begins, fit to be repeated over the later axes."""
    first = np.arange(count, dtype=np.int64) * p["stride"][i] - p["padding"][i][0]
    return first.reshape(-1, *(1,) * (d - 1 - i))


def _winners(w: Writer, p: dict[str, Any], places: str, sizes: Any, counts: Any) -> str:
    """The number of the winner in its window, from its place in the whole array."""
    d = len(p["kernel"])
    sizes, counts = numbers("an image", sizes), numbers("an image", counts)
    at = w.op("Mod", places, w.constant(np.int64(math.prod(sizes))))
    number = ""
    for i in range(d):
        inner = w.constant(np.int64(math.prod(sizes[i + 1 :])))
        here = w.op("Mod", w.op("Div", at, inner), w.constant(np.int64(sizes[i])))
        first = w.constant(_first(p, i, counts[i], d))
        k = w.op("Div", w.op("Sub", here, first), w.constant(np.int64(p["dilation"][i])))
        if number:
            number = w.op("Mul", number, w.constant(np.int64(p["kernel"][i])))
        number = w.op("Add", number, k) if number else k
    return number


def _places(w: Writer, p: dict[str, Any], number: str, sizes: Any, winners: Value) -> str:
    """The place of every winner in its image, from its number in the window; one row per image."""
    d = len(p["kernel"])
    counts = numbers("an image", winners.shape[-d:])
    number, at = w.cast(number, int64), ""
    for i in range(d):
        inner = w.constant(np.int64(math.prod(p["kernel"][i + 1 :])))
        k = w.op("Mod", w.op("Div", number, inner), w.constant(np.int64(p["kernel"][i])))
        k = w.op("Mul", k, w.constant(np.int64(p["dilation"][i])))
        here = w.op("Add", k, w.constant(_first(p, i, counts[i], d)))
        at = w.op("Add", w.op("Mul", at, w.constant(np.int64(sizes[i]))), here) if at else here
    return reshaped(w, at, (*winners.shape[:-d], math.prod(counts)))


def _max_pool_pick(w: Writer, step: Step, names: list[str]) -> str:
    p, (x, winners) = step.params, step.inputs
    d = len(p["kernel"])
    sizes = numbers("an image", x.shape[-d:])
    flat = reshaped(w, names[0], (*x.shape[:-d], math.prod(sizes)))
    y = w.op("GatherElements", flat, _places(w, p, names[1], sizes, winners), axis=-1)
    return reshaped(w, y, step.outputs[0].shape)


def _max_pool_input(w: Writer, step: Step, names: list[str]) -> str:
    p, (g, winners) = step.params, step.inputs
    d = len(p["kernel"])
    sizes = numbers("an image", p["size"])
    lead = g.shape[:-d]
    zero = w.constant(np.zeros((), g.dtype.np))
    base = w.op("Expand", zero, w.sizes([*lead, math.prod(sizes)]))
    source = reshaped(w, names[0], (*lead, math.prod(numbers("an image", g.shape[-d:]))))
    at = _places(w, p, names[1], sizes, winners)
    y = w.op("ScatterElements", base, at, source, axis=-1, reduction="add")
    return reshaped(w, y, step.outputs[0].shape)


def _sum_pool(w: Writer, step: Step, names: list[str]) -> str:
    p, kind = step.params, step.inputs[0].dtype
    x, moved = _as_images(w, names[0], step.inputs[0].shape, len(p["kernel"]))
    y = w.op(
        "AveragePool", x, kernel_shape=p["kernel"], strides=p["stride"], pads=_pads(p["padding"]),
        count_include_pad=1,
    )  # fmt: skip
    y = w.op("Mul", y, w.constant(np.asarray(math.prod(p["kernel"]), kind.np)))
    return reshaped(w, y, step.outputs[0].shape) if moved else y


def _sum_pool_input(w: Writer, step: Step, names: list[str]) -> str:
    """Every g at all places of its window: a transposed convolution with ones."""
    p, g = step.params, step.inputs[0]
    d = len(p["kernel"])
    lead: Number = 1
    for n in g.shape[: g.ndim - d]:
        lead = lead * n
    x = reshaped(w, names[0], (lead, 1, *g.shape[g.ndim - d :]))
    ones = w.constant(np.ones((1, 1, *p["kernel"]), g.dtype.np))
    y = spread(w, [x, ones], g, list(p["kernel"]), {**p, "dilation": (1,) * d, "groups": 1})
    return reshaped(w, y, step.outputs[0].shape)


# ---------------------------------------------------------------------- indexing
def _index(w: Writer, names: list[str]) -> str:
    """Several indices as one, with a last axis that runs over them."""
    last = w.ints([-1])
    wide = [w.op("Unsqueeze", w.cast(n, int64), last) for n in names]
    return w.op("Concat", *wide, axis=-1) if len(wide) > 1 else wide[0]


def _take(w: Writer, step: Step, names: list[str]) -> str:
    if len(names) == 2:
        return w.op("Gather", *names, axis=0)  # type: ignore[no-any-return]
    return w.op("GatherND", names[0], _index(w, names[1:]))  # type: ignore[no-any-return]


def _put(reduction: str | None) -> Callable[..., str]:
    def form(w: Writer, step: Step, names: list[str]) -> str:
        index = _index(w, names[2:])
        return w.op("ScatterND", names[0], index, names[1], reduction=reduction)  # type: ignore[no-any-return]

    return form


def _part(w: Writer, name: str, shape: Shape, like: Shape, dim: int | None) -> str:
    """The corner of x that an index reaches."""
    ends = [n if i == dim else m for i, (n, m) in enumerate(zip(shape, like, strict=True))]
    n = len(shape)
    return sliced(w, name, shape, [0] * n, ends, [1] * n)


def _gather(w: Writer, step: Step, names: list[str]) -> str:
    dim, (x, index) = step.params["dim"], step.inputs
    return w.op("GatherElements", _part(w, names[0], x.shape, index.shape, dim), names[1], axis=dim)  # type: ignore[no-any-return]


def _scatter(reduction: str | None) -> Callable[..., str]:
    def form(w: Writer, step: Step, names: list[str]) -> str:
        how = reduction
        if "largest" in step.params:
            how = "max" if step.params["largest"] else "min"
            if w.opset < 18:
                raise ExportError(f"a scatter that keeps the {how} is new in opset 18")
        source = _part(w, names[2], step.inputs[2].shape, step.inputs[1].shape, None)
        return w.op(  # type: ignore[no-any-return]
            "ScatterElements", names[0], names[1], source, axis=step.params["dim"], reduction=how
        )

    return form


# ---------------------------------------------------------------------- order
def _argsort(w: Writer, step: Step, names: list[str]) -> str:
    dim = step.params["dim"]
    k = w.sizes([step.inputs[0].shape[dim]])
    largest = int(step.params["descending"])
    return w.op("TopK", names[0], k, outputs=2, axis=dim, largest=largest, sorted=1)[1]  # type: ignore[no-any-return]


def _isin(w: Writer, step: Step, names: list[str]) -> str:
    flat = w.op("Reshape", names[1], w.ints([-1]))
    same = w.op("Equal", w.op("Unsqueeze", names[0], w.ints([-1])), flat)
    n = ew.logical_count(w, same, [-1], False)
    return w.op("Greater", n, w.constant(np.int64(0)))  # type: ignore[no-any-return]


def _searchsorted(w: Writer, step: Step, names: list[str]) -> str:
    sequence, x = names
    x = w.op("Unsqueeze", x, w.ints([-1]))
    if step.inputs[0].ndim > 1:
        sequence = w.op("Unsqueeze", sequence, w.ints([-2]))
    kind = "Less" if step.params["side"] == "left" else "LessOrEqual"
    return ew.logical_count(w, w.op(kind, sequence, x), [-1], False)


def _det(w: Writer, step: Step, names: list[str]) -> str:
    return w.op("Det", names[0])  # type: ignore[no-any-return]


Form = Callable[[Writer, Step, list[str]], Any]
FORMS: dict[str, Form] = {
    "expand": _expand, "reshape": _reshape, "permute": _permute, "slice": _slice,
    "unslice": _unslice, "flip": _flip, "concat": _concat, "window": _window,
    "diagonal": _diagonal,
    "sum": _reduction("ReduceSum", 13), "amax": _reduction("ReduceMax", 18),
    "amin": _reduction("ReduceMin", 18), "prod": _reduction("ReduceProd", 18),
    "any": _any, "all": _all, "argmax": _arg("ArgMax"), "argmin": _arg("ArgMin"),
    "cumsum": _cumsum,
    "matmul": _matmul, "convolution": _convolution, "convolution_input": _convolution_input,
    "convolution_weight": _convolution_weight,
    "max_pool": _max_pool, "sum_pool": _sum_pool,
    "max_pool_input": _max_pool_input, "max_pool_pick": _max_pool_pick,
    "sum_pool_input": _sum_pool_input,
    "take": _take, "put": _put(None), "put_add": _put("add"), "gather": _gather,
    "scatter": _scatter(None), "scatter_add": _scatter("add"), "scatter_mul": _scatter("mul"),
    "scatter_extreme": _scatter(""),
    "argsort": _argsort, "isin": _isin, "searchsorted": _searchsorted, "det": _det,
    "copysign": ew.copysign, "signbit": ew.signbit, "hypot": ew.hypot,
}  # fmt: skip
