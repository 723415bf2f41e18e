"""What a training run was, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class History:
    """One dict per finished epoch: epoch, train_loss, val_loss, lr, seconds, and the metrics.

    `stopped` says why the run ended before its last epoch: None, "early stopping" or "interrupted".

    >>> from clearprop.train import History
    >>> h = History([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}])
    >>> h["train_loss"], h.last["epoch"], len(h)
    ([0.5, 0.25], 2, 2)
    """

    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = [] if rows is None else rows
        self.stopped: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        if self.rows and column not in self.rows[0]:
            raise KeyError(f"History: no column {column!r}; there are {', '.join(self.rows[0])}")
        return [row[column] for row in self.rows]

    @property
    def last(self) -> dict[str, Any]:
        """The row of the last finished epoch; empty before the first."""
        return self.rows[-1] if self.rows else {}

    def __repr__(self) -> str:
        return f"History({len(self)} epochs, last: {self.last})"
