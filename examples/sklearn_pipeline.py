"""A network as the last step of a scikit-learn pipeline: a table in, a search over parameters, out.

MLPClassifier has scikit-learn's parameters and trains through compiled steps; NetClassifier takes a
module of one's own. Both are estimators like any other.
"""

import warnings

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clearprop import nn
from clearprop.sklearn import MLPClassifier, NetClassifier

warnings.simplefilter("ignore", ConvergenceWarning)  # 40 passes are enough here
table, kind = load_wine(return_X_y=True, as_frame=True)
kind = np.array(["Barolo", "Grignolino", "Barbera"])[kind]
train, test, kind_train, kind_test = train_test_split(table, kind, stratify=kind, random_state=0)

columns = make_column_transformer((StandardScaler(), list(table.columns)))
pipe = make_pipeline(columns, MLPClassifier(max_iter=40, learning_rate_init=0.01, random_state=0))
name = "mlpclassifier__"
search = GridSearchCV(
    pipe,
    [
        {name + "hidden_layer_sizes": [(16,)], name + "activation": ["tanh", "relu"]},
        {name + "hidden_layer_sizes": [(32, 16)], name + "activation": [["gelu", "relu"]],
         name + "dropout": [0.0, 0.2]},
    ],
    cv=3,
)  # fmt: skip
search.fit(train, kind_train)
accuracy = search.score(test, kind_test)
print("best of the search:")
for option, value in search.best_params_.items():
    print(f"  {option.removeprefix(name)} = {value}")
print(f"accuracy on the held-out rows: {accuracy:.3f}")
assert accuracy > 0.9


class Block(nn.Module):
    """h + W2 relu(W1 h): what the layers add to what is there."""

    def __init__(self, n):
        super().__init__()
        self.inner, self.outer = nn.Linear(n, n), nn.Linear(n, n)

    def forward(self, h):
        return h + self.outer(self.inner(h).relu())


def network(features, classes):
    return nn.Sequential(nn.Linear(features, 16), Block(16), Block(16), nn.Linear(16, classes))


own = make_pipeline(
    StandardScaler(),
    NetClassifier(network, max_iter=40, learning_rate_init=0.01, random_state=0),
)
scores = cross_val_score(own, table, kind, cv=3)
print(f"a module of one's own, three-fold: {scores.mean():.3f}")
assert scores.mean() > 0.9

own.fit(train, kind_train)
probabilities = own.predict_proba(test)[:2]
print("probabilities of", ", ".join(own.classes_))
print(np.round(probabilities, 3))
