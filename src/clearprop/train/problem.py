"""From a name or a file to rows that train, choose and test."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from clearprop.core import Tensor, wrap
from clearprop.data import (
    Split,
    TablePreprocessor,
    decide_task,
    load_real,
    read_table,
    stratified_split,
)
from clearprop.data.real import REAL_SETS
from clearprop.errors import DataError, did_you_mean
from clearprop.train.scaling import Scaling

TABLES = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".pq")
TEST, VALIDATION = 0.2, 0.1  # shares of all rows
NOTED_COLUMNS = 6


@dataclass(frozen=True)
class Problem:
    """Rows ready for a network, how they are split, and what they mean.

    `raw` are the inputs as they came, row by row, for the report.
    """

    name: str
    task: Literal["classification", "regression"]
    reason: str
    x: Tensor
    y: Tensor
    split: Split
    preprocessor: Scaling | TablePreprocessor
    image_shape: tuple[int, int] | None
    raw: pd.DataFrame
    source_hash: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def inputs(self) -> int:
        return int(self.x.shape[1])

    @property
    def outputs(self) -> int:
        return self.preprocessor.n_outputs

    def rows(self, part: Literal["train", "validation", "test"]) -> tuple[Tensor, Tensor]:
        """x and y of one part."""
        index = getattr(self.split, part)
        return wrap(self.x.numpy()[index], None), wrap(self.y.numpy()[index], None)


def is_table(source: str) -> bool:
    return source.lower().endswith(TABLES)


def load_problem(
    source: str,
    target: str | None,
    seed: int,
    task: Literal["classification", "regression"] | None = None,
) -> Problem:
    """A real set by name (`digits`), or a table by its path; `seed` fixes the split."""
    if not is_table(source):
        return real_problem(source, target, seed)
    if target is None:
        names = list(read_table(source).columns)
        raise DataError(
            f"train: which column of {source} is to be predicted? Say --target NAME; the columns "
            f"are {', '.join(map(repr, names[:30]))}",
            source,
        )
    return table_problem(source, target, seed, task)


def real_problem(name: str, target: str | None, seed: int) -> Problem:
    if name.replace("-", "_") not in REAL_SETS:
        hint = did_you_mean(name, REAL_SETS)
        if Path(name).exists():
            hint = f"; a table must end in {', '.join(TABLES)}"
        raise DataError(
            f"train: there is no data set {name!r}{hint}; there are {', '.join(REAL_SETS)}, "
            "or pass a CSV or Parquet file with --target COLUMN"
        )
    if target is not None:
        raise DataError(f"train: --target is for tables; the set {name} has its own")
    data = load_real(name)
    labels = data.y if data.task == "classification" else data.y.numpy()[:, 0]
    split = stratified_split(labels, test=TEST, validation=VALIDATION, seed=seed)
    scaling = Scaling.fit(data, split.train)
    x = data.x.numpy()
    return Problem(
        name=data.name,
        task=data.task,
        reason=f"the set {data.name}: {data.description}",
        x=scaling.scaled(x),
        y=scaling.scaled_target(data.y.numpy()),
        split=split,
        preprocessor=scaling,
        image_shape=data.image_shape,
        raw=pd.DataFrame(x, columns=list(data.feature_names)),
    )


def table_problem(
    path: str, target: str, seed: int, task: Literal["classification", "regression"] | None
) -> Problem:
    frame = read_table(path, target=target)
    decided, reason = decide_task(frame[target]) if task is None else (task, "as --task says")
    labels = frame[target]
    split = stratified_split(
        (
            labels.astype(str).to_numpy()
            if decided == "classification"
            else labels.to_numpy(np.float64)
        ),
        test=TEST,
        validation=VALIDATION,
        seed=seed,
    )
    learn = frame.iloc[split.train]
    learn.attrs["path"] = path
    prep = TablePreprocessor(target, task=decided).fit(learn)
    notes = [f"left out {name!r}: {why}" for name, why in prep.dropped.items()]
    for name in prep.columns:
        empty = frame[name].isna()
        if empty.any():
            where = f"{frame.index.name or 'row'} {frame.index[int(empty.to_numpy().argmax())]}"
            cells = f"{int(empty.sum())} empty cell{'s' if empty.sum() > 1 else ''}"
            notes.append(f"column {name!r} has {cells} (first: {where})")
    if len(notes) > NOTED_COLUMNS:
        notes[NOTED_COLUMNS:] = [f"and {len(notes) - NOTED_COLUMNS} more columns like these"]
    return Problem(
        name=table_name(path),
        task=decided,
        reason=reason,
        # Held-out rows may have a category that no training row has: none of the known ones.
        x=prep.transform(frame, unknown="ignore"),
        y=prep.transform_target(frame),
        split=split,
        preprocessor=prep,
        image_shape=None,
        raw=frame.drop(columns=[target]),
        source_hash=hash_of(path),
        notes=tuple(notes),
    )


def table_name(path: str | os.PathLike[str]) -> str:
    """The name of a file without its endings, fit for a folder."""
    stem = Path(path).name
    for ending in sorted(TABLES, key=len, reverse=True):
        stem = stem.removesuffix(ending)
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)
    return kept or "table"


def hash_of(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inputs_of(problem: Problem, row: int) -> dict[str, Any]:
    """The inputs of one row as they came."""
    return {name: plain(value) for name, value in problem.raw.iloc[row].items()}


def plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
