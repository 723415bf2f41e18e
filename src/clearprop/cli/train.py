"""`clearprop train`."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from clearprop.cli import set_flags
from clearprop.train.network import ACTIVATIONS, LOSSES, OPTIMIZERS, pick
from clearprop.train.options import Options
from clearprop.train.session import Outcome, command_line, resume, start

HELP = """Train a network on a data set or a table, and write a report.

SOURCE is a data set that comes with scikit-learn (digits, iris, wine, breast_cancer, diabetes), or
a CSV or Parquet file with --target. A fifth of the rows is held out and used for nothing but the
final figures; a tenth chooses when to stop. Everything goes into a new folder under runs/:
report.html, metrics.csv, model.safetensors, config.json and the checkpoint.

Ctrl-C finishes the step and saves; --resume continues, to the same weights bit for bit.

Examples:

  clearprop train digits

  clearprop train digits --hidden 64 --activation tanh --epochs 20 --seed 1

  clearprop train houses.csv --target price

  clearprop train my_script.py:build_model digits

  clearprop train --resume runs/digits-2026-01-31-1
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def widths(text: str | None) -> tuple[int, ...] | None:
    """`128,64` as numbers; `none` is no hidden layer."""
    if text is None:
        return None
    if text.strip().lower() in ("none", "0", ""):
        return ()
    if not re.fullmatch(r"\s*[1-9]\d*(\s*,\s*[1-9]\d*)*\s*", text):
        raise typer.BadParameter(
            f"{text!r} is not a list of widths like 128,64 (or none)", param_hint="--hidden"
        )
    return tuple(map(int, text.split(",")))


def what_to_train(words: list[str]) -> tuple[str, str | None]:
    """The source, and file.py:function if the network is the user's own; in either order."""
    scripts = [w for w in words if re.search(r"\.py(:\w*)?$", w)]
    sources = [w for w in words if w not in scripts]
    if len(scripts) > 1 or len(sources) > 1:
        raise typer.BadParameter(
            f"one data set or table, and at most one file.py:function; got {' '.join(words)}"
        )
    if not sources:
        given = f" after {scripts[0]}" if scripts else ""
        raise typer.BadParameter(
            f"name a data set or a table{given}, for example: clearprop train "
            f"{scripts[0] + ' ' if scripts else ''}digits"
        )
    if scripts and not re.search(r"\.py:\w+$", scripts[0]):
        raise typer.BadParameter(
            f"which function of {scripts[0].rstrip(':')} builds the network? "
            f"{scripts[0].rstrip(':')}:build_model, for example"
        )
    return sources[0], scripts[0] if scripts else None


def running(text: str, **bounds: Any) -> Any:
    """An option of the panel Training."""
    return typer.Option(help=text, rich_help_panel="Training", **bounds)


def shape(text: str, **bounds: Any) -> Any:
    """An option of the panel Network."""
    return typer.Option(help=text, rich_help_panel="Network", **bounds)


WORDS = typer.Argument(
    metavar="[FILE.py:FUNCTION] SOURCE",
    help="A data set (digits, ...) or a table; before it, your own network.",
)
TASK = typer.Option(help="classification or regression; decided by the target if not given.")
HIDDEN = shape("Widths of the hidden layers, like 128,64; none for a linear model.")
DROPOUT = shape("Share of hidden values set to 0 in training.", min=0, max=0.99)
LOSS = running(", ".join(name for names in LOSSES.values() for name in names))
SMOOTHING = running("Share of a class that is spread over all.", min=0, max=0.99)
PATIENCE = running("Stop after so many epochs without a better validation loss.", min=1)
RESUME = typer.Option("--resume", metavar="RUN", help="Go on with an interrupted run.")
SET = typer.Option("--set", metavar="FLAG=VALUE", help="Set a switch (clearprop env lists them).")
EAGER = running("Run every op from Python instead of compiling the step.")
DOCTOR = running("Watch the gradients (clearprop doctor), and tell what is wrong with them.")
QUIET = typer.Option("--quiet", "-q", help="Show nothing but errors.")


@app.command(help=HELP)
def train(
    words: Annotated[list[str] | None, WORDS] = None,
    target: Annotated[str | None, typer.Option(help="The column of a table to predict.")] = None,
    task: Annotated[str | None, TASK] = None,
    hidden: Annotated[str | None, HIDDEN] = None,
    activation: Annotated[str | None, shape(", ".join(ACTIVATIONS))] = None,
    dropout: Annotated[float | None, DROPOUT] = None,
    loss: Annotated[str | None, LOSS] = None,
    label_smoothing: Annotated[float | None, SMOOTHING] = None,
    optimizer: Annotated[str | None, running(", ".join(OPTIMIZERS))] = None,
    lr: Annotated[float | None, running("Learning rate at the start of a cosine.", min=0)] = None,
    weight_decay: Annotated[float | None, running("Pull of the weights to 0.", min=0)] = None,
    batch_size: Annotated[int | None, running("Rows per step.", min=1)] = None,
    epochs: Annotated[int | None, running("Passes over the training rows.", min=1)] = None,
    patience: Annotated[int | None, PATIENCE] = None,
    seed: Annotated[int, running("Fixes split, weights, order and dropout.")] = 0,
    resume_run: Annotated[Path | None, RESUME] = None,
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs"),
    eager: Annotated[bool, EAGER] = False,
    doctor: Annotated[bool, DOCTOR] = True,
    quiet: Annotated[bool, QUIET] = False,
    setting: Annotated[list[str] | None, SET] = None,
) -> None:
    set_flags(setting)
    console = Console(quiet=quiet)
    chosen: dict[str, Any] = {
        "target": target,
        "task": task,
        "hidden": widths(hidden),
        "activation": activation,
        "loss": loss,
        "optimizer": optimizer,
        "lr": lr,
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": patience,
        "dropout": dropout,
        "weight_decay": weight_decay,
        "label_smoothing": label_smoothing,
        "eager": eager or None,
        "doctor": None if doctor else False,
    }
    if resume_run is not None:
        others = [f"--{k.replace('_', '-')}" for k, v in chosen.items() if v is not None]
        if words or others:
            raise typer.BadParameter(
                f"a resumed run keeps its options; leave out {' '.join([*(words or ()), *others])}",
                param_hint="--resume",
            )
        outcome = resume(resume_run, console)
    else:
        source, model = what_to_train(words or [])
        check_choices(task, activation, optimizer)
        chosen |= {"eager": eager, "doctor": doctor}
        options = Options(source=source, model=model, seed=seed, **chosen)
        outcome = start(options, out, console, command_line(sys.argv[1:]))
    finish(outcome, console)


def check_choices(task: str | None, activation: str | None, optimizer: str | None) -> None:
    """Names that can be checked before anything is read."""
    if task is not None:
        pick("task", task, LOSSES)
    if activation is not None:
        pick("activation", activation, ACTIVATIONS)
    if optimizer is not None:
        pick("optimizer", optimizer, OPTIMIZERS)


def finish(outcome: Outcome, console: Console) -> None:
    """Say how the run ended."""
    path = outcome.run.path
    if outcome.signal is not None:
        name = signal.Signals(outcome.signal).name
        print(f"clearprop: stopped by {name}; everything is saved. To go on:", file=sys.stderr)
        print(f"  {shlex.join(['clearprop', 'train', '--resume', str(path)])}", file=sys.stderr)
        raise typer.Exit(128 + outcome.signal)
    if outcome.stopped == "early stopping":
        console.print("stopped early: the weights of the best validation loss are kept")
    table = Table.grid(padding=(0, 3, 0, 0))
    for name, value in outcome.final.items():
        table.add_row(f"held-out {name.removeprefix('test_')}", f"{value:.4f}")
    table.add_row("report", str(outcome.run.report), style="bold")
    console.print(table)
