"""Standardising rows of numbers that have names and no gaps: what real sets need, kept as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from clearprop.core import Tensor, wrap
from clearprop.data import RealSet, TablePreprocessor
from clearprop.errors import DataError, did_you_mean

FORMAT = "clearprop scaling"


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / scale for every column; the same for all pixels of a picture."""

    feature_names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    task: Literal["classification", "regression"]
    classes: tuple[str, ...]
    target: str = "target"
    target_mean: float = 0.0
    target_scale: float = 1.0
    format: str = FORMAT

    categorical_columns = ()

    @classmethod
    def fit(cls, data: RealSet, rows: np.ndarray) -> Scaling:
        """Learn from the training rows."""
        x = data.x.numpy()[rows].astype(np.float64)
        if data.image_shape is None:
            mean, scale = x.mean(axis=0), x.std(axis=0)
        else:
            mean, scale = np.full(x.shape[1], x.mean()), np.full(x.shape[1], x.std())
        scale[scale == 0] = 1.0
        moments: dict[str, Any] = {}
        if data.task == "regression":
            y = data.y.numpy()[rows].astype(np.float64)
            moments = {"target_mean": float(y.mean()), "target_scale": float(y.std()) or 1.0}
        names = tuple(data.feature_names)
        return cls(
            names,
            tuple(mean.tolist()),
            tuple(scale.tolist()),
            data.task,
            data.class_names,
            **moments,
        )

    @property
    def n_outputs(self) -> int:
        return len(self.classes) or 1

    def scaled(self, x: np.ndarray) -> Tensor:
        """Rows of numbers, standardised, as float32."""
        return wrap(((x - np.asarray(self.mean)) / np.asarray(self.scale)).astype(np.float32), None)

    def scaled_target(self, y: np.ndarray) -> Tensor:
        """Class numbers as they are; values standardised, float32 (n, 1)."""
        if self.task == "classification":
            return wrap(np.asarray(y, np.int64), None)
        scaled = (y.astype(np.float64).reshape(-1, 1) - self.target_mean) / self.target_scale
        return wrap(scaled.astype(np.float32), None)

    def transform(self, frame: pd.DataFrame) -> Tensor:
        """The columns by name; `DataError` names the row of an empty or infinite cell."""
        path = frame.attrs.get("path")
        where = f"{path}: " if path else ""
        for name in self.feature_names:
            if name not in frame.columns:
                raise DataError(
                    f"transform: {where}there is no column {name!r}"
                    f"{did_you_mean(name, frame.columns)}; the network was trained on "
                    f"{len(self.feature_names)} columns: {', '.join(self.feature_names[:8])}, ...",
                    path,
                )
            if frame[name].dtype.kind not in "iufb":
                raise DataError(f"transform: {where}column {name!r} does not hold numbers", path)
        x = frame[list(self.feature_names)].to_numpy(np.float64)
        bad = ~np.isfinite(x)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            unit = frame.index.name or "row"
            line = int(frame.index[row])
            raise DataError(
                f"transform: {where}{unit} {line}: column {self.feature_names[column]!r} is "
                f"{x[row, column]}; this network was trained on rows without gaps",
                path,
                line,
            )
        return self.scaled(x)

    def transform_target(self, frame: pd.DataFrame) -> Tensor:
        """The column `target`, as for training."""
        values = frame[self.target]
        if self.task == "regression":
            return self.scaled_target(values.to_numpy(np.float64))
        number = {name: i for i, name in enumerate(self.classes)}
        found = [number.get(str(v), -1) for v in values]
        if -1 in found:
            at = found.index(-1)
            line = int(frame.index[at])
            raise DataError(
                f"transform_target: {frame.index.name or 'row'} {line}: unknown class "
                f"{str(values.iloc[at])!r}; the classes are {', '.join(self.classes)}",
                frame.attrs.get("path"),
                line,
            )
        return wrap(np.asarray(found, np.int64), None)

    def inverse_target(self, y: np.ndarray) -> np.ndarray:
        """Class names, or values in the units of the source."""
        if self.task == "classification":
            return np.asarray(self.classes, dtype=object)[y]
        return y.reshape(-1).astype(np.float64) * self.target_scale + self.target_mean

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Scaling:
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in record.items()
        }
        return cls(**values)


def preprocessor_from_json(text: str, path: Any) -> Scaling | TablePreprocessor:
    """What `to_json` of either preprocessor wrote. Raises `DataError` for anything else."""
    try:
        record = json.loads(text)
        if record["format"] == FORMAT:
            return Scaling.from_record(record)
        return TablePreprocessor.from_json(text)
    except DataError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"predict: {path} is not a saved preprocessor: {error}", path) from error
