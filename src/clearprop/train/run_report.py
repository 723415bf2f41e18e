"""Everything that the report of a run shows, gathered from the trained network."""

from __future__ import annotations

import platform
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np

from clearprop._version import __version__
from clearprop.core import wrap
from clearprop.errors import MissingExtraError
from clearprop.explanation import draw
from clearprop.train.findings import probabilities
from clearprop.train.gradient_log import GradientLog
from clearprop.train.options import Options
from clearprop.train.problem import Problem, inputs_of
from clearprop.train.report import Mistake, ReportData
from clearprop.train.run_folder import RunFolder
from clearprop.train.trainer import Trainer

MOST_MISTAKES = 24


def report_data(
    problem: Problem,
    options: Options,
    trainer: Trainer,
    gradients: GradientLog,
    outputs: np.ndarray,
    final: dict[str, float],
    command: str,
    run: RunFolder,
) -> ReportData:
    """Everything that report.html shows."""
    x, y = problem.rows("test")
    classes = list(problem.preprocessor.classes)
    confusion, mistakes, true, predicted = None, [], None, None
    if problem.task == "classification":
        labels, guesses = y.numpy(), outputs.argmax(axis=1)
        confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(confusion, (labels, guesses), 1)
        mistakes = worst(problem, labels, outputs, classes)
    else:
        back = problem.preprocessor.inverse_target
        true, predicted = back(y.numpy()), back(outputs)
    return ReportData(
        title=run.path.name,
        task=problem.task,
        command=command,
        config={k: v for k, v in asdict(options).items() if v is not None},
        history=trainer.history.rows,
        gradients=gradients.rows,
        final=final,
        classes=classes,
        confusion=confusion,
        mistakes=mistakes,
        true=true,
        predicted=predicted,
        network_svg=drawn(trainer.model, x.numpy()[:1]),
        findings=None if trainer.findings is None else trainer.findings.as_dict()["findings"],
        environment=environment(),
    )


def drawn(model: Any, x: np.ndarray) -> str:
    """The network as SVG; a sentence where the package that lays it out is missing."""
    try:
        return draw(model, wrap(x, None)).svg
    except MissingExtraError as error:
        return escape(str(error))


def worst(
    problem: Problem, labels: np.ndarray, outputs: np.ndarray, classes: list[str]
) -> list[Mistake]:
    """Wrong answers, the most confident first."""
    p = probabilities(outputs)
    guesses = p.argmax(axis=1)
    wrong = np.flatnonzero(guesses != labels)
    wrong = wrong[np.argsort(-p[wrong, guesses[wrong]], kind="stable")][:MOST_MISTAKES]
    found = []
    for i in wrong:
        row = int(problem.split.test[i])
        inputs = inputs_of(problem, row)
        image = None
        if problem.image_shape is not None:
            image = np.asarray(list(inputs.values()), np.float64).reshape(problem.image_shape)
        guess = int(guesses[i])
        found.append(
            Mistake(
                image=image,
                inputs={} if image is not None else inputs,
                true=classes[int(labels[i])],
                predicted=classes[guess],
                confidence=float(p[i, guess]),
            )
        )
    return found


def environment() -> dict[str, str]:
    """What a run depends on besides its options."""
    return {
        "clearprop": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
    }
