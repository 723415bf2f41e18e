"""From a table to tensors and back: `TablePreprocessor`.

What it learns comes from the training rows only. It is saved as plain JSON, in which floats keep
every digit.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd

from clearprop.core import Tensor, wrap
from clearprop.data.columns import (
    categories_of,
    category,
    check_target,
    error_at,
    first_where,
    kind_of,
    listed,
    plain_column,
)
from clearprop.data.encoders import Categorical, Date, Encoder, Numeric, is_identifier, moments
from clearprop.data.record import checked, dump, encoder_from, encoder_record, load
from clearprop.data.task import MOST_CLASSES, Task, class_order, decide_task
from clearprop.errors import DataError, did_you_mean

FORMAT = "clearprop table preprocessor"
VERSION = 1
# What reading a JSON text that is not ours can end in.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class TablePreprocessor:
    """Turns the rows of a table into standardised numbers, by what `fit` saw in the training rows.

    - Numbers and booleans are standardised; an empty cell takes the median, and a column "is
      missing" is added if training rows had empty cells.
    - Text becomes one column per category. At most `max_categories` stay; the rest, and those that
      only one or two of many rows have, share the column "(other)". Empty cells are a category of
      their own.
    - Dates become days and the phases of year, week and day.
    - Columns that are constant, empty, or like identifiers are dropped: `dropped` says why.
    - The target: class numbers, or standardised values.

    After `fit`: `task` and `reason`, `classes`, `feature_names`, `dropped`.

    >>> import pandas as pd
    >>> from clearprop.data import TablePreprocessor
    >>> homes = pd.DataFrame({"area": [50, 80, 110], "town": ["Bonn", "Ulm", "Ulm"]})
    >>> homes["price"] = [1.5, 2.0, 2.5]
    >>> prep = TablePreprocessor("price").fit(homes)
    >>> prep.feature_names, prep.task
    (('area', 'town=Bonn', 'town=Ulm'), 'regression')
    >>> prep.transform(homes).shape
    (3, 3)
    >>> prep.inverse_target(prep.transform_target(homes)).round(6).tolist()
    [1.5, 2.0, 2.5]
    """

    def __init__(
        self,
        target: str,
        *,
        task: Task | None = None,
        categorical: Collection[str] = (),
        keep: Collection[str] = (),
        max_categories: int = 32,
    ) -> None:
        if task not in (None, "classification", "regression"):
            raise ValueError(
                f"TablePreprocessor: task is {task!r}, wanted 'classification' or 'regression'"
            )
        if max_categories < 1:
            raise ValueError(f"TablePreprocessor: max_categories is {max_categories}, wanted >= 1")
        self.target = str(target)
        self.asked_task = task
        self.categorical = tuple(categorical)
        self.keep = tuple(keep)
        self.max_categories = max_categories
        self.task: Task | None = None
        self.reason = ""
        self.classes: tuple[str, ...] = ()
        self.target_mean, self.target_scale = 0.0, 1.0
        self.encoders: tuple[Encoder, ...] = ()
        self.dropped: dict[str, str] = {}

    # ------------------------------------------------------------------ what came out
    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of `transform(frame)`."""
        return tuple(name for e in self.encoders for name in e.outputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the table that `transform` needs."""
        return tuple(e.name for e in self.encoders)

    @property
    def categorical_columns(self) -> tuple[str, ...]:
        """Those with categories: for `read_table(..., categorical=)` of new data."""
        return tuple(e.name for e in self.encoders if e.kind == "categorical")

    @property
    def n_outputs(self) -> int:
        """How many outputs a network for this target has: one per class, or 1."""
        return len(self.classes) or 1

    # ------------------------------------------------------------------ learning
    def fit(self, frame: pd.DataFrame) -> TablePreprocessor:
        """Learn from the training rows, and from nothing else."""
        frame = _table(frame, "fit")
        check_target("fit", frame, self.target)
        if not len(frame):
            raise DataError("fit: the table has no rows")
        for name in (*self.categorical, *self.keep):
            if name not in frame.columns:
                raise DataError(
                    f"fit: there is no column {name!r}{did_you_mean(name, frame.columns)}; "
                    f"the columns are {listed(frame.columns)}"
                )
        self._fit_target(frame)
        encoders: list[Encoder] = []
        self.dropped = {}
        for name in frame.columns:
            if name == self.target:
                continue
            fitted = self._fit_column(frame, name)
            if isinstance(fitted, str):
                self.dropped[name] = fitted
            else:
                encoders.append(fitted)
        self.encoders = tuple(encoders)
        if not encoders:
            why = "; ".join(f"{name!r}: {reason}" for name, reason in self.dropped.items())
            raise DataError(
                f"fit: no column is left to predict {self.target!r} from"
                + (f" ({why}); keep=[...] keeps one" if why else "; the table has no other column")
            )
        return self

    def _fit_column(self, frame: pd.DataFrame, name: str) -> Encoder | str:
        values = plain_column(frame[name], frame)
        kind = "categorical" if name in self.categorical else kind_of(values)
        if kind == "date":
            return Date.fit(frame, name)
        if kind == "categorical":
            return Categorical.fit(frame, name, self.max_categories, name in self.keep)
        if name not in self.keep and is_identifier(values):
            return "an identifier: its name says so, and every row has another whole number"
        return Numeric.fit(frame, name)

    def _fit_target(self, frame: pd.DataFrame) -> None:
        values = plain_column(frame[self.target], frame)
        if self.asked_task is None:
            self.task, self.reason = decide_task(frame[self.target])
        else:
            self.task, self.reason = self.asked_task, f"asked for: task={self.asked_task!r}"
        if self.task == "regression":
            y = _target_numbers(frame, self.target)
            self.classes = ()
            self.target_mean, self.target_scale = moments(y)
            if self.target_scale == 0:
                raise DataError(
                    f"fit: the target {self.target!r} is {y[0]:g} in every row: nothing to learn"
                )
            return
        if kind_of(values) == "date":
            raise DataError(f"fit: the target {self.target!r} holds dates, which are not classes")
        codes, names = categories_of(values)
        if len(names) < 2:
            raise DataError(
                f"fit: the target {self.target!r} is {names[0]!r} in every row: nothing to learn"
            )
        if len(names) > MOST_CLASSES and len(names) > len(codes) / 2:
            raise DataError(
                f"fit: the target {self.target!r} has {len(names)} different values in "
                f"{len(codes)} rows; classes must come back to be learnt. Is it the right column?"
            )
        self.classes = tuple(sorted(names, key=class_order))

    # ------------------------------------------------------------------ using
    def transform(
        self, frame: pd.DataFrame, *, unknown: Literal["error", "ignore"] = "error"
    ) -> Tensor:
        """The features of any rows: float32 (rows, len(feature_names)).

        Columns that `fit` did not see are not looked at; one that is missing raises `DataError`. So
        does, with its row, a category that no training row had in a column without "(other)";
        `unknown="ignore"` sets none of its columns instead.
        """
        self._check_fitted("transform")
        if unknown not in ("error", "ignore"):
            raise ValueError(f"transform: unknown is {unknown!r}, wanted 'error' or 'ignore'")
        frame = _table(frame, "transform")
        gone = [name for name in self.columns if name not in frame.columns]
        if gone:
            path = frame.attrs.get("path")
            raise DataError(
                f"transform: {f'{path}: ' if path else ''}there is no column {listed(gone)}"
                f"{did_you_mean(gone[0], frame.columns)}; the columns are {listed(frame.columns)}",
                path,
            )
        out = np.empty((len(frame), len(self.feature_names)), dtype=np.float32)
        at = 0
        for encoder in self.encoders:
            width = len(encoder.outputs)
            block = out[:, at : at + width]
            with np.errstate(over="ignore"):
                encoder.encode(frame, block, unknown)
            if not np.isfinite(block).all():
                row = first_where(~np.isfinite(block).all(axis=1))
                message = (
                    f"column {encoder.name!r} is {frame[encoder.name].iloc[row]}, so far from the "
                    "training rows that float32 cannot hold it"
                )
                raise error_at("transform", frame, row, message)
            at += width
        return wrap(out, None)

    def transform_target(self, frame: pd.DataFrame) -> Tensor:
        """The target: class numbers int64 (n,), or standardised values float32 (n, 1)."""
        self._check_fitted("transform_target")
        frame = _table(frame, "transform_target")
        check_target("transform_target", frame, self.target)
        if self.task == "regression":
            y = (_target_numbers(frame, self.target) - self.target_mean) / self.target_scale
            return wrap(y.astype(np.float32)[:, None], None)
        codes, names = categories_of(plain_column(frame[self.target], frame))
        number = {c: i for i, c in enumerate(self.classes)}
        y = np.asarray([number.get(name, -1) for name in names])[codes]
        if (y < 0).any():
            at = first_where(y < 0)
            text = category(frame[self.target].iloc[at])
            raise error_at(
                "transform_target",
                frame,
                at,
                f"the target {self.target!r} has the class {text!r}, which no training row had"
                f"{did_you_mean(text, self.classes)}; the classes are {listed(self.classes)}",
            )
        return wrap(y.astype(np.int64), None)

    def inverse_target(self, y: Tensor | np.ndarray) -> np.ndarray:
        """Back to the table: class names for class numbers (n,), values for standardised ones."""
        self._check_fitted("inverse_target")
        a = y.numpy(force=True) if isinstance(y, Tensor) else np.asarray(y)
        if self.task == "regression":
            return (
                np.float64(self.target_mean) + a.reshape(-1).astype(np.float64) * self.target_scale
            )
        if a.dtype.kind not in "iu":
            raise TypeError(
                f"inverse_target: got {a.dtype}, wanted class numbers; take outputs.argmax(dim=1)"
            )
        return np.asarray(self.classes, dtype=object)[a]

    def _check_fitted(self, who: str) -> None:
        if self.task is None:
            raise ValueError(f"{who}: call fit(training_rows) first")

    # ------------------------------------------------------------------ keeping
    def to_json(self) -> str:
        """Everything that `fit` learnt, as JSON; `from_json` gives it back with every digit."""
        self._check_fitted("to_json")
        return dump(
            {
                "format": FORMAT,
                "version": VERSION,
                "target": self.target,
                "task": self.task,
                "reason": self.reason,
                "classes": self.classes,
                "target_mean": self.target_mean,
                "target_scale": self.target_scale,
                "columns": [encoder_record(e) for e in self.encoders],
                "dropped": self.dropped,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> TablePreprocessor:
        """What `to_json` wrote, ready to transform. Raises `DataError` for anything else."""
        try:
            record = load(text)
            if record["format"] != FORMAT:
                raise ValueError(f"its format is {record['format']!r}, wanted {FORMAT!r}")
            if record["version"] != VERSION:
                raise ValueError(
                    f"its version is {record['version']!r}, this clearprop reads version {VERSION}"
                )
            out = cls(checked(record["target"], str), task=checked(record["task"], str))
            out.asked_task, out.task = None, out.asked_task
            out.reason = checked(record["reason"], str)
            out.classes = checked(record["classes"], tuple[str, ...])
            out.target_mean = checked(record["target_mean"], float)
            out.target_scale = checked(record["target_scale"], float)
            out.encoders = tuple(encoder_from(dict(column)) for column in record["columns"])
            out.dropped = {k: checked(v, str) for k, v in dict(record["dropped"]).items()}
        except MALFORMED as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(f"from_json: not a saved preprocessor: {what}") from error
        return out


def _table(frame: pd.DataFrame, who: str) -> pd.DataFrame:
    """The table with names that are text, each once."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{who}: got a {type(frame).__name__}, wanted a pandas DataFrame")
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice):
        raise DataError(f"{who}: duplicate column names: {listed(twice)}")
    return frame


def _target_numbers(frame: pd.DataFrame, target: str) -> np.ndarray:
    values = plain_column(frame[target], frame)
    if kind_of(values) not in ("numeric", "boolean"):
        at = first_where(values.notna())
        message = f"the target {target!r} holds {str(values.iloc[at])!r}, wanted a number"
        raise error_at("regression", frame, at, message)
    y = values.to_numpy(dtype=np.float64)
    if not np.isfinite(y).all():
        raise error_at(
            "regression",
            frame,
            first_where(~np.isfinite(y)),
            f"the target {target!r} is not finite",
        )
    return y
