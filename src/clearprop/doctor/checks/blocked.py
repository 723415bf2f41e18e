"""Family B: ops whose derivative is 0 where the data are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.doctor.findings import Finding, Severity
from clearprop.doctor.log import Record, Value
from clearprop.doctor.measure import blocked, maker, norm
from clearprop.doctor.session import Pass, on_pass
from clearprop.doctor.slices import Slice
from clearprop.doctor.terms import is_constant, node_of

CLAMPS = {
    "clamp": "[a, b]", "hardtanh": "[-1, 1]", "relu6": "[0, 6]", "hardsigmoid": "[-3, 3]",
    "clip": "[a, b]",
}  # fmt: skip


@on_pass
def softmax_over_one_unit(seen: Pass) -> Iterator[Finding]:
    """B5: an axis of length 1."""
    for call in seen.log.all_calls("softmax", "log_softmax"):
        if call.outer is not None and call.outer.short in ("softmax", "log_softmax"):
            continue
        reduced = [r for r in call.records if r.prim.name in ("sum", "amax")]
        if not reduced:
            continue
        record = reduced[0]
        x, dims = record.uses[0].value, record.params.get("dim", ())
        if not dims or any(x.shape[d] != 1 for d in dims) or x.array.size == 0:
            continue
        last = call.records[-1]
        node = next((n for n in seen.flow.order if seen.flow.record(n) is last), None)
        came = norm(seen.flow.g(node)) if node is not None and seen.flow.g(node) is not None else 0
        behind = seen.flow.only_through(node) if node is not None else []
        n = sum(p.numel() for p in behind)
        yield Finding(
            "B5", "error",
            "The axis that is normalised has length 1, so p is always 1 (its logarithm 0) and the"
            f" derivative p·(1 − p) is 1·0 = 0. Gradient arriving here: {came:.2g}; leaving: 0."
            f" {n} parameters behind it receive nothing.",
            "with one output unit use sigmoid, or binary_cross_entropy_with_logits on the output"
            " itself; with several, give the axis of the classes (dim=1)",
            location=seen.line(last), module=last.path, op=call.short, when=seen.when, weight=95,
            numbers={"parameters": n, "arriving": came},
        )  # fmt: skip


@on_pass
def clamped_in_the_path(seen: Pass) -> Iterator[Finding]:
    """B1, B7: a clamp outside whose bounds most of the values are."""
    flow = seen.flow
    for node in flow.order:
        record = flow.record(node)
        if record is None or record.prim.name not in ("clamp", "maximum", "minimum", "where"):
            continue
        call = record.in_call(*CLAMPS)
        if call is None and record.prim.name != "clamp":
            continue
        edge = next((i for i, e in enumerate(node.edges) if e is not None), 0)
        share = blocked(flow, node, edge)
        on_loss = _leads_to_the_mean(seen, record)
        one_sided = record.params.get("hi") is None and record.prim.name == "clamp"
        if on_loss and one_sided and share < 1:
            continue  # a hinge: what is satisfied has no gradient
        if not share >= (0.05 if on_loss and record.params.get("hi") is not None else 0.25):
            continue
        behind = flow.only_through(node)
        if not behind:
            continue
        severity: Severity = "error" if share >= 0.9 else "warn"
        x = record.uses[edge].value.array
        if share < 0.9 and not on_loss and not _is_head(seen, record):
            continue
        n = sum(p.numel() for p in behind)
        code = "B7" if on_loss and _blocks_the_largest(flow, node, record, edge) else "B1"
        yield Finding(
            code, severity,
            f"{share:.0%} of the {x.size} values lie outside the bounds, where the derivative of a"
            f" clamp is 0: no gradient comes through for them. They reach from {x.min():.3g} to"
            f" {x.max():.3g}. All paths to {n} parameters go through here.",
            "use huber_loss (smooth_l1_loss), whose derivative stays 1 for large errors, or clip"
            " the gradient instead"
            if code == "B7"
            else "use sigmoid or tanh for a bounded output, or clamp only when predicting",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=90 * share, numbers={"blocked": share, "parameters": n},
        )  # fmt: skip


def _is_head(seen: Pass, record: Record) -> bool:
    """Whether no parameter comes after the record on the way to the loss."""
    after = seen.log.records[seen.log.records.index(record) + 1 :]
    part = {id(r) for r in Slice(seen.log, seen.loss).records}
    return not any(
        use.value.leaf is not None for r in after if id(r) in part for use in r.uses
    )  # fmt: skip


def _leads_to_the_mean(seen: Pass, record: Record) -> bool:
    """Whether the clamped values, or their squares or sizes, are summed up to the loss next, and
    come from a difference, or a sum of its squares or sizes: an error.
    """
    users = seen.log.used_by()
    value = record.out
    for _ in range(6):
        if value is seen.loss:
            return True
        following = users.get(id(value), [])
        if len({id(r) for r in following}) != 1:
            return False
        after = following[0]
        if after.prim.name == "sum":
            return True
        same = all(u.value is value or is_constant(u.value) for u in after.uses)
        if (
            after.prim.name not in ("square", "abs", "mul", "div", "pow_scalar", "reshape")
            or not same
        ):
            return False
        value = after.out
    return False


def _blocks_the_largest(flow: Any, node: Any, record: Record, edge: int) -> bool:
    x, part, g = record.uses[edge].value.array, flow.passed[node][edge], flow.g(node)
    stopped = (g != 0) & (part == 0)
    if not stopped.any() or stopped.all():
        return False
    return bool(abs(x[stopped]).min() >= abs(x[~stopped]).max())


@on_pass
def saturated_softmax(seen: Pass) -> Iterator[Finding]:
    """B6: a softmax inside of the model that has chosen before any training, or that stands
    between two linear layers.
    """
    if seen.number > 2:
        return
    part = Slice(seen.log, seen.loss)
    inside = {id(r): i for i, r in enumerate(part.records)}
    for call in seen.log.all_calls("softmax", "scaled_dot_product_attention"):
        if call.outer is not None and call.outer.short in (
            "softmax",
            "scaled_dot_product_attention",
        ):
            continue
        records = [r for r in call.records if id(r) in inside]
        reduced = next((r for r in records if r.prim.name in ("sum", "amax")), None)
        last = next((r for r in reversed(records) if r.prim.name == "div"), None)
        if reduced is None or last is None or not last.tracked:
            continue
        dims = reduced.params.get("dim", ())
        scores, p = reduced.uses[0].value, last.out
        if reduced.prim.name == "sum":  # of exp(x - max)
            scores = next((r.uses[0].value for r in records if r.prim.name == "sub"), scores)
        if len(dims) != 1 or p.shape[dims[0]] < 4 or not part.leaves(scores):
            continue
        after = part.records[inside[id(records[-1])] + 1 :]
        if not any(
            u.value.leaf is not None and u.value.array.ndim >= 2 for r in after for u in r.uses
        ):
            continue  # the head
        yield from _chosen(seen, call, last, p, scores, dims[0])
        yield from _between_layers(seen, call, last, scores)


def _chosen(
    seen: Pass, call: Any, last: Record, p: Value, scores: Value, dim: int
) -> Iterator[Finding]:
    allowed = (np.asarray(scores.array) > -1e4).sum(axis=dim)
    top = p.array.max(axis=dim)
    if allowed.shape == top.shape:
        top = top[allowed >= 4]
    if not top.size or float(top.mean()) < 0.95 or seen.number > 2:
        return
    finite = scores.array[np.isfinite(scores.array) & (scores.array > -1e4)].astype(np.float64)
    left = float((p.array * (1 - p.array)).max(axis=dim).mean())
    yield Finding(
        "B6", "warn",
        f"Before any training this softmax over {p.shape[dim]} entries gives {top.mean():.1%}"
        " to one"
        f" of them: its inputs have a standard deviation of {finite.std():.3g} (about 1 is usual)."
        f" J = diag(p) − p pᵀ is {left:.1g} in the mean, so hardly any gradient reaches the"
        " scores.",
        "scale the scores: q·kᵀ/√d for attention, smaller initial weights otherwise",
        location=seen.line(last), module=last.path, op=call.short, when=seen.when, weight=67,
        numbers={"largest": float(top.mean()), "std of the scores": float(finite.std())},
    )  # fmt: skip


def _between_layers(seen: Pass, call: Any, last: Record, scores: Value) -> Iterator[Finding]:
    """softmax(W x) goes straight into a layer with a bias, as a hidden activation."""
    made = maker(scores)
    if made is None or made.in_call("linear") is None or last.out.shape[-1] < 8:
        return
    users = seen.log.used_by().get(id(last.out), [])
    if not users or not all(r.in_call("linear") for r in users):
        return
    node = node_of(seen, last)
    entry = made if node is None else None
    g_in = seen.flow.g(node_of(seen, made)) if entry is None and node_of(seen, made) else None
    g_out = seen.flow.g(node) if node is not None else None
    if g_in is None or g_out is None or not norm(g_out) > 0:
        return
    factor, d = norm(g_in) / norm(g_out), last.out.shape[-1]
    if factor > 2 / d:
        return
    yield Finding(
        "B6", "warn",
        f"A softmax over {d} hidden units stands between two linear layers: it lets"
        f" {factor:.2g} of the gradient through (about 1/{d}, since J = diag(p) − p pᵀ and"
        f" p ≈ 1/{d}), and its outputs, which add up to 1, are too small for the next layer.",
        "use ReLU, GELU or tanh between layers; softmax belongs behind the last one",
        location=seen.line(last), module=last.path, op=call.short, when=seen.when, weight=67,
        numbers={"factor": factor, "units": d},
    )  # fmt: skip


RANGES = {
    "relu": (0.0, np.inf), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0),
    "softplus": (0.0, np.inf), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}  # fmt: skip
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


def compared(seen: Pass) -> Iterator[tuple[Value, Value, Record]]:
    """(prediction, target, record): what the loss subtracts; one of them depends on parameters."""
    part = Slice(seen.log, seen.loss)
    for record in part.records:
        if record.prim.name != "sub" or len(record.uses) != 2 or record.out.array.ndim == 0:
            continue
        a, b = (_unexpanded(u.value) for u in record.uses)
        fa, fb = bool(part.leaves(a)), bool(part.leaves(b))
        if fa != fb and a.shape == b.shape:
            yield (a, b, record) if fa else (b, a, record)


def _unexpanded(v: Value) -> Value:
    while v.maker is not None and v.maker.prim.name in ("expand", "reshape", "cast"):
        v = v.maker.uses[0].value
    return v


@on_pass
def output_cannot_reach_the_targets(seen: Pass) -> Iterator[Finding]:
    """B2: the range of the last activation leaves targets out."""
    for pred, target, record in compared(seen):
        made = pred.maker
        if made is None or (target.maker is not None and _is_output(target)):
            continue
        name = made.name if made.name in RANGES else made.prim.name
        if name not in RANGES:
            continue
        users = seen.log.used_by().get(id(record.out), [])
        squared = any(r.prim.name in ("square", "abs", "mul", "pow_scalar") for r in users)
        if not squared and record.in_call(*REGRESSION) is None:
            continue
        low, high = RANGES[name]
        t = target.array
        outside = float(((t < low - 1e-6) | (t > high + 1e-6)).mean())
        if outside <= 0.01:
            continue
        node = next((n for n in seen.flow.order if seen.flow.record(n) is made), None)
        beta = blocked(seen.flow, node) if node is not None else float("nan")
        zero = f" Its derivative is 0 for {beta:.0%} of them now." if beta > 0.05 else ""
        yield Finding(
            "B2", "error",
            f"{outside:.0%} of the targets lie outside of what {name} can give,"
            f" {_interval(low, high)} (they reach from {t.min():.3g} to {t.max():.3g}): the error"
            f" there never goes away, and pushes the units to where the derivative is 0.{zero}",
            "leave the last layer linear, or scale the targets into the range",
            location=seen.line(made), module=made.path, op=name, when=seen.when, weight=85,
            numbers={"outside": outside, "blocked": beta},
        )  # fmt: skip


def _interval(low: float, high: float) -> str:
    return f"({low:g}, {high:g})" if np.isfinite(high) else f"[{low:g}, ∞)"


def _is_output(v: Value) -> bool:
    return v.maker is not None and v.maker.tracked
