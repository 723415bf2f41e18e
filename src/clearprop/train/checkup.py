"""The doctor beside a Trainer: every so often a batch is done once more, eagerly and observed, on a
twin of the model and the optimizer. The training itself runs as it does without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.core.random import default_generator
from clearprop.core.tensor import grad_of
from clearprop.doctor import Report, Session
from clearprop.doctor.replay import untouched
from clearprop.nn import Module
from clearprop.train.steps import Steps

EVERY = 50


class Checkup:
    """Watches the steps of one `fit`. `before` and `after` are called around every step."""

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        clip_norm: float | None,
        every: int = EVERY,
    ) -> None:
        self.parts = (model, optimizer, loss if isinstance(loss, Module) else None)
        self.loss = loss
        self.clip_norm = clip_norm
        self.every = every
        self.session = Session(sampling=lambda _: True)
        self.twin: tuple[Any, Any, Steps] | None = None
        self.steps = 0
        self.alarms = 0
        self.random: np.ndarray | None = None
        self.well = True  # nothing has gone wrong with the doctor itself

    def before(self, batch: Sequence[Any]) -> None:
        """A step is about to run."""
        self.steps += 1
        self.random = default_generator.get_state()
        if self.well and (self.steps == 1 or self.steps % self.every == 0):
            self.observe(batch)

    def after(self, batch: Sequence[Any], loss: float) -> None:
        """The gradients are there, the weights are still the old ones: if something is not finite,
        the same batch is done again from the random numbers of before, and observed.
        """
        if not self.well or self.alarms >= 2 or (np.isfinite(loss) and self._finite_gradients()):
            return
        self.alarms += 1
        with untouched():
            default_generator.set_state(self.random)
            self.observe(batch)

    def _finite_gradients(self) -> bool:
        with np.errstate(all="ignore"):
            for group in self.parts[1].param_groups:
                for p in group["params"]:
                    g = grad_of(p)
                    if g is None or g.value.__class__ is not np.ndarray:
                        continue
                    flat = g.value.reshape(-1)
                    if not np.isfinite(np.dot(flat, flat)) and not np.isfinite(flat).all():
                        return False
        return True

    def observe(self, batch: Sequence[Any]) -> None:
        """Do a batch on the twin."""
        try:
            with untouched():
                steps = self._up_to_date()
                mine = [wrap(x.value.copy(), None) if isinstance(x, Tensor) else x for x in batch]
                with self.session:
                    steps.compute(*mine)
                    steps.update()
        except Exception as error:
            self.well = False
            self.session.notes.append(
                f"the doctor left at step {self.steps}: {type(error).__name__}: {error}"
            )

    def _up_to_date(self) -> Steps:
        """What runs on the twin, with the twin in the state of now."""
        model, optimizer, loss = self.parts
        if self.twin is None:
            twin, moves, copied = copy.deepcopy(self.parts)
            function: Any = self.loss if loss is None else copied
            self.twin = twin, moves, Steps(twin, function, moves, self.clip_norm, eager=True)
            return self.twin[2]
        twin, moves, steps = self.twin
        twin.load_state_dict(copy.deepcopy(dict(model.state_dict())))
        moves.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for mine, theirs in zip(twin.modules(), model.modules(), strict=True):
            mine.training = theirs.training
        return steps

    def report(self) -> Report:
        """What was found. The command line's own script is no place in the user's program."""
        self.session.finish()
        found = [
            f if f.file.endswith((".py", ">")) or not f.file else replace(f, location=None)
            for f in self.session.findings
        ]
        return Report(found, self.session.notes)
