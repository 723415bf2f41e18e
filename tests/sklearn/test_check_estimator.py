"""scikit-learn's own checks of an estimator, all of them, over the four estimators."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from clearprop import nn
from clearprop.sklearn import MLPClassifier, MLPRegressor, NetClassifier, NetRegressor


def network(features, outputs):
    return nn.Sequential(nn.Linear(features, 20), nn.Tanh(), nn.Linear(20, outputs))


@parametrize_with_checks(
    [MLPClassifier(), MLPRegressor(), NetClassifier(network), NetRegressor(network)]
)
def test_check_estimator(estimator, check):
    check(estimator)
