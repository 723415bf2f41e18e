"""`clearprop predict`: rows of a table through a trained network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clearprop.data import TablePreprocessor, read_table
from clearprop.data.columns import error_at, first_where
from clearprop.errors import DataError
from clearprop.serialization import atomic_write
from clearprop.train.findings import METRICS, forward, probabilities
from clearprop.train.metrics import metrics_of
from clearprop.train.options import network, options_of
from clearprop.train.run_folder import RunFolder
from clearprop.train.scaling import preprocessor_from_json

NEVER_EMPTY = "column {0!r} is empty, and no training row was; give it a value or leave out the row"


@dataclass(frozen=True)
class Predictions:
    """A table of predictions, and the scores if the target was there too."""

    frame: pd.DataFrame
    scores: dict[str, float]


def predict(run_path: str | os.PathLike[str], source: str | os.PathLike[str]) -> Predictions:
    """The predictions of a run for every row of a CSV or Parquet file.

    Raises `DataError` with the row for what the network cannot be asked: a category or a class
    that no training row had, an empty cell where none was, a value that is not finite.
    """
    run = RunFolder.open(run_path)
    config = run.read_config()
    options = options_of(config["options"], run)
    try:
        text = run.preprocessing.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{run.path} is not a run folder: it has no preprocessing.json") from None
    prep = preprocessor_from_json(text, run.preprocessing)
    model = network(options, config["inputs"], config["outputs"])
    run.load_model(model)
    frame = read_table(source, categorical=prep.categorical_columns)
    if isinstance(prep, TablePreprocessor):
        check_empty(prep, frame)
    outputs = forward(model, prep.transform(frame).numpy())
    scores = {}
    if prep.target in frame.columns and frame[prep.target].notna().all():
        targets, rated = prep.transform_target(frame).numpy(), outputs
        if prep.task == "regression":
            targets, rated = (prep.inverse_target(a)[:, None] for a in (targets, outputs))
        for metric in metrics_of(METRICS[config["task"]]):
            metric.update(rated, targets)
            scores[metric.name] = metric.value()
    if prep.task == "regression":
        return Predictions(pd.DataFrame({"prediction": prep.inverse_target(outputs)}), scores)
    p = probabilities(outputs)
    table = {"prediction": prep.inverse_target(p.argmax(axis=1))}
    table |= {f"probability of {name}": p[:, i] for i, name in enumerate(prep.classes)}
    return Predictions(pd.DataFrame(table), scores)


def check_empty(prep: TablePreprocessor, frame: pd.DataFrame) -> None:
    """Raise for a gap in a column of numbers that had none in training."""
    for encoder in prep.encoders:
        if encoder.kind == "categorical" or encoder.name not in frame.columns:
            continue  # its own encoder knows what is missing
        empty = frame[encoder.name].isna()
        if not getattr(encoder, "indicator", True) and empty.any():
            message = NEVER_EMPTY.format(encoder.name)
            raise error_at("predict", frame, first_where(empty), message)


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """As CSV, whole or not at all."""
    text = predictions.frame.to_csv(index=False, float_format="%.7g", lineterminator="\n")
    atomic_write(Path(path), text.encode())


def likeliest(frame: pd.DataFrame, n: int = 3) -> list[str]:
    """The commonest predictions, for a line on the screen."""
    values, counts = np.unique(frame["prediction"].astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:n]
    return [f"{values[i]} ({counts[i]})" for i in order]
