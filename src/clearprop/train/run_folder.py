"""The folder of one run: never overwritten, and every file in it whole at any moment."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from clearprop.core import wrap
from clearprop.errors import DataError, did_you_mean
from clearprop.serialization import atomic_write

FORMAT = "clearprop run 1"


class RunFolder:
    """Paths of a run: config.json, preprocessing.json, checkpoint, metrics.csv, model, report."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.preprocessing = self.path / "preprocessing.json"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.metrics = self.path / "metrics.csv"
        self.model = self.path / "model.safetensors"
        self.results = self.path / "results.json"
        self.report = self.path / "report.html"

    @classmethod
    def new(cls, out: str | os.PathLike[str], name: str) -> RunFolder:
        """`out/name-date-number` with the first number that is free."""
        os.makedirs(out, exist_ok=True)
        number = 1
        while True:
            path = Path(out, f"{name}-{date.today().isoformat()}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                continue
            return cls(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """A folder that `clearprop train` made. Raises `DataError` for any other."""
        run = cls(path)
        if not run.path.is_dir():
            parent = run.path.parent
            near = [p.name for p in parent.iterdir()] if parent.is_dir() else []
            raise DataError(f"{path} is not a run folder: {missing(run.path, near)}", path)
        if not run.config.is_file():
            raise DataError(f"{path} is not a run folder: it has no config.json", path)
        return run

    def read_config(self) -> dict[str, Any]:
        """config.json, checked to be ours."""
        try:
            record = json.loads(self.config.read_text(encoding="utf-8"))
            if record["format"] != FORMAT:
                raise ValueError(f"its format is {record['format']!r}, wanted {FORMAT!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path} is not a run folder: config.json: {error}", self.config
            ) from error
        return dict(record)

    def write_config(self, record: dict[str, Any]) -> None:
        write_json(self.config, {"format": FORMAT, **record})

    def save_model(self, model: Any) -> None:
        """The weights, under PyTorch's names."""
        weights = {
            k: np.ascontiguousarray(v.detach().numpy()) for k, v in model.state_dict().items()
        }
        atomic_write(self.model, save(weights))

    def load_model(self, model: Any) -> None:
        """Put the saved weights into a model. Raises `DataError` if the file is damaged."""
        try:
            weights = load(self.model.read_bytes())
        except FileNotFoundError:
            raise DataError(
                f"{self.path} has no model.safetensors: the run has not ended; "
                f"clearprop train --resume {self.path}",
                self.model,
            ) from None
        except SafetensorError as error:
            raise DataError(f"{self.model} is cut off or damaged: {error}", self.model) from error
        try:
            model.load_state_dict({k: wrap(v.copy(), None) for k, v in weights.items()})
        except (RuntimeError, KeyError) as error:
            raise DataError(
                f"{self.model} does not fit the network of config.json: {error}", self.model
            ) from error


def missing(path: Path, near: list[str]) -> str:
    if path.exists():
        return "it is a file"
    return f"there is no such folder{did_you_mean(path.name, near)}"


def write_json(path: Path, record: Any) -> None:
    atomic_write(path, (json.dumps(record, indent=1) + "\n").encode())
