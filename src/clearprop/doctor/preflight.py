"""`check`: one batch through a model before training starts, on copies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from clearprop.core import Location, Tensor, wrap
from clearprop.doctor.findings import Report
from clearprop.doctor.replay import untouched
from clearprop.doctor.session import Session
from clearprop.nn import Module
from clearprop.optim import SGD

STEPS = 2  # the second one shows what lies behind weights that begin at zero


def check(
    model: Any,
    loss_fn: Callable[[Any, Any], Tensor],
    batch: Sequence[Any],
    optimizer: Any = None,
) -> Report:
    """Examine the backward pass of one batch before training: two steps on deep copies of model,
    loss and optimizer. Nothing of yours is touched: no weight, gradient, buffer, mode, or random
    number.

    `batch` is (inputs, ..., targets), and the loss is `loss_fn(model(inputs, ...), targets)`.
    Without an optimizer a gentle SGD is taken, and nothing is said about the training loop. An
    error in the model or the loss becomes a part of the report; it is not raised.

    >>> import clearprop as cp
    >>> model = cp.nn.Sequential(cp.nn.Linear(4, 1), cp.nn.Softmax(1))
    >>> batch = cp.rand(8, 4), cp.rand(8, 1)
    >>> [f.code for f in cp.doctor.check(model, cp.nn.MSELoss(), batch).errors]
    ['B5']
    """
    session = Session(thorough=True)
    try:
        parts = copy.deepcopy((model, optimizer, loss_fn if isinstance(loss_fn, Module) else None))
    except Exception as error:
        note = f"nothing was examined: a copy could not be made ({type(error).__name__}: {error})"
        return Report((), [note])
    model, mine, loss_copy = parts
    loss_fn = loss_fn if loss_copy is None else loss_copy
    *inputs, targets = (_own(part) for part in batch)
    with untouched():
        if mine is None:
            trained = [p for p in model.parameters() if p.requires_grad]
            mine = SGD(trained, lr=1e-4) if trained else None
        try:
            with session:
                for _ in range(STEPS):
                    if mine is not None:
                        mine.zero_grad()
                    loss_fn(model(*inputs), targets).backward()  # type: ignore[attr-defined]
                    if mine is not None:
                        mine.step()
        except Exception as error:
            session.death = (error, last_line(error.__traceback__))
            session.notes.append(f"the step ended with {type(error).__name__}: {error}")
        session.finish()
    found = session.findings
    if optimizer is None:  # its learning rate and its parameters were ours
        found = [f for f in found if not f.code.startswith("G") and f.code not in ("A3", "A5")]
    return Report(found, session.notes)


def _own(part: Any) -> Any:
    """A tensor of the batch in memory of its own."""
    if isinstance(part, Tensor):
        return wrap(part.value.copy(), None)
    if isinstance(part, np.ndarray):
        return wrap(part.astype(np.float32) if part.dtype.kind == "f" else part.copy(), None)
    return copy.deepcopy(part)


def last_line(trace: TracebackType | None) -> Location | None:
    """The last line of a traceback that is not clearprop's own."""
    line = None
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name != "clearprop" and not name.startswith("clearprop."):
            code = trace.tb_frame.f_code
            line = Location(code.co_filename, trace.tb_lineno, code.co_qualname)
        trace = trace.tb_next
    return line
