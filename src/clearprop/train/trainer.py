"""The training loop: batches forward and backward, validation, and a state that can be resumed.

Everything that decides what comes next is in `Trainer.state_dict`: model, callbacks (the scheduler
is one), optimizer, random generators, epoch, batch, and what was gathered of the epoch so far. So
a run that was interrupted anywhere ends, resumed, with the same weights bit for bit.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.core.random import Generator, default_generator
from clearprop.data import DataLoader, TensorDataset
from clearprop.doctor import Report
from clearprop.errors import ClearpropError
from clearprop.ops import from_numpy
from clearprop.train.callback import Callback
from clearprop.train.checkpoint import load_checkpoint
from clearprop.train.checkup import Checkup
from clearprop.train.history import History
from clearprop.train.interrupt import InterruptRequest
from clearprop.train.metrics import Metric, metrics_of
from clearprop.train.schedule import Schedule
from clearprop.train.steps import Steps
from clearprop.train.threads import suited_threads

DIVERGED = (
    "fit: the loss is {loss} in epoch {epoch}, batch {batch}; a lower learning rate (now {lr:g}), "
    "clip_norm=1.0 or smaller inputs usually help"
)
OTHER_RUN = (
    "fit: the checkpoint was made with the callbacks {saved} and this Trainer has {mine}; "
    "build it as it was when the checkpoint was saved"
)
NO_ROWS = "fit: the training set gave no batch: is it empty, or shorter than a batch (drop_last)?"


class TrainingError(ClearpropError, RuntimeError):
    """A training run that cannot go on."""


class Trainer:
    """Train a model with `fit`; look at it with `evaluate`.

    - `loss(outputs, targets)` gives a scalar, `optimizer` moves the model's parameters.
    - `scheduler`: stepped after every epoch.
    - `metrics`: names (accuracy, f1, mse, rmse, mae, r2) or `Metric` objects.
    - `callbacks`: see `Callback`. `clip_norm`: largest norm of the gradient.
    - `eager`: True runs every op from Python instead of compiling the step (see
      `clearprop.compile`); so does a module with hooks, which compiled code would not call.
    - `doctor`: True does the first batch and every 50th once more on a copy, observed by
      `clearprop.doctor`, and one whose loss or gradient is not finite; `findings` is its report
      after `fit`. The training itself is the same to the bit.

    >>> import clearprop as cp
    >>> from clearprop import nn, optim
    >>> from clearprop.train import Trainer
    >>> _ = cp.manual_seed(0)
    >>> x = cp.rand(64, 1)
    >>> model = nn.Linear(1, 1)
    >>> trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.5))
    >>> history = trainer.fit((x, 3 * x + 1), epochs=50, batch_size=16, seed=0)
    >>> [round(p.item(), 2) for p in model.parameters()]
    [3.0, 1.0]
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Any,
        *,
        scheduler: Any = None,
        metrics: Iterable[str | Metric] = (),
        callbacks: Iterable[Callback] = (),
        clip_norm: float | None = None,
        eager: bool = False,
        doctor: bool = False,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.metrics = metrics_of(metrics)
        schedule = [] if scheduler is None else [Schedule(scheduler)]
        self.callbacks = sorted([*schedule, *callbacks], key=lambda c: c.runs_last)
        self.clip_norm = clip_norm
        self.eager = eager
        self.doctor = doctor
        self.findings: Report | None = None
        self._checkup: Checkup | None = None
        self._steps: Steps | None = None
        self._made_of: tuple[Any, ...] = ()
        self.history = History()
        self.epochs = 0
        self.epoch = 0  # the running epoch, from 1
        self.batch = 0  # batches done in it
        self.n_batches = 0
        self.batch_rows = 0
        self.batch_loss = math.nan
        self.interrupted: int | None = None  # the signal
        self._sums = {"loss": 0.0, "rows": 0, "seconds": 0.0}
        self._clock = 0.0
        self._loader: DataLoader | None = None
        self._batches: Any = None

    # ------------------------------------------------------------------ training
    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        epochs: int,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        resume: str | os.PathLike[str] | None = None,
    ) -> History:
        """Train until `epochs` are done, `stop` is called, or Ctrl-C.

        `train` and `validation` are a DataLoader, a data set, or (x, y) as tensors or arrays
        (float arrays become float32). Data sets are read in batches of `batch_size` (32).
        `seed` fixes the order of the rows and everything the model draws (dropout). `resume` is a
        file that `Checkpoint` wrote: the run goes on from there, also within an epoch.

        Ctrl-C and SIGTERM let the running step finish, then `Checkpoint` saves and fit returns
        with `history.stopped == "interrupted"`. Raises `TrainingError` if the loss is not finite.
        """
        if epochs < 0:
            raise ValueError(f"fit: epochs is {epochs}, wanted 0 or more")
        generator = None
        if seed is not None:
            default_generator.manual_seed(seed)
            generator = Generator().manual_seed(seed)
        self._loader = loader_of(train, batch_size, shuffle, generator)
        held_out: DataLoader | None = None
        if validation is not None:
            size = None if isinstance(validation, DataLoader) else batch_size
            held_out = loader_of(validation, size, False, None)
        self.epochs, self.n_batches = epochs, len(self._loader)
        if epochs and not self.n_batches:
            raise TrainingError(NO_ROWS)
        threads = suited_threads(self.model, self._loader.batch_size or 1)
        self.findings, self._checkup = None, None
        if self.doctor:
            self._checkup = Checkup(self.model, self.loss, self.optimizer, self.clip_norm)
        with threads, InterruptRequest() as request:
            try:
                self._start(None if resume is None else load_checkpoint(resume))
                while len(self.history) < epochs and self.history.stopped is None:
                    self._epoch(held_out, request)
                self._examined()
                self._call("on_fit_end")
            finally:
                self._call("on_fit_exit")
        return self.history

    def _examined(self) -> None:
        """The doctor goes, and leaves its findings."""
        if self._checkup is not None:
            self.findings = self._checkup.report()
            self._checkup = None

    def stop(self, reason: str) -> None:
        """Ask `fit` to end after this epoch."""
        self.history.stopped = reason

    def _start(self, state: dict[str, Any] | None) -> None:
        self.history, self.epoch, self.batch, self._batches = History(), 0, 0, None
        self.interrupted = None
        self._forget_epoch()
        if state is not None:
            self._restore(state)
        self._call("on_fit_start")
        if state is not None:
            for callback, saved in zip(self.callbacks, state["callbacks"], strict=True):
                callback.load_state_dict(saved["state"])

    def _forget_epoch(self) -> None:
        self._sums = {"loss": 0.0, "rows": 0, "seconds": 0.0}
        for metric in self.metrics:
            metric.reset()

    def _epoch(self, validation: DataLoader | None, request: InterruptRequest) -> None:
        """One epoch, or what is left of it."""
        assert self._loader is not None
        self.epoch = len(self.history) + 1
        self._clock = time.perf_counter() - self._sums["seconds"]
        self.model.train()
        if self._batches is None:
            self.batch = 0
            self._call("on_epoch_start")
            self._batches = iter(self._loader)
        for batch in self._batches:
            self._step(batch)
            self.batch = self._batches.position
            self.interrupted = request.signal
            self._call("on_batch_end")
            if self.interrupted is not None:
                self.stop("interrupted")
                return
        self._batches = None
        self._finish(validation)
        self.interrupted = request.signal
        self._call("on_epoch_end")
        if self.interrupted is not None and self.history.stopped is None:
            self.stop("interrupted")

    def _step(self, batch: Any) -> None:
        steps, targets = self.steps, batch[-1]
        if self._checkup is not None:
            self._checkup.before(batch)
        outputs, loss = steps.compute(*batch)
        self.batch_loss, self.batch_rows = loss.item(), len(targets)
        if self._checkup is not None:
            self._checkup.after(batch, self.batch_loss)
        if not math.isfinite(self.batch_loss):
            raise TrainingError(self._diverged())
        self._call("on_backward_end")
        steps.update()
        self._sums["loss"] += self.batch_loss * self.batch_rows
        self._sums["rows"] += self.batch_rows
        self._sums["seconds"] = time.perf_counter() - self._clock
        gather(self.metrics, outputs, targets)

    def _diverged(self) -> str:
        """What to say of a loss that is not finite, with the doctor's findings."""
        text = DIVERGED.format(
            loss=self.batch_loss, epoch=self.epoch, batch=self.batch + 1, lr=self.lr
        )
        self._examined()
        return text if not self.findings else f"{text}\n\n{self.findings}"

    def _finish(self, validation: DataLoader | None) -> None:
        """The row of this epoch."""
        row: dict[str, Any] = {"epoch": self.epoch}
        row["train_loss"] = self._sums["loss"] / self._sums["rows"]
        held_out = {} if validation is None else self.evaluate(validation)
        row |= {f"val_{name}": value for name, value in held_out.items() if name == "loss"}
        row |= {"lr": self.lr, "seconds": time.perf_counter() - self._clock}
        row |= {f"train_{m.name}": m.value() for m in self.metrics}
        row |= {f"val_{name}": value for name, value in held_out.items() if name != "loss"}
        self.history.rows.append(row)
        self._forget_epoch()

    def _call(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    @property
    def steps(self) -> Steps:
        """What runs at every step; made anew when model, loss or optimizer are others."""
        made = self._steps
        parts = (self.model, self.loss, self.optimizer, self.clip_norm, self.eager)
        if made is None or self._made_of != parts:
            made = self._steps = Steps(*parts)
            self._made_of = parts
        return made

    @property
    def lr(self) -> float:
        """The learning rate of the first parameter group."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def rows_seen(self) -> int:
        """Training rows of the running epoch so far."""
        return int(self._sums["rows"])

    @property
    def running(self) -> dict[str, float]:
        """Loss and metrics of the running epoch so far."""
        rows = self._sums["rows"]
        loss = self._sums["loss"] / rows if rows else math.nan
        return {"loss": loss, **{m.name: m.value() for m in self.metrics}}

    # ------------------------------------------------------------------ looking
    def evaluate(self, data: Any, *, batch_size: int | None = None) -> dict[str, float]:
        """Loss and metrics over a DataLoader, a data set or (x, y), with the model in eval mode."""
        metrics = copy.deepcopy(self.metrics)
        for metric in metrics:
            metric.reset()
        total, rows = 0.0, 0
        was_training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in loader_of(data, batch_size, False, None):
                    targets = batch[-1]
                    outputs, loss = self.steps.predict(*batch)
                    total += loss.item() * len(targets)
                    rows += len(targets)
                    gather(metrics, outputs, targets)
        finally:
            self.model.train(was_training)
        loss = total / rows if rows else math.nan
        return {"loss": loss, **{m.name: m.value() for m in metrics}}

    # ------------------------------------------------------------------ state
    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the run goes on."""
        assert self._loader is not None, "state_dict: call fit first"
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "epochs": self.epochs,
            "batches": None if self._batches is None else self._batches.state_dict(),
            "generators": [g.get_state() for g in self._loader.generators()],
            "sums": dict(self._sums),
            "metrics": [m.state_dict() for m in self.metrics],
            "history": copy.deepcopy(self.history.rows),
            "stopped": self.history.stopped,
            "callbacks": [
                {"kind": type(c).__name__, "state": c.state_dict()} for c in self.callbacks
            ],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        saved = [c["kind"] for c in state["callbacks"]]
        mine = [type(c).__name__ for c in self.callbacks]
        if saved != mine:
            raise TrainingError(OTHER_RUN.format(saved=saved, mine=mine))
        assert self._loader is not None
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.history = History(copy.deepcopy(state["history"]))
        self.history.stopped = state["stopped"]
        self._sums = dict(state["sums"])
        for metric, gathered in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state_dict(gathered)
        if state["batches"] is not None:
            self._batches = self._loader.resume(state["batches"])
            self.batch = self._batches.position
            return
        for generator, now in zip(self._loader.generators(), state["generators"], strict=True):
            generator.set_state(now)


def gather(metrics: list[Metric], outputs: Tensor, targets: Tensor) -> None:
    if metrics:
        y, t = outputs.detach().numpy(), targets.detach().numpy()
        for metric in metrics:
            metric.update(y, t)


def loader_of(
    data: Any, batch_size: int | None, shuffle: bool, generator: Generator | None
) -> DataLoader:
    """A DataLoader as it is; a data set or (x, y) in a new one."""
    if isinstance(data, DataLoader):
        if batch_size is not None:
            raise ValueError("fit: batch_size belongs to the DataLoader that was passed")
        return data
    if isinstance(data, tuple | list) and all(isinstance(a, Tensor | np.ndarray) for a in data):
        data = TensorDataset(*map(tensor_of, data))
    return DataLoader(
        data, batch_size=32 if batch_size is None else batch_size, shuffle=shuffle,
        generator=generator,
    )  # fmt: skip


def tensor_of(a: Tensor | np.ndarray) -> Tensor:
    """Arrays as float32 or int64 tensors; tensors as they are."""
    if isinstance(a, Tensor):
        return a
    return from_numpy(np.ascontiguousarray(a, np.float32 if a.dtype.kind == "f" else np.int64))
