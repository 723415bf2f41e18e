"""The terms of a loss: L = s₁·t₁ + s₂·t₂ + ..., as the program added them up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clearprop.core import Leaf, Node, Tensor, View, wrap
from clearprop.doctor.flow import flow_back
from clearprop.doctor.log import Record, Value
from clearprop.doctor.measure import norm
from clearprop.doctor.session import Pass
from clearprop.doctor.slices import Slice


def node_of(seen: Pass, record: Record | None) -> Any:
    """The node on the tape that a record left, if the loss depends on it by the tape."""
    if record is None:
        return None
    nodes = seen.__dict__.get("_nodes")
    if nodes is None:
        nodes = {n.seq: n for n in seen.flow.order if isinstance(n, Node)}
        seen.__dict__["_nodes"] = nodes
    return nodes.get(record.seq + 1)


def is_constant(v: Value) -> bool:
    """A number (or one repeated) that no op made and no gradient is asked of."""
    repeated = v.array.size == 1 or not any(v.array.strides)
    return v.maker is None and v.leaf is None and repeated


@dataclass(eq=False)
class Term:
    """`factor` times `value`, added by `record`. `tracked`: the tape leads on from here."""

    seen: Pass
    value: Value
    factor: float
    record: Record | None
    tracked: bool

    @cached_property
    def part(self) -> Slice:
        return Slice(self.seen.log, self.value)

    @cached_property
    def number(self) -> float:
        return float(self.value.array.reshape(-1)[0])

    @cached_property
    def has_data(self) -> bool:
        """Whether numbers go in that are neither parameters nor single constants."""
        for record in self.part.records:
            for use in record.uses:
                v = use.value
                tensor = v.leaf() if v.leaf is not None else None
                if v.leaf is not None and (
                    tensor is None
                    or not isinstance(tensor.node, Leaf)
                    or not self.seen.learns(tensor)
                ):
                    return True  # an input, or of a history that was not observed
                if v.maker is None and v.leaf is None and not is_constant(v):
                    return True
        return False

    def gradients(self) -> dict[int, tuple[Tensor, np.ndarray]]:
        """Its part of the gradient of every leaf, by id."""
        node = node_of(self.seen, self.value.maker)
        if node is None or self.seen.flow.g(node) is None:
            return {}
        y = wrap(self.value.array, node)
        g = wrap(np.full(y.shape, self.factor, self.value.array.dtype), None)
        flow = flow_back([y], [g], self.seen.log)
        return {id(t): (t, flow.leaves[id(t)]) for t in flow.tensors}

    def size(self) -> float:
        """The norm of its part of the gradient."""
        return norm([norm(g) for _, g in self.gradients().values()] or [0.0])


def terms(seen: Pass) -> list[Term]:
    """What was added up, from the loss back to what is no sum any more."""
    loss = seen.loss
    out: list[Term] = []
    stack: list[tuple[Value, float, Record | None, bool]] = [
        (loss, 1.0, None, seen.outputs[0].node is not None)
    ]
    while stack:
        value, factor, by, tracked = stack.pop()
        r = value.maker
        if r is None or value.array.size != 1 or len(out) > 64:
            out.append(Term(seen, value, factor, by, tracked))
            continue
        name, uses = r.prim.name, r.uses
        if name in ("add", "sub") and by is not None:
            whole = Term(seen, value, factor, by, tracked)
            if not whole.has_data:  # a penalty: the sum over all parameters
                out.append(whole)
                continue
        a = uses[0]
        if name in ("add", "sub") and all(u.value.array.size == 1 for u in uses):
            b = uses[1]
            sign = -1.0 if name == "sub" else 1.0
            stack.append((b.value, sign * factor, r, b.tracked))
            stack.append((a.value, factor, r, a.tracked))
        elif name == "neg":
            stack.append((a.value, -factor, r, a.tracked))
        elif (isinstance(r.prim.lower, View) or name in ("cast", "clone")) and (
            a.value.array.size == 1
        ):
            stack.append((a.value, factor, r, a.tracked))
        elif name in ("mul", "div") and is_constant(uses[1].value) and a.value.array.size == 1:
            c = float(uses[1].value.array.reshape(-1)[0])
            scale = c if name == "mul" else (1 / c if c else 0.0)
            if r.in_call("mean") or (r.calls and name == "div"):
                out.append(Term(seen, value, factor, by or r, tracked))
            else:
                stack.append((a.value, factor * scale, r, a.tracked))
        elif name == "mul" and is_constant(a.value) and uses[1].value.array.size == 1:
            c = float(a.value.array.reshape(-1)[0])
            stack.append((uses[1].value, factor * c, r, uses[1].tracked))
        else:
            out.append(Term(seen, value, factor, by, tracked))
    return out
