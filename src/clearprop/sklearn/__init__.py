"""Estimators for scikit-learn: networks that train through the compiled step.

MLPClassifier((128,), random_state=0).fit(X, y)        scikit-learn's parameters and attributes
NetClassifier(module, random_state=0).fit(X, y)        a module of one's own
"""

from __future__ import annotations

from clearprop.sklearn.mlp import MLPClassifier, MLPRegressor
from clearprop.sklearn.net import NetClassifier, NetRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetClassifier", "NetRegressor"]
