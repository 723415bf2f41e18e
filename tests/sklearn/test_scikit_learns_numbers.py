"""With dtype="float64", fits end with scikit-learn's weights, losses and counts of epochs."""

import numpy as np
import pytest
import sklearn.neural_network as theirs
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning

from clearprop.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_digits(return_X_y=True)
X, y = X[:250] / 16, y[:250]
_, several = make_multilabel_classification(250, random_state=0)
XR, values = make_regression(150, 10, noise=5, random_state=0)
values = values / 100
weight = np.random.RandomState(0).rand(250)

SETTINGS = {
    "adam": {"max_iter": 8},
    "sgd": {"solver": "sgd", "max_iter": 8},
    "sgd, no Nesterov, invscaling": {
        "solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling",
        "power_t": 0.3, "max_iter": 8,
    },
    "sgd, adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "tol": 0.1,
        "n_iter_no_change": 1, "max_iter": 60, "hidden_layer_sizes": (10,),
    },
    "lbfgs": {"solver": "lbfgs", "max_iter": 15, "hidden_layer_sizes": (20,)},
    "logistic, two layers, early stopping": {
        "activation": "logistic", "hidden_layer_sizes": (20, 10), "early_stopping": True,
        "learning_rate_init": 0.01, "n_iter_no_change": 3, "validation_fraction": 0.2,
        "max_iter": 12,
    },
    "tanh, no shuffle, batches of 64": {
        "activation": "tanh", "shuffle": False, "batch_size": 64, "alpha": 1.0, "max_iter": 5,
    },
    "no hidden layer": {"hidden_layer_sizes": (), "max_iter": 5},
}  # fmt: skip


def assert_same(mine, other, digits=1e-9):
    for a, b in zip(mine.coefs_ + mine.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=digits, atol=digits)
        assert a.dtype == b.dtype
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(mine, name) == getattr(other, name), name
    assert mine.loss_ == pytest.approx(other.loss_, rel=1e-7)
    if hasattr(other, "loss_curve_"):
        assert mine.loss_curve_ == pytest.approx(other.loss_curve_, rel=1e-7)
        assert mine.validation_scores_ == pytest.approx(other.validation_scores_)
        assert mine.best_validation_score_ == pytest.approx(other.best_validation_score_)
        assert (mine.best_loss_ is None) == (other.best_loss_ is None)
        assert (mine.best_loss_ or 0) == pytest.approx(other.best_loss_ or 0, rel=1e-7)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("labels", "w"),
    [(y, None), (y, weight), (y % 2, None), (np.array(["a", "b", "c"])[y % 3], None),
     (several, None)],
    ids=["ten classes", "weights", "two classes", "names", "several labels"],
)  # fmt: skip
def test_classifier(settings, labels, w):
    options = settings | {"random_state": 3}
    mine = MLPClassifier(dtype="float64", **options).fit(X, labels, sample_weight=w)
    other = theirs.MLPClassifier(**options).fit(X, labels, sample_weight=w)
    assert_same(mine, other)
    np.testing.assert_array_equal(mine.classes_, other.classes_)
    np.testing.assert_array_equal(mine.predict(X), other.predict(X))
    np.testing.assert_allclose(mine.predict_proba(X), other.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(mine.predict_log_proba(X), other.predict_log_proba(X), atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    ("loss", "target"),
    [("squared_error", values), ("squared_error", np.c_[values, values**2]),
     ("poisson", np.round(np.abs(values)))],
    ids=["one value", "two values", "poisson"],
)  # fmt: skip
def test_regressor(settings, loss, target):
    if loss == "squared_error" and target.ndim == 2 and settings.get("solver") == "lbfgs":
        pytest.skip("there the gradient is not that of the loss in scikit-learn; see the next test")
    options = settings | {"random_state": 3}
    mine = MLPRegressor(loss, dtype="float64", **options).fit(XR, target)
    other = theirs.MLPRegressor(loss, **options).fit(XR, target)
    assert_same(mine, other)
    np.testing.assert_allclose(mine.predict(XR), other.predict(XR), rtol=1e-7, atol=1e-8)


def test_lbfgs_with_several_values_minimises_the_sum_of_their_losses():
    target = np.c_[values, values**2]
    mine = MLPRegressor(
        hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, max_iter=500, tol=1e-10
    ).fit(XR, target)
    design = np.c_[XR, np.ones(len(XR))]
    best = np.linalg.lstsq(design, target, rcond=None)[0]
    np.testing.assert_allclose(mine.coefs_[0], best[:-1], atol=1e-4)
    assert mine.loss_ == pytest.approx(0.5 * ((design @ best - target) ** 2).mean(), rel=1e-6)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_and_warm_start_go_on_as_scikit_learns(solver):
    options = {"solver": solver, "random_state": 0, "hidden_layer_sizes": (15,)}
    mine, other = MLPClassifier(dtype="float64", **options), theirs.MLPClassifier(**options)
    for part in (slice(0, 100), slice(100, 230), slice(0, 100)):
        for clf in (mine, other):
            clf.partial_fit(X[part], y[part], classes=np.arange(10))
        assert_same(mine, other)
    options |= {"warm_start": True, "max_iter": 3}
    mine, other = MLPClassifier(dtype="float64", **options), theirs.MLPClassifier(**options)
    for _ in range(3):
        mine.fit(X, y)
        other.fit(X, y)
        assert_same(mine, other)
    mine.partial_fit(X, y)
    other.partial_fit(X, y)
    assert_same(mine, other)


def test_the_same_errors():
    for options in (
        {"hidden_layer_sizes": (0,)}, {"hidden_layer_sizes": 0}, {"alpha": -1},
        {"solver": "rmsprop"},
        {"activation": "swish"}, {"learning_rate": "none"}, {"max_iter": 0}, {"momentum": 2},
        {"learning_rate_init": -1}, {"beta_1": 1}, {"epsilon": 0}, {"batch_size": 0},
        {"early_stopping": True, "validation_fraction": 0.001}, {"n_iter_no_change": -1},
    ):  # fmt: skip
        with pytest.raises(ValueError) as mine:
            MLPClassifier(**options).fit(X, y)
        with pytest.raises(ValueError) as other:
            theirs.MLPClassifier(**options).fit(X, y)
        words = str(other.value).split("must be")[0].split("'")
        assert words[-1].strip() in str(mine.value) and type(mine.value) is type(other.value)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        MLPClassifier(early_stopping=True).partial_fit(X, y, classes=np.arange(10))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same"):
        MLPClassifier(max_iter=1, warm_start=True).fit(X, y).fit(X, y % 2)
    with pytest.raises(ValueError, match=r"`y` has classes not in `self\.classes_`"):
        MLPClassifier().partial_fit(X, y % 2, classes=[0, 1]).partial_fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(1\) reached"):
        MLPClassifier(max_iter=1).fit(X, y)
    with pytest.warns(UserWarning, match="It is going to be clipped"):
        MLPClassifier(max_iter=1, batch_size=1000).fit(X, y)
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6, max_iter=10).fit(XR, values)
