"""Does the loss depend on the input at all (F4), and is the input as large as weights expect
(D8)?
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clearprop.core import Tensor
from clearprop.doctor.checks.leaks import given, outer_calls
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Value
from clearprop.doctor.measure import norm
from clearprop.doctor.replay import reevaluate, untouched
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Slice


@on_pass
def inputs_that_do_nothing(seen: Pass) -> Iterator[Finding]:
    """F4: remember the modules whose output is the same when the rows of their data are
    exchanged.
    """
    if seen.number > 3 or not seen.flow.order:
        return
    part = Slice(seen.log, seen.loss)
    inside = {id(r) for r in part.records}
    used = {id(u.value.array) for r in part.records for u in r.uses}
    for call in outer_calls(seen)[:2]:
        last = next((r for r in reversed(call.records) if id(r) in inside), None)
        tensors = [t for t in given(call) if t.shape[0] > 1 and np.ptp(t.value) != 0]
        data = [t for t in tensors if seen.log.value(t).leaf is None]
        if last is None or not data or len(data) < len(tensors):
            continue
        if any(_made_of_parameters(part, seen.log.value(t)) for t in data):
            continue
        target = Slice(seen.log, last.out)
        base = last.out.array
        if base.ndim == 0 or not np.isfinite(base).all():
            continue
        reached = [t for t in data if id(t.value) in used]
        changed = {id(t.value): np.roll(t.value, 1, axis=0) for t in reached}
        alone = {
            id(t.value): np.roll(t.value, 1, axis=0) for t in reached if t.value.dtype.kind == "f"
        }
        same = not reached or _same(target, changed, base)
        if same and alone and not _same(target, alone, base):
            same = False
        seen.session.candidates["F4"].append((seen.number, same, call, last, len(reached)))
    return
    yield


def _made_of_parameters(part: Slice, value: Value) -> bool:
    return value.maker is not None and (value.maker.tracked or bool(part.leaves(value)))


def _same(target: Slice, changed: dict[int, np.ndarray], base: np.ndarray) -> bool:
    with untouched(), np.errstate(all="ignore"):
        try:
            now = reevaluate(target, changed, whole=True)
        except Exception:
            return False
    return bool(np.array_equal(now, base))


@on_session
def input_is_ignored(session: Session) -> Iterator[Finding]:
    cases = session.candidates["F4"]
    if len({number for number, *_ in cases}) < 2 or not all(same for _, same, *_ in cases):
        return
    _, _, call, last, reached = cases[0]
    path = type(call.args["self"]).__name__
    how = (
        "none of the tensors that it was called with is used on the way to the loss"
        if not reached
        else "its output stays the same, bit for bit, when the rows of its input are exchanged"
    )
    yield Finding(
        "F4", "error",
        f"{path} ignores its input: {how}, in {len(cases)} observed steps. ∂L/∂x = 0, so the best"
        " that it can learn is one constant.",
        "use the input in forward(); look for an op that makes it constant (zeros_like, a product"
        " with 0, an overwritten name)",
        location=call.location, module=path, op=last.name, when="batch 1", weight=69,
        numbers={"inputs used": reached},
    )  # fmt: skip


# ---------------------------------------------------------------------- D8
@on_pass
def input_not_normalised(seen: Pass) -> Iterator[Finding]:
    """D8: large or very uneven data go into a weight matrix as they are, and the outputs of the
    untrained model are huge for that reason.
    """
    if seen.number > 1:
        return
    part = Slice(seen.log, seen.loss)
    for record in part.records:
        if record.prim.name not in ("matmul", "linear", "convolution") or len(record.uses) < 2:
            continue
        x = record.uses[0].value
        if part.leaves(x) or not x.is_float or x.array.ndim < 2 or x.shape[0] < 4:
            continue
        a = np.abs(x.array.astype(np.float64))
        largest, z = float(a.max()), record.out.array
        columns = a.reshape(-1, a.shape[-1]).max(axis=0)
        uneven = float(columns.max() / max(np.median(columns), 1e-12))
        if not largest > 30 or not np.isfinite(largest):
            continue
        size = norm(z) / np.sqrt(max(z.size, 1))
        if size < 10 or not _consequence(seen):
            continue
        columns_text = f", and the columns' sizes differ by a factor of {uneven:.3g}"
        yield Finding(
            "D8", "warn",
            f"The data reach from {x.array.min():.4g} to {x.array.max():.4g}"
            f"{columns_text if uneven > 10 else ''}, and go into the first layer as they are: its"
            f" outputs are {size:.3g} in size instead of 1, and the loss begins at"
            f" {float(seen.loss.array.reshape(-1)[0]):.4g}.",
            "standardise the inputs: (x - mean) / std, or divide pixels by 255",
            location=_born(x) or record.location, module=record.path, op=record.name,
            when=seen.when, weight=71, numbers={"largest": largest, "first layer": float(size)},
        )  # fmt: skip
        return


def _born(x: Value):  # type: ignore[no-untyped-def]
    while x.maker is not None and x.maker.location is None:
        x = x.maker.uses[0].value
    return x.born


def _consequence(seen: Pass) -> bool:
    """Whether the scores or outputs are far too large, too."""
    for call in seen.log.all_calls("cross_entropy", "binary_cross_entropy_with_logits"):
        x = call.args.get("input")
        if isinstance(x, Tensor) and x.ndim and float(np.std(x.value)) > 5:
            return True
    for call in seen.log.all_calls("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
        x, t = call.args.get("input"), call.args.get("target")
        if isinstance(x, Tensor) and isinstance(t, Tensor):
            return float(np.std(x.value)) > 5 * float(np.std(t.value)) > 0
    return False
