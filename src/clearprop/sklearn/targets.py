"""Targets: labels to numbers and back, and what a classifier and a regressor say of an output."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

BALANCED = (
    "class_weight 'balanced' is not supported for partial_fit, which sees only some of the rows:"
    " compute the weights from all of y, with sklearn.utils.class_weight.compute_class_weight, and"
    " give them as a dict"
)
OTHER_CLASSES = (
    "warm_start can only be used where `y` has the same classes as in the previous call to fit."
    " Previously got {old}, `y` has {new}"
)
NEW_CLASSES = "`y` has classes not in `self.classes_`. `self.classes_` has {old}. 'y' has {new}."


class Classifier(ClassifierMixin):  # type: ignore[misc]
    """Labels, several labels per row (an indicator matrix), probabilities."""

    classes_: np.ndarray
    out_activation_: str
    class_weight: Any
    warm_start: bool

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=self._door,  # type: ignore[attr-defined]
            reset=reset, allow_nd=self._allow_nd,  # type: ignore[attr-defined]
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return X, y
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(OTHER_CLASSES.format(old=self.classes_, new=classes))
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(NEW_CLASSES.format(old=self.classes_, new=classes))
        return X, y

    def _first_classes(self, y: Any, classes: Any) -> None:
        """The classes of all calls of partial_fit, told at the first."""
        if isinstance(self.class_weight, str):
            raise ValueError(BALANCED)
        if _check_partial_fit_first_call(self, classes):
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else classes)

    def _weight_of_classes(self, y: Any) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        weight: np.ndarray = compute_sample_weight(self.class_weight, y)
        return weight

    @property
    def _kind(self) -> str:
        kind: str = self._label_binarizer.y_type_
        return "multilabel" if kind.startswith("multilabel") else kind

    def _encode(self, y: Any) -> np.ndarray:
        """Class indices for softmax; otherwise 0 and 1, a column per output."""
        if self.out_activation_ == "softmax" and self._kind != "multilabel":
            return np.searchsorted(self.classes_, y).astype(np.int64)
        made: np.ndarray = self._label_binarizer.transform(y)
        return made.astype(bool)

    def _truth(self, y: np.ndarray) -> Any:
        """Labels of what `_encode` gave."""
        if y.ndim == 1:
            return self.classes_[y]
        return self._label_binarizer.inverse_transform(y)

    def _stratify(self, y: np.ndarray) -> Any:
        return y if y.ndim == 2 and y.shape[1] == 1 else None

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        """Labels of what the output activation gives."""
        if self._kind == "binary":
            outputs = outputs[:, -1] if outputs.ndim == 2 else outputs
        labels: np.ndarray = self._label_binarizer.inverse_transform(outputs)
        return labels

    def _score(self, truth: Any, prediction: Any, weight: Any) -> float:
        return float(accuracy_score(truth, prediction, sample_weight=weight))

    def predict(self, X: Any) -> np.ndarray:
        """The labels of the rows of X: (n,), or (n, labels) if there are several per row."""
        check_is_fitted(self)
        return self._labels(self._outputs(X))  # type: ignore[attr-defined]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities (n, classes), in the order of `classes_`; of each label by itself if there
        are several per row.
        """
        check_is_fitted(self)
        p: np.ndarray = self._outputs(X)  # type: ignore[attr-defined]
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log(predict_proba(X))."""
        p = self.predict_proba(X)
        return np.log(p, out=p)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.sparse = True
        return tags


class Regressor(RegressorMixin):  # type: ignore[misc]
    """One number per row or several."""

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=self._door, reset=reset, allow_nd=self._allow_nd,  # type: ignore[attr-defined]
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _weight_of_classes(self, y: Any) -> np.ndarray | None:
        return None

    def _encode(self, y: Any) -> np.ndarray:
        y = np.asarray(y, np.float64)
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _truth(self, y: np.ndarray) -> Any:
        return y

    def _stratify(self, y: np.ndarray) -> Any:
        return None

    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def _score(self, truth: Any, prediction: Any, weight: Any) -> float:
        return float(r2_score(truth, prediction, sample_weight=weight))

    def predict(self, X: Any) -> np.ndarray:
        """The values for the rows of X: (n,), or (n, outputs) if there are several."""
        check_is_fitted(self)
        return self._labels(self._outputs(X))  # type: ignore[attr-defined]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
