"""Family E: do the last activation, the loss and the labels fit together?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Tensor
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Call, Record, Value
from clearprop.doctor.measure import maker, origin
from clearprop.doctor.session import Pass, on_pass
from clearprop.doctor.slices import Slice

FROM_LOGITS = ("cross_entropy",)


def argument(seen: Pass, call: Call, name: str) -> Value | None:
    """The value of an argument of a call, if it is a tensor that the log knows."""
    x = call.args.get(name)
    return seen.log.value(x) if isinstance(x, Tensor) else None


def place(seen: Pass, record: Record | None, call: Call) -> dict[str, Any]:
    """Where to point: at the record, or at the call."""
    if record is not None:
        return {"location": seen.line(record), "module": record.path, "op": record.name}
    return {"location": call.location, "op": call.short}


def are_probabilities(a: np.ndarray, dim: int) -> bool:
    """Whether all numbers are >= 0 and add up to 1 along dim, and are not all 0 or 1."""
    if a.dtype.kind != "f" or a.ndim < 1 or a.shape[dim] < 2 or not np.isfinite(a).all():
        return False
    rows = a.sum(axis=dim, dtype=np.float64)
    return bool((a >= 0).all() and np.abs(rows - 1).max() < 1e-3)


@on_pass
def softmax_before_cross_entropy(seen: Pass) -> Iterator[Finding]:
    """E1: the input of cross_entropy is probabilities already."""
    for call in seen.log.all_calls(*FROM_LOGITS):
        x = argument(seen, call, "input")
        if x is None or not x.is_float:
            continue
        dim = 1 if x.array.ndim > 1 else 0
        made = maker(x)
        if made is not None and made.in_call("log_softmax"):
            yield Finding(
                "E1", "info",
                "cross_entropy takes log_softmax of its input, which is log_softmax already: the"
                " second one changes nothing.",
                "use nll_loss, or give the logits",
                when=seen.when, **place(seen, made, call),
            )  # fmt: skip
            continue
        if not are_probabilities(x.array, dim):
            continue
        c = x.shape[dim]
        floor = math.log(1 + (c - 1) / math.e)
        yield Finding(
            "E1", "error",
            "cross_entropy takes softmax of its input, but this input is probabilities already (all"
            f" >= 0, rows add up to 1). Softmax twice scales the gradient by about 1/C = 1/{c}, and"
            f" the loss cannot fall below {floor:.2f}.",
            "return the logits from the model, and take softmax only to predict",
            when=seen.when, weight=80, numbers={"classes": c, "floor": floor},
            **place(seen, made, call),
        )  # fmt: skip


@on_pass
def sigmoid_before_bce_with_logits(seen: Pass) -> Iterator[Finding]:
    """E2: the input of binary_cross_entropy_with_logits is a sigmoid's output."""
    for call in seen.log.all_calls("binary_cross_entropy_with_logits"):
        x = argument(seen, call, "input")
        made = None if x is None else maker(x)
        if made is None or made.prim.name != "sigmoid" or made.in_call("silu", "log_sigmoid"):
            continue
        yield Finding(
            "E2", "error",
            "binary_cross_entropy_with_logits takes sigmoid of its input, which a sigmoid made:"
            " σ(σ(z)) lies between 0.5 and 0.73, so the loss for a label 0 cannot fall below"
            " ln 2 = 0.69, and the gradient is scaled by σ' <= 0.25 once more.",
            "return the logits from the model, or use binary_cross_entropy (BCELoss)",
            when=seen.when, weight=80, **place(seen, made, call),
        )  # fmt: skip


@on_pass
def scores_into_a_loss_of_probabilities(seen: Pass) -> Iterator[Finding]:
    """E3: nll_loss and kl_div want log-probabilities."""
    for call in seen.log.all_calls("nll_loss", "kl_div"):
        if call.outer is not None and call.outer.short in FROM_LOGITS:
            continue
        x = argument(seen, call, "input")
        if x is None or not x.is_float or x.array.ndim < 1:
            continue
        dim = 1 if x.array.ndim > 1 and call.short == "nll_loss" else x.array.ndim - 1
        a = x.array.astype(np.float64)
        if a.shape[dim] < 2 or not np.isfinite(a).all():
            continue
        rows = np.exp(np.minimum(a, 50)).sum(axis=dim)
        if np.abs(rows - 1).max() < 1e-2:
            continue
        yield Finding(
            "E3", "error",
            f"{call.short} wants log-probabilities, whose exponentials add up to 1; those of this"
            f" input add up to {rows.min():.3g} to {rows.max():.3g}. Without the normalisation the"
            " loss has no lower bound.",
            "use cross_entropy on the logits, or put log_softmax(..., dim=1) before the loss",
            when=seen.when, weight=80,
            numbers={"least row sum": float(rows.min()), "largest": float(rows.max())},
            location=call.location, op=call.short,
        )  # fmt: skip


@on_pass
def broadcast_in_the_loss(seen: Pass) -> Iterator[Finding]:
    """E6: (N, 1) against (N,), which gives (N, N)."""
    part = Slice(seen.log, seen.loss)
    for record in part.records:
        if len(record.uses) != 2 or record.prim.variadic:
            continue
        a, b = (unexpanded(use.value) for use in record.uses)
        out = record.out
        if a is None or b is None or a.array.ndim == b.array.ndim or a.shape == b.shape:
            continue
        n = a.array.size
        if n < 2 or n != b.array.size or out.array.size <= n:
            continue
        if not (part.leaves(a) or part.leaves(b)):
            continue
        yield Finding(
            "E6", "error",
            f"{record.prim.name} of {list(a.shape)} and {list(b.shape)} broadcasts to"
            f" {list(out.shape)}: each of the {n} predictions is compared with every target, so all"
            " of them are pulled to the mean of the targets.",
            "give both one shape: pred.squeeze(-1), or target.unsqueeze(-1)",
            location=record.location, module=record.path, op=record.prim.name, when=seen.when,
            weight=90, numbers={"rows": n},
        )  # fmt: skip


def unexpanded(value: Value) -> Value | None:
    """The value before it was broadcast; None where it was not made by an op of the log."""
    record = value.maker
    while record is not None and record.prim.name in ("expand", "cast"):
        value = record.uses[0].value
        record = value.maker
    return value


__all__ = ["argument", "origin", "place"]
