"""The rest of family E: pairs of activation, loss and labels that do not belong together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clearprop.doctor.checks.blocked import compared
from clearprop.doctor.checks.leaks import outer_calls
from clearprop.doctor.checks.wiring import argument, place
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Call, Record, Value
from clearprop.doctor.measure import maker, norm, origin
from clearprop.doctor.session import Pass, on_pass
from clearprop.doctor.slices import Slice
from clearprop.doctor.terms import node_of

BCE = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


def made_by_softmax(x: Value) -> Record | None:
    """The last record of the softmax that a value came out of, past views."""
    made = maker(x)
    return made if made is not None and made.in_call("softmax") else None


# ---------------------------------------------------------------------- E4
@on_pass
def activation_and_loss(seen: Pass) -> Iterator[Finding]:
    """E4: sigmoid or ReLU before cross_entropy; softmax before binary_cross_entropy."""
    for call in seen.log.all_calls("cross_entropy"):
        x = argument(seen, call, "input")
        made = None if x is None else maker(x)
        if x is None or made is None or x.array.ndim < 2 or x.shape[1] < 2:
            continue
        if made.prim.name == "sigmoid" and not made.in_call("silu", "gelu"):
            yield Finding(
                "E4", "error",
                "cross_entropy takes softmax of its input, but this input is a sigmoid's output, in"
                f" (0, 1): softmax of {x.shape[1]} such numbers stays between"
                f" {1 / (1 + (x.shape[1] - 1) * np.e):.2g} and"
                f" {np.e / (np.e + x.shape[1] - 1):.2g}, and σ' <= 0.25 scales the gradient.",
                "give the logits to cross_entropy; sigmoid goes with binary_cross_entropy",
                when=seen.when, weight=79, **place(seen, made, call),
            )  # fmt: skip
        elif made.prim.name == "relu":
            share = float((x.array == 0).mean())
            yield Finding(
                "E4", "warn",
                f"cross_entropy gets the output of a ReLU: {share:.0%} of the scores are cut off at"
                " 0, where relu' = 0, so a score that is too low can never be raised, and no class"
                " can be ruled out.",
                "leave out the ReLU after the last layer",
                when=seen.when, weight=79, numbers={"zeros": share}, **place(seen, made, call),
            )  # fmt: skip
    for call in seen.log.all_calls(*BCE):
        x = argument(seen, call, "input")
        softmax = None if x is None else made_by_softmax(x)
        if x is None or softmax is None or x.shape[-1] < 2:
            continue
        t = argument(seen, call, "target")
        sums = None if t is None else t.array.sum(axis=-1)
        many = sums is not None and (np.abs(sums - 1) > 1e-6).any()
        several = (
            f"and the labels have {sums.min():g} to {sums.max():g} ones in a row"
            if many and sums is not None
            else "though each class is treated as a question of its own"
        )
        yield Finding(
            "E4", "error" if many else "warn",
            f"{call.short} gets a softmax over {x.shape[-1]} classes: its outputs add up to 1,"
            f" {several}. A class can become likely only where the others become unlikely.",
            "several labels at once: binary_cross_entropy_with_logits on the scores, without"
            " softmax; one label: cross_entropy on the scores",
            when=seen.when, weight=79, **place(seen, softmax, call),
        )  # fmt: skip


# ---------------------------------------------------------------------- E5
@on_pass
def squared_error_of_probabilities(seen: Pass) -> Iterator[Finding]:
    """E5: labels 0 and 1, a sigmoid or softmax, and the squared error."""
    if seen.number > 3:
        return
    for pred, target, record in compared(seen):
        made = made_by_softmax(pred) or pred.maker
        if made is None or not (made.prim.name == "sigmoid" or made.in_call("softmax")):
            continue
        t = target.array
        if target.maker is not None and target.maker.tracked:
            continue
        if set(np.unique(t).tolist()) != {0.0, 1.0} or _is_input(seen, target):
            continue
        users = seen.log.used_by().get(id(record.out), [])
        if not any(r.prim.name in ("square", "mul", "pow_scalar") for r in users):
            continue
        if record.in_call(*BCE) or record.in_call("cross_entropy"):
            continue
        p = pred.array.astype(np.float64)
        worst = float((p * (1 - p)).reshape(-1)[np.argmax(np.abs(p - t))])
        name = "sigmoid" if made.prim.name == "sigmoid" else "softmax"
        yield Finding(
            "E5", "warn",
            f"Squared error of a {name} against labels 0 and 1: its gradient is 2(p − t)·p(1 − p),"
            f" and p(1 − p) is {worst:.2g} where the error is largest now; it goes to 0 for the"
            " examples that are wrong with certainty. Cross-entropy has p − t instead.",
            "use binary_cross_entropy_with_logits (or cross_entropy) on the scores",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=45, numbers={"slope at the worst": worst},
        )  # fmt: skip
        return


def _is_input(seen: Pass, target: Value) -> bool:
    """Whether the target is what the model was given (an autoencoder)."""
    given = {id(origin(v)) for v in model_inputs(seen)}
    return id(origin(target)) in given


def model_inputs(seen: Pass) -> list[Value]:
    """The tensors that the outermost modules were called with, and no op made of parameters."""
    from_calls = []
    for call in outer_calls(seen):
        for x in call.frame.f_locals.get("args", ()):
            value = seen.log.values.get(id(getattr(x, "value", None)))
            if value is not None:
                from_calls.append(value)
    return from_calls


# ---------------------------------------------------------------------- E7
@on_pass
def softmax_over_the_batch(seen: Pass) -> Iterator[Finding]:
    """E7: the scores of a class add up to 1 over the examples."""
    if seen.number > 3:
        return
    part = Slice(seen.log, seen.loss)
    inside = {id(r) for r in part.records}
    for call in seen.log.all_calls("softmax", "log_softmax"):
        if call.outer is not None and call.outer.short in ("softmax", "log_softmax"):
            continue
        record = wrong_axis(part, inside, call)
        if record is None:
            continue
        n = record.out.shape[0]
        node = node_of(seen, record)
        arriving = norm(seen.flow.g(node)) if node is not None else 0.0
        sums = np.exp(record.out.array) if "log" in call.short else record.out.array
        yield Finding(
            "E7", "error",
            f"{call.short} runs over axis 0, the {n} examples: the columns add up to"
            f" {float(sums.sum(axis=0).mean()):.3g}, the rows to"
            f" {float(sums.sum(axis=1).min()):.2g}"
            f" to {float(sums.sum(axis=1).max()):.2g}. The examples of a batch compete with each"
            " other instead of the classes.",
            "use dim=1 (or dim=-1), the axis of the classes",
            location=seen.line(record), module=record.path, op=call.short, when=seen.when,
            weight=91, numbers={"rows": n, "arriving": arriving},
        )  # fmt: skip


def wrong_axis(part: Slice, inside: set[int], call: Call) -> Record | None:
    """The last record of a softmax over the examples: axis 0 of scores whose rows have a target
    each, and that no parameters follow.
    """
    reduced = [r for r in call.records if r.prim.name in ("sum", "amax")]
    if not reduced or reduced[0].params.get("dim") != (0,) or id(reduced[0]) not in inside:
        return None
    x = reduced[0].uses[0].value
    if x.array.ndim != 2 or x.shape[0] == x.shape[1] or x.shape[1] < 2 or not part.leaves(x):
        return None
    last, n = call.records[-1], x.shape[0]
    follows, paired = {id(last.out)}, False
    for record in part.records[part.records.index(last) + 1 :]:
        if not any(id(u.value) in follows for u in record.uses):
            continue
        follows.update(id(v) for v in record.outs)
        for use in record.uses:
            v = origin(use.value)
            if part.leaves(v) and id(v) not in follows and v is not x and v.leaf is not None:
                return None  # parameters come after it
            if v.maker is None and v.leaf is None and v.array.ndim and v.shape[0] == n:
                paired = True
    return last if paired else None


# ---------------------------------------------------------------------- E8
@on_pass
def labels_out_of_range(seen: Pass) -> Iterator[Finding]:
    """E8: targets of BCE outside of [0, 1]."""
    for call in seen.log.all_calls(*BCE):
        t = argument(seen, call, "target")
        if t is None or t.array.size == 0:
            continue
        low, high = float(t.array.min()), float(t.array.max())
        if low >= 0 and high <= 1:
            continue
        outside = float(((t.array < 0) | (t.array > 1)).mean())
        signs = set(np.unique(t.array).tolist()) == {-1.0, 1.0}
        yield Finding(
            "E8", "error",
            f"{outside:.0%} of the targets of {call.short} lie outside [0, 1]: they reach from"
            f" {low:g} to {high:g}. The loss −t·log p − (1 − t)·log(1 − p) has no lower bound for"
            " such t: the gradient p − t never becomes 0.",
            "map them to 0 and 1: (t + 1) / 2" if signs else
            "give 0 or 1 (or a probability); class numbers go with cross_entropy, pixels are"
            " divided by 255",
            location=call.location, op=call.short, when=seen.when, weight=86,
            numbers={"least": low, "largest": high},
        )  # fmt: skip
        return


# ---------------------------------------------------------------------- D9
@on_pass
def scale_of_the_targets(seen: Pass) -> Iterator[Finding]:
    """D9: targets far from where the outputs are, measured in their own spread."""
    if seen.number > 1:
        return
    for pred, target, record in compared(seen):
        t, p = target.array.astype(np.float64), pred.array.astype(np.float64)
        made = target.maker
        if t.size < 8 or (made is not None and (made.tracked or made.scope is not None)):
            continue
        if not (np.isfinite(t).all() and np.isfinite(p).all()):
            continue
        mean, spread = float(t.mean()), float(t.std())
        away = abs(float(p.mean()) - mean)
        offset = abs(mean) > 10 and away > 5 * spread and spread > 0
        if not offset and not (spread > 30 and spread > 30 * p.std()):
            continue
        rest = away**2 + spread**2
        yield Finding(
            "D9", "warn",
            f"The targets have mean {mean:.4g} and standard deviation {spread:.3g}; the outputs"
            f" begin at {p.mean():.3g} ± {p.std():.2g}. {away**2 / rest:.0%} of the squared"
            " error is"
            " the offset alone, and the gradient is as large as the targets are: the first steps,"
            " or most of the training, go into the bias.",
            "standardise the targets, (y − mean) / std, and undo it after predicting; or set the"
            " last bias to their mean",
            location=origin(target).born or record.location, module=record.path, op=record.name,
            when=seen.when, weight=60, numbers={"mean": mean, "std": spread},
        )  # fmt: skip
        return
