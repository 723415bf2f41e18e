"""Running a pass again, with other numbers or other rows, on copies: the program does not notice.

`reevaluate` computes the loss of an observed pass for changed parameters, from the log alone: the
log is a straight-line program. `call_again` runs a module on part of its batch.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.core import Tensor, local, wrap
from clearprop.core.random import default_generator
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.doctor.log import Call, Log, Observer, Value
from clearprop.doctor.slices import Slice


def reevaluate(part: Slice, changed: dict[int, np.ndarray], whole: bool = False) -> Any:
    """The target of the slice, a number, with other values for some leaves (by the id of the
    leaf's array); random numbers and data as they were. `whole`: the array of a target that is no
    number.
    """
    new: dict[int, np.ndarray] = {}

    def now(value: Value) -> np.ndarray:
        if id(value.array) in changed:
            return changed[id(value.array)]
        return new.get(id(value), value.array)

    run = local.c.run
    for record in part.records:
        arrays = [now(use.value) for use in record.uses]
        if all(a is use.value.array for a, use in zip(arrays, record.uses, strict=True)):
            continue  # nothing that goes in has changed
        out = run(record.prim.eager, *arrays, **record.params)
        outs = out if isinstance(out, tuple) else (out,)
        for value, array in zip(record.outs, outs, strict=True):
            new[id(value)] = np.asarray(array)
    result = now(part.target)
    return result if whole else float(result.reshape(-1)[0])


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Random generators, interpreter and grad mode are as before afterwards."""
    c = local.c
    before = c.grad, c.interpreter, c.scope
    states = default_generator.get_state(), np.random.get_state()
    try:
        yield
    finally:
        c.grad, c.interpreter, c.scope = before
        default_generator.set_state(states[0])
        np.random.set_state(states[1])


@dataclass
class Again:
    """A module's call on other rows: what it was given, what it returned, and the log."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    log: Log


def call_again(
    call: Call, rows: int, change: Callable[[np.ndarray], np.ndarray] = lambda a: a
) -> Again | None:
    """A module's call on a copy of it in eval mode, for the first rows of its batch, changed by
    `change`. None where it cannot be done.
    """
    module = call.args.get("self")
    args, kwargs = call.frame.f_locals.get("args", ()), call.frame.f_locals.get("kwargs", {})
    tensors = tensors_in((args, kwargs))
    if module is None or not tensors or not tensors[0].ndim:
        return None
    n = tensors[0].shape[0]
    if n < rows:
        return None
    inputs: list[Tensor] = []

    def cut(t: Tensor) -> Tensor:
        a = t.value
        if not a.ndim or a.shape[0] != n:
            return wrap(a, None)
        inputs.append(wrap(change(a[:rows].copy()), None))
        return inputs[-1]

    log = Log()
    try:
        with untouched():
            c = local.c
            c.interpreter = None
            twin = copy.deepcopy(module).eval()
            c.grad, c.interpreter, c.scope = True, Observer(log), None
            given = map_tensors(cut, args), map_tensors(cut, kwargs)
            out = twin(*given[0], **given[1])
    except Exception:  # the module does not work on fewer rows: no answer
        return None
    return Again(inputs, [t for t in tensors_in(out) if t.node is not None], log)
