"""What a step does: too far (G6), not at all (G7), uphill (G8), by decay (G9), by clipping
(G10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.core import Location
from clearprop.core.tensor import grad_of
from clearprop.doctor.findings import Finding
from clearprop.doctor.measure import norm
from clearprop.doctor.replay import reevaluate, untouched
from clearprop.doctor.session import Event, Pass, Session, on_pass, on_session, on_step
from clearprop.doctor.slices import Slice

MOST_WORK = 4e8  # numbers of a pass above which the loss is not evaluated again


@dataclass
class Probe:
    """A step that followed an observed pass: the loss before and after it; the longest part of it
    (a half, a quarter, ...) that lowers the loss, if the whole does not; a longer one that lowers
    it much more, if it is tiny; ⟨Δθ, g⟩ and its cosine; ‖Δθ‖/‖θ‖ of the weights.
    """

    number: int
    loss: float
    after: float
    part: tuple[float, float] | None
    longer: tuple[float, float] | None
    along: float
    cosine: float
    ratio: float
    summed: bool
    where: Location | None


@on_pass
def what_the_step_will_do(seen: Pass) -> Iterator[Finding]:
    """Keep what is needed to evaluate this loss again when the step is done."""
    if not np.isfinite(seen.loss.array).all() or seen.loss.array.size != 1:
        return
    params = [p for p in seen.flow.tensors if p.is_leaf]
    if not params or seen.flow.error is not None:
        return
    before = [(p, p.value, p.value.copy(), seen.flow.leaves[id(p)]) for p in params]
    part = Slice(seen.log, seen.loss)
    size = sum(v.array.size for r in part.records for v in r.outs)
    if size * 3 > MOST_WORK:
        return
    session, number, loss = seen.session, seen.number, float(seen.loss.array.reshape(-1)[0])
    # A pass before the step of others (several losses) is no step of this loss alone.
    passes = session.backwards

    def look() -> Iterator[Finding]:
        if session.backwards == passes:
            probe = _probe(part, before, number, loss)
            if probe is not None:
                session.candidates["probe"].append(probe)
        return
        yield

    session.followups.append(look)
    return
    yield


def _probe(part: Slice, before: list[Any], number: int, loss: float) -> Probe | None:
    moves = []
    for p, array, old, g in before:
        new = p.value
        if new.shape == old.shape and new.dtype.kind == "f":
            moves.append((array, old, new.astype(np.float64) - old, g, p))
    if not any(d.any() for _, _, d, _, _ in moves):
        return None

    def at(scale: float) -> float:
        changed = {
            id(array): (old + scale * d).astype(old.dtype, copy=False)
            for array, old, d, _, _ in moves
        }
        with untouched(), np.errstate(all="ignore"):
            return reevaluate(part, changed)

    along = sum(float(np.vdot(d, g)) for _, _, d, g, _ in moves)
    step = norm([norm(d) for _, _, d, _, _ in moves])
    gradient = norm([norm(g) for _, _, _, g, _ in moves])
    ratios = [norm(d) / norm(old) for _, old, d, _, _ in moves if old.ndim >= 2 and norm(old)]
    cosine = along / (step * gradient) if step and gradient else 0.0
    ratio = max(ratios) if ratios else step
    after = at(1.0)
    shorter = (0.5**k for k in range(1, 24)) if not after <= loss and along < 0 else ()
    works = next(((c, v) for c in shorter if (v := at(c)) < loss), None)
    longer = None
    if ratio < 1e-4 and along < 0:
        tried = [(c, at(c)) for c in (1e2, 1e3, 1e4, 1e5)]
        longer = min((t for t in tried if t[1] < loss), key=lambda t: t[1], default=None)
    last = part.target.maker
    return Probe(
        number, loss, after, works, longer, along, cosine, ratio,
        last is not None and last.prim.name == "sum", last.location if last is not None else None,
    )  # fmt: skip


def made_at(session: Session) -> Location | None:
    """The line that made the optimizer."""
    event = next((e for e in session.events if e.kind == "optimizer"), None)
    return event.location if event is not None else None


def rates(session: Session) -> list[float]:
    return [e.facts["lr"] for e in session.events if e.kind == "step"]


# ---------------------------------------------------------------------- G6
@on_session
def learning_rate_too_high(session: Session) -> Iterator[Finding]:
    """G6 (or E7, where the loss is a sum over the batch): the step overshoots, again and again, and
    a 16th of it would not have; and the run gets nowhere.
    """
    probes: list[Probe] = session.candidates["probe"]
    over = [
        q for q in probes
        if not q.after <= q.loss + 0.02 * abs(q.loss) and q.part is not None and q.part[0] < 0.5
    ]  # fmt: skip
    early = [q for q in probes if q.number <= 5]
    gained = session.improvement()
    if len(over) < 2 or len(over) < 0.5 * min(len(probes), 5):
        return
    if gained is not None and gained > 0.3:
        return
    probe = over[0]
    rows = [e.facts.get("lr") for e in session.events if e.kind == "step"]
    lr = float(rows[0] or 0.0) if rows else 0.0
    where = made_at(session) or (session.events[0].location if session.events else None)
    scale, lower = probe.part or (1.0, probe.loss)
    grown = probe.after / probe.loss if probe.loss else float("inf")
    measured = (
        f"In {len(over)} of {len(probes)} observed steps the loss of the same batch is higher after"
        f" the step than before it (first: {probe.loss:.4g} → {probe.after:.4g}, ×{grown:.3g}),"
        f" and {scale:.2g} of the step lowers it (to {lower:.4g}): the steps overshoot."
    )
    if probe.summed and len(early) >= 1:
        yield Finding(
            "E7", "error",
            "The loss is the sum over the batch instead of the mean, so the gradient, and with it"
            f" the step, grows with the batch size. {measured}",
            "use the mean (reduction='mean'), or divide the learning rate by the batch size",
            location=probe.where, op="sum", when=f"batch {probe.number}", weight=97,
            numbers={"before": probe.loss, "after": probe.after},
        )  # fmt: skip
        return
    yield Finding(
        "G6", "error",
        f"{measured} The learning rate is {lr:.3g}; the loss goes down only if it is below"
        " 2/curvature.",
        f"lower the learning rate: {lr * scale / 2:.2g} works for this batch",
        location=where, op="step", when=f"batch {probe.number}", weight=96,
        numbers={"before": probe.loss, "after": probe.after, "part that works": scale},
    )  # fmt: skip


# ---------------------------------------------------------------------- G7
@on_session
def learning_rate_too_low(session: Session) -> Iterator[Finding]:
    """G7: the weights hardly move, the loss does not either, and a step 100 times as long would
    lower it; or the rate has decayed to nothing for a large part of the run.
    """
    lrs = rates(session)
    if len(lrs) >= 20 and max(lrs) > 0:
        peak = int(np.argmax(lrs))
        low = [v for v in lrs[peak:] if v < 1e-3 * lrs[peak]]
        schedules = [e for e in session.events if e.kind == "schedule"]
        if len(low) > 0.4 * len(lrs) and schedules:
            yield Finding(
                "G7", "warn",
                f"The learning rate falls from {lrs[peak]:.3g} to {lrs[-1]:.3g}, and is under a"
                f" thousandth of its start in {len(low)} of {len(lrs)} steps: the weights stand"
                f" still. scheduler.step() was called {len(schedules)} times in {len(lrs)} steps.",
                "call scheduler.step() once per epoch, or give it the number of steps as its"
                " horizon",
                location=schedules[len(schedules) // 2].location, op="scheduler.step",
                when="the whole run", weight=58,
                numbers={"first": lrs[peak], "last": lrs[-1], "steps": len(lrs)},
            )  # fmt: skip
            return
    probes: list[Probe] = session.candidates["probe"]
    gained = session.improvement()
    if len(probes) < 6 or session.backwards < 40 or gained is None or abs(gained) > 0.02:
        return
    useful = [q for q in probes if q.longer and q.longer[1] < q.loss - 0.02 * abs(q.loss)]
    slow = [q for q in probes if q.ratio < 2e-5]
    if len(slow) < 0.8 * len(probes) or len(useful) < 0.6 * len(probes):
        return
    probe = useful[-1]
    assert probe.longer is not None
    times, lower = probe.longer
    ratio = float(np.median([q.ratio for q in probes]))
    yield Finding(
        "G7", "warn",
        f"A step changes the weights by {ratio:.1g} of their size (1e-3 is usual), and the loss has"
        f" changed by {gained:.2%} in {session.backwards} steps. A step {times:g} times as"
        f" long would take the loss of its batch from {probe.loss:.4g} to {lower:.4g}.",
        f"raise the learning rate, {lrs[-1] if lrs else 0:.1g}: {times:g} times that lowers the"
        " loss",
        location=made_at(session), op="step", when="the whole run", weight=58,
        numbers={"ratio": ratio, "gained": gained},
    )  # fmt: skip


# ---------------------------------------------------------------------- G8
@on_session
def uphill(session: Session) -> Iterator[Finding]:
    """G8: the steps go along the gradient instead of against it."""
    probes: list[Probe] = session.candidates["probe"]
    up = [q for q in probes if q.cosine > 0.1 and q.after > q.loss]
    if len(up) < 2 or len(up) < 0.6 * len(probes):
        return
    probe = up[0]
    steps = [e for e in session.events if e.kind == "step"]
    written = session.candidates["written"]
    optimizers = session.known_optimizers()
    flag = any(o.param_groups[0].get("maximize") for o in optimizers)
    location = made_at(session) if flag else steps[0].location if steps else None
    if not steps and written:
        location = written[0]
    yield Finding(
        "G8", "error",
        f"The step goes up: ⟨Δθ, g⟩ = {probe.along:.3g} > 0 (cosine {probe.cosine:.2f}) in"
        f" {len(up)}"
        f" of {len(probes)} observed steps, and the loss of the same batch rises from"
        f" {probe.loss:.4g} to {probe.after:.4g}. Descent is Δθ = −lr·g.",
        "leave out maximize=True" if flag else "subtract: p -= lr * p.grad",
        location=location, op="step", when=f"batch {probe.number}", weight=94,
        numbers={"along": probe.along, "cosine": probe.cosine},
    )  # fmt: skip


# ---------------------------------------------------------------------- writes to parameters
@on_pass
def what_was_written(seen: Pass) -> Iterator[Finding]:
    """Writes to leaves since the last pass, by the program's own lines: for G8, and G9 where a
    weight is multiplied by a number above 1, or well below.
    """
    session = seen.session
    for write in seen.log.writes:
        before, record = write.before, write.record
        if before is None or record is None or record.location is None:
            continue
        session.candidates["written"].append(record.location)
        old = before.astype(np.float64).reshape(-1)
        new = write.array.astype(np.float64).reshape(-1)
        if old.shape != new.shape or before.ndim < 2 or not np.abs(old).max() > 0:
            continue
        c = float(np.vdot(old, new) / np.vdot(old, old))
        if np.abs(new - c * old).max() < 1e-5 * np.abs(old).max() and abs(c - 1) > 1e-7:
            session.candidates["scaled"].append((c, record, seen.number))
    return
    yield


@on_session
def weights_are_scaled(session: Session) -> Iterator[Finding]:
    """G9, for decay by hand."""
    scaled = session.candidates["scaled"]
    passes = {number for *_, number in scaled}
    up = [e for e in scaled if e[0] > 1]
    strong = [e for e in scaled if 0 < e[0] < 0.9]
    if len(passes) < 3 or (not session.steps and not session.backwards):
        return
    if len(up) == len(scaled):
        c, record, _ = up[0]
        yield Finding(
            "G9", "error",
            f"The weights are multiplied by {c:.6g} > 1 in every step: ⟨Δw, w⟩ > 0, so this decay"
            f" makes them grow, by a factor of {c**100:.3g} in 100 steps.",
            "weight decay takes away: p.mul_(1 - lr * decay)",
            location=record.location, op=record.name, when="the whole run", weight=66,
            numbers={"factor": c},
        )  # fmt: skip
    elif len(strong) == len(scaled):
        c, record, _ = strong[0]
        yield Finding(
            "G9", "warn",
            f"The weights are multiplied by {c:.3g} in every step: nothing of what was learnt"
            f" {int(np.ceil(np.log(0.01) / np.log(c)))} steps ago is left.",
            "lower the decay: lr·λ of 1e-5 to 1e-3 is usual",
            location=record.location, op=record.name, when="the whole run", weight=66,
            numbers={"factor": c},
        )  # fmt: skip


@on_step
def decay_of_the_optimizer(session: Session, event: Event) -> Iterator[Finding]:
    """G9: λ·lr > 0.1, or a coupled decay that outweighs the gradient; and gradients changed along
    the weights by hand. G10: a gradient that was clipped into nowhere.
    """
    optimizer = event.facts["optimizer"]()
    group = optimizer.param_groups[0]
    decay, lr = float(group.get("weight_decay") or 0.0), float(group.get("lr") or 0.0)
    params = [p for p in group["params"] if p.ndim >= 2 and grad_of(p) is not None]
    if decay * lr > 0.1:
        session.candidates["decay"].append((decay, lr, 0.0))
    elif decay and params and session.steps < 3 and "decoupled" not in type(optimizer).__name__:
        pull = decay * norm([norm(p.value) for p in params])
        push = norm([norm(grad_of(p).value) for p in params])  # type: ignore[union-attr]
        coupled = type(optimizer).__name__ != "AdamW" and not group.get("decoupled_weight_decay")
        if coupled and pull > 10 * push > 0:
            session.candidates["decay"].append((decay, lr, pull / push))
    _clipped_copies(session, optimizer)
    return
    yield


def _clipped_copies(session: Session, optimizer: Any) -> None:
    """Clamps of gradients whose result nobody used."""
    grads = {
        id(g.value) for group in optimizer.param_groups for p in group["params"]
        if (g := grad_of(p)) is not None
    }  # fmt: skip
    written = {id(w.record) for w in session.log.writes}
    used = {id(u.value) for r in session.log.records for u in r.uses}
    for record in session.log.records:
        if (
            record.prim.name in ("clamp", "minimum", "maximum")
            and id(record.uses[0].value.array) in grads
            and id(record) not in written and id(record.out) not in used
        ):  # fmt: skip
            now = session.log.values.get(id(record.out.array))
            kept = any(
                (g := grad_of(p)) is not None and g.value is record.out.array
                for group in optimizer.param_groups for p in group["params"]
            )  # fmt: skip
            if not kept and now is record.out:
                session.candidates["clipped copy"].append((record, session.steps))


@on_session
def decay_too_strong(session: Session) -> Iterator[Finding]:
    found = session.candidates["decay"]
    if not found:
        return
    decay, lr, ratio = found[0]
    if ratio and len(found) < 2:
        return
    reason = (
        f"in the first steps λ·‖w‖ is {ratio:.3g} times the gradient of the loss"
        if ratio
        else f"lr·λ = {lr * decay:.3g}, so every step takes {min(lr * decay, 1):.0%} of each weight"
    )
    yield Finding(
        "G9", "warn",
        f"The weight decay λ = {decay:g} outweighs what the data say: {reason}. Δw = −lr·(g + λw)"
        " drives the weights to 0.",
        "lower weight_decay: 1e-5 to 1e-2 is usual",
        location=made_at(session), op="step", when="batch 1", weight=64,
        numbers={"decay": decay, "lr": lr},
    )  # fmt: skip


# ---------------------------------------------------------------------- G10
@on_session
def clipping(session: Session) -> Iterator[Finding]:
    """G10: after the step, of a copy, or down to nothing."""
    copies = session.candidates["clipped copy"]
    if len({step for _, step in copies}) >= 2:
        record = copies[0][0]
        yield Finding(
            "G10", "error",
            f"{record.name}() of a gradient makes a clipped copy that nothing uses ({len(copies)}"
            f" times in {session.steps} steps): the gradient itself stays as it is.",
            "clip in place: p.grad.clamp_(-c, c), or nn.utils.clip_grad_value_(parameters, c)",
            location=record.location, op=record.name, when="the whole run", weight=56,
            numbers={"copies": len(copies)},
        )  # fmt: skip
    clips = [e for e in session.events if e.kind == "clip"]
    late, useful, state = [], 0, ""
    for event in session.events:
        if event.kind in ("backward", "step", "zero_grad"):
            state = event.kind
        elif event.kind == "clip":
            if state == "backward":
                useful += 1
            elif state:
                late.append((event, state))
    if len(late) >= 2 and not useful:
        event, state = late[0]
        what = "step() has used the gradient already" if state == "step" else "there is none yet"
        yield Finding(
            "G10", "error",
            f"{event.facts['function']} runs when {what}: in {len(late)} steps it changed nothing"
            " that any step used.",
            "clip between backward() and step()",
            location=event.location, op=event.facts["function"], when="the whole run", weight=56,
            numbers={"clips": len(late)},
        )  # fmt: skip
        return
    factors = [
        e.facts["limit"] / e.facts["norm"] for e in clips
        if e.facts["norm"] and np.isfinite(e.facts["norm"])
    ]  # fmt: skip
    if len(factors) >= 5 and np.quantile(factors, 0.9) < 1e-2:
        event = clips[0]
        yield Finding(
            "G10", "warn",
            f"Clipping shortens the gradient to {np.median(factors):.1g} of its length in the"
            f" median, in {len(factors)} of {len(factors)} steps to under a hundredth: the limit"
            f" {event.facts['limit']:g} is far below the usual norm"
            f" {np.median([e.facts['norm'] for e in clips if e.facts['norm']]):.3g}, so all that is"
            " left of the gradient is its direction.",
            "choose the limit at about the largest norms of a healthy run",
            location=event.location, op=event.facts["function"], when="the whole run", weight=54,
            numbers={"factor": float(np.median(factors))},
        )  # fmt: skip
