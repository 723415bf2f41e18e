"""What a program dies of: a loss without history (A5), a tensor that was overwritten (A6), scores
outside [0, 1] (E3), labels that do not exist (E8), one value per channel (G5), a tape that was
freed (G11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Location, Node, Tensor
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Call, Record, Write
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Slice

PROBABILITIES = ("binary_cross_entropy",)
CLASSES = ("cross_entropy", "nll_loss")
NORMS = ("batch_norm", "instance_norm", "group_norm", "layer_norm")


# ---------------------------------------------------------------------- A5
@on_pass
def nothing_asks_for_a_gradient(seen: Pass) -> Iterator[Finding]:
    """A5: backward() of a loss made of parameters that are all frozen."""
    if seen.outputs[0].node is not None:
        return
    part = Slice(seen.log, seen.loss)
    if part.leaves():
        return  # the tape is cut: A1, A2
    roots = seen.session.modules()
    arrays = {id(u.value.array) for r in part.records for u in r.uses}
    frozen = [
        p for root in roots for p in root.parameters()
        if not p.requires_grad and id(p.value) in arrays
    ]  # fmt: skip
    if not frozen:
        return
    event = seen.session.frozen.get(id(frozen[-1]))
    yield Finding(
        "A5", "error",
        f"All {len(frozen)} parameter tensors that the loss depends on have requires_grad=False:"
        " no gradient is recorded, and backward() fails.",
        "set requires_grad = True for what should learn, before the forward pass",
        location=event.location if event else seen.event.location, when=seen.when, weight=100,
        numbers={"frozen": len(frozen)},
    )  # fmt: skip


# ---------------------------------------------------------------------- A6, G11
@on_pass
def overwritten(seen: Pass) -> Iterator[Finding]:
    """A6: a rule finds that what it saved has changed."""
    if seen.flow.error is None:
        return
    node, error = seen.flow.error
    if "modified by an inplace" not in str(error):
        return
    seen.session.candidates["rule failed"].append(node)
    if node.seq < seen.session.born_before:
        return  # the optimizer overwrote the weights: the history is from before a step, G11
    write = _write_after(seen, node)
    record = write.record if write is not None else None
    location = record.location if record is not None else node.location
    saved = node.location
    where = f" (saved at line {saved.line})" if saved is not None else ""
    yield Finding(
        "A6", "error",
        f"The derivative of {node.prim.name} needs a value that was overwritten in place after the"
        f" forward pass had saved it{where}: with the new value the gradient would be wrong.",
        "write it out of place: x = x + 1 instead of x += 1, where() or cat() instead of an"
        " assignment to a slice; or x.clone() first",
        location=location, module=node.path, op=record.name if record else node.prim.name,
        when=seen.when, weight=100,
        numbers={"saved at line": saved.line if saved is not None else 0},
    )  # fmt: skip


def _write_after(seen: Pass, node: Node) -> Write | None:
    """The write to memory that the node had saved."""
    kept = [*(node.saved or ()), node.out]
    arrays = [a for a in (getattr(k, "value", k) for k in kept) if isinstance(a, np.ndarray)]
    record = seen.flow.record(node)
    if record is not None:
        arrays += [v.array for v in record.outs] + [u.value.array for u in record.uses]
    for write in seen.log.writes:
        if any(np.may_share_memory(write.array, a) for a in arrays) and (
            write.record is None or write.record.seq > node.seq
        ):
            return write
    return None


# ---------------------------------------------------------------------- the program's death
def last_call(session: Session, *names: str) -> Call | None:
    """The last call of one of these functions, at the time of the program's end."""
    found = list(session.log.all_calls(*names))
    return found[-1] if found else None


@on_session
def what_it_died_of(session: Session) -> Iterator[Finding]:
    if session.death is None:
        return
    error, line = session.death
    frames = _frames(error)
    for names, check in (
        (PROBABILITIES, _not_probabilities),
        (CLASSES, _no_such_class),
        (NORMS, _too_few_values),
    ):
        frame = next((f for f in frames if f.f_code.co_name in names), None)
        if frame is not None:
            yield from check(session, error, line, frame)
            return
    if "a second time" in str(error) or session.candidates["rule failed"]:
        yield from _freed(session, error, line)


def _frames(error: BaseException) -> list[Any]:
    """Clearprop's frames of the traceback, outermost first."""
    out, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("clearprop."):
            out.append(trace.tb_frame)
        trace = trace.tb_next
    return out


def _argument(frame: Any, name: str) -> np.ndarray | None:
    x = frame.f_locals.get(name)
    return x.value if isinstance(x, Tensor) and isinstance(x.value, np.ndarray) else None


def _not_probabilities(session: Session, error: Any, line: Location | None, frame: Any) -> Any:
    p, t = _argument(frame, "input"), _argument(frame, "target")
    if p is None:
        return
    outside = float(((p < 0) | (p > 1)).mean())
    if outside:
        yield Finding(
            "E3", "error",
            f"binary_cross_entropy wants probabilities, and {outside:.0%} of its input lies outside"
            f" [0, 1] (from {p.min():.3g} to {p.max():.3g}): these are scores, whose logarithm does"
            " not exist. The program ends here.",
            "use binary_cross_entropy_with_logits, or put sigmoid before it",
            location=line, op="binary_cross_entropy", when="the end", weight=100,
            numbers={"outside": outside},
        )  # fmt: skip
    elif t is not None and t.shape != p.shape:
        yield _shapes(error, line, p, t, "binary_cross_entropy")


def _no_such_class(session: Session, error: Any, line: Location | None, frame: Any) -> Any:
    x, t = _argument(frame, "input"), _argument(frame, "target")
    if x is None or t is None:
        return
    name = frame.f_code.co_name
    n = x.shape[1] if x.ndim > 1 else x.shape[0]
    if t.dtype.kind in "iu" and t.size and (t.max() >= n or t.min() < 0):
        bad = int(((t >= n) | (t < 0)).sum())
        shifted = t.min() == 1 and t.max() == n
        yield Finding(
            "E8", "error",
            f"{bad} of {t.size} labels do not exist for {n} scores: they reach from {t.min()} to"
            f" {t.max()}, and classes are counted from 0 to {n - 1}.",
            "subtract 1: labels begin at 0" if shifted else
            f"give the last layer {t.max() + 1} outputs, or map the labels to 0 ... C−1",
            location=line, op=name, when="the end", weight=100,
            numbers={"least": int(t.min()), "largest": int(t.max()), "scores": int(n)},
        )  # fmt: skip
    else:
        yield _shapes(error, line, x, t, name)


def _shapes(error: Any, line: Location | None, x: np.ndarray, t: np.ndarray, name: str) -> Finding:
    kind = f"{t.dtype} of shape {list(t.shape)}"
    return Finding(
        "E8", "error",
        f"{name} cannot pair an input of shape {list(x.shape)} with labels {kind}:"
        f" {str(error).splitlines()[0][:200]}",
        "class numbers: int64, without the axis of the classes (onehot.argmax(1), y.long()); or"
        " probabilities: float, with the shape of the scores",
        location=line, op=name, when="the end", weight=100,
    )  # fmt: skip


def _too_few_values(session: Session, error: Any, line: Location | None, frame: Any) -> Any:
    x = _argument(frame, "input")
    if x is None or "more than 1" not in str(error):
        return
    yield Finding(
        "G5", "error",
        f"{frame.f_code.co_name} normalises each channel over its values in the batch, and the"
        f" input {list(x.shape)} has one value per channel: its variance is 0. The program ends"
        " here.",
        "use larger batches, drop the last one (drop_last=True), or GroupNorm or LayerNorm",
        location=line, op=frame.f_code.co_name, when="the end", weight=100,
        numbers={"values per channel": 1},
    )  # fmt: skip


def _freed(session: Session, error: BaseException, line: Location | None) -> Iterator[Finding]:
    """G11: the second backward pass through one history."""
    carried: Record | Node | None = next(iter(session.candidates["carried"]), None)
    failed = next(iter(session.candidates["rule failed"]), None)
    if "a second time" not in str(error) and (failed is None or failed.seq >= session.born_before):
        return
    if carried is None and session.steps == 0 and session.backwards < 2:
        return
    yield Finding(
        "G11", "error",
        f"Backward pass {session.backwards} reached history from before step {session.steps}, which"
        " is freed and overwritten by then: something was carried on to the next step with its"
        " tape.",
        "detach what is carried on, once per window: h = h.detach()",
        location=(carried.location if carried is not None else None) or line, op="backward",
        when="the end", weight=100,
    )  # fmt: skip


# ---------------------------------------------------------------------- G5
@on_pass
def few_values_per_channel(seen: Pass) -> Iterator[Finding]:
    """G5: statistics of at most two values, in several passes."""
    for call in seen.log.all_calls("batch_norm"):
        x = call.args.get("input")
        if not isinstance(x, Tensor) or not call.args.get("training") or x.ndim < 2:
            continue
        n = x.numel() // max(x.shape[1], 1)
        if n <= 2:
            seen.session.candidates["G5"].append((n, call, seen.when))
    return
    yield


@on_session
def batch_norm_over_few(session: Session) -> Iterator[Finding]:
    found = session.candidates["G5"]
    if len({when for *_, when in found}) < 2:
        return
    n, call, when = found[0]
    yield Finding(
        "G5", "warn",
        f"Batch norm has {n} values per channel in this batch: the mean of two values leaves only"
        " the sign of their difference, and the running statistics are noise.",
        "use larger batches, or GroupNorm or LayerNorm",
        location=call.location, op="batch_norm", when=when, weight=55,
        numbers={"values per channel": n},
    )  # fmt: skip
