"""The table. One `primitive(...)` entry holds everything about an op; functions, checks and docs
are derived from it.

A derivative rule is called as `rule(g, out, *inputs, **params)` and is written in ops. Its argument
names say what must be kept for it: a plain name keeps the value, a name that ends in `_aval` keeps
only shape and dtype, a name that begins with `_` keeps nothing.

    tanh = primitive("tanh", eager=np.tanh, shape=same, vjp=(lambda g, out, _x: g * (1 + out) * (1 -
    out),), ...)

`batch` says how the op runs with one more axis in front of its inputs (see autograd.batching).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearprop.core.dtypes import Aval

Rule = Callable[..., Any]

# keep the output?, and what to keep of each input, for one choice of inputs that want a gradient
Plan = tuple[int, ...]

TABLE: dict[str, Primitive] = {}

NOTHING, VALUE, AVAL = 0, 1, 2


@dataclass(frozen=True)
class Map:
    """Elementwise: one output element from the same element of every input. `formula` is for people
    and compilers: a Python expression (see graph.formula).
    """

    formula: str


@dataclass(frozen=True)
class Reduce:
    """Combines elements along `dim` with an associative operation: sum, max, min, prod, argmax."""

    combine: str


@dataclass(frozen=True)
class Scan:
    """Joins each element along the param `dim` with what came out for the one before it."""

    combine: str


@dataclass(frozen=True)
class Indexed:
    """Reads elements at integer indices, or (`writes`) overwrites them ("set"), adds to them
    ("add"), multiplies them ("mul") or keeps the larger or smaller one, as the param `largest` says
    ("extreme"). Indices are the trailing inputs, one for each leading axis of the first input; or
    (`along`) the second input, for every element its index along the param `dim`.
    """

    writes: str | None = None
    along: bool = False


@dataclass(frozen=True)
class View:
    """Moves elements, computes nothing. `shares` says that eager mode returns a view of the input's
    memory.
    """

    shares: bool = True


@dataclass(frozen=True)
class Contract:
    """Sums products over shared axes. `form`: "matmul"; "windows" for the convolution of (x, w),
    "windows, input" and "windows, weight" for its adjoints, of (g, w) and (x, g).
    """

    form: str = "matmul"


@dataclass(frozen=True)
class Pool:
    """Joins windows over the last axes ("max", which tells the winners too, or "add"). `part`:
    "input" for the adjoint, of (g, winners) or (g); "pick" for the winners' elements of (x,
    winners).
    """

    combine: str
    part: str = ""


@dataclass(frozen=True)
class Opaque:
    """Calls back to the eager kernel; `why` is logged when a compiled step does so. `elementwise`
    says that it works element by element, as a Map does, without a formula.
    """

    why: str
    elementwise: bool = False


@dataclass(frozen=True)
class Composed:
    """Made of other ops: `function(*inputs, **params)` gives the same, up to rounding. Eager mode
    runs one kernel, which is quicker than many ops; compiled code is made of the ops.
    """

    function: Callable[..., Any]


Lowering = Map | Reduce | Scan | Indexed | Pool | View | Contract | Opaque | Composed

# With a batch axis in front of every input: ALIGNED, params that count axes move along (what all
# kinds but Contract, Opaque, Indexed and Composed mean); LEADING, any axes in front are batch axes
# already and params stay; LOOP, one run per example (those, if they say nothing else). Or a rule,
# called as `rule(size, mapped, *inputs, **params)`; inputs whose `mapped` is True have the axis.
ALIGNED, LEADING, LOOP = "aligned", "leading", "loop"
Batch = str | Callable[..., Any]


@dataclass(frozen=True)
class Example:
    """Avals and params at which the contract tests call a primitive, beyond what its kind already
    tells them. `symmetric`: the op is meant for symmetric matrices, and is varied among them only.
    """

    avals: tuple[Aval, ...]
    params: dict[str, Any] = field(default_factory=dict)
    values: tuple[Any, ...] | None = None
    symmetric: bool = False


@dataclass(frozen=True, eq=False)
class Primitive:
    """One entry of the table. `keep[i]` tells what rule i needs: (out, input 0, input 1, ...)."""

    name: str
    doc: str
    eager: Callable[..., Any]
    shape: Callable[..., Any]
    vjp: tuple[Rule | None, ...]
    lower: Lowering
    batch: Batch = LOOP
    domain: tuple[float, float] = (-2.0, 2.0)
    kinks: tuple[float, ...] = ()
    examples: tuple[Example, ...] = ()
    variadic: bool = False
    outputs: int = 1
    keep: tuple[tuple[int, ...], ...] = ()
    plans: tuple[Plan | None, ...] = ()
    array_rules: tuple[Rule | None, ...] | None = None  # vjp, if the rules take bare arrays, too

    @property
    def arity(self) -> int:
        return len(self.vjp)

    @property
    def differentiable(self) -> bool:
        return any(rule is not None for rule in self.vjp)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (TABLE.__getitem__, (self.name,))


def _kept(rule: Rule | None, arity: int, variadic: bool) -> tuple[int, ...]:
    if rule is None:
        return (NOTHING,) * (1 + arity)
    names = [
        p.name
        for p in inspect.signature(rule).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)
    ]
    kinds = [
        NOTHING if name.startswith("_") else AVAL if name.endswith(("_aval", "_avals")) else VALUE
        for name in names
    ]
    return tuple(kinds[2:]) if variadic else tuple(kinds[1:])  # after (i, g) or g


def also_arrays(rule: Rule) -> Rule:
    """Mark a rule that calls nothing but functions which take bare arrays, too, and needs no value
    of an input, only shapes.
    """
    rule.also_arrays = True  # type: ignore[attr-defined]
    return rule


def _for_arrays(rules: Sequence[Rule | None], variadic: bool) -> bool:
    """Whether the rules mean the same for bare arrays: made of Python's operators, or marked."""
    if variadic or not rules:
        return False
    return all(
        hasattr(rule, "also_arrays")
        or (
            (code := getattr(rule, "__code__", None)) is not None
            and not code.co_freevars
            and not code.co_kwonlyargcount
            and set(code.co_names) <= {"mT"}
        )
        for rule in rules
    )


def make_plan(rows: Sequence[tuple[int, ...]]) -> Plan:
    """What to keep when the rules with these needs will run: a value outranks an aval, an aval
    outranks nothing.
    """
    columns = [
        VALUE if VALUE in col else AVAL if AVAL in col else NOTHING
        for col in zip(*rows, strict=True)
    ]
    return (columns[0] == VALUE, *columns[1:])


def _plans(rules: Sequence[Any], keep: Sequence[tuple[int, ...]]) -> tuple[Plan | None, ...]:
    """Entry `mask` is the plan when the inputs whose bits are set in `mask` want a gradient; None
    where no rule would give them one.
    """
    idle = (NOTHING,) * (1 + len(keep))
    out: list[Plan | None] = []
    for mask in range(1 << len(keep)):
        wanted = [k for i, k in enumerate(keep) if mask >> i & 1 and rules[i] is not None]
        out.append(make_plan([idle, *wanted]) if wanted else None)
    return tuple(out)


def variadic_plan(prim: Primitive, n: int) -> Plan:
    """The plan of a variadic primitive called on n inputs; the last need is that of the rest."""
    out, *first, rest = prim.keep[0]
    return (out == VALUE, *(*first, *(rest,) * (n - len(first)))[:n])


def primitive(
    name: str,
    *,
    doc: str,
    eager: Callable[..., Any],
    shape: Callable[..., Any],
    vjp: Sequence[Rule | None],
    lower: Lowering,
    batch: Batch | None = None,
    domain: tuple[float, float] = (-2.0, 2.0),
    kinks: tuple[float, ...] = (),
    examples: Sequence[Example] = (),
    variadic: bool = False,
    outputs: int = 1,
) -> Primitive:
    """Enter an op into the table and check the entry.

    `vjp`: one rule per positional input, None = not differentiable. A variadic primitive (any
    number of inputs) has one rule, called as `rule(i, g, out, *inputs, **params)` for input i.
    `domain`: where finite differences are valid. `batch`: what vmap does, if the kind does not
    say it.
    """
    vjp = tuple(vjp)
    if batch is None:
        alone = isinstance(lower, Map | Reduce | Scan | View) or getattr(
            lower, "elementwise", False
        )
        batch = ALIGNED if alone else LOOP
    assert name not in TABLE, f"primitive {name!r} is entered twice"
    assert doc, f"primitive {name!r} has no doc"
    assert domain[0] < domain[1], f"primitive {name!r}: empty domain {domain}"
    assert isinstance(lower, Lowering), f"primitive {name!r}: lower={lower!r} is not a kind"
    assert not variadic or len(vjp) == 1, f"primitive {name!r}: a variadic entry has one rule"
    keep = tuple(_kept(rule, len(vjp), variadic) for rule in vjp)
    for rule, kept in zip(vjp, keep, strict=True):
        enough = len(kept) >= 2 if variadic else len(kept) == 1 + len(vjp)
        assert rule is None or enough, (
            f"primitive {name!r}: a rule takes (g, out, {len(vjp)} inputs), this one has"
            f" {1 + len(kept)} arguments"
        )
    marked = [kept for rule, kept in zip(vjp, keep, strict=True) if hasattr(rule, "also_arrays")]
    assert all(VALUE not in kept for kept in marked), (
        f"primitive {name!r}: a rule that is marked also_arrays needs a value"
    )
    entry = Primitive(
        name=name, doc=doc, eager=eager, shape=shape, vjp=vjp, lower=lower, batch=batch,
        domain=domain, kinks=kinks, examples=tuple(examples), variadic=variadic, outputs=outputs,
        keep=keep,
        plans=() if variadic or not vjp else _plans(vjp, keep),
        array_rules=vjp if _for_arrays(vjp, variadic) else None,
    )  # fmt: skip
    TABLE[name] = entry
    return entry
