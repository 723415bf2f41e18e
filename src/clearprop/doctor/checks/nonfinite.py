"""Family C: where the first nan or inf was born, forwards or backwards, and by which derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Record, Value
from clearprop.doctor.measure import backward_births, births, finite, maker, origin
from clearprop.doctor.session import Event, Pass, Session, on_pass, on_step
from clearprop.doctor.terms import is_constant

ROOTS = ("sqrt", "rsqrt")
LOGS = ("log", "log2", "log10", "log1p", "logit")
GROWS = (
    "exp", "expm1", "sinh", "cosh", "square", "pow_scalar", "pow", "mul", "matmul", "sum", "add",
    "sub", "div", "convolution", "linear", "cast",
)  # fmt: skip
EDGES = ("acos", "asin", "atan2", "pow", "pow_scalar", "atanh", "acosh")


@on_pass
def bad_data(seen: Pass) -> Iterator[Finding]:
    """C9: nan or inf in the data."""
    for record in seen.log.records:
        for use in record.uses:
            v = use.value
            if v.maker is not None or v.leaf is not None or not v.is_float or v.array.ndim == 0:
                continue
            n = int(np.isnan(v.array).sum())
            if not n or record.prim.name in ("where", "ne", "eq"):
                continue
            yield Finding(
                "C9", "error",
                f"{n} of {v.array.size} numbers of the data {list(v.shape)} are nan, and nan goes"
                " through every sum and product into the loss and all gradients.",
                "drop or fill these rows before training: x[~isnan(x).any(1)], nan_to_num(x)",
                location=v.born or seen.line(record), module=record.path, op=record.name,
                when=seen.when, weight=100, numbers={"nan": n},
            )  # fmt: skip
            return


@on_pass
def born_in_the_forward_pass(seen: Pass) -> Iterator[Finding]:
    """C2, C3, C4, C6, C8 and others: the first op that made nan or inf of finite numbers, on the
    way to the loss.
    """
    if finite(seen.loss.array):
        return
    record = next((r for r in births(seen.log) if _counts(r)), None)
    if record is not None:
        yield _forward_finding(seen, record)


def _counts(record: Record) -> bool:
    """Whether an infinity is the program's doing: masks are filled with -inf on purpose."""
    return record.prim.name not in ("where", "expand", "masked_fill", "cast") and any(
        np.isnan(v.array).any() or np.isposinf(v.array).any() or record.prim.name in LOGS
        for v in record.outs
        if v.is_float
    )


def _forward_finding(seen: Pass, record: Record) -> Finding:
    name, x = record.prim.name, record.uses[0].value.array
    inside = record.in_call("softmax", "log_softmax", "scaled_dot_product_attention")
    here: dict[str, Any] = {
        "location": seen.line(record), "module": record.path, "op": record.name, "when": seen.when,
        "weight": 100,
    }  # fmt: skip
    if inside is not None and np.isneginf(x).any():
        return Finding(
            "C8", "error",
            "A row of this softmax is -inf throughout (everything in it is masked): 0/0 = nan.",
            "leave such rows out, or mask with a large finite number",
            **here,
        )  # fmt: skip
    if name in LOGS:
        zeros = int((x <= 0).sum())
        made = maker(record.uses[0].value, through=("sub", "rsub", "neg"))
        after = made.name if made is not None else "a value"
        return Finding(
            "C2", "error",
            f"{name} of {zeros} numbers that are 0 or less (the least is {x.min():.3g}), made by"
            f" {after}: {name} is -inf there and its derivative 1/x infinite. A sigmoid or softmax"
            " rounds to exactly 0 or 1 when its input is large.",
            "use the form that never leaves logarithms: binary_cross_entropy_with_logits,"
            " cross_entropy, log_softmax, logsigmoid",
            numbers={"zeros": zeros, "least": float(x.min())}, **here,
        )  # fmt: skip
    if record.in_call("std", "var", "std_mean", "var_mean") and name in ("div", "mul"):
        return Finding(
            "C6", "error",
            "The deviation of a single value: the sum of squares is divided by n − 1 = 0, and"
            " 0/0 = nan.",
            "use unbiased=False (correction=0), or leave out groups of one",
            **here,
        )  # fmt: skip
    if name in ("pow", "pow_scalar") and (x <= 0).any() and np.isnan(record.out.array).any():
        return Finding(
            "C7", "error",
            f"A power with a broken exponent of {int((x < 0).sum())} negative numbers (the least is"
            f" {x.min():.3g}) is nan, and at 0 its derivative a·x^(a−1) is infinite.",
            "make the base positive: softplus(x), x.abs() + eps, or clamp(x, min=eps)",
            numbers={"least": float(x.min())}, **here,
        )  # fmt: skip
    zero = name in ("div", "reciprocal") and bool(
        (np.abs(record.uses[-1].value.array) < 1e-30).any()
    )
    if zero and _deviation(record.uses[-1].value):
        d = record.uses[-1].value.array
        return Finding(
            "C6", "error",
            f"Division by a standard deviation that is 0 in {int((d == 0).sum())} of {d.size}"
            " places (a constant column, or a single row): (x − mean)/0 = 0/0 = nan.",
            "divide by (std + 1e-5), or leave constant columns out",
            numbers={"zeros": int((d == 0).sum())}, **here,
        )  # fmt: skip
    if zero:
        d = record.uses[-1].value.array
        n = int((np.abs(d) < 1e-30).sum())
        return Finding(
            "C3", "error",
            f"Division by {n} numbers that are 0 (of {d.size}): the quotient is nan or inf, and so"
            " is the derivative -a/b² there.",
            "divide by clamp(b, min=1) for counts, or by b + eps for lengths and deviations",
            numbers={"zeros": n}, **here,
        )  # fmt: skip
    if name in GROWS:
        code = "C4" if name in ("exp", "expm1", "sinh", "cosh") else "D2"
        if record.prim.name == "cast":
            return Finding(
                "C4", "error",
                f"A number of {np.abs(x).max():.3g} does not fit into {record.out.array.dtype},"
                f" whose largest is {np.finfo(record.out.array.dtype).max:.3g}.",
                "scale the values before the conversion, or use float32 here",
                **here,
            )  # fmt: skip
        return Finding(
            code, "error",
            f"{name} overflowed: its input goes up to {np.abs(x).max():.3g}, and the largest"
            f" {x.dtype} is {np.finfo(x.dtype).max:.3g}.",
            "keep the exponent in bounds: subtract the maximum (logsumexp, softmax), clamp a"
            " log-variance, softplus instead of log(1 + exp)"
            if code == "C4"
            else "lower the learning rate, clip gradients, and look at the initial scale",
            numbers={"largest": float(np.abs(x).max())},
            # what overflows after some steps does so because of them
            **here | {"weight": 100 if code == "C4" or seen.number == 1 else 50},
        )  # fmt: skip
    if name in ROOTS:
        return Finding(
            "C1", "error",
            f"{name} of {int((x < 0).sum())} negative numbers (the least is {x.min():.3g}).",
            "clamp the argument at 0 plus an epsilon",
            numbers={"least": float(x.min())}, **here,
        )  # fmt: skip
    return Finding(
        "C7" if name in EDGES else "C3", "error",
        f"{name} made {'nan' if np.isnan(record.out.array).any() else 'inf'} of finite numbers.",
        "keep the input inside the op's domain",
        **here,
    )  # fmt: skip


@on_pass
def born_in_the_backward_pass(seen: Pass) -> Iterator[Finding]:
    """C1, C2, C5, C6, C7: a finite loss, and a rule that gave nan or inf for a finite gradient."""
    if not finite(seen.loss.array):
        return
    for node, edge in backward_births(seen.flow):
        record = seen.flow.record(node)
        if record is not None:
            yield _backward_finding(seen, node, edge, record)
            return


def _backward_finding(seen: Pass, node: Any, edge: int, record: Record) -> Finding:
    name = record.prim.name
    x = record.uses[edge].value.array
    g = seen.flow.g(node)
    part = seen.flow.passed[node][edge]
    bad = ~np.isfinite(part)
    at = x[bad] if x.shape == bad.shape else x
    zero = g is not None and g.shape == bad.shape and bool((g[bad] == 0).all())
    here: dict[str, Any] = {
        "location": seen.line(record), "module": record.path, "op": record.name, "when": seen.when,
        "weight": 100,
        "numbers": {"bad": int(bad.sum()), "of": int(bad.size), "input there": _first(at)},
    }  # fmt: skip
    after = seen.log.records[seen.log.records.index(record) :]
    chosen = zero and any(r.prim.name == "where" for r in after)
    if chosen and at.size and not np.isfinite(_slope(name, at)).all():
        return Finding(
            "C5", "error",
            f"where() chose the other branch for {int(bad.sum())} elements, so the gradient that"
            f" arrives at {name} there is 0; but {name} has no finite derivative at"
            f" {at.flat[0]:.3g}, and 0·∞ = nan (or 0·nan). The forward pass shows nothing.",
            f"give {name} a safe input in both branches: x_safe = where(ok, x, 1.0), then"
            f" where(ok, {name}(x_safe), other)",
            **here,
        )  # fmt: skip
    if record.in_call("std", "var", "std_mean", "var_mean"):
        return Finding(
            "C6", "error",
            "The standard deviation is 0 (a constant, or a single value), and the derivative of the"
            " root there is 1/(2·0) = ∞.",
            "add an epsilon under the root: (x.var(...) + 1e-5).sqrt()",
            **here,
        )  # fmt: skip
    if name in ROOTS and _variance(record.uses[edge].value):
        return Finding(
            "C6", "error",
            f"The root of a variance that is 0 in {int(bad.sum())} places (constant values, or a"
            " single one): its derivative is 1/(2σ) = 1/(2·0) = ∞, and times 0 it is nan.",
            "add an epsilon under the root: (var + 1e-5).sqrt()",
            **here,
        )  # fmt: skip
    if name in ROOTS or record.in_call("norm", "vector_norm", "cdist"):
        return Finding(
            "C1", "error",
            f"{record.name} at {int(bad.sum())} zeros: its derivative 1/(2√x) is infinite at 0, and"
            " times a gradient of 0 it is nan. The value itself looks harmless: 0.",
            "add an epsilon under the root: sqrt(x + 1e-12), or leave the root out of the loss",
            **here,
        )  # fmt: skip
    if name in LOGS:
        return Finding(
            "C2", "error",
            f"{name} at {int(bad.sum())} numbers of {at.flat[0] if at.size else 0:.3g}: its"
            " derivative 1/x is infinite at 0.",
            "use log_softmax, logsigmoid or a loss with logits, or add an epsilon",
            **here,
        )  # fmt: skip
    code = "C7" if name in EDGES else "C3" if name in ("div", "reciprocal") else "C4"
    return Finding(
        code, "error",
        f"The derivative of {name} is not finite at {at.flat[0] if at.size else 0:.6g}"
        f" ({int(bad.sum())} elements).",
        "keep the input away from the edge of the domain: clamp(x, -1 + 1e-6, 1 - 1e-6), or add an"
        " epsilon to the denominator",
        **here,
    )  # fmt: skip


def _deviation(v: Value) -> bool:
    """Whether a value is a standard deviation: of std(), or the root of a variance."""
    made = maker(v, through=("add", "clamp"))
    if made is None:
        return False
    if made.in_call("std", "std_mean"):
        return True
    return made.prim.name == "sqrt" and _variance(made.uses[0].value)


def _variance(v: Value) -> bool:
    """Whether a value is a mean of squares of differences from a mean of the same thing."""
    made = maker(v, through=("add", "clamp"))
    while made is not None and made.prim.name in ("div", "sum"):
        if made.in_call("var", "std"):
            return True
        made = maker(made.uses[0].value)
    if made is None or made.prim.name not in ("square", "mul", "pow_scalar"):
        return False
    difference = maker(made.uses[0].value)
    if difference is None or difference.prim.name != "sub" or len(difference.uses) != 2:
        return False
    mean = maker(difference.uses[1].value)
    while mean is not None and mean.prim.name == "div":
        mean = maker(mean.uses[0].value)
    if mean is None or mean.prim.name != "sum":
        return False
    return origin(mean.uses[0].value) is origin(difference.uses[0].value)


def _first(a: np.ndarray) -> float | None:
    return float(a.flat[0]) if a.size else None


def _slope(name: str, x: np.ndarray) -> np.ndarray:
    """The derivative of an op at x, by its formula; nan where there is none."""
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        match name:
            case "sqrt":
                return 0.5 / np.sqrt(x)
            case "rsqrt":
                return -0.5 * x**-1.5
            case "log" | "log2" | "log10":
                return np.where(x > 0, 1 / x, np.nan)
            case "log1p":
                return np.where(x > -1, 1 / (1 + x), np.nan)
            case "acos" | "asin":
                return 1 / np.sqrt(1 - x * x)
            case "exp":
                return np.exp(x)
            case "reciprocal" | "div":
                return 1 / x**2
            case _:
                return np.full(x.shape, np.nan)


# ---------------------------------------------------------------------- C10
@on_pass
def epsilons_that_vanish(seen: Pass) -> Iterator[Finding]:
    """C10: a constant that should keep a logarithm, root or quotient away from 0, and is 0 in this
    dtype (or so small that its reciprocal is infinite); an upper bound below 1 that rounds to 1.
    """
    if seen.number > 1:
        return
    users = seen.log.used_by()
    for record in seen.log.records:
        if record.prim.name not in ("add", "clamp", "maximum") or not record.out.is_float:
            continue
        guarded = [
            r.prim.name for r in users.get(id(record.out), [])
            if r.prim.name in (*LOGS, *ROOTS, "reciprocal")
            or (r.prim.name == "div" and r.uses[-1].value is record.out)
        ]  # fmt: skip
        dtype = record.out.array.dtype
        if record.prim.name == "clamp":
            eps, bound = record.params.get("lo"), record.params.get("hi")
            guarded += _complement(users, record) if bound is not None else []
            lost = bound is not None and bound < 1 and dtype.type(bound) == 1
            if lost and guarded:
                yield _vanished(seen, record, f"{dtype} rounds the bound {bound!r} to 1", dtype)
                return
            constant = eps if eps else None
        else:
            constants = [
                u.value.array for u in record.uses if is_constant(u.value)
            ]  # fmt: skip
            constant = float(constants[0].reshape(-1)[0]) if len(constants) == 1 else None
        if constant is None or not guarded:
            continue
        if constant >= 0 and dtype.type(constant) <= 1 / np.finfo(dtype).max:
            yield _vanished(
                seen, record, f"the epsilon is {dtype.type(constant):g} in {dtype}", dtype
            )
            return


def _complement(users: Any, record: Record) -> list[str]:
    """log(1 - x), of a clamped x."""
    after = [r for r in users.get(id(record.out), []) if r.prim.name in ("sub", "neg", "log1p")]
    return [
        r.prim.name for a in after for r in [a, *users.get(id(a.out), [])] if r.prim.name in LOGS
    ]  # fmt: skip


def _vanished(seen: Pass, record: Record, why: str, dtype: Any) -> Finding:
    least = np.finfo(dtype)
    return Finding(
        "C10", "warn",
        f"{why}: it does not keep the argument away from the point where the derivative is"
        f" infinite. The smallest number of {dtype} whose reciprocal is finite is"
        f" {1 / float(least.max):.2g}; 1 − x has steps of {least.epsneg:.1g}.",
        f"use an epsilon of {'1e-4' if dtype.itemsize == 2 else '1e-7'}, or a form that needs none"
        " (log_softmax, binary_cross_entropy_with_logits)",
        location=seen.line(record), module=record.path, op=record.name, when=seen.when, weight=52,
    )  # fmt: skip


@on_step
def epsilon_of_the_optimizer(session: Session, event: Event) -> Iterator[Finding]:
    """C10: Adam's epsilon, added to numbers of 16 bits."""
    optimizer = event.facts["optimizer"]()
    if session.candidates["eps"]:
        return
    for group in optimizer.param_groups:
        eps = group.get("eps")
        for p in group["params"]:
            if eps and p.value.dtype == np.float16 and np.float16(eps) == 0:
                session.candidates["eps"].append(eps)
                made = next((e for e in session.events if e.kind == "optimizer"), None)
                yield Finding(
                    "C10", "warn",
                    f"eps = {eps:g} of {type(optimizer).__name__} is 0 in float16, whose smallest"
                    " number is 6e-8: Δ = lr·m/(√v + ε) becomes m/0 where a gradient is small.",
                    "give the optimizer eps=1e-4, or keep the weights in float32",
                    location=made.location if made else event.location, op="step",
                    when="batch 1", weight=52, numbers={"eps": eps},
                )  # fmt: skip
                return
