"""Family C: where the first nan or inf was born, forwards or backwards, and by which derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Record, Value
from clearprop.doctor.measure import backward_births, births, finite, maker
from clearprop.doctor.session import Pass, on_pass

ROOTS = ("sqrt", "rsqrt")
LOGS = ("log", "log2", "log10", "log1p", "logit")
EDGES = ("acos", "asin", "atan2", "pow", "pow_scalar", "atanh", "acosh")
GROWS = ("exp", "expm1", "sinh", "cosh", "square", "pow_scalar", "pow", "mul", "matmul", "linear")


def first_bad_input(seen: Pass) -> Value | None:
    """Data (no parameter, made by no op) with nan or inf."""
    for record in seen.log.records:
        for use in record.uses:
            v = use.value
            if v.maker is None and v.is_float and v.array.ndim and not finite(v.array):
                return v
    return None


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
                location=v.born or record.location, module=record.path, op=record.name,
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
        "location": record.location, "module": record.path, "op": record.name, "when": seen.when,
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
    if name in ("div", "reciprocal"):
        d = record.uses[-1].value.array
        n = int((d == 0).sum())
        return Finding(
            "C3", "error",
            f"Division by {n} numbers that are 0 (of {d.size}): the quotient is nan or inf, and so"
            " is the derivative -a/b² there.",
            "divide by clamp(b, min=1) for counts, or by b + eps for lengths and deviations",
            numbers={"zeros": n}, **here,
        )  # fmt: skip
    if name in GROWS:
        code = "C4" if name in ("exp", "expm1", "sinh", "cosh") else "D2"
        return Finding(
            code, "error",
            f"{name} overflowed: its input goes up to {np.abs(x).max():.3g}, and the largest"
            f" {x.dtype} is {np.finfo(x.dtype).max:.3g}.",
            "keep the exponent in bounds: subtract the maximum (logsumexp, softmax), clamp a"
            " log-variance, softplus instead of log(1 + exp)"
            if code == "C4"
            else "lower the learning rate, clip gradients, and look at the initial scale",
            numbers={"largest": float(np.abs(x).max())}, **here,
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
        "location": record.location, "module": record.path, "op": record.name, "when": seen.when,
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
