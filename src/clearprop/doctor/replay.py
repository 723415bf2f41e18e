"""Running a pass again, with other numbers or other rows, on copies: the program does not notice.

`reevaluate` computes the loss of an observed pass for changed parameters, from the log alone: the
log is a straight-line program. `call_again` runs a module on part of its batch.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Tensor, local, wrap
from clearprop.core.random import default_generator
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.doctor.log import Call, Log, Observer, Value
from clearprop.doctor.slices import Slice


def reevaluate(part: Slice, changed: dict[int, np.ndarray], whole: bool = False) -> Any:
    """The target of the slice, a number, with other values for some leaves (by the id of the
    leaf's array); random numbers and data as they were. `whole`: the array of a target that is none.
    """
    new: dict[int, np.ndarray] = {}

    def now(value: Value) -> np.ndarray:
        if value.maker is None and value.source is None:
            return changed.get(id(value.array), value.array)
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


def call_again(call: Call, rows: int) -> tuple[list[Tensor], Log] | None:
    """The outputs of a module's call on a copy of it in eval mode, for the first rows of its batch;
    and the log. None where it cannot be done.
    """
    module = call.args.get("self")
    args, kwargs = call.frame.f_locals.get("args", ()), call.frame.f_locals.get("kwargs", {})
    tensors = tensors_in((args, kwargs))
    if module is None or not tensors:
        return None
    n = tensors[0].shape[0] if tensors[0].ndim else 0
    if n <= rows:
        return None

    def cut(t: Tensor) -> Tensor:
        a = t.value
        return wrap(a[:rows].copy() if a.ndim and a.shape[0] == n else a, None)

    log = Log()
    try:
        with untouched():
            c = local.c
            c.interpreter = None
            twin = copy.deepcopy(module).eval()
            c.grad, c.interpreter, c.scope = True, Observer(log), None
            out = twin(*map_tensors(cut, args), **map_tensors(cut, kwargs))
    except Exception:
        return None
    return [t for t in tensors_in(out) if t.node is not None], log
