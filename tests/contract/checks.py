"""The contract that every entry of the table keeps, as functions; test_the_checks.py plants faults
and sees them caught.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

import clearprop.optim  # noqa: F401  its primitive is in the table, too
from clearprop.autograd import grad
from clearprop.autograd.batching import vmap
from clearprop.core import (
    Aval,
    Example,
    Map,
    Primitive,
    Tensor,
    apply,
    apply_many,
    float64,
    from_numpy_dtype,
    wrap,
)
from clearprop.graph import evaluate, optimize, parse, text, trace, verify
from clearprop.graph.formula import fold, formula_of
from clearprop.ops import ones_like


@dataclass(frozen=True, eq=False)
class Case:
    prim: Primitive
    avals: tuple[Aval, ...]
    params: dict[str, Any]
    values: tuple[Any, ...] | None
    number: int
    symmetric: bool = False

    def __str__(self) -> str:
        return f"{self.prim.name}-{self.number}"

    def arrays(self) -> list[np.ndarray]:
        """Random inputs in the entry's domain, away from its kinks."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        out = []
        for i, aval in enumerate(self.avals):
            given = None if self.values is None else self.values[i]
            if given is not None:
                out.append(np.asarray(given, aval.dtype.np))
            elif aval.dtype.category == 2:
                low, high = self.prim.domain
                x = rng.uniform(low, high, aval.shape)
                for kink in self.prim.kinks:
                    x = np.where(np.abs(x - kink) < 1e-2, x + 0.05, x)
                out.append(np.asarray(x, aval.dtype.np))
            else:
                out.append(rng.integers(0, 2, aval.shape).astype(aval.dtype.np))
        return out

    def direction(self, x: Tensor, rng: np.random.Generator) -> np.ndarray:
        """Where to move an input to see what its derivative is."""
        v = rng.standard_normal(x.shape)
        return v + np.swapaxes(v, -1, -2) if self.symmetric else v


def cases(prim: Primitive) -> list[Case]:
    """The entry's own examples; an elementwise entry gets shapes (), (3,) and (2, 3), and an empty
    one.
    """
    found = list(prim.examples)
    if not found and isinstance(prim.lower, Map):
        for shape in ((), (3,), (2, 3), (0, 2)):
            found.append(Example((Aval(shape, float64),) * prim.arity))
    return [Case(prim, e.avals, e.params, e.values, i, e.symmetric) for i, e in enumerate(found)]


def run(case: Case, xs: list[Tensor]) -> list[Tensor]:
    if case.prim.outputs > 1:
        return list(apply_many(case.prim, *xs, **case.params))
    return [apply(case.prim, *xs, **case.params)]


def check_shape(case: Case) -> None:
    out = case.prim.eager(*case.arrays(), **case.params)
    outs = out if isinstance(out, tuple) else (out,)
    rule = case.prim.shape(*case.avals, **case.params)
    wanted = list(rule) if case.prim.outputs > 1 else [rule]
    got = [Aval(np.shape(v), from_numpy_dtype(np.asarray(v).dtype)) for v in outs]
    assert got == wanted


def inputs(case: Case) -> list[Tensor]:
    """Tensors; those a rule exists for want a gradient."""
    out = []
    for i, a in enumerate(case.arrays()):
        t = wrap(a, None)
        rule = case.prim.vjp[0 if case.prim.variadic else i]
        if rule is not None and a.dtype.kind == "f":
            t.requires_grad_()
        out.append(t)
    return out


def directional(f: Any, xs: list[Tensor], directions: list[np.ndarray], eps: float) -> float:
    """d f(x + t v)/dt at t = 0 by central differences."""
    ends = []
    for step in (eps, -eps):
        moved = [
            wrap(x.value + (step * v).astype(x.value.dtype), None) if v is not None else x
            for x, v in zip(xs, directions, strict=True)
        ]
        ends.append(
            f(
                [
                    m.requires_grad_() if x.requires_grad else m
                    for m, x in zip(moved, xs, strict=True)
                ]
            )
        )
    return (ends[0] - ends[1]) / (2 * eps)


def _directions(case: Case, xs: list[Tensor], rng: np.random.Generator) -> list[Any]:
    return [case.direction(x, rng) if x.requires_grad else None for x in xs]


def _wants(case: Case) -> bool:
    rule = case.prim.shape(*case.avals, **case.params)
    outs = list(rule) if case.prim.outputs > 1 else [rule]
    return any(x.requires_grad for x in inputs(case)) and any(a.dtype.category == 2 for a in outs)


def smooth(case: Case, xs: list[Tensor]) -> list[Tensor]:
    """The outputs that have a derivative: those of floating-point numbers."""
    return [y for y in run(case, xs) if y.is_floating_point()]


def _tolerance(case: Case) -> tuple[float, float]:
    single = any(a.dtype.name == "float32" for a in case.avals)
    return (1e-2, 1e-3) if single else (1e-6, 1e-6)


def check_vjp(case: Case) -> None:
    """<g, J v> by finite differences equals <J^T g, v> by the rules, for random g and v."""
    if not _wants(case):
        return
    rng = np.random.default_rng(7)
    xs = inputs(case)
    seeds = [rng.standard_normal(y.shape) for y in smooth(case, xs)]
    directions = _directions(case, xs, rng)

    def value(ts: list[Tensor]) -> float:
        return float(
            sum(
                (y.detach().numpy().astype(np.float64) * s).sum()
                for y, s in zip(smooth(case, ts), seeds, strict=True)
            )
        )

    ys = smooth(case, xs)
    wanted = [x for x in xs if x.requires_grad]
    gs = grad(
        ys,
        wanted,
        [wrap(s.astype(y.value.dtype), None) for s, y in zip(seeds, ys, strict=True)],
        materialize_grads=True,
    )
    for x, g in zip(wanted, gs, strict=True):
        assert g.shape == x.shape and g.dtype is x.dtype, (
            f"{case}: gradient {g.aval} for input {x.aval}"
        )
    analytical = sum(
        float((g.numpy() * v).sum())
        for g, v in zip(gs, [d for d in directions if d is not None], strict=True)
    )
    eps, tol = _tolerance(case)
    numerical = directional(value, xs, directions, eps)
    assert abs(analytical - numerical) <= tol * max(1.0, abs(numerical)), (analytical, numerical)


def check_on_arrays(case: Case) -> None:
    """`.backward()`, which runs rules on bare arrays where it can, gives the same bits as the rules
    on Tensors.
    """
    if not _wants(case) or case.prim.array_rules is None:
        return
    rng = np.random.default_rng(5)
    xs, others = inputs(case), inputs(case)
    (y,), (z,) = run(case, xs), run(case, others)
    seed = rng.standard_normal(y.shape).astype(y.value.dtype)
    if not y.shape:
        (y * float(seed)).backward()
    else:
        y.backward(wrap(seed, None))
    wanted = [x for x in others if x.requires_grad]
    gs = grad([z], wanted, [wrap(seed, None)], create_graph=True)
    for x, g in zip([x for x in xs if x.requires_grad], gs, strict=True):
        assert x.grad is not None and x.grad.dtype is g.dtype
        np.testing.assert_array_equal(x.grad.numpy(), g.detach().numpy())


def check_second_vjp(case: Case) -> None:
    """The rules differentiate: the same comparison for the gradient of sum(gradient^2)."""
    if not _wants(case) or any(a.dtype.name == "float32" for a in case.avals):
        return
    rng = np.random.default_rng(11)
    xs = inputs(case)
    seeds = [wrap(rng.standard_normal(y.shape), None) for y in smooth(case, xs)]

    def energy(ts: list[Tensor]) -> Tensor:
        ys = smooth(case, ts)
        gs = grad(
            ys, [t for t in ts if t.requires_grad], seeds, create_graph=True, materialize_grads=True
        )
        total = sum(((g + 0.3) * (g + 0.3)).sum() for g in gs)
        assert isinstance(total, Tensor)
        return total

    total = energy(xs)
    wanted = [x for x in xs if x.requires_grad]
    if total.requires_grad:
        second = [
            g.numpy()
            for g in grad(total, wanted, [ones_like(total.detach())], materialize_grads=True)
        ]
    else:
        second = [np.zeros(x.shape) for x in wanted]
    directions = _directions(case, xs, rng)
    analytical = sum(
        float((g * v).sum())
        for g, v in zip(second, [d for d in directions if d is not None], strict=True)
    )
    numerical = directional(lambda ts: energy(ts).item(), xs, directions, 1e-6)
    assert abs(analytical - numerical) <= 1e-5 * max(1.0, abs(numerical)), (analytical, numerical)


def check_batched(case: Case) -> None:
    """vmap over all inputs, and over the first or the last alone, is one run per example."""
    size = 3
    many = [Case(case.prim, case.avals, case.params, case.values, n).arrays() for n in range(size)]
    first = many[0]
    n = len(first)
    for mapped in {(True,) * n, (True, *[False] * (n - 1)), (*[False] * (n - 1), True)}:
        xs = [
            wrap(np.stack([row[i] for row in many]) if mapped[i] else first[i], None)
            for i in range(n)
        ]
        dims = tuple(0 if m else None for m in mapped)
        got = vmap(lambda *ts: tuple(run(case, list(ts))), in_dims=dims)(*xs)
        rows = []
        for k in range(size):
            picked = [many[k][i] if mapped[i] else first[i] for i in range(n)]
            rows.append(run(case, [wrap(a, None) for a in picked]))
        for i, y in enumerate(got):
            wanted = np.stack([row[i].numpy() for row in rows])
            assert y.value.dtype == wanted.dtype and y.shape == wanted.shape, f"{case} {mapped}"
            np.testing.assert_allclose(y.numpy(), wanted, 1e-12, 1e-12, err_msg=f"{case} {mapped}")


def check_trace(case: Case) -> None:
    """Outputs, gradients and gradients of gradients are traced, printed, parsed, simplified and
    evaluated again, with the very bits of eager mode.
    """

    def f(*xs: Tensor) -> list[Tensor]:
        ys = run(case, list(xs))
        wanted = [x for x in xs if x.requires_grad]
        if not wanted or not _wants(case):
            return ys
        roots = [y for y in ys if y.is_floating_point()]
        ones = [ones_like(y) for y in roots]
        gs = grad(roots, wanted, ones, create_graph=True, materialize_grads=True)
        energies = [(g * g).sum() for g in gs if g.requires_grad]
        second = grad(energies, wanted, None, materialize_grads=True) if energies else ()
        return [*ys, *gs, *second]

    xs = inputs(case)
    eager = [y.detach().numpy() for y in f(*xs)]
    others = inputs(case)  # traced with other values: what was read outside the graph shows
    for x in others:
        rolled = np.roll(x.value, 1)
        x.value = np.asarray(rolled * 0.9 + 0.01) if x.requires_grad else rolled
    traced = trace(f, *others)
    arrays = [x.detach().numpy() for x in xs]
    printed = parse(text(traced.graph))
    for graph in (traced.graph, verify(printed), verify(optimize(traced.graph))):
        got = evaluate(graph, [*arrays, *traced.captured])
        for a, b in zip(eager, got, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape, f"{case}: {b.dtype}{b.shape}"
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), f"{case}: {a} {b}"
            assert np.array_equal(np.signbit(a), np.signbit(b)) if a.dtype.kind == "f" else True


NUMPY = {
    "neg": np.negative, "not": np.invert, "add": np.add, "sub": np.subtract, "mul": np.multiply,
    "div": np.true_divide, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "select": np.where, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "max": np.maximum, "min": np.minimum, "pow": np.power, "atan2": np.arctan2,
    "erf": special.erf, "erfc": special.erfc, "sigmoid": special.expit,
    "cast": lambda x, to: x.astype(to.np),
}  # fmt: skip


def check_formula(case: Case) -> None:
    """The formula of an elementwise entry, worked out with NumPy, is what its kernel computes."""
    arrays = case.arrays()
    tree = formula_of(case.prim, case.params)

    def call(name: str, values: list[Any]) -> Any:
        return (NUMPY.get(name) or getattr(np, name))(*values)

    got = fold(tree, arrays, lambda value: value, call)
    wanted = case.prim.eager(*arrays, **case.params)
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(wanted, float), rtol=1e-14)
