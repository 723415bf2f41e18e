"""What scikit-learn's users do with estimators, and what clearprop's have besides."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import clearprop as cp
from clearprop import nn
from clearprop.sklearn import MLPClassifier, MLPRegressor, NetClassifier, NetRegressor, pool, steps
from clearprop.train import Callback, CSVLog, EarlyStopping

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_digits(return_X_y=True)
X, y = X[:400] / 16, y[:400]
flowers, kinds = load_iris(return_X_y=True, as_frame=True)


class Network(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.hidden = nn.Linear(features, 16)
        self.norm = nn.BatchNorm1d(16)
        self.out = nn.Linear(16, outputs)

    def forward(self, x):
        return self.out(nn.functional.dropout(self.norm(self.hidden(x)).relu(), 0.2, self.training))


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )


def weights(estimator):
    if hasattr(estimator, "coefs_"):
        return [*estimator.coefs_, *estimator.intercepts_]
    return [t.value for t in estimator.module_.state_dict().values()]


def assert_equal(a, b):
    for p, q in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(p, q)


ESTIMATORS = {
    "MLPClassifier": MLPClassifier((16,), max_iter=5, random_state=1),
    "with dropout": MLPClassifier((16,), max_iter=5, random_state=1, dropout=0.3),
    "MLPRegressor": MLPRegressor(hidden_layer_sizes=(16,), max_iter=5, random_state=1),
    "NetClassifier": NetClassifier(Network, max_iter=5, random_state=1),
    "NetRegressor": NetRegressor(Network, max_iter=5, random_state=1),
}


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_deterministic_pickles_clones_and_leaves_the_programs_numbers_alone(estimator):
    first = clone(estimator).fit(X, y)
    before = cp.default_generator.get_state()
    again = clone(estimator).fit(X, y)
    np.testing.assert_array_equal(before, cp.default_generator.get_state())
    assert_equal(first, again)
    restored = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(restored.predict(X), first.predict(X))
    for _ in range(2):  # the optimizer's state came along
        first.partial_fit(X, y)
        restored.partial_fit(X, y)
    assert_equal(first, restored)
    restored = pickle.loads(pickle.dumps(first))  # from the middle of a stream, too
    assert_equal(first.partial_fit(X, y), restored.partial_fit(X, y))
    other = clone(estimator).set_params(random_state=2).fit(X, y)
    assert not np.array_equal(weights(first)[0], weights(other)[0])


@pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
def test_compiled_as_eager(estimator, monkeypatch):
    monkeypatch.setattr(steps, "COMPILE", np.inf)
    eager = clone(estimator).set_params(dtype="float64").fit(X, y)
    monkeypatch.setattr(steps, "COMPILE", 0)
    pool._idle.clear()
    compiled = clone(estimator).set_params(dtype="float64").fit(X, y)
    for a, b in zip(weights(eager), weights(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert eager.loss_curve_ == pytest.approx(compiled.loss_curve_, rel=1e-9)
    again = clone(estimator).set_params(dtype="float64").fit(X, y)  # with the steps of the other
    assert_equal(compiled, again)


def test_an_epoch_with_a_short_last_batch_is_one_version(monkeypatch):
    monkeypatch.setattr(steps, "COMPILE", 0)
    clf = MLPClassifier((8,), max_iter=3, callbacks=[lambda run: None]).fit(X[:390], y[:390])
    assert "1 compiled" in clf._training._compiled["step"].explain()


def test_lbfgs_compiled_as_eager(monkeypatch):
    found = []
    for seconds in (0, np.inf):
        monkeypatch.setattr(steps, "COMPILE", seconds)
        found.append(MLPClassifier((8,), solver="lbfgs", max_iter=10, random_state=0).fit(X, y))
    for a, b in zip(weights(found[0]), weights(found[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_float32_in_batches_ends_near_float64():
    settings = {"hidden_layer_sizes": (16,), "max_iter": 20, "random_state": 0}
    fast = MLPClassifier(**settings).fit(X, y)
    exact = MLPClassifier(dtype="float64", **settings).fit(X, y)
    assert fast.coefs_[0].dtype == np.float64 and fast.loss_ == pytest.approx(exact.loss_, rel=1e-4)
    single = MLPClassifier(dtype="float32", **settings).fit(X, y)
    assert single.coefs_[0].dtype == single.predict_proba(X).dtype == np.float32


def test_in_pipelines_searches_and_cross_validation():
    pipe = make_pipeline(
        StandardScaler(), MLPClassifier((8,), learning_rate_init=0.05, max_iter=40)
    )
    pipe.set_params(mlpclassifier__random_state=0)
    assert cross_val_score(pipe, flowers, kinds, cv=3).mean() > 0.9
    grid = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 1e3]}, cv=3).fit(flowers, kinds)
    assert grid.best_params_ == {"mlpclassifier__alpha": 1e-4}
    net = NetClassifier(Network, learning_rate_init=0.05, random_state=0)
    search = GridSearchCV(net, {"max_iter": [1, 20]}, cv=2, n_jobs=2).fit(flowers, kinds)
    assert search.best_params_ == {"max_iter": 20}


def test_tables_with_names():
    clf = MLPClassifier(max_iter=2).fit(flowers, kinds)
    assert list(clf.feature_names_in_) == list(flowers.columns)
    with pytest.raises(ValueError, match="feature names should match those that were passed"):
        clf.predict(flowers.rename(columns=str.upper))
    named = pd.Series(np.array(["setosa", "versicolor", "virginica"])[kinds])
    assert set(clf.fit(flowers, named).predict(flowers)) <= set(named)


def test_sparse_rows_give_the_numbers_of_dense_ones():
    for estimator in (MLPClassifier((8,), max_iter=3, random_state=0),
                      MLPClassifier((8,), solver="lbfgs", max_iter=3, random_state=0)):  # fmt: skip
        dense, sparse = clone(estimator).fit(X, y), clone(estimator).fit(csr_matrix(X), y)
        assert_equal(dense, sparse)
        np.testing.assert_allclose(sparse.predict_proba(csr_matrix(X)), dense.predict_proba(X))


# ---------------------------------------------------------------------- what scikit-learn has not
def test_activations_of_each_layer():
    options = {"max_iter": 3, "random_state": 0, "hidden_layer_sizes": (12, 8)}
    clf = MLPClassifier(activation=["gelu", "tanh"], **options).fit(X, y)
    h = nn.functional.gelu(cp.tensor(X @ clf.coefs_[0] + clf.intercepts_[0])).numpy()
    h = np.tanh(h @ clf.coefs_[1] + clf.intercepts_[1])
    z = h @ clf.coefs_[2] + clf.intercepts_[2]
    p = np.exp(z - z.max(1, keepdims=True))
    np.testing.assert_allclose(clf.predict_proba(X), p / p.sum(1, keepdims=True), rtol=1e-9)
    same = MLPClassifier(activation=["relu", "relu"], **options).fit(X, y)
    assert_equal(same, MLPClassifier(**options).fit(X, y))
    own = MLPClassifier(activation=lambda h: h.clamp(min=0), **options).fit(X, y)
    np.testing.assert_allclose(own.coefs_[0], same.coefs_[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="wants one for each of the 2 hidden layers, got 1"):
        MLPClassifier(activation=["relu"], **options).fit(X, y)
    with pytest.raises(ValueError, match="no activation 'rellu'; did you mean 'relu'"):
        MLPClassifier(activation=["rellu", "tanh"], **options).fit(X, y)


def test_dropout_only_in_training():
    clf = MLPClassifier((32,), dropout=0.5, max_iter=30, random_state=0, learning_rate_init=0.01)
    clf.fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(X))
    plain = clone(clf).set_params(dropout=0.0).fit(X, y)
    assert clf.loss_ > 2 * plain.loss_ and clf.score(X, y) > 0.9
    with pytest.raises(ValueError, match="so no dropout"):
        MLPClassifier(solver="lbfgs", dropout=0.5).fit(X, y)


def test_a_loss_of_ones_own():
    options = {"max_iter": 5, "random_state": 0, "hidden_layer_sizes": (12,), "dtype": "float64"}
    named = MLPClassifier(**options).fit(X, y)
    for own in (
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(reduction="none"),
        lambda z, t: nn.functional.cross_entropy(z, t),  # one number: the last batch stays short
    ):
        clf = MLPClassifier(loss=own, **options).fit(X, y)
        np.testing.assert_allclose(clf.coefs_[0], named.coefs_[0], rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="so rows cannot be weighted"):
        clf.fit(X, y, sample_weight=np.ones(len(y)))
    target = X[:, 20]
    reg = MLPRegressor(lambda out, t: 0.5 * (out - t) ** 2, **options).fit(X, target)
    assert_equal(reg, MLPRegressor("squared_error", **options).fit(X, target))
    median = MLPRegressor("absolute_error", **{**options, "alpha": 0.0, "max_iter": 100}).fit(
        np.ones((5, 1)), [0.0, 0.0, 0.0, 0.0, 100.0]
    )
    assert abs(median.predict([[1.0]])[0]) < 1


def test_an_output_activation_of_ones_own():
    target = np.where(X[:, 20] > 0.5, 1.0, 0.0)
    options = {"max_iter": 40, "random_state": 0, "learning_rate_init": 0.02}
    reg = MLPRegressor(output_activation="logistic", **options).fit(X, target)
    assert reg.out_activation_ == "logistic"
    assert reg.predict(X).min() >= 0 and reg.predict(X).max() <= 1 and reg.score(X, target) > 0.9
    # one against the rest, by the name that scikit-learn uses
    clf = MLPClassifier(output_activation="logistic", **options).fit(X, y)
    assert clf.score(X, y) > 0.9 and clf.predict_proba(X).shape == (400, 10)


def test_weights_of_rows_and_classes():
    options = {"max_iter": 8, "random_state": 0, "hidden_layer_sizes": (12,), "shuffle": False}
    w = np.where(y == 3, 5.0, 1.0)
    by_row = MLPClassifier(**options).fit(X, y, sample_weight=w)
    by_class = MLPClassifier(class_weight={3: 5.0}, **options).fit(X, y)
    assert_equal(by_row, by_class)
    absent = MLPClassifier(**options).fit(X, y, sample_weight=(y != 3).astype(float))
    assert 3 in absent.classes_ and (absent.predict(X) == 3).sum() == 0
    kept = y != 3
    without = MLPRegressor(**options).fit(X[kept], y[kept])
    assert_equal(without, MLPRegressor(**options).fit(X, y, sample_weight=kept.astype(float)))
    with pytest.raises(ValueError, match=r"every sample_weight is 0|at least one non-zero"):
        MLPClassifier(**options).fit(X, y, sample_weight=np.zeros(len(y)))
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=np.arange(10))


def test_callbacks(tmp_path):
    seen = []

    class Count(Callback):
        def on_batch_end(self, trainer):
            seen.append((trainer.epoch, trainer.batch, trainer.batch_rows))

        def on_epoch_end(self, trainer):
            if trainer.epoch == 3:
                trainer.stop("enough")

    clf = MLPClassifier((8,), callbacks=[Count(), CSVLog(tmp_path / "log.csv")], random_state=0)
    clf.fit(X[:250], y[:250])
    assert clf.n_iter_ == 3 and seen == [
        (e, b, n) for e in (1, 2, 3) for b, n in ((1, 200), (2, 50))
    ]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    losses = []
    MLPClassifier((8,), solver="lbfgs", callbacks=[lambda run: losses.append(run.history.last)],
                  max_iter=4).fit(X, y)  # fmt: skip
    assert [row["epoch"] for row in losses] == [1, 2, 3, 4]
    stopping = EarlyStopping(2, monitor="train_loss", min_delta=10.0)
    assert NetClassifier(Network, callbacks=[stopping]).fit(X, y).n_iter_ == 3

    class Looks(Callback):
        def on_backward_end(self, trainer):
            pass

    with pytest.raises(ValueError, match="Looks wants to look between the backward pass"):
        MLPClassifier(callbacks=[Looks()]).fit(X, y)
    with pytest.raises(TypeError, match="callbacks: wants"):
        MLPClassifier(callbacks=[3]).fit(X, y)


# ---------------------------------------------------------------------- any module
def test_modules_classes_and_functions():
    options = {"max_iter": 15, "random_state": 0, "learning_rate_init": 0.01}
    given = convolutional()
    before = given[1].weight.value.copy()
    clf = NetClassifier(given, **options).fit(X, y)
    np.testing.assert_array_equal(given[1].weight.value, before)  # a copy is trained
    assert clf.score(X, y) > 0.9 and clf.predict_proba(X).sum(1) == pytest.approx(1)
    assert NetClassifier(convolutional, **options).fit(X, y).score(X, y) > 0.9
    images = NetClassifier(convolutional()[1:], **options).fit(X.reshape(-1, 1, 8, 8), y)
    assert images.predict(X.reshape(-1, 1, 8, 8)).shape == y.shape
    frozen = nn.Linear(64, 10)
    frozen.bias.requires_grad_(False)
    fitted = NetClassifier(frozen, max_iter=2).fit(X, y)
    np.testing.assert_allclose(fitted.module_.bias.value, frozen.bias.value)
    with pytest.raises(ValueError, match=r"gives \(2, 4\) for 2 rows, wanted \(2, 10\)"):
        NetClassifier(nn.Linear(64, 4)).fit(X, y)
    with pytest.raises(TypeError, match="got one that makes a int"):
        NetClassifier(lambda: 3).fit(X, y)


def test_two_classes_with_one_output_or_two_and_several_labels():
    two = np.array(["even", "odd"])[y % 2]
    options = {"max_iter": 60, "random_state": 0, "learning_rate_init": 0.05}
    for outputs, activation in ((1, "logistic"), (2, "softmax")):
        clf = NetClassifier(nn.Linear(64, outputs), **options).fit(X, two)
        assert clf.out_activation_ == activation and clf.score(X, two) > 0.85
        assert clf.predict_proba(X).shape == (400, 2)
    several = np.c_[y % 2, y > 4, y == 0].astype(int)
    clf = NetClassifier(nn.Linear, **options).fit(X, several)
    assert clf.predict(X).shape == (400, 3)
    assert accuracy_score(several[:, 2], clf.predict(X)[:, 2]) > 0.95
    target = X @ np.ones((64, 2)) / 8
    reg = NetRegressor(nn.Linear, **options).fit(X, target)
    assert reg.predict(X).shape == (400, 2) and reg.score(X, target) > 0.9


def test_optimizers_and_schedules():
    def steps_of_ten(optimizer):
        return cp.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)

    rates = []
    options = {"max_iter": 4, "callbacks": [lambda run: rates.append(run.lr)], "random_state": 0}
    NetClassifier(Network, optimizer="sgd", scheduler=steps_of_ten, **options).fit(X, y)
    assert rates == pytest.approx([1e-3, 1e-4, 1e-4, 1e-5])
    for optimizer in (cp.optim.NAdam, lambda ps: cp.optim.RMSprop(ps, lr=1e-3, momentum=0.5)):
        clf = NetClassifier(Network, optimizer=optimizer, max_iter=2, random_state=0).fit(X, y)
        assert clf.loss_curve_[1] < clf.loss_curve_[0]


def test_a_module_that_decides_on_values_runs_in_eager_mode(monkeypatch):
    class Decides(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum().item() > -1e9 else x

    monkeypatch.setattr(steps, "COMPILE", 0)
    with pytest.warns(RuntimeWarning, match="cannot be compiled and runs in eager mode"):
        clf = NetClassifier(Decides, max_iter=3, random_state=0).fit(X, y)
    assert clf.loss_curve_[2] < clf.loss_curve_[0]


def test_early_stopping_gives_the_best_weights_back():
    clf = NetClassifier(Network, early_stopping=True, max_iter=30, n_iter_no_change=5,
                        learning_rate_init=0.3, random_state=0).fit(X, y)  # fmt: skip
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert clf.best_loss_ is None and len(clf.validation_scores_) == clf.n_iter_


def test_without_llvmlite(tmp_path):
    code = """
import sys, warnings
sys.modules["llvmlite"] = None
import importlib.util as u
find = u.find_spec
u.find_spec = lambda name, *a: None if name == "llvmlite" else find(name, *a)
from sklearn.datasets import load_iris
from clearprop.sklearn import MLPClassifier, steps
steps.COMPILE = 0
warnings.simplefilter("ignore")
X, y = load_iris(return_X_y=True)
print(MLPClassifier((8,), max_iter=30, learning_rate_init=0.05, random_state=0).fit(X, y).loss_)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    X, y = load_iris(return_X_y=True)
    clf = MLPClassifier((8,), max_iter=30, learning_rate_init=0.05, random_state=0).fit(X, y)
    assert float(run.stdout) == pytest.approx(clf.loss_, rel=1e-9)
