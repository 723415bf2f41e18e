"""What is added up to the loss: terms without a gradient (A8), regularisers (E9), signs (E10)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Record, Value
from clearprop.doctor.measure import norm, origin
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Slice
from clearprop.doctor.terms import Term, is_constant, node_of, terms

ERRORS = (
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "gaussian_nll_loss",
    "poisson_nll_loss",
)  # fmt: skip


def trained(seen: Pass) -> set[int]:
    """The tensors that learn: those of optimizers, or, where there are none, all leaves."""
    return seen.session.optimized() or {id(p) for p in seen.flow.tensors}


# ---------------------------------------------------------------------- A8
@on_pass
def terms_without_a_gradient(seen: Pass) -> Iterator[Finding]:
    """A8: a term of the sum that depends on parameters by its data, and not by the tape."""
    if seen.number > 3 or not seen.flow.order:
        return
    parts = terms(seen)
    if len(parts) < 2 or not any(t.tracked for t in parts):
        return
    learning = trained(seen)
    whole = Slice(seen.log, seen.loss)
    for term in parts:
        if term.tracked or any(t.tracked and t.value is term.value for t in parts):
            continue  # x + (y - y.detach()) is meant
        if is_constant(term.value) and term.value.source is None:
            yield from _exported(seen, term)
            continue
        leaves = [p for p in whole.leaves(term.value) if id(p) in learning]
        if not leaves:
            continue
        where, how = _where_it_left(seen, term)
        record = term.record
        yield Finding(
            "A8", "error",
            f"One of {len(parts)} terms of the loss ({term.factor:.3g} · {term.number:.4g})"
            f" depends on {len(leaves)} parameter tensors, but {how}: for the backward pass it is a"
            " constant, whose derivative is 0. It changes the loss that is printed, and nothing"
            " else.",
            "leave out detach(), no_grad() or the conversion to numbers, and detach only what is"
            " logged",
            location=where, module=record.path if record else "", when=seen.when, weight=82,
            op=record.name if record else "", numbers={"term": term.number},
        )  # fmt: skip


def _where_it_left(seen: Pass, term: Term) -> tuple[Any, str]:
    """The line where the term lost its history, and how."""
    for event in reversed(seen.session.events):
        if event.kind in ("detach", "export") and (
            event.facts["value"] is term.value or event.facts["value"] is term.value.source
        ):
            how = event.facts.get("how") or event.facts.get("what", "")
            return event.location, f"{how} ended its history"
    for record in term.part.records[::-1]:
        if not record.recording:
            return record.location, "it was computed under no_grad()"
    cut = next((c for p in term.part.leaves() for c in term.part.cuts(p)), None)
    if cut is not None:
        return cut.record.location, f"{cut.record.name} passes nothing on"
    return (term.record.location if term.record else None), "its history was cut"


def _exported(seen: Pass, term: Term) -> Iterator[Finding]:
    """A term that is a plain number: one that .item() took from the tape of this very pass?"""
    number = term.number * term.factor
    if not np.isfinite(number) or abs(number) < 1e-12:
        return
    totals: dict[Any, list[Any]] = {}
    for event in seen.session.events:
        value = event.facts.get("value")
        if (
            event.kind != "export" or not event.facts.get("tracked")
            or not isinstance(value, Value) or value.array.size != 1
            or event.step != seen.step or value.maker is None
            or seen.log.by_node.get(value.maker.seq + 1) is not value.maker
        ):  # fmt: skip
            continue
        entry = totals.setdefault((event.code, event.lasti), [0.0, event])
        entry[0] += float(value.array.reshape(-1)[0])
    for total, event in totals.values():
        ratio = number / total if total else 0.0
        if ratio and abs(float(f"{ratio:.2g}") / ratio - 1) < 1e-5:
            yield Finding(
                "A8", "error",
                f"The loss has a term that is a plain number, {number:.4g}: {ratio:.2g} times what"
                f" {event.facts['what']} took out of the tape ({total:.4g}). A Python number has no"
                " derivative: the term changes what is printed, and moves nothing.",
                "leave the term a tensor: without .item() or float()",
                location=event.location, op=event.facts["what"], when=seen.when, weight=82,
                numbers={"term": number},
            )  # fmt: skip
            return


# ---------------------------------------------------------------------- E9
@on_pass
def regularisers(seen: Pass) -> Iterator[Finding]:
    """E9: terms of parameters alone, against those of the data; and their direction."""
    if seen.number > 3:
        return
    parts = [t for t in terms(seen) if t.tracked and not is_constant(t.value)]
    penalties = [t for t in parts if not t.has_data]
    data = [t for t in parts if t.has_data]
    if not penalties or not data:
        return
    fit = norm([t.size() for t in data])
    for term in penalties:
        gradients = term.gradients()
        size = norm([norm(g) for _, g in gradients.values()] or [0.0])
        along = sum(float(np.vdot(p.value, g)) for p, g in gradients.values())
        seen.session.candidates["E9"].append((term, size, fit, along, seen.when))
    return
    yield


@on_session
def regulariser_overwhelms(session: Session) -> Iterator[Finding]:
    """E9, in all of the first passes."""
    by_line: dict[Any, list[Any]] = {}
    for entry in session.candidates["E9"]:
        record = entry[0].record
        by_line.setdefault(record and (record.code, record.lasti), []).append(entry)
    for entries in by_line.values():
        term, size, fit, along, when = entries[0]
        record = term.record
        there: dict[str, Any] = {
            "location": record.location if record else None, "op": record.name if record else "",
            "when": when, "weight": 65,
        }  # fmt: skip
        if all(e[3] < 0 and e[0].factor < 0 and e[0].number > 0 for e in entries):
            yield Finding(
                "E9", "error",
                f"The penalty of the weights has the factor {term.factor:.3g}, a minus: its"
                f" gradient points against the weights (⟨g, w⟩ = {along:.3g}), so descent makes"
                " them"
                " larger, and the loss has no lower bound.",
                "add the penalty: loss = data + λ·penalty",
                numbers={"along w": along}, **there,
            )  # fmt: skip
        elif all(e[1] > 10 * e[2] for e in entries) and len(entries) >= 2:
            ratios = [e[1] / e[2] if e[2] else float("inf") for e in entries]
            yield Finding(
                "E9", "warn",
                f"The gradient of the penalty is {min(ratios):.3g} times that of the data or more"
                f" (‖g‖ = {size:.3g} against {fit:.3g} in the first step): the weights go to 0"
                " instead of to the data.",
                f"lower its factor, {term.factor:.3g}, by {max(ratios):.1g} or more: the two should"
                " be equal only at the end",
                numbers={"ratio": min(ratios)}, **there,
            )  # fmt: skip


# ---------------------------------------------------------------------- E10
@on_pass
def sign_of_the_loss(seen: Pass) -> Iterator[Finding]:
    """E10: an error measure is maximised."""
    if seen.number > 3 or not seen.flow.order:
        return
    optimizers = seen.session.known_optimizers()
    if len(optimizers) > 1 or any(o.param_groups[0].get("maximize") for o in optimizers):
        return  # two players; or it is meant
    learning = trained(seen)
    if not any(id(p) in learning for p in seen.flow.tensors):
        return
    parts = [t for t in terms(seen) if t.tracked]
    data = [t for t in parts if t.has_data]
    if data and all(t.factor < 0 and _is_error(t) for t in data):
        term = data[0]
        record = term.record
        yield Finding(
            "E10", "error",
            f"The error ({term.number:.4g} >= 0) enters the loss with the factor {term.factor:.3g}:"
            " minimising it makes the error as large as it can get, and it has no bound.",
            "leave out the minus sign",
            location=record.location if record else None, op=record.name if record else "",
            when=seen.when, weight=84, numbers={"loss": float(seen.loss.array.reshape(-1)[0])},
        )  # fmt: skip
        return
    yield from _likelihood_is_minimised(seen)
    yield from _difference_is_minimised(seen)


def _is_error(term: Term) -> bool:
    """Whether a term measures an error: one of the losses, or a mean of squares or sizes."""
    record = term.value.maker
    if record is None or term.number < 0:
        return False
    if record.in_call(*ERRORS):
        return True
    while record is not None and record.prim.name in ("div", "mul", "sum", "reshape"):
        made = record.uses[0].value.maker
        if record.prim.name == "mul" and record.uses[0].value is record.uses[1].value:
            return _of_difference(record)
        if made is not None and made.prim.name in ("square", "abs"):
            return _of_difference(made)
        record = made
    return False


def _of_difference(record: Record) -> bool:
    made = origin(record.uses[0].value).maker
    return made is not None and made.prim.name == "sub"


def _likelihood_is_minimised(seen: Pass) -> Iterator[Finding]:
    """The gradient at log p, where p are probabilities of labels, is positive everywhere."""
    users = seen.log.used_by()
    for call in seen.log.all_calls("log_softmax", "logsigmoid", "log"):
        if call.outer is not None and call.outer.short in ("log_softmax", *ERRORS):
            continue
        last = call.records[-1] if call.records else None
        yield from _positive(seen, last, users, call.short)
    for record in seen.log.records:
        if record.prim.name == "log" and not record.calls:
            yield from _positive(seen, record, users, "log")


def _positive(seen: Pass, last: Record | None, users: Any, name: str) -> Iterator[Finding]:
    node = node_of(seen, last)
    g = None if node is None else seen.flow.g(node)
    if last is None or g is None or last.out.array.size < 2 or last.out.array.max() > 1e-6:
        return
    if name == "log" and last.uses[0].value.array.min() < 0:
        return
    some = g[g != 0]
    if not some.size or some.min() <= 0 or some.max() > 1.001 * some.min():
        return  # rewards and soft weights differ; entropies are weighted by p itself
    for use in users.get(id(last.out), []):
        if use.prim.name == "mul":
            other = [u for u in use.uses if u.value is not last.out]
            if not other or any(u.tracked or u.value.array.size < 2 for u in other):
                return
    yield Finding(
        "E10", "error",
        f"The gradient of the loss with respect to log p is positive for all {some.size} chosen"
        f" elements ({some.min():.3g}): minimising the loss makes the labels less and less likely,"
        " and log p has no lower bound.",
        "put a minus in front: -(log p).mean()",
        location=last.location, module=last.path, op=name, when=seen.when, weight=84,
        numbers={"loss": float(seen.loss.array.reshape(-1)[0])},
    )  # fmt: skip


def _difference_is_minimised(seen: Pass) -> Iterator[Finding]:
    """(pred - target).mean(): neither squared nor absolute."""
    users = seen.log.used_by()
    part = Slice(seen.log, seen.loss)
    for record in part.records:
        if record.prim.name != "sub" or record.out.array.size < 2 or len(record.uses) != 2:
            continue
        (a, b) = (u.value for u in record.uses)
        target = origin(b if part.leaves(a) else a)
        if bool(part.leaves(a)) == bool(part.leaves(b)) or target.maker is not None:
            continue
        if target.array.size < 2 or np.ptp(target.array) == 0:
            continue
        value: Value | None = record.out
        while value is not None and value is not seen.loss:
            following = users.get(id(value), [])
            if len(following) != 1 or following[0].prim.name not in (
                "sum", "div", "neg", "mul", "reshape"
            ):  # fmt: skip
                value = None
                break
            after = following[0]
            if after.prim.name == "mul" and not any(is_constant(u.value) for u in after.uses):
                value = None
                break
            value = after.out
        if value is None:
            continue
        yield Finding(
            "E10", "error",
            "The loss is the mean of prediction minus target, neither squared nor absolute: its"
            " derivative is the same constant whatever the target is, and it has no lower bound.",
            "square it (mse_loss) or take its absolute value (l1_loss)",
            location=record.location, module=record.path, op="sub", when=seen.when, weight=84,
        )  # fmt: skip
        return
