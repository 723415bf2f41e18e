"""`vmap`: a function of one example runs on a whole batch.

While it runs, mapped tensors hold a `Batched` value: to the function it has the shape of one
example, and behind it stands a tensor with the batch axis in front. The interpreter `Batching`
runs every primitive on those tensors, by the entry's `batch` (core.primitive): an axis more in
front, params that count axes moved along, or a loop over the examples. It hands the work to the
interpreter that was in force before, so vmap nests, can be traced, and the tape outside records
what really ran.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from clearprop.core import (
    ALIGNED,
    LEADING,
    LOOP,
    Aval,
    Primitive,
    Tensor,
    View,
    apply,
    apply_many,
    apply_view,
    local,
    wrap,
)
from clearprop.core.state import Interpreter
from clearprop.core.tree import map_tensors, others_in, tensors_in
from clearprop.errors import ShapeError, TraceError
from clearprop.ops import movement
from clearprop.ops.broadcasting import constant, here, normal_dim
from clearprop.ops.inplace import assign

UNMAPPED_TARGET = (
    "vmap: an in-place operation writes values that differ between the examples into a tensor"
    " {aval} that is one for all of them; make it inside from a mapped tensor (zeros_like(x)), or"
    " use the out-of-place op{here}"
)
NEEDS_VALUE = (
    "vmap: It looks like you're calling {what}, which has another value in every example; use"
    " where() instead of a decision in Python, or move it out of the mapped function{here}"
)
RANDOM = (
    "vmap: called random operation while in randomness error mode. Use randomness='different' for"
    " other numbers in every example, or randomness='same' for the same in all{here}"
)


class Batched:
    """The value of a tensor inside vmap. `physical` is the tensor that stands behind it, with the
    batch axis in front if `mapped`; `shape` is that of one example.
    """

    __slots__ = ("__weakref__", "dtype", "layer", "mapped", "physical", "shape")

    def __init__(self, layer: Batching, physical: Tensor, mapped: bool) -> None:
        value = physical.value
        self.layer = layer
        self.physical = physical
        self.mapped = mapped
        self.shape = value.shape[1:] if mapped else value.shape
        self.dtype = value.dtype

    @property
    def base(self) -> Any:
        """What this is a view of, as arrays have it."""
        return self.physical.view_of


class Batching:
    """Runs primitives on all examples at once. `with layer:` puts it in force for this thread."""

    traces = True

    def __init__(self, size: int, randomness: str) -> None:
        self.size = size
        self.randomness = randomness
        self.outer: Interpreter | None = None

    def __enter__(self) -> Batching:
        self.outer = local.c.interpreter
        local.c.interpreter = self
        return self

    def __exit__(self, *_: object) -> None:
        local.c.interpreter = self.outer

    @contextmanager
    def outside(self) -> Iterator[None]:
        """What runs in this block runs on the tensors that stand behind the batched ones."""
        c = local.c
        inner, c.interpreter = c.interpreter, self.outer
        try:
            yield
        finally:
            c.interpreter = inner

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What runs in this block runs on batched tensors."""
        c = local.c
        before, c.interpreter = c.interpreter, self
        try:
            yield
        finally:
            c.interpreter = before

    def watched(self, x: Tensor) -> bool:
        """Whether the tape outside records what happens to x."""
        return self.lift(x)[0].node is not None

    def lift(self, x: Tensor) -> tuple[Tensor, bool]:
        """The tensor behind x, and whether it has the batch axis."""
        value = x.value
        if value.__class__ is Batched and value.layer is self:
            return value.physical, value.mapped
        return x, False

    def wrapped(self, physical: Tensor, mapped: bool = True) -> Tensor:
        """A tensor of the mapped function."""
        return wrap(Batched(self, physical, mapped), None)

    # ------------------------------------------------------------------ the interpreter
    def run(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        """One primitive on all examples."""
        if not any(v.value.__class__ is Batched and v.value.layer is self for v in values):
            return self._plain(prim, values, params)
        pairs = [self.lift(v) for v in values]
        xs, mapped = [x for x, _ in pairs], [m for _, m in pairs]
        with self.outside():
            if not any(mapped):
                out = _apply(prim, xs, params)
            else:
                out = batched(prim, self.size, mapped, xs, params)
        if prim.outputs > 1:
            return tuple(Batched(self, y, any(mapped)) for y in out)
        return Batched(self, out, any(mapped))

    def _plain(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        if self.outer is not None:
            return self.outer.run(prim, values, params)
        out = local.c.run(prim.eager, *(v.value for v in values), **params)
        return tuple(map(np.asarray, out)) if prim.outputs > 1 else np.asarray(out)

    def write(self, target: Any, source: Any) -> None:
        """In-place: the memory behind the target is written to."""
        into, mapped = self.lift(target)
        new, differs = self.lift(source)
        if differs and not mapped:
            raise ShapeError(UNMAPPED_TARGET.format(aval=target.aval, here=here()))
        with self.outside():
            if mapped and not differs:
                new = movement.expand(new, into.value.shape)
            assign(into, new, "vmap")

    def snapshot(self, value: Any) -> Any:
        physical = value.physical if value.__class__ is Batched else wrap(value, None)
        with self.outside():
            copy = apply(movement.clone_p, physical)
        return Batched(self, copy, value.mapped) if value.__class__ is Batched else copy.value

    def drawn(self, aval: Aval, draw: Callable[[], Any]) -> Any:
        if self.randomness == "error":
            raise ShapeError(RANDOM.format(here=here()))
        if self.randomness == "same":
            with self.outside():
                return draw() if self.outer is None else self.outer.drawn(aval, draw)
        shape = (self.size, *aval.shape)

        def draw_all() -> np.ndarray:
            rows = [np.asarray(draw()) for _ in range(self.size)]
            return np.stack(rows) if rows else np.empty(shape, aval.dtype.np)

        with self.outside():
            if self.outer is None:
                rows = draw_all()
            else:
                rows = self.outer.drawn(Aval(shape, aval.dtype), draw_all)
        return Batched(self, wrap(rows, None), True)

    def contiguous(self, x: Tensor, clone: Callable[[Tensor], Tensor]) -> Tensor:
        return clone(x)

    def assume(self, decide: Callable[[], bool], answer: bool, steady: bool = True) -> None:
        if self.outer is not None:
            self.outer.assume(decide, answer, steady)

    def count(self, array: Any) -> int:
        return 1 if self.outer is None else self.outer.count(array)

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        return options if self.outer is None else self.outer.options(options)

    def about_grad(self, tensor: Any, reading: bool) -> None:
        if self.outer is not None and self.outer.traces:
            self.outer.about_grad(tensor, reading)

    def entered(self, module: Any) -> None:
        if self.outer is not None:
            self.outer.entered(module)

    def refuse(self, what: str, why: str, value: Any = None) -> None:
        if value.__class__ is not np.ndarray:
            raise TraceError(NEEDS_VALUE.format(what=what, here=here()))
        if self.outer is not None:
            self.outer.refuse(what, why, value)


# ---------------------------------------------------------------------- primitives on a batch
def batched(
    prim: Primitive, size: int, mapped: list[bool], xs: list[Tensor], params: dict[str, Any]
) -> Any:
    """prim on every example. Inputs with mapped[i] have the batch axis in front, as results do."""
    if prim.batch == ALIGNED:
        return _aligned(prim, size, mapped, xs, params)
    if prim.batch == LEADING:
        return _apply(
            prim, [with_axis(x, m, size) for x, m in zip(xs, mapped, strict=True)], params
        )
    if prim.batch == LOOP:
        return _looped(prim, size, mapped, xs, params)
    assert callable(prim.batch)
    return prim.batch(size, mapped, *xs, **params)


def _apply(prim: Primitive, xs: Sequence[Tensor], params: dict[str, Any]) -> Any:
    if isinstance(prim.lower, View) and not prim.variadic:
        return apply_view(prim, xs[0], params)
    return apply_many(prim, *xs, **params) if prim.outputs > 1 else apply(prim, *xs, **params)


def with_axis(x: Tensor, mapped: bool, size: int) -> Tensor:
    """x with the batch axis; what is one for all examples is repeated without a copy."""
    shape = x.value.shape
    if mapped:
        return x
    return movement.expand(movement.reshape_to(x, (1, *shape)), (size, *shape))


def _moved(value: Any, name: str, size: int) -> Any:
    """A param for inputs that have one axis more in front."""
    if name in ("dim", "dims"):
        return value + 1 if isinstance(value, int) else tuple(d + 1 for d in value)
    if name in ("shape", "stops"):
        return (size, *value)
    if name in ("starts", "steps"):
        return (int(name == "steps"), *value)
    return value


def _aligned(
    prim: Primitive, size: int, mapped: list[bool], xs: list[Tensor], params: dict[str, Any]
) -> Any:
    ys = [with_axis(x, m, size) for x, m in zip(xs, mapped, strict=True)]
    more = {name: _moved(value, name, size) for name, value in params.items()}
    if isinstance(prim.lower, View) and "shape" in params:
        # axes that the op adds in front of one example come after the batch axis
        ones = len(params["shape"]) + 1 - ys[0].ndim
        if ones > 0:
            ys[0] = movement.reshape_to(ys[0], (size, *(1,) * ones, *ys[0].shape[1:]))
    return _apply(prim, ys, more)


def _looped(
    prim: Primitive, size: int, mapped: list[bool], xs: list[Tensor], params: dict[str, Any]
) -> Any:
    if not size:
        avals = [Aval(x.shape[m:], x.dtype) for x, m in zip(xs, mapped, strict=True)]
        outs = prim.shape(*avals, **params)
        if prim.outputs > 1:
            return tuple(constant(0, a.dtype.np, (0, *a.shape)) for a in outs)
        return constant(0, outs.dtype.np, (0, *outs.shape))
    rows = []
    for i in range(size):
        picked = [example(x, i) if m else x for x, m in zip(xs, mapped, strict=True)]
        rows.append(_apply(prim, picked, params))
    if prim.outputs > 1:
        return tuple(_stacked([row[k] for row in rows]) for k in range(prim.outputs))
    return _stacked(rows)


def example(x: Tensor, i: int) -> Tensor:
    """Row i of x."""
    shape = x.value.shape
    row = movement.slice_(x, (i, *(0,) * (len(shape) - 1)), (i + 1, *shape[1:]), (1,) * len(shape))
    return movement.reshape_to(row, shape[1:])


def _stacked(rows: list[Tensor]) -> Tensor:
    wide = [movement.reshape_to(row, (1, *row.value.shape)) for row in rows]
    return apply(movement.concat_p, *wide, dim=0)


# ---------------------------------------------------------------------- vmap
def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that runs `func`, written for one example, on a batch of them.

    `in_dims`: which axis of each positional argument counts the examples; None for an argument that
    all of them share; one number for all, or nested like the arguments. Keyword arguments are
    mapped along axis 0. `out_dims`: where the axis stands in the results. `randomness`: 'error',
    'different' (random numbers of its own for every example) or 'same'. `chunk_size`: how many
    examples run at once.

    Raises ValueError where sizes or in_dims do not fit, RuntimeError where func looks at values.

    >>> import clearprop as cp
    >>> x, w = cp.arange(6.0).reshape(3, 2), cp.tensor([1.0, 10.0])
    >>> cp.func.vmap(lambda row, w: (row * w).sum(), in_dims=(0, None))(x, w)
    tensor([10., 32., 54.])
    """
    if randomness not in ("error", "different", "same"):
        raise ValueError(
            "vmap: Only allowed values for randomness are 'error', 'different', or 'same'. Got"
            f" {randomness}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: `chunk_size` should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        tensors, dims, size = _inputs(args, kwargs, in_dims)
        if chunk_size is None or size <= chunk_size:
            return _run(func, args, kwargs, tensors, dims, out_dims, size, randomness)
        pieces = []
        for start in range(0, size, chunk_size):
            stop = min(start + chunk_size, size)
            parts = [
                x if d is None else _part(x, d, start, stop)
                for x, d in zip(tensors, dims, strict=True)
            ]
            pieces.append(_run(func, args, kwargs, parts, dims, out_dims, stop - start, randomness))
        leaves = [tensors_in(p) for p in pieces]
        places = iter(_prefix(out_dims, pieces[0], "out_dims"))
        joined = iter([_joined(column, next(places)) for column in zip(*leaves, strict=True)])
        return map_tensors(lambda _: next(joined), pieces[0])

    return mapped


def _part(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    starts, stops = [0] * x.ndim, list(x.shape)
    starts[dim], stops[dim] = start, stop
    return movement.slice_(x, starts, stops, (1,) * x.ndim)


def _joined(parts: Sequence[Tensor], dim: Any) -> Tensor:
    return parts[0] if dim is None else apply(movement.concat_p, *parts, dim=dim % parts[0].ndim)


def _inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], in_dims: Any
) -> tuple[list[Tensor], list[int | None], int]:
    """The tensors among the arguments, the axis of each that is mapped, and its size."""
    if not args and not kwargs:
        raise ValueError(
            "vmap: got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a"
            f" function with no inputs. The latter is unsupported.{here()}"
        )
    if not isinstance(in_dims, int | tuple | list | None):
        raise ValueError(
            "vmap: expected `in_dims` to be int or a (potentially nested) tuple matching the"
            f" structure of inputs, got: {type(in_dims)}."
        )
    if isinstance(in_dims, list | tuple):
        in_dims = tuple(in_dims)
    tensors = tensors_in((args, kwargs))
    dims = [*_prefix(in_dims, args, "in_dims"), *[0] * len(tensors_in(kwargs))]
    sizes = []
    for i, (x, d) in enumerate(zip(tensors, dims, strict=True)):
        if d is None:
            continue
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"vmap: Got in_dim={d} for input {i}, but that input is a Tensor of dimensionality"
                f" {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}.{here()}"
            )
        dims[i] = d % x.ndim
        sizes.append(x.shape[dims[i]])
    if not sizes:
        raise ValueError(
            "vmap: at least one Tensor of the inputs must be mapped: all in_dims are None, or no"
            f" argument is a Tensor{here()}"
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes"
            f" {sizes} for the mapped dimension{here()}"
        )
    return tensors, dims, sizes[0]


def _prefix(dims: Any, tree: Any, what: str) -> list[Any]:
    """One entry per tensor of the tree: dims is a number or None, or nested like the tree."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(tensors_in(tree))
    if isinstance(tree, Tensor):
        if isinstance(dims, tuple | list) and len(dims) == 1:
            return _prefix(dims[0], tree, what)
        raise ValueError(f"vmap: {what}={dims!r} for one Tensor; it wants a number or None{here()}")
    if isinstance(tree, dict):
        if not isinstance(dims, dict) or dims.keys() != tree.keys():
            raise ValueError(f"vmap: {what}={dims!r} does not have the keys {list(tree)}{here()}")
        return [d for key, part in tree.items() for d in _prefix(dims[key], part, what)]
    if isinstance(tree, tuple | list):
        if not isinstance(dims, tuple | list) or len(dims) != len(tree):
            raise ValueError(
                f"vmap: {what} is not compatible with the structure of the {what[:-5]}puts:"
                f" {dims!r} for {len(tree)} of them{here()}"
            )
        pairs = zip(tree, dims, strict=True)
        return [d for part, entry in pairs for d in _prefix(entry, part, what)]
    return []


def _run(
    func: Callable[..., Any],
    args: Any,
    kwargs: Any,
    tensors: list[Tensor],
    dims: list[int | None],
    out_dims: Any,
    size: int,
    randomness: str,
) -> Any:
    layer = Batching(size, randomness)
    fronted = [x if d is None else _to_front(x, d) for x, d in zip(tensors, dims, strict=True)]
    inside = iter(
        [x if d is None else layer.wrapped(x) for x, d in zip(fronted, dims, strict=True)]
    )
    args, kwargs = map_tensors(lambda _: next(inside), (args, kwargs))
    with layer:
        result = func(*args, **kwargs)
    outputs, others = tensors_in(result), others_in(result)
    if others:
        raise ValueError(
            f"vmap: the function must only return Tensors, got {type(others[0]).__name__}: what it"
            f" returns cannot be put together to a batch{here()}"
        )
    places = _prefix(out_dims, result, "out_dims")
    ready = iter([_outcome(layer, y, d) for y, d in zip(outputs, places, strict=True)])
    return map_tensors(lambda _: next(ready), result)


def _outcome(layer: Batching, y: Tensor, dim: int | None) -> Tensor:
    physical, mapped = layer.lift(y)
    if dim is None:
        if mapped:
            raise ValueError(
                "vmap: out_dims is None for an output that differs between the examples; give the"
                f" axis where it should stand{here()}"
            )
        return physical
    full = with_axis(physical, mapped, layer.size)
    place = normal_dim("vmap", dim, full.ndim)
    order = [*range(1, full.ndim)]
    order.insert(place, 0)
    return movement.permute(full, tuple(order)) if place else full


def _to_front(x: Tensor, dim: int) -> Tensor:
    return movement.permute(x, (dim, *(i for i in range(x.ndim) if i != dim))) if dim else x
