"""scikit-learn's own checks of an estimator, all of them, over the four estimators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from clearprop import nn
from clearprop.sklearn import MLPClassifier, MLPRegressor, NetClassifier, NetRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Network(nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 20), nn.Tanh(), nn.Linear(20, outputs))

    def forward(self, x):
        return self.layers(x)


short = {"max_iter": 20, "learning_rate_init": 0.05}


@parametrize_with_checks(
    [
        MLPClassifier((20,), **short),
        MLPRegressor(hidden_layer_sizes=(20,), **short),
        NetClassifier(Network, **short),
        NetRegressor(Network, **short),
    ]
)
def test_check_estimator(estimator, check):
    check(estimator)


@pytest.mark.nightly  # the defaults: up to 200 passes in each of some hundred fits
@parametrize_with_checks(
    [MLPClassifier(), MLPRegressor(), NetClassifier(Network), NetRegressor(Network)]
)
def test_check_estimator_with_the_defaults(estimator, check):
    check(estimator)
