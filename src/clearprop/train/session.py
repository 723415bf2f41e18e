"""`clearprop train` from its options to the report: what the command line is a thin layer over."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from clearprop._version import __version__
from clearprop.errors import DataError
from clearprop.optim.lr_scheduler import CosineAnnealingLR
from clearprop.train.callback import Callback
from clearprop.train.checkpoint import Checkpoint
from clearprop.train.csv_log import CSVLog
from clearprop.train.early_stopping import EarlyStopping
from clearprop.train.findings import METRICS, forward, score
from clearprop.train.gradient_log import GradientLog
from clearprop.train.network import loss_for, optimizer_for
from clearprop.train.options import Options, filled, network, options_of
from clearprop.train.problem import Problem, is_table, load_problem
from clearprop.train.progress import Progress
from clearprop.train.report import write_report
from clearprop.train.run_folder import RunFolder, write_json
from clearprop.train.run_report import report_data
from clearprop.train.trainer import Trainer


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `signal` is set if it was interrupted."""

    run: RunFolder
    final: dict[str, float]
    signal: int | None
    stopped: str | None


def start(options: Options, out: str | Path, console: Console, command: str) -> Outcome:
    """A new run in a new folder under `out`."""
    problem = load_problem(options.source, options.target, options.seed, options.task)
    options = filled(options, problem)
    # Everything that can be wrong with the options is found before the folder is made.
    parts = build(options, problem)
    run = RunFolder.new(out, problem.name)
    if is_table(options.source):
        options = replace(options, source=str(Path(options.source).resolve()))
    if options.model is not None:
        file, _, function = options.model.rpartition(":")
        options = replace(options, model=f"{Path(file).resolve()}:{function}")
    run.preprocessing.write_text(problem.preprocessor.to_json(), encoding="utf-8")
    run.write_config(
        {
            "clearprop": __version__,
            "command": command,
            "options": asdict(options),
            "task": problem.task,
            "inputs": problem.inputs,
            "outputs": problem.outputs,
            "source_hash": problem.source_hash,
        }
    )
    return train(run, problem, options, parts, console, command)


def resume(path: str | Path, console: Console) -> Outcome:
    """Go on with a run where it was interrupted."""
    run = RunFolder.open(path)
    config = run.read_config()
    options = options_of(config["options"], run)
    problem = load_problem(options.source, options.target, options.seed, options.task)
    if problem.source_hash != config["source_hash"]:
        raise DataError(
            f"train: {options.source} has changed since {path} was started; "
            "start a new run, or put the old file back",
            options.source,
        )
    if not run.checkpoint.exists():
        console.print(f"{path} has no checkpoint yet: starting from the beginning")
    return train(run, problem, options, build(options, problem), console, config["command"])


def build(options: Options, problem: Problem) -> tuple[Any, Any, Any, Any]:
    """Model, loss, optimizer and scheduler."""
    o: Any = options
    model = network(options, problem.inputs, problem.outputs)
    loss = loss_for(problem.task, o.loss, o.label_smoothing)
    optimizer = optimizer_for(o.optimizer, model.parameters(), o.lr, o.weight_decay)
    return model, loss, optimizer, CosineAnnealingLR(optimizer, max(o.epochs, 1))


def train(
    run: RunFolder,
    problem: Problem,
    options: Options,
    parts: tuple[Any, Any, Any, Any],
    console: Console,
    command: str,
) -> Outcome:
    """Fit, then save the model, the results on the test rows, and the report."""
    model, loss, optimizer, scheduler = parts
    gradients = GradientLog()
    callbacks: list[Callback] = [
        EarlyStopping(options.patience),
        gradients,
        CSVLog(run.metrics),
        Progress(console),
        Checkpoint(run.checkpoint, every_seconds=2.0, every_epochs=None),
    ]
    introduce(problem, model, run, console)
    trainer = Trainer(
        model,
        loss,
        optimizer,
        scheduler=scheduler,
        metrics=METRICS[problem.task],
        callbacks=callbacks,
        clip_norm=None,
        eager=options.eager,
        doctor=options.doctor,
    )
    assert options.epochs is not None
    history = trainer.fit(
        problem.rows("train"),
        problem.rows("validation"),
        epochs=options.epochs,
        batch_size=options.batch_size,
        seed=options.seed,
        resume=run.checkpoint if run.checkpoint.exists() else None,
    )
    if trainer.findings:
        console.print(str(trainer.findings), highlight=False, markup=False)
    if history.stopped == "interrupted":
        return Outcome(run, {}, trainer.interrupted, history.stopped)
    run.save_model(model)
    outputs = forward(model, problem.rows("test")[0].numpy())
    final = score(problem, outputs)
    write_json(run.results, final)
    data = report_data(problem, options, trainer, gradients, outputs, final, command, run)
    write_report(run.report, data)
    return Outcome(run, final, None, history.stopped)


def introduce(problem: Problem, model: Any, run: RunFolder, console: Console) -> None:
    """Say what is about to happen."""
    split = problem.split
    say = {"classification": f"{problem.outputs} classes", "regression": "regression"}
    console.print(f"{problem.task}: {problem.reason}", highlight=False)
    console.print(
        f"rows: {len(split.train)} to train, {len(split.validation)} to choose, "
        f"{len(split.test)} held out to test; {problem.inputs} inputs, {say[problem.task]}, "
        f"{sum(p.numel() for p in model.parameters()):,} weights",
        highlight=False,
    )
    for note in problem.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    console.print(f"run folder: {run.path}", highlight=False, markup=False)


def command_line(arguments: list[str]) -> str:
    """The command as it can be typed again."""
    return shlex.join(["clearprop", *arguments])
