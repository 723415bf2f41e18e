"""Family G: the order of backward, step and zero_grad, and what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clearprop.doctor.findings import Finding
from clearprop.doctor.session import Event, Pass, Session, on_pass, on_session

DROPS = ("Dropout", "AlphaDropout", "FeatureAlphaDropout")


def of_kind(session: Session, *kinds: str) -> list[Event]:
    return [e for e in session.events if e.kind in kinds]


@on_session
def gradients_are_not_cleared(session: Session) -> Iterator[Finding]:
    """G1: backward adds to gradients that a step has used already, again and again."""
    stale = [e for e in of_kind(session, "backward") if e.facts.get("stale")]
    if len(stale) < 2:
        return
    steps = len(of_kind(session, "step"))
    yield Finding(
        "G1", "error",
        f"{len(stale)} of {session.backwards} backward passes added to gradients that step() had"
        f" used already ({steps} steps): .grad holds the sum over all batches so far, which grows"
        " like momentum without an end.",
        "call optimizer.zero_grad() once per step, before backward()",
        location=stale[0].location, op="backward", when="the whole run", weight=60,
        numbers={"stale": len(stale), "passes": session.backwards},
    )  # fmt: skip


@on_session
def cleared_too_early_or_no_step(session: Session) -> Iterator[Finding]:
    """G2, G3: a step without gradients, or gradients without a step."""
    late = [e for e in of_kind(session, "backward") if e.facts.get("older")]
    steps = of_kind(session, "step")
    if len(late) >= 2 and len(late) >= 0.8 * session.backwards and steps:
        yield Finding(
            "G3", "error",
            f"step() comes before backward(): in {len(late)} of {session.backwards} passes the loss"
            " was computed before the last step, and backward() ran after it. The step uses no"
            " gradient, or that of the batch before.",
            "the order is zero_grad(), backward(), step()",
            location=steps[0].location, op="step", when="the whole run", weight=61,
            numbers={"passes": len(late)},
        )  # fmt: skip
        return
    empty_after, empty_before, since = [], [], []
    for event in session.events:
        if event.kind in ("backward", "zero_grad"):
            since.append(event)
        elif event.kind == "step":
            kinds = [e.kind for e in since]
            if not event.facts["any_grad"]:
                if "backward" in kinds and kinds[-1:] == ["zero_grad"]:
                    empty_after.append((event, since[-1]))
                elif "backward" not in kinds:
                    empty_before.append(event)
            since = []
    if len(empty_after) >= 2:
        _, zero = empty_after[0]
        yield Finding(
            "G2", "error",
            f"zero_grad() stands between backward() and step(): {len(empty_after)} steps found no"
            " gradient, and moved nothing.",
            "call zero_grad() before backward(), or after step()",
            location=zero.location, op="zero_grad", when="the whole run", weight=60,
            numbers={"empty steps": len(empty_after)},
        )  # fmt: skip
    if len(empty_before) >= 2:
        yield Finding(
            "G3", "error",
            f"step() comes before backward(), or without it: {len(empty_before)} steps found no"
            " gradient of their batch.",
            "the order is zero_grad(), backward(), step()",
            location=empty_before[0].location, op="step", when="the whole run", weight=60,
            numbers={"empty steps": len(empty_before)},
        )  # fmt: skip
    passes = of_kind(session, "backward")
    if len(passes) >= 3 and not of_kind(session, "step") and session.known_optimizers():
        yield Finding(
            "G3", "error",
            f"{len(passes)} backward passes and no optimizer.step(): nothing is learnt.",
            "call optimizer.step() after backward()",
            location=passes[0].location, op="backward", when="the whole run", weight=60,
        )  # fmt: skip


@on_pass
def training_in_eval_mode(seen: Pass) -> Iterator[Finding]:
    """G4: remember passes through a model in eval mode that has dropout or batch norm."""
    for root in seen.session.modules():
        if root.training or not any(m is root for m in _scopes(seen)):
            continue
        still = [m for m in root.modules() if not m.training and _differs(m)]
        if still:
            seen.session.candidates["G4"].append((root, still, seen.event, seen.number))
    return
    yield


def _differs(module: Any) -> bool:
    """Whether a module does something else in training."""
    drops = type(module).__name__.startswith((*DROPS, "BatchNorm"))
    return drops and getattr(module, "p", 1) > 0


def _scopes(seen: Pass) -> Iterator[Any]:
    for record in seen.log.records:
        scope = record.scope
        while scope is not None:
            yield scope.module
            scope = scope.parent


@on_session
def stepped_in_eval_mode(session: Session) -> Iterator[Finding]:
    """G4, for the passes after which an optimizer moved the model's parameters."""
    optimized = session.optimized()
    found: dict[int, list[Any]] = {}
    for root, still, event, number in session.candidates["G4"]:
        at = session.events.index(event)
        kinds = (e.kind for e in session.events[at + 1 :])
        later = next((kind for kind in kinds if kind in ("step", "backward")), "")
        if later == "step" and any(id(p) in optimized for p in root.parameters()):
            found.setdefault(id(root), []).append((root, still, event, number))
    for cases in found.values():
        root, still, event, number = cases[0]
        names = {id(m): n for n, m in root.named_modules()}
        turned = [
            e for e in session.events[: session.events.index(event)]
            if e.kind == "mode" and e.facts["module"]() is root and not e.facts["training"]
        ]  # fmt: skip
        listed = ", ".join(f"{names[id(m)]} ({type(m).__name__})" for m in still[:3])
        yield Finding(
            "G4", "error",
            f"The model was in eval mode in {len(cases)} of {session.observed} observed training"
            f" steps (first in batch {number}): {listed} did not do what they do in training;"
            " eval() of a validation stays on until train() is called.",
            "call model.train() at the beginning of every epoch",
            location=turned[-1].location if turned else event.location,
            module=type(root).__name__, when=f"batch {number}", weight=50,
            numbers={"steps": len(cases)},
        )  # fmt: skip
