"""What is shown while a network trains: a live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clearprop.train.callback import Callback
from clearprop.train.trainer import Trainer

REFRESH = 0.1  # seconds between two looks at the numbers
PLAIN_LINES = 20  # about so many lines for a whole run that is not watched in a terminal
SHOWN = ("loss", "accuracy", "r2")


class Progress(Callback):
    """Epoch, loss, metrics, samples per second and time left.

    In a terminal a line that changes in place; into a file or a pipe about twenty plain lines.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = Console() if console is None else console
        self._live: Live | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        self._began = self._drawn = self._printed = time.monotonic()
        self._done_before = len(trainer.history) + trainer.batch / max(trainer.n_batches, 1)
        self._samples = 0
        if self.console.is_terminal:
            self._live = Live(
                self._picture(trainer), console=self.console, auto_refresh=False, transient=True
            )
            self._live.start()

    def on_batch_end(self, trainer: Trainer) -> None:
        self._samples += trainer.batch_rows
        now = time.monotonic()
        if self._live is not None and now - self._drawn >= REFRESH:
            self._live.update(self._picture(trainer), refresh=True)
            self._drawn = now

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self._live is None:
            last = trainer.epoch == trainer.epochs or trainer.history.stopped is not None
            some = trainer.epoch % max(1, trainer.epochs // PLAIN_LINES) == 0
            if trainer.epoch == 1 or some or last:
                self.console.print(self._line(trainer), highlight=False, soft_wrap=True)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._live is not None and len(trainer.history):
            self._close()
            self.console.print(self._line(trainer), highlight=False)

    def on_fit_exit(self, trainer: Trainer) -> None:
        self._close()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _speed(self) -> float:
        return self._samples / max(time.monotonic() - self._began, 1e-9)

    def _picture(self, trainer: Trainer) -> Group:
        """Two lines: a bar with epoch and time left, and the numbers."""
        epoch = min(len(trainer.history) + 1, max(trainer.epochs, 1))
        done = len(trainer.history) + (trainer.batch / max(trainer.n_batches, 1)) * (
            trainer.rows_seen > 0
        )
        top = Table.grid(padding=(0, 2, 0, 0), expand=True)
        top.add_column(no_wrap=True)
        top.add_column(ratio=1)
        top.add_column(no_wrap=True, justify="right")
        top.add_row(
            Text(f"epoch {epoch}/{trainer.epochs}", style="bold"),
            ProgressBar(total=max(trainer.epochs, 1), completed=done),
            Text(f"{self._speed():,.0f} samples/s   {self._left(trainer, done)} left"),
        )
        words = [f"now {number(trainer.running['loss'])}", *pairs(trainer.history.last, SHOWN)]
        return Group(top, Text("  ".join(words), overflow="ellipsis", no_wrap=True))

    def _left(self, trainer: Trainer, done: float) -> str:
        new = done - self._done_before
        if new <= 0:
            return "-:--"
        seconds = (time.monotonic() - self._began) / new * (trainer.epochs - done)
        minutes, rest = divmod(math.ceil(seconds), 60)
        return f"{minutes}:{rest:02}" if minutes < 60 else str(timedelta(minutes=minutes))

    def _line(self, trainer: Trainer) -> str:
        row = trainer.history.last
        words = [f"epoch {row['epoch']}/{trainer.epochs}", *pairs(row, ("loss", "accuracy", "r2"))]
        return "  ".join([*words, f"{self._speed():,.0f}/s"])


def pairs(row: dict[str, Any], names: Iterable[str]) -> list[str]:
    """`accuracy 0.9912 (val 0.9833)` for each name that the row has."""
    found = []
    for name in names:
        if f"train_{name}" in row:
            held_out = row.get(f"val_{name}")
            value = "" if held_out is None else f" (val {number(held_out)})"
            found.append(f"{name} {number(row[f'train_{name}'])}{value}")
    return found


def number(value: float) -> str:
    """Four digits that matter."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.3g}"
