"""Family F: does an output depend on what it must not depend on?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Reduce, Tensor, View, wrap
from clearprop.core.tree import tensors_in
from clearprop.doctor.findings import Finding
from clearprop.doctor.flow import Flow, flow_back
from clearprop.doctor.log import Call, Log, Record
from clearprop.doctor.replay import Again, call_again
from clearprop.doctor.session import Pass, on_pass

SIZES = (11, 13, 7, 5, 3)  # batch sizes that few other axes have


def outer_calls(seen: Pass) -> list[Call]:
    """The calls of outermost modules."""
    return [call for _, call in seen.log.outermost.values() if call is not None]


def seeded(y: Tensor, index: Any, log: Log) -> Flow:
    """The backward pass of some random weights on y[index] alone."""
    g = np.zeros(y.shape, y.value.dtype)
    g[index] = np.random.default_rng(0).uniform(0.5, 1.5, g[index].shape)
    return flow_back([y], [wrap(g, None)], log)


def supports(a: np.ndarray, n: int) -> list[set[int]]:
    """Along which of n entries an array is not 0, by every reading of its axes: an axis of n,
    or one
    of a multiple, which n is the outer or inner part of.
    """
    readings = []
    size = np.abs(a)
    for axis, length in enumerate(a.shape):
        if length % n or not length:
            continue
        along = size.max(axis=tuple(i for i in range(a.ndim) if i != axis))
        parts = [along.reshape(n, -1).max(axis=1)]
        if length > n:
            parts.append(along.reshape(-1, n).max(axis=0))
        readings += [set(np.flatnonzero(p > 0).tolist()) for p in parts]
    return readings


def clean(a: np.ndarray, n: int, allowed: set[int]) -> bool | None:
    """Whether nothing but the allowed entries is touched; None where no axis is such."""
    readings = supports(a, n)
    return any(r <= allowed for r in readings) if readings else None


def size_for(call: Call, n: int) -> int | None:
    """How many rows to call the module again with."""
    module = call.args["self"]
    taken = {d for p in module.parameters() for d in p.shape}
    taken |= {d for t in given(call) for d in t.shape[1:]}
    return next((r for r in SIZES if r <= n and not any(d % r == 0 for d in taken)), None)


def given(call: Call) -> list[Tensor]:
    """The tensors that a module was called with."""
    frame = call.frame.f_locals
    return [t for t in tensors_in((frame.get("args", ()), frame.get("kwargs", {}))) if t.ndim]


def depends(log: Log, again: Again) -> set[int]:
    """The values that the given tensors go into, by id."""
    out = {id(log.value(t)) for t in again.inputs}
    for record in log.records:
        if any(id(u.value) in out for u in record.uses):
            out.update(id(v) for v in record.outs)
    return out


@on_pass
def examples_mix(seen: Pass) -> Iterator[Finding]:
    """F1, F2: the outermost module, on its first rows in eval mode: when the other rows change, the
    output of one row must not; and the gradient of one row's output, at every node, touches that
    row alone.
    """
    if seen.number > 1:
        return
    for call in outer_calls(seen)[:2]:
        tensors = given(call)
        n = size_for(call, tensors[0].shape[0]) if tensors else None
        if n is None or n < 3:
            continue
        again = call_again(call, n)
        if again is None or not _mixes(call, n, again):
            continue
        y = again.outputs[0]
        row = n // 2
        flow, inside = seeded(y, row, again.log), depends(again.log, again)
        for node in flow.order:
            record, parts, g = flow.record(node), flow.passed.get(node), flow.g(node)
            if record is None or parts is None or g is None or clean(g, n, {row}) is False:
                continue
            for use, part in zip(record.uses, parts, strict=False):
                if part is None or part.ndim == 0 or id(use.value) not in inside:
                    continue
                if clean(part, n, {row}) is False:
                    if not _standardises(record):
                        yield _mixing(seen, record)
                    return


def _standardises(record: Record) -> bool:
    """Whether each channel has a mean or deviation over all the rest: batch norm by hand."""
    if not record.in_call("mean", "std", "var", "std_mean", "var_mean"):
        return False
    dims, ndim = record.params.get("dim", ()), record.uses[0].value.array.ndim
    return record.prim.name == "sum" and len(dims) == ndim - 1


def _mixes(call: Call, n: int, again: Again) -> bool:
    """Whether a row's output changes with the other rows (and axis 0 is no axis of time)."""
    if not again.outputs or again.outputs[0].ndim == 0 or again.outputs[0].shape[0] != n:
        return False
    y = again.outputs[0]
    if any(k == n for k in y.shape[1:]) or y.value.dtype.kind != "f":
        return False
    if any(_of_the_batch(r) for r in again.log.records):
        return False  # statistics of the batch are meant
    row = n // 2
    moved = _row_moves(call, n, y.value, row, [i for i in range(n) if i != row])
    if not moved:
        return False
    later = _row_moves(call, n, y.value, row, list(range(row + 1, n)))
    earlier = _row_moves(call, n, y.value, row, list(range(row)))
    if later is not True or earlier is not True:
        return False  # one-sided: time
    x = again.inputs[0]
    if x.ndim < (3 if x.value.dtype.kind == "f" else 2):
        recurrent = any(r.prim.name in RECURRENT for r in again.log.records)
        return not recurrent  # of one sequence without a batch
    return not _second_axis_is_the_batch(call, n, y.value, x.shape[1])


def _of_the_batch(r: Record) -> bool:
    return r.prim.name == "standardise" and r.params.get("dims", ())[:1] == (0,)


RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def _row_moves(
    call: Call, n: int, y: np.ndarray, row: int, others: list[int], axis: int = 0
) -> bool | None:
    """Whether y at `row` changes when the `others` are exchanged for rows of another part."""

    def change(a: np.ndarray) -> np.ndarray:
        if a.ndim <= axis or a.shape[axis] <= max(others, default=0):
            return a
        out = a.copy()
        index: list[Any] = [slice(None)] * a.ndim
        index[axis] = others
        some = out[tuple(index)]
        if a.dtype.kind == "f":
            out[tuple(index)] = np.flip(some) * 0.7 + 0.1
        else:
            out[tuple(index)] = np.flip(some)
        return out

    again = call_again(call, n, change)
    if again is None or not again.outputs or again.outputs[0].shape != y.shape:
        return None
    at: list[Any] = [slice(None)] * y.ndim
    at[axis] = row
    now, then = again.outputs[0].value[tuple(at)], y[tuple(at)]
    scale = float(np.abs(then).max()) or 1.0
    return bool(np.abs(now - then).max() > 1e-4 * scale)


def _second_axis_is_the_batch(call: Call, n: int, y: np.ndarray, k: int) -> bool:
    if y.ndim < 2 or y.shape[1] != k or k < 2:
        return False
    return _row_moves(call, n, y, k // 2, [i for i in range(k) if i != k // 2], axis=1) is False


def _mixing(seen: Pass, record: Record) -> Finding:
    reduces = isinstance(record.prim.lower, Reduce) or record.in_call("softmax", "log_softmax")
    where: dict[str, Any] = {
        "location": seen.line(record), "module": record.path, "op": record.name, "when": seen.when,
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
    """F3: a model whose targets are its inputs one step later, and whose output at t changes with
    the inputs after t.
    """
    if seen.number > 1:
        return
    for call in outer_calls(seen)[:1]:
        tensors = [t for t in given(call) if t.ndim >= 2 and t.shape[1] > 3]
        if not tensors or not _predicts_the_next(seen, tensors[0].value):
            continue
        steps, rows = tensors[0].shape[1], min(3, tensors[0].shape[0])
        again = call_again(call, rows)
        if again is None or not again.outputs:
            continue
        y = again.outputs[0]
        axis = next((i for i in range(1, y.ndim) if y.shape[i] == steps), None)
        if axis is None:
            continue
        t = steps // 2
        after = list(range(t + 1, steps))
        if not _row_moves(call, rows, y.value, t, after, axis=1):
            continue
        index: list[Any] = [slice(None)] * y.ndim
        index[axis] = t
        flow = seeded(y, tuple(index), again.log)
        leak = _first_leak(flow, depends(again.log, again), steps, t)
        if leak is None:
            continue
        record = _mask_before(again.log, leak)
        yield Finding(
            "F3", "error",
            f"The output at step {t} changes with the inputs after step {t}, although the targets"
            " are the inputs one step later: the model reads what it should predict, and what it"
            " learns is to copy.",
            "mask all positions after t: tril(ones(n, n), diagonal=0), or is_causal=True; pad a"
            " convolution on the left only; or shift the targets",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=88, numbers={"step": t},
        )  # fmt: skip
        return


def _predicts_the_next(seen: Pass, x: np.ndarray) -> bool:
    """Whether some other data of the pass is x one step later."""
    later = x[:, 1:]
    known = set()
    for record in seen.log.records:
        for use in record.uses:
            a = use.value.array
            if id(a) in known or a is x or a.size != x.size or a.dtype.kind != x.dtype.kind:
                continue
            known.add(id(a))
            b = a.reshape(x.shape)
            if np.array_equal(b[:, :-1], later) and not np.array_equal(b, x):
                return True
    return False


def _first_leak(flow: Flow, inside: set[int], steps: int, t: int) -> Record | None:
    """The node nearest to the output at which positions after t get a gradient."""
    past = set(range(t + 1))
    for node in flow.order:
        record, parts, g = flow.record(node), flow.passed.get(node), flow.g(node)
        if record is None or parts is None or g is None or clean(g, steps, past) is False:
            continue
        for use, part in zip(record.uses, parts, strict=False):
            if part is None or id(use.value) not in inside:
                continue
            if clean(part, steps, past) is False:
                return record
    return None


def _mask_before(log: Log, record: Record) -> Record:
    """The mask that should have stopped it, if it comes out of a softmax: the last where() before
    that; else the softmax; else the record.
    """
    before = log.records[: log.records.index(record)]
    weights = [u.value.maker for u in record.uses if u.value.maker is not None]
    if not any(r.in_call("softmax") for r in weights):
        return record
    for names in (("where",), ("exp",)):
        found = [r for r in before if r.prim.name in names and not r.in_call("dropout")]
        if found:
            return found[-1]
    return record
