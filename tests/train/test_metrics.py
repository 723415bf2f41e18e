"""Metrics, against scikit-learn, in one piece and in batches."""

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from clearprop.errors import ShapeError
from clearprop.train import MAE, METRICS, MSE, R2, RMSE, Accuracy, F1Macro
from clearprop.train.metrics import MetricError, metrics_of

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(101, 5)), RNG.integers(0, 4, 101)
OUTPUTS, VALUES = RNG.normal(size=(101, 1)), RNG.normal(size=(101, 1)) + 1e6
OUTPUTS = OUTPUTS + 1e6
GUESSES = LOGITS.argmax(axis=1)

EXPECTED = [
    (Accuracy, LOGITS, LABELS, sk.accuracy_score(LABELS, GUESSES)),
    (F1Macro, LOGITS, LABELS, sk.f1_score(LABELS, GUESSES, average="macro")),
    (MSE, OUTPUTS, VALUES, sk.mean_squared_error(VALUES, OUTPUTS)),
    (RMSE, OUTPUTS, VALUES, sk.root_mean_squared_error(VALUES, OUTPUTS)),
    (MAE, OUTPUTS, VALUES, sk.mean_absolute_error(VALUES, OUTPUTS)),
    (R2, OUTPUTS, VALUES, sk.r2_score(VALUES, OUTPUTS)),
]
CASES = pytest.mark.parametrize(
    ("kind", "outputs", "targets", "expected"), EXPECTED, ids=lambda v: getattr(v, "name", "")
)


@CASES
def test_metric_equals_scikit_learn(kind, outputs, targets, expected):
    metric = kind()
    metric.update(outputs, targets)
    assert metric.value() == pytest.approx(expected, rel=1e-9)


@CASES
def test_metric_in_uneven_batches_equals_metric_in_one(kind, outputs, targets, expected):
    metric = kind()
    for part in np.split(np.arange(len(outputs)), [1, 30, 31, 90]):
        metric.update(outputs[part], targets[part])
    assert metric.value() == pytest.approx(expected, rel=1e-9)


@CASES
def test_metric_goes_on_from_its_state(kind, outputs, targets, expected):
    whole, first, second = kind(), kind(), kind()
    whole.update(outputs[:40], targets[:40])
    first.update(outputs[:40], targets[:40])
    second.load_state_dict(first.state_dict())
    for metric in (whole, second):
        metric.update(outputs[40:], targets[40:])
    assert second.value() == whole.value()


@pytest.mark.parametrize("name", METRICS)
def test_metric_of_nothing_is_nan(name):
    assert math.isnan(METRICS[name]().value())


def test_one_logit_is_class_one_above_zero():
    metric = Accuracy()
    metric.update(np.array([[-1.0], [2.0], [3.0]]), np.array([[0.0], [1.0], [0.0]]))
    assert metric.value() == pytest.approx(2 / 3)


def test_regression_metric_refuses_to_broadcast():
    with pytest.raises(ShapeError, match=r"mse: .*\(3, 1\).*\(3,\)"):
        MSE().update(np.zeros((3, 1)), np.zeros(3))


def test_unknown_metric_says_what_there_is():
    with pytest.raises(MetricError, match="did you mean 'accuracy'"):
        metrics_of(["acuracy"])


def test_a_metric_twice_is_refused():
    with pytest.raises(MetricError, match="twice"):
        metrics_of(["mse", MSE()])
