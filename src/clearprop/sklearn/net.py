"""Any module of one's own as an estimator."""

from __future__ import annotations

import copy
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from clearprop import nn
from clearprop.core import Tensor
from clearprop.sklearn.base import NOT_FINITE, SHARED, NetworkEstimator
from clearprop.sklearn.layers import ACTIVATIONS, OUTPUT_ACTIVATIONS
from clearprop.sklearn.losses import AVERAGED, CLASSIFICATION, REGRESSION, loss_of, per_row
from clearprop.sklearn.steps import Steps, forward
from clearprop.sklearn.targets import Classifier, Regressor
from clearprop.train.network import OPTIMIZERS, optimizer_for, takes
from clearprop.train.schedule import Schedule

NO_MODULE = (
    "module: wants a clearprop.nn.Module, a class or a function that makes one (of the numbers of"
    " features and of outputs, or of nothing), got {kind}"
)
OTHER_OUTPUTS = "module: gives {got} for {n} rows, wanted ({n}, {wanted}): {why}"


class Net(NetworkEstimator):
    """What the classifier and the regressor share. `module_` is the trained module."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SHARED,
        "module": [nn.Module, callable],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "scheduler": [callable, None],
    }
    _losses: tuple[str, ...]
    _allow_nd = True
    module_: nn.Module

    # ------------------------------------------------------------------ fitting
    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        self._validate_params()
        first = not hasattr(self, "module_") or not (self.warm_start or incremental)
        X, y = self._validate_input(X, y, incremental, first)
        weight = self._weights(X, sample_weight, self._weight_of_classes(y))
        self._begin()
        wanted = self._wanted(y)
        if first:
            self._training = None
            self.t_ = 0
            with self._stream():
                self.module_ = self._build(int(X.shape[1]), wanted)
            self._forget()
        if not incremental or first:
            self.module_.to(X.dtype.name)
        z = forward(self.module_, X[:2])
        if z.ndim != 2:
            why = "a row per row, a column per output"
            raise ValueError(OTHER_OUTPUTS.format(got=z.shape, n=len(z), wanted=wanted, why=why))
        self.n_outputs_ = int(z.shape[1])
        self.out_activation_ = self._canonical(z, wanted)
        self._seen = z  # what a loss of one's own is tried with
        try:
            self._train(X, self._encode(y), weight, incremental)
        finally:
            del self._seen
        if not all(np.isfinite(p.value).all() for p in self.module_.parameters()):
            raise ValueError(NOT_FINITE)
        return self

    def _build(self, features: int, outputs: int) -> nn.Module:
        """A module of this fit; one that was given stays as it is."""
        made: Any = self.module
        if isinstance(made, nn.Module):
            made = copy.deepcopy(made)
        elif takes(made, 2):
            made = made(features, outputs)
        else:
            made = made()
        if not isinstance(made, nn.Module):
            raise TypeError(NO_MODULE.format(kind=f"one that makes a {type(made).__name__}"))
        return made

    def _make_steps(self, dtype: np.dtype, y: np.ndarray) -> Steps:
        model: Any = copy.deepcopy(self.module_).to(dtype.name)
        name = self.out_activation_
        loss = loss_of(self.loss, self._losses, name, ACTIVATIONS["identity"])
        named = isinstance(self.loss, str)
        return Steps(
            model, loss, self._make_optimizer(model), dtype,
            averaged=self.n_outputs_ if named and self.loss in AVERAGED else 1,
            per_row=named or per_row(loss, self._seen.astype(dtype), y[:2]), padded=False,
        )  # fmt: skip

    def _make_optimizer(self, model: Any) -> Any:
        params = [p for p in model.parameters() if p.requires_grad]
        if isinstance(self.optimizer, str):
            lr = self.learning_rate_init
            return optimizer_for(self.optimizer, params, lr, self.weight_decay)
        if isinstance(self.optimizer, type):
            return self.optimizer(params, lr=self.learning_rate_init)
        return self.optimizer(params)

    def _callbacks(self, optimizer: Any) -> list[Any]:
        schedule = [] if self.scheduler is None else [Schedule(self.scheduler(optimizer))]
        return [*schedule, *super()._callbacks(optimizer)]

    def _keep(self, steps: Steps) -> None:
        _copy(steps.model, self.module_)
        self.module_.eval()

    def _restore(self, steps: Steps) -> None:
        _copy(self.module_, steps.model)

    # ------------------------------------------------------------------ outputs
    def _wanted(self, y: Any) -> int:
        """How many outputs a module should have."""
        raise NotImplementedError

    def _canonical(self, z: np.ndarray, wanted: int) -> str:
        """The output activation that suits what a module gave.

        Errors: ValueError for another number of outputs.
        """
        raise NotImplementedError

    def _link(self, z: Tensor) -> Tensor:
        return OUTPUT_ACTIVATIONS[self.out_activation_](z)

    def _outputs(self, X: Any) -> np.ndarray:
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False,
            allow_nd=True,
        )  # fmt: skip
        X = X.tocsr() if hasattr(X, "tocsr") else X
        kept = next((p.value.dtype for p in self.module_.parameters()), X.dtype)
        return self._activated(forward(self.module_, X.astype(kept, copy=False)))


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Parameters and buffers, into the memory that is there."""
    pairs = zip(source.state_dict().values(), target.state_dict().values(), strict=True)
    for new, old in pairs:
        old.value[...] = new.value


class NetClassifier(Classifier, Net):
    """A module as a classifier.

    - `module`: a Module (a copy is trained, from the weights that it has), a class, or a function;
      the latter two are called with the numbers of features and of classes (of labels, if there are
      several per row), or with nothing if they take nothing. It gives one logit per class; one for
      two classes is right, too.
    - `loss`: "log_loss", or a function of (logits, targets): class indices, or 0 and 1 in a column
      per output where there is one output for two classes, or several labels per row.
    - `optimizer`: "adam", "adamw", "sgd" (momentum 0.9) or "rmsprop" with `learning_rate_init` and
      `weight_decay`; a class, called with the parameters and lr; or a function of the parameters.
    - `scheduler`: a function of the optimizer that makes a learning-rate schedule, stepped after
      every epoch.
    - all others: see `MLPClassifier`. X may have more than two axes.

    With `random_state` the weights of a class or function, the order and dropout are the same in
    every run, and the program's own random numbers stay as they are. `dtype="float32"` is right for
    modules that make tensors of the default type inside.

    Errors: as scikit-learn's; ValueError for a module with another number of outputs.

    >>> from sklearn.datasets import load_iris
    >>> from clearprop import nn
    >>> from clearprop.sklearn import NetClassifier
    >>> def network(features, classes):
    ...     return nn.Sequential(nn.Linear(features, 16), nn.Tanh(), nn.Linear(16, classes))
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = NetClassifier(network, learning_rate_init=0.05, max_iter=60, tol=0, random_state=0,
    ...                     n_iter_no_change=60)
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     bool(clf.fit(X, y).score(X, y) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Net._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFICATION)), callable],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    _losses = CLASSIFICATION

    def __init__(
        self,
        module: Any,
        *,
        loss: Any = "log_loss",
        optimizer: Any = "adam",
        learning_rate_init: float = 0.001,
        weight_decay: float = 0.0,
        scheduler: Any = None,
        batch_size: Any = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = 10,
        class_weight: Any = None,
        callbacks: Any = None,
        dtype: str = "auto",
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.scheduler = scheduler
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.dtype = dtype

    def _wanted(self, y: Any) -> int:
        return len(self.classes_)

    def _canonical(self, z: np.ndarray, wanted: int) -> str:
        if self._kind == "multilabel" and z.shape[1] == wanted:
            return "logistic"
        if self._kind == "binary" and z.shape[1] == 1:
            return "logistic"
        if self._kind == "multilabel" or z.shape[1] != max(wanted, 1):
            why = f"one output for each of the {wanted} classes"
            raise ValueError(OTHER_OUTPUTS.format(got=z.shape, n=len(z), wanted=wanted, why=why))
        return "softmax"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetClassifier:
        """Fit to X (n, features, ...) and labels y: (n,) or an indicator matrix."""
        fitted: NetClassifier = self._fit(X, y, sample_weight, False)
        return fitted

    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> NetClassifier:
        """One pass over these rows. `classes`: all labels there are, wanted at the first call."""
        self._validate_params()
        self._first_classes(y, classes)
        fitted: NetClassifier = self._fit(X, y, sample_weight, True)
        return fitted


class NetRegressor(Regressor, Net):
    """A module as a regressor; it gives one number per value that is asked for, (n, outputs).

    `loss`: "squared_error", "absolute_error", "huber", "poisson" (the module gives log y), or a
    function of (outputs, targets). The others: see `NetClassifier`.

    >>> import numpy as np
    >>> from clearprop import nn
    >>> from clearprop.sklearn import NetRegressor
    >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> reg = NetRegressor(nn.Linear, learning_rate_init=0.1, random_state=0).fit(X, 3 * X[:, 0])
    >>> bool(reg.score(X, 3 * X[:, 0]) > 0.99)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Net._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION)), callable],
    }
    _losses = REGRESSION

    def __init__(
        self,
        module: Any,
        *,
        loss: Any = "squared_error",
        optimizer: Any = "adam",
        learning_rate_init: float = 0.001,
        weight_decay: float = 0.0,
        scheduler: Any = None,
        batch_size: Any = "auto",
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: Any = 10,
        callbacks: Any = None,
        dtype: str = "auto",
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.scheduler = scheduler
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.dtype = dtype

    def _wanted(self, y: Any) -> int:
        return int(y.shape[1]) if y.ndim == 2 else 1

    def _canonical(self, z: np.ndarray, wanted: int) -> str:
        if z.shape[1] != wanted:
            why = "one output for each value"
            raise ValueError(OTHER_OUTPUTS.format(got=z.shape, n=len(z), wanted=wanted, why=why))
        return "exp" if self.loss == "poisson" else "identity"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetRegressor:
        """Fit to X (n, features, ...) and values y: (n,) or (n, outputs)."""
        fitted: NetRegressor = self._fit(X, y, sample_weight, False)
        return fitted

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetRegressor:
        """One pass over these rows."""
        self._validate_params()
        fitted: NetRegressor = self._fit(X, y, sample_weight, True)
        return fitted
