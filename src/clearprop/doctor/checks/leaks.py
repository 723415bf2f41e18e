"""Family F: does an output depend on what it must not depend on?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Reduce, Tensor, View, wrap
from clearprop.doctor.findings import Finding
from clearprop.doctor.flow import Flow, flow_back
from clearprop.doctor.log import Call, Log, Record
from clearprop.doctor.replay import call_again, untouched
from clearprop.doctor.session import Pass, on_pass

ROWS = 7  # a batch size that no other axis is likely to have
SEED = 3  # the example that is looked at


def outer_calls(seen: Pass) -> list[Call]:
    """The calls of outermost modules."""
    return [
        c for c in seen.log.calls.values()
        if c.name == "nn.module.__call__" and c.outer is None and c.scope is not None
        and c.scope.parent is None
    ]  # fmt: skip


def seeded(y: Tensor, index: Any, log: Log) -> Flow:
    """The backward pass of some random weights on y[index] alone."""
    g = np.zeros(y.shape, y.value.dtype)
    g[index] = np.random.default_rng(0).uniform(0.5, 1.5, g[index].shape)
    return flow_back([y], [wrap(g, None)], log)


def rows_of(a: np.ndarray) -> list[set[int]]:
    """Which examples an array belongs to, by every reading of its axes: one set for each."""
    readings = []
    for axis, n in enumerate(a.shape):
        if n == ROWS:
            other = tuple(i for i in range(a.ndim) if i != axis)
            readings.append(set(np.flatnonzero(np.abs(a).max(axis=other) > 0).tolist()))
    if not readings and a.ndim and a.shape[0] and a.shape[0] % ROWS == 0:
        flat = np.abs(a).reshape(ROWS, -1)
        readings.append(set(np.flatnonzero(flat.max(axis=1) > 0).tolist()))
    return readings


def clean(a: np.ndarray) -> bool | None:
    """Whether only the seeded example is touched; None where the array has no batch axis."""
    readings = rows_of(a)
    return any(r <= {SEED} for r in readings) if readings else None


@on_pass
def examples_mix(seen: Pass) -> Iterator[Finding]:
    """F1, F2: the outermost module, on its first rows in eval mode: the gradient of one example's
    output, at every node, touches that example alone.
    """
    if seen.number > 1:
        return
    for call in outer_calls(seen)[:2]:
        again = call_again(call, ROWS)
        if again is None:
            continue
        outputs, log = again
        y = next((t for t in outputs if t.ndim and t.shape[0] == ROWS), None)
        if y is None or any(n == ROWS for n in y.shape[1:]):
            continue
        flow = seeded(y, SEED, log)
        for node in flow.order:
            g, parts = flow.g(node), flow.passed.get(node)
            if g is None or parts is None or clean(g) is not True:
                continue
            for part in parts:
                if part is None or part.ndim == 0 or clean(part) is not False:
                    continue
                record = flow.record(node)
                if record is None or _is_weight(node, part, parts):
                    continue
                yield _mixing(seen, record)
                return


def _is_weight(node: Any, part: np.ndarray, parts: Any) -> bool:
    """Whether this part goes to parameters, which all examples share."""
    edge = node.edges[[p is part for p in parts].index(True)]
    return edge is not None and all(e is None for e in edge.edges)


def _mixing(seen: Pass, record: Record) -> Finding:
    reduces = isinstance(record.prim.lower, Reduce) or record.in_call("softmax", "log_softmax")
    where: dict[str, Any] = {
        "location": record.location, "module": record.path, "op": record.name, "when": seen.when,
        "weight": 88,
    }  # fmt: skip
    if reduces:
        return Finding(
            "F2", "error",
            f"{record.name} runs over the axis of the batch: the output of one example depends on"
            " the other examples in its batch, in eval mode, too.",
            "reduce over the axis of the features or classes: dim=1 or dim=-1",
            **where,
        )  # fmt: skip
    shape = f" from {list(record.uses[0].value.shape)} to {list(record.out.shape)}"
    moved = shape if isinstance(record.prim.lower, View) else ""
    return Finding(
        "F1", "error",
        f"{record.name}{moved} mixes examples: with a gradient for the output of one example alone,"
        " the inputs of others get a gradient, too. A reshape keeps the order in memory; it does"
        " not move the batch axis.",
        "put the batch axis first before the reshape: x.transpose(0, 1).reshape(batch, -1), or"
        " torch.cat([x[-2], x[-1]], dim=1)",
        **where,
    )  # fmt: skip


# ---------------------------------------------------------------------- the future
@on_pass
def sees_the_future(seen: Pass) -> Iterator[Finding]:
    """F3: a model whose targets are its inputs one step later, and whose output at t gets a
    gradient from inputs after t.
    """
    if seen.number > 1:
        return
    for call in outer_calls(seen)[:1]:
        given = [t for t in _tensors(call) if t.ndim >= 2 and t.shape[1] > 3]
        if not given or not _predicts_the_next(seen, given[0].value):
            continue
        steps = given[0].shape[1]
        again = call_again(call, 3)
        if again is None:
            continue
        outputs, log = again
        y = next((t for t in outputs if t.ndim == 3 and t.shape[1] == steps), None)
        if y is None:
            continue
        t = steps // 2
        with untouched():
            flow = seeded(y, (0, t), log)
        leak = _first_leak(flow, steps, t)
        if leak is None:
            continue
        record = _mask_before(log, leak)
        yield Finding(
            "F3", "error",
            f"The output at step {t} gets a gradient from inputs after step {t}, although the"
            " targets are the inputs one step later: the model reads what it should predict.",
            "mask all positions after t: tril(ones(n, n), diagonal=0), or is_causal=True; or shift"
            " the targets",
            location=record.location, module=record.path, op=record.name, when=seen.when,
            weight=88, numbers={"step": t},
        )  # fmt: skip
        return


def _tensors(call: Call) -> list[Tensor]:
    return [a for a in call.frame.f_locals.get("args", ()) if isinstance(a, Tensor)]


def _predicts_the_next(seen: Pass, x: np.ndarray) -> bool:
    """Whether some other data of the pass is x one step later."""
    later = x[:, 1:]
    seen_ids = set()
    for record in seen.log.records:
        for use in record.uses:
            a = use.value.array
            if id(a) in seen_ids or a is x or a.size != x.size or a.dtype.kind != x.dtype.kind:
                continue
            seen_ids.add(id(a))
            b = a.reshape(x.shape)
            if np.array_equal(b[:, :-1], later) and not np.array_equal(b, x):
                return True
    return False


def _first_leak(flow: Flow, steps: int, t: int) -> Record | None:
    """The node nearest to the output at which positions after t get a gradient."""
    for node in flow.order:
        parts, record = flow.passed.get(node), flow.record(node)
        if parts is None or record is None:
            continue
        for part in parts:
            if part is None or part.ndim != 3 or part.shape[1] != steps or part.shape[2] == steps:
                continue
            if np.abs(part[0, t + 1 :]).max() > 0:
                return record
    return None


def _mask_before(log: Log, record: Record) -> Record:
    """The mask that should have stopped it: the last where() before; else the softmax; else it."""
    before = log.records[: log.records.index(record) + 1]
    for names in (("where",), ("exp",)):
        found = [r for r in before if r.prim.name in names]
        if found:
            return found[-1]
    return record
