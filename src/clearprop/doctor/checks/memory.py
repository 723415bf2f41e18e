"""History that outlives its step: carried on (G11), or kept in a list (G12)."""

from __future__ import annotations

import gc
import linecache
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Leaf, Location, Tensor
from clearprop.core.provenance import user_frame
from clearprop.doctor.findings import Finding
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Slice


@on_pass
def history_from_before_the_step(seen: Pass) -> Iterator[Finding]:
    """G11: the tape behind this loss goes back beyond the last step."""
    session, flow = seen.session, seen.flow
    if not session.steps:
        return
    old = [n for n in flow.order if not isinstance(n, Leaf) and _seq(n) < session.born_before]
    session.candidates["tape"].append((seen.number, len(flow.order), len(old)))
    if not old:
        return
    known = {id(n) for n in old}
    for node in reversed(flow.order):
        record = flow.record(node)
        if record is None or id(node) in known:
            continue
        if any(id(edge) in known for edge in node.edges):
            session.candidates["carried"].append(record)
            return
    return
    yield


def _seq(node: Any) -> int:
    return int(getattr(getattr(node, "main", node), "seq", sys.maxsize))


@on_session
def history_grows(session: Session) -> Iterator[Finding]:
    tape = session.candidates["tape"]
    late = [(number, size) for number, size, old in tape if old]
    if len(late) < 3 or not session.candidates["carried"]:
        return
    numbers, sizes = zip(*late, strict=True)
    if not all(np.diff(sizes) > 0):
        return
    record = session.candidates["carried"][0]
    rate = (sizes[-1] - sizes[0]) / max(numbers[-1] - numbers[0], 1)
    yield Finding(
        "G11", "error",
        f"The tape behind the loss grows by about {rate:.3g} nodes per step ({sizes[0]} in batch"
        f" {numbers[0]}, {sizes[-1]} in batch {numbers[-1]}): {record.name} takes up a value with"
        " its history from before the last step, and every backward pass goes through all of it.",
        "detach what is carried on, once per window: h = h.detach()",
        location=record.location, module=record.path, op=record.name, when="the whole run",
        weight=93, numbers={"nodes per step": rate},
    )  # fmt: skip


# ---------------------------------------------------------------------- G12
@on_pass
def losses_that_are_kept(seen: Pass) -> Iterator[Finding]:
    """G12: the losses of earlier steps are still there, with their tape."""
    session = seen.session
    alive = [
        (number, t) for number, ref in session.outputs
        if number < seen.number - 1 and (t := ref()) is not None and t.node is not None
        and not isinstance(t.node, Leaf)
    ]  # fmt: skip
    if len(alive) >= 8 and len(alive) >= 0.5 * seen.number:
        session.candidates["kept"].append((len(alive), _holder(alive[-1][1]), seen.event.location))
    _sums_of_losses(seen)
    return
    yield


def _holder(t: Tensor) -> Location | None:
    """The line that put the tensor into a list of the program."""
    frame = user_frame(sys._getframe(1))
    lists = [r for r in gc.get_referrers(t) if isinstance(r, list | tuple | dict)]
    depth = 0
    while frame is not None and depth < 20:
        places = {**frame.f_globals, **frame.f_locals}
        for name, value in list(places.items()):
            held = any(value is r for r in lists) or (
                hasattr(value, "__dict__")
                and any(v is r for r in lists for v in vars(value).values())
            )
            if held and isinstance(name, str):
                return _written(frame.f_code.co_filename, name)
        for value in list(places.values()):
            inner = getattr(value, "__dict__", None)
            if isinstance(inner, dict):
                for name, v in inner.items():
                    if any(v is r for r in lists):
                        return _written(frame.f_code.co_filename, str(name))
        frame, depth = frame.f_back, depth + 1
    return None


def _written(file: str, name: str) -> Location | None:
    pattern = re.compile(
        rf"\b{re.escape(name)}(\[[^]]*\])?\s*(\.(append|extend|add|insert)\(|\+=|\[)"
    )
    for i, text in enumerate(linecache.getlines(file), 1):
        if pattern.search(text):
            return Location(file, i, "")
    return None


def _sums_of_losses(seen: Pass) -> None:
    """total = total + loss: a sum that is on the tape, takes a loss that is finished, and leads to
    no loss of its own.
    """
    session = seen.session
    inside = {id(r) for r in Slice(seen.log, seen.loss).records}
    outputs = {id(t.value) for _, ref in session.outputs if (t := ref()) is not None}
    known = session.candidates["sums"]
    for record in seen.log.records:
        if record.prim.name not in ("add", "concat") or record.out.array.size != 1:
            continue
        if not record.tracked or id(record) in inside:
            continue
        finished = any(id(u.value.array) in outputs for u in record.uses)
        carried = any(u.value.maker is None and u.tracked for u in record.uses)
        if finished or carried:
            known.append((record, seen.number))


@on_session
def history_is_kept(session: Session) -> Iterator[Finding]:
    kept = session.candidates["kept"]
    if kept:
        n, where, line = kept[-1]
        yield Finding(
            "G12", "warn",
            f"{n} losses of earlier steps are still in memory, each with the whole graph that"
            " it was"
            " computed by: memory grows with every step.",
            "keep numbers: history.append(loss.item()), or loss.detach()",
            location=where or line, op="append", when="the whole run", weight=48,
            numbers={"kept": n},
        )  # fmt: skip
    sums: dict[Any, list[Any]] = {}
    for record, number in session.candidates["sums"]:
        sums.setdefault((record.code, record.lasti), []).append((record, number))
    for entries in sums.values():
        if len({number for _, number in entries}) < 4 or kept:
            continue
        record = entries[0][0]
        yield Finding(
            "G12", "warn",
            f"Losses are added up with their history ({session.backwards} of them): the sum holds"
            " the graphs of all steps so far, and memory grows with every step.",
            "add numbers: total += loss.item()",
            location=record.location, op=record.name, when="the whole run", weight=48,
            numbers={"observed": len(entries)},
        )  # fmt: skip
        return
