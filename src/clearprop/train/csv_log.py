"""metrics.csv: one line per epoch, never two for the same one."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from clearprop.serialization import atomic_write
from clearprop.train.callback import Callback
from clearprop.train.trainer import Trainer


class CSVLog(Callback):
    """Write the history to a CSV file, a line at the end of every epoch.

    When a run is resumed the file is first written anew from the history of the checkpoint, so
    epochs that are trained again, or half a line, do not stay in it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer) -> None:
        rows = trainer.history.rows
        atomic_write(self.path, lines([list(rows[0]), *map(values, rows)] if rows else []).encode())

    def on_epoch_end(self, trainer: Trainer) -> None:
        row = trainer.history.last
        first = len(trainer.history) == 1
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(lines([list(row), values(row)] if first else [values(row)]))


def values(row: dict[str, Any]) -> list[Any]:
    return [round(v, 4) if key == "seconds" else v for key, v in row.items()]


def lines(records: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(records)
    return text.getvalue()
