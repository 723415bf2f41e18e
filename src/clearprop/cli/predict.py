"""`clearprop predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clearprop.train.prediction import likeliest, predict, write_predictions

HELP = """Predict the rows of a CSV or Parquet file with a trained network.

RUN is a folder that `clearprop train` made; the rows go through the same preprocessing. One line
per row is written: the prediction, and for classes the probability of each. If the file also has
the target, the predictions are scored.

Example:

  clearprop predict runs/houses-2026-01-31-1 new.csv --out prices.csv
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def predict_command(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet file.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Where the predictions go.")] = Path("predictions.csv"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")] = False,
) -> None:
    predictions = predict(run, data)
    write_predictions(predictions, out)
    console = Console(quiet=quiet)
    n = len(predictions.frame)
    console.print(f"{n} prediction{'s' if n > 1 else ''} in {out}", highlight=False, markup=False)
    if len(predictions.frame.columns) > 1:
        words = ", ".join(likeliest(predictions.frame))
        console.print(f"commonest: {words}", highlight=False, markup=False)
    for name, value in predictions.scores.items():
        console.print(f"{name} on these rows: {value:.4f}", highlight=False)
