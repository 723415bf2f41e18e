"""Functions of functions: grad, vjp, jvp, Jacobians and Hessians of any composition.

Each transform gives the function new variables that stand for its arguments, and differentiates
with respect to those: what the function closes over is constant for it, and stays differentiable
for a transform around it. Forward mode (jvp) is the derivative of a vjp, which is linear in its
cotangent.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from clearprop.autograd import engine
from clearprop.autograd.batching import Batching, vmap
from clearprop.autograd.reverse import grad as grad_of_outputs
from clearprop.core import Leaf, Tensor, apply1, local, version_cell, wrap
from clearprop.core.tree import map_tensors, others_in, tensors_in
from clearprop.errors import AutogradError, ShapeError
from clearprop.ops import eye, movement, zeros_like
from clearprop.ops.broadcasting import here

Argnums = int | tuple[int, ...]


# ---------------------------------------------------------------------- variables
def variable(x: Tensor, op: str) -> Tensor:
    """A tensor with the values of x to differentiate by; where x has a history, it goes on."""
    if x.value.dtype.kind != "f":
        raise AutogradError(
            f"{op}: only floating-point tensors can be differentiated by, got {x.aval}{here()}"
        )
    if x.node is not None:
        with _recording():
            return apply1(movement.clone_p, x)
    layer = local.c.interpreter
    if isinstance(layer, Batching):  # the tensors behind it are not what is differentiated by
        out = layer.wrapped(*layer.lift(x))
    else:
        out = wrap(x.value, None)
        out.cell = version_cell(x)
    return out.requires_grad_()


class _recording:
    """Gradients are recorded in this block, whatever the mode outside."""

    def __enter__(self) -> None:
        self.before, local.c.grad = local.c.grad, True

    def __exit__(self, *_: object) -> None:
        local.c.grad = self.before


def _beyond(outputs: Sequence[Tensor], own: Sequence[Tensor]) -> bool:
    """Whether the outputs depend on something that somebody else may differentiate by."""
    if isinstance(local.c.interpreter, Batching):
        return True
    nodes = {x.node for x in own}
    roots = [y.grad_fn or y.node for y in outputs if y.node is not None]
    if any(not isinstance(node, Leaf) for node in nodes):
        return True  # a variable whose history goes on
    return any(isinstance(n, Leaf) and n not in nodes for n in engine.collect(roots))


def _detached(tree: Any) -> Any:
    return map_tensors(lambda t: t.detach() if t.node is not None else t, tree)


def _pull(
    ys: Sequence[Tensor], xs: Sequence[Tensor], gs: Sequence[Tensor] | None, onward: bool
) -> list[Tensor]:
    """The cotangents of xs for those of ys; zeros where there is no path."""
    pairs = [(y, g) for y, g in zip(ys, gs or ys, strict=True) if y.node is not None]
    if not pairs:
        return [zeros_like(x.detach()) for x in xs]
    found = grad_of_outputs(
        [y for y, _ in pairs],
        list(xs),
        None if gs is None else [g for _, g in pairs],
        retain_graph=True,
        create_graph=onward,
        allow_unused=True,
        materialize_grads=True,
    )
    return [g.detach() if not onward else g for g in found]


# ---------------------------------------------------------------------- reverse mode
def _chosen(args: tuple[Any, ...], argnums: Argnums, op: str) -> tuple[int, ...]:
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not numbers:
        raise AutogradError(f"{op}: argnums must be non-empty{here()}")
    for n in numbers:
        if not isinstance(n, int) or not -len(args) <= n < len(args):
            raise AutogradError(
                f"{op}: Got argnum={n}, but only {len(args)} positional inputs{here()}"
            )
    numbers = tuple(n % len(args) for n in numbers)
    if len(set(numbers)) != len(numbers):
        raise AutogradError(f"{op}: argnums elements must be unique, got {argnums}{here()}")
    return numbers


def _with_variables(
    args: tuple[Any, ...], numbers: Sequence[int], op: str
) -> tuple[list[Any], list[Tensor]]:
    """The arguments, those of the given numbers as variables; and these variables."""
    fresh: list[Tensor] = []

    def exchange(x: Tensor) -> Tensor:
        fresh.append(variable(x, op))
        return fresh[-1]

    def wrong(leaf: Any) -> Any:
        raise AutogradError(
            f"{op}: Expected all inputs that are differentiated to be Tensors, got"
            f" {type(leaf).__name__}{here()}"
        )

    out = list(args)
    for n in numbers:
        out[n] = map_tensors(exchange, args[n], wrong)
    return out, fresh


def _split_aux(result: Any, has_aux: bool, op: str) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise AutogradError(
            f"{op}: with has_aux=True the function must return a tuple (output, aux), got"
            f" {type(result).__name__}{here()}"
        )
    return result[0], result[1]


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (gradient, value) of `func`, which returns one number.

    `argnums`: by which arguments to differentiate (nested containers of tensors are fine);
    `has_aux`: func returns (value, aux), and the result is (gradient, (value, aux)).

    >>> import clearprop as cp
    >>> cp.func.grad_and_value(lambda x: (x * x).sum())(cp.tensor([1.0, 2.0]))
    (tensor([2., 4.]), tensor(5.))
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _chosen(args, argnums, "grad")
        given, xs = _with_variables(args, numbers, "grad")
        with _recording():
            y, aux = _split_aux(func(*given, **kwargs), has_aux, "grad")
        if not isinstance(y, Tensor):
            raise AutogradError(
                f"grad: Expected the function to return a Tensor, got {type(y).__name__}{here()}"
            )
        if y.shape:
            raise AutogradError(
                "grad: Expected the function to return a scalar tensor, got tensor with"
                f" {y.ndim} dims: {y.aval}. Maybe you wanted to use the vjp or jacrev APIs"
                f" instead?{here()}"
            )
        onward = _beyond([y], xs)
        with _recording():
            gs = _pull([y], xs, None, onward)
        if not onward:
            y, aux = _detached(y), _detached(aux)
        parts = _like(tuple(given[n] for n in numbers), gs)
        out = parts[0] if isinstance(argnums, int) else parts
        return (out, (y, aux)) if has_aux else (out, y)

    return transformed


def value_and_grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """`grad_and_value` in JAX's order: (value, gradient), or ((value, aux), gradient).

    >>> import clearprop as cp
    >>> cp.func.value_and_grad(lambda x: (x * x).sum())(cp.tensor([1.0, 2.0]))
    (tensor(5.), tensor([2., 4.]))
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        g, value = both(*args, **kwargs)
        return value, g

    return transformed


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of `func`, which returns one number, as a function; with `has_aux` it returns
    (gradient, aux). Nests to any order.

    >>> import clearprop as cp
    >>> cp.func.grad(cp.func.grad(lambda x: x**3))(cp.tensor(2.0))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        g, value = both(*args, **kwargs)
        return (g, value[1]) if has_aux else g

    return transformed


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """func(*primals), and the function that maps a cotangent of it to those of the primals:
    (output, vjp_fn) or (output, vjp_fn, aux).

    >>> import clearprop as cp
    >>> y, pull = cp.func.vjp(cp.sin, cp.tensor([0.0, 1.0]))
    >>> pull(cp.tensor([1.0, 0.0]))
    (tensor([1., 0.]),)
    """
    result, aux, pull, beyond = _vjp(func, primals, has_aux)
    if not beyond:
        result, aux = _detached(result), _detached(aux)
    return (result, pull, aux) if has_aux else (result, pull)


def _vjp(func: Callable[..., Any], primals: Sequence[Any], has_aux: bool = False) -> Any:
    """(output, aux, vjp_fn, whether they depend on more than the primals)."""
    if not primals:
        raise AutogradError(f"vjp: no primals are given{here()}")
    given, xs = _with_variables(tuple(primals), range(len(primals)), "vjp")
    with _recording():
        result, aux = _split_aux(func(*given), has_aux, "vjp")
    ys = _all_tensors(result, "vjp")
    beyond = _beyond(ys, xs)

    def pull(*cotangents: Any) -> Any:
        gs = tensors_in(cotangents)
        if len(gs) != len(ys):
            raise AutogradError(
                f"vjp: Expected the structure of the cotangents to be that of the outputs:"
                f" {len(ys)} Tensors, got {len(gs)}{here()}"
            )
        with _recording():
            return _like(tuple(given), _pull(ys, xs, gs, beyond or _watched(gs)))

    return result, aux, pull, beyond


def _watched(xs: Sequence[Tensor]) -> bool:
    """Whether what is computed from xs must be recorded."""
    return isinstance(local.c.interpreter, Batching) or any(x.node is not None for x in xs)


def _like(tree: Any, values: Sequence[Any]) -> Any:
    """The tree with its Tensors replaced by values, one after the other."""
    each = iter(values)
    return map_tensors(lambda _: next(each), tree)


# ---------------------------------------------------------------------- forward mode
def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """func(*primals), and its linear approximation there: a function of tangents that runs no part
    of func again.

    >>> import clearprop as cp
    >>> y, push = cp.func.linearize(cp.exp, cp.tensor(0.0))
    >>> push(cp.tensor(2.0))
    tensor(2.)
    """
    result, push, beyond = _linearize(func, primals)
    return (result if beyond else _detached(result)), push


def _linearize(func: Callable[..., Any], primals: Sequence[Any]) -> Any:
    """(output, push, whether they depend on more than the primals)."""
    given, xs = _with_variables(tuple(primals), range(len(primals)), "jvp")
    with _recording():
        result = func(*given)
        ys = _all_tensors(result, "jvp")
        beyond = _beyond(ys, xs)
        # the vjp is linear in its cotangents: its derivative by them is the jvp
        us = [variable(zeros_like(y.detach()), "jvp") for y in ys]
        gs = _pull(ys, xs, us, True)

    def push(*tangents: Any) -> Any:
        ts = tensors_in(tangents)
        _same_shapes(xs, ts)
        with _recording():
            return _like(result, _pull(gs, us, ts, beyond or _watched(ts)))

    return result, push, beyond


def _all_tensors(result: Any, op: str) -> list[Tensor]:
    ys = tensors_in(result)
    if not ys or others_in(result):
        raise AutogradError(
            f"{op}: Expected the function to return Tensors, got {result!r}{here()}"
        )
    return ys


def _same_shapes(xs: Sequence[Tensor], ts: Sequence[Tensor]) -> None:
    if len(xs) != len(ts) or any(x.shape != t.shape for x, t in zip(xs, ts, strict=True)):
        raise ShapeError(
            "jvp: primals and tangents must have the same structure and shapes, got"
            f" {', '.join(str(x.aval) for x in xs)} and"
            f" {', '.join(str(t.aval) for t in ts)}{here()}"
        )


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """(func(*primals), its derivative in the direction of the tangents); has_aux adds aux.

    `strict`: an output that does not depend on the primals raises instead of giving zeros.

    >>> import clearprop as cp
    >>> cp.func.jvp(cp.sin, (cp.tensor(0.0),), (cp.tensor(3.0),))
    (tensor(0.), tensor(3.))
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise AutogradError(
                f"jvp: Expected {name} to be a tuple, e.g. jvp(f, (x,), (t,)), got"
                f" {type(value).__name__}{here()}"
            )
    kept: list[Any] = [None]

    def plain(*args: Any) -> Any:
        out, kept[0] = _split_aux(func(*args), has_aux, "jvp")
        if strict and any(y.node is None for y in tensors_in(out)):
            raise AutogradError(
                "jvp: the output of the function is independent of the inputs, which strict=True"
                f" does not allow{here()}"
            )
        return out

    out, push = linearize(plain, *primals)
    pushed = push(*tangents)
    return (out, pushed, _detached(kept[0])) if has_aux else (out, pushed)


# ---------------------------------------------------------------------- matrices of derivatives
def _basis(xs: Sequence[Tensor]) -> list[Tensor]:
    """For each of xs, the unit vectors of all of them together in its shape: (total, *shape)."""
    total = sum(x.numel() for x in xs)
    out = []
    for start, x in _starts(xs):
        part = movement.slice_(
            eye(total, dtype=x.dtype), (0, start), (total, start + x.numel()), (1, 1)
        )
        out.append(movement.reshape_to(part, (total, *x.shape)))
    return out


def _starts(xs: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
    """Each of xs, and how many elements come before it."""
    ends = itertools.accumulate((x.numel() for x in xs), initial=0)
    return list(zip(ends, xs, strict=False))


def _rows(column: Tensor, start: int, x: Tensor) -> Tensor:
    """(total, *rest) -> (*shape of x, *rest): the rows that belong to x."""
    rest = column.shape[1:]
    stops = (start + x.numel(), *rest)
    part = movement.slice_(column, (start, *(0,) * len(rest)), stops, (1,) * column.ndim)
    return movement.reshape_to(part, (*x.shape, *rest))


def _of_chosen(
    func: Callable[..., Any], args: Any, kwargs: Any, numbers: Any, has_aux: bool, op: str
) -> tuple[Callable[..., Any], list[Any]]:
    """func of the arguments with these numbers alone, and a list that will hold its aux."""
    kept: list[Any] = [None]

    def of_chosen(*chosen: Any) -> Any:
        given = list(args)
        for n, value in zip(numbers, chosen, strict=True):
            given[n] = value
        out, kept[0] = _split_aux(func(*given, **kwargs), has_aux, op)
        return out

    return of_chosen, kept


def _jacobian(
    func: Callable[..., Any], argnums: Argnums, has_aux: bool, op: str, table_of: Any
) -> Callable[..., Any]:
    """What jacrev and jacfwd share. `table_of(function, chosen)` gives the output, one list of
    blocks per tensor of it, and whether they go on to depend on other variables.
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _chosen(args, argnums, op)
        function, kept = _of_chosen(func, args, kwargs, numbers, has_aux, op)
        chosen = tuple(args[n] for n in numbers)
        result, table, beyond = table_of(function, chosen)
        blocks = [_like(chosen, line) for line in table]
        out = _like(result, [b[0] if isinstance(argnums, int) else b for b in blocks])
        if not beyond:
            out, kept[0] = _detached(out), _detached(kept[0])
        return (out, kept[0]) if has_aux else out

    return transformed


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `func` by reverse mode, all rows in one vmapped backward pass, of shape
    (*output, *input). Good where outputs are few.

    >>> import clearprop as cp
    >>> cp.func.jacrev(lambda x: x**2)(cp.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    def table_of(function: Callable[..., Any], chosen: tuple[Any, ...]) -> Any:
        result, _, pull, beyond = _vjp(function, chosen)
        ys = tensors_in(result)
        rows = tensors_in(vmap(pull, chunk_size=chunk_size)(*_basis(ys)))  # (total, *input)
        table = [[_rows(column, start, y) for column in rows] for start, y in _starts(ys)]
        return result, table, beyond

    return _jacobian(func, argnums, has_aux, "jacrev", table_of)


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of `func` by forward mode, all columns in one vmapped pass, of shape
    (*output, *input). Good where inputs are few.

    >>> import clearprop as cp
    >>> cp.func.jacfwd(lambda x: x.sum() * x)(cp.tensor([1.0, 2.0]))
    tensor([[4., 1.],
            [2., 5.]])
    """

    def table_of(function: Callable[..., Any], chosen: tuple[Any, ...]) -> Any:
        result, push, beyond = _linearize(function, chosen)
        xs = tensors_in(chosen)
        pushed = vmap(push, randomness=randomness, chunk_size=chunk_size)(*_basis(xs))
        table = []
        for y in tensors_in(pushed):  # (total of the inputs, *output)
            parts = [(_rows(y, start, x), x.ndim) for start, x in _starts(xs)]
            table.append([movement.permute(p, (*range(k, p.ndim), *range(k))) for p, k in parts])
        return result, table, beyond

    return _jacobian(func, argnums, has_aux, "jacfwd", table_of)


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The matrix of second derivatives of `func`: forward mode over reverse mode.

    >>> import clearprop as cp
    >>> cp.func.hessian(lambda x: (x**3).sum())(cp.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def hvp(
    func: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> tuple[Any, Any]:
    """(gradient, Hessian times tangents) of `func`, which returns one number, by its primals; no
    matrix is made.

    >>> import clearprop as cp
    >>> x, v = cp.tensor([1.0, 2.0]), cp.tensor([1.0, 1.0])
    >>> cp.func.hvp(lambda x: (x**3).sum(), (x,), (v,))
    ((tensor([ 3., 12.]),), (tensor([ 6., 12.]),))
    """
    numbers = tuple(range(len(primals)))
    gradient = grad(func, numbers)
    given, xs = _with_variables(primals, numbers, "hvp")
    ts = tensors_in(tangents)
    _same_shapes(xs, ts)
    with _recording():
        gs = tensors_in(gradient(*given))
        onward = _beyond(gs, xs) or any(t.node is not None for t in ts)
        products = _pull(gs, xs, ts, onward)
    first = gs if onward else [g.detach() for g in gs]
    return _like(primals, first), _like(primals, products)


__all__ = [
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]
