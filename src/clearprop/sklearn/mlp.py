"""Multi-layer perceptrons with scikit-learn's parameters, attributes and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from clearprop.core import Tensor
from clearprop.sklearn.base import NOT_FINITE, SHARED, NetworkEstimator
from clearprop.sklearn.layers import (
    ACTIVATIONS,
    OUTPUT_ACTIVATIONS,
    Perceptron,
    function_of,
)
from clearprop.sklearn.lbfgs import minimize
from clearprop.sklearn.losses import AVERAGED, CLASSIFICATION, REGRESSION, loss_of, per_row
from clearprop.sklearn.solvers import SGD, Adam
from clearprop.sklearn.steps import Steps, forward
from clearprop.sklearn.targets import Classifier, Regressor

SIZES = "hidden_layer_sizes must be > 0, got {sizes}."
OTHER_SIZES = (
    "warm_start and partial_fit go on with the layers that are there, {old}; hidden_layer_sizes is"
    " {new} now: set warm_start=False to begin anew"
)
ONE_EACH = "{name}: wants one for each of the {n} hidden layers, got {given}"
NO_DROPOUT = "solver='lbfgs' wants the same loss at every look, so no dropout; take 'adam' or 'sgd'"

# fmt: off
OWN: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(ACTIVATIONS)), "array-like", callable],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "output_activation": [StrOptions(set(OUTPUT_ACTIVATIONS)), callable, None],
}
# fmt: on


def _stochastic(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class MLP(NetworkEstimator):
    """What the classifier and the regressor share."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**SHARED, **OWN}
    _losses: tuple[str, ...]
    _allow_nd = False
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]

    # ------------------------------------------------------------------ fitting
    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        self._validate_params()
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if isinstance(hidden, Iterable) else [hidden]
        if any(size <= 0 for size in hidden):
            raise ValueError(SIZES.format(sizes=hidden))
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._validate_input(X, y, incremental, first)
        weight = self._weights(X, sample_weight, self._weight_of_classes(y))
        self.out_activation_ = self._out_activation()
        y = self._encode(y)
        self._begin()
        self.n_outputs_ = y.shape[1] if y.ndim == 2 else len(self.classes_)
        if first:
            self._training = None
            self._initialize([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        elif [c.shape[1] for c in self.coefs_[:-1]] != hidden:
            old = [c.shape[1] for c in self.coefs_[:-1]]
            raise ValueError(OTHER_SIZES.format(old=old, new=hidden))
        if first or (self._is_stochastic() and not hasattr(self, "loss_curve_")):
            self.t_ = 0
            if self._is_stochastic():
                self._forget()
        self._kept = self.coefs_[0].dtype if incremental and not first else X.dtype
        if self.solver == "lbfgs":
            if self._draws():
                raise ValueError(NO_DROPOUT)
            minimize(self, self._make_steps(X.dtype, y), X, y, weight)
        else:
            self._train(X, y, weight, incremental)
        if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
            raise ValueError(NOT_FINITE)
        return self

    def _initialize(self, units: list[int], dtype: np.dtype) -> None:
        """Weights and biases uniform within √(6 / (in + out)), √(2 / ...) for the logistic."""
        self.n_layers_ = len(units)
        names = self._each("activation", len(units) - 2)
        names = [*names, names[-1] if names else self.activation]
        self.coefs_, self.intercepts_ = [], []
        for (fan_in, fan_out), name in zip(pairwise(units), names, strict=True):
            bound = np.sqrt((2.0 if name == "logistic" else 6.0) / (fan_in + fan_out))
            draw = self._random_state.uniform
            self.coefs_.append(draw(-bound, bound, (fan_in, fan_out)).astype(dtype, copy=False))
            self.intercepts_.append(draw(-bound, bound, fan_out).astype(dtype, copy=False))

    def _each(self, name: str, n: int) -> list[Any]:
        """An option per hidden layer.

        Errors: ValueError for a list of another length.
        """
        given = getattr(self, name)
        if isinstance(given, str) or not isinstance(given, Iterable):
            return [given] * n
        given = list(given)
        if len(given) != n:
            raise ValueError(ONE_EACH.format(name=name, n=n, given=len(given)))
        return given

    def _network(self, coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> Perceptron:
        n = len(coefs) - 1
        functions = [function_of(f, ACTIVATIONS, "activation") for f in self._each("activation", n)]
        return Perceptron(coefs, intercepts, functions, self._each("dropout", n))

    def _make_steps(self, dtype: np.dtype, y: np.ndarray) -> Steps:
        model = self._network(
            [c.astype(dtype) for c in self.coefs_], [b.astype(dtype) for b in self.intercepts_]
        )
        own = self.output_activation
        name = self.out_activation_ if own is None or isinstance(own, str) else None
        link = ACTIVATIONS["identity"] if own is None else self._link
        loss = loss_of(self.loss, self._losses, name, link)
        named, y = isinstance(self.loss, str), y[:2]
        averaged = self.n_outputs_ if named and self.loss in AVERAGED else 1
        return Steps(
            model, loss, self._make_optimizer(model), dtype, alpha=self.alpha,
            decayed=tuple(model.coefs), averaged=averaged,
            per_row=named or per_row(loss, np.zeros((len(y), self.n_outputs_), dtype), y),
        )  # fmt: skip

    def _pool_key(self, dtype: np.dtype) -> Any:
        if self.callbacks or not all(isinstance(f, str | None) for f in self._functions()):
            return None  # somebody may hold on to the network, or to what it calls
        shapes = tuple(c.shape for c in self.coefs_)
        options = (self.solver, self.momentum, self.nesterovs_momentum)
        return (
            type(self), dtype.str, shapes, self.out_activation_, tuple(self._functions()),
            tuple(self._each("dropout", len(shapes) - 1)), float(self.alpha), options,
            (self.beta_1, self.beta_2, self.epsilon),
        )  # fmt: skip

    def _functions(self) -> list[Any]:
        each = self._each("activation", len(self.coefs_) - 1)
        return [self.loss, self.output_activation, *each]

    def _make_optimizer(self, model: Perceptron) -> Any:
        params = [*model.coefs, *model.intercepts]
        if self.solver == "adam":
            betas = (self.beta_1, self.beta_2)
            return Adam(params, self.learning_rate_init, betas, self.epsilon)
        if self.solver == "sgd":
            return SGD(params, self.learning_rate_init, self.momentum, self.nesterovs_momentum)
        return None

    def _keep(self, steps: Steps) -> None:
        coefs, intercepts = steps.model.arrays
        self.coefs_ = [c.astype(self._kept) for c in coefs]
        self.intercepts_ = [b.astype(self._kept) for b in intercepts]

    def _restore(self, steps: Steps) -> None:
        for mine, kept in zip(steps.model.arrays, (self.coefs_, self.intercepts_), strict=True):
            for p, array in zip(mine, kept, strict=True):
                p[...] = array

    # ------------------------------------------------------------------ solvers
    def _is_stochastic(self) -> bool:
        return bool(self.solver != "lbfgs")

    def _draws(self) -> bool:
        return bool(np.any(np.asarray(self.dropout, dtype=float)))

    def _after_epoch(self, optimizer: Any) -> None:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            lr = float(self.learning_rate_init) / (self.t_ + 1) ** self.power_t
            optimizer.param_groups[0]["lr"] = lr

    def _gives_up(self, optimizer: Any, message: str) -> bool:
        group = optimizer.param_groups[0]
        if self.solver != "sgd" or self.learning_rate != "adaptive":
            return super()._gives_up(optimizer, message)
        if group["lr"] <= 1e-6:
            if self.verbose:
                print(f"{message} Learning rate too small. Stopping.")
            return True
        group["lr"] /= 5.0
        if self.verbose:
            print(f"{message} Setting learning rate to {group['lr']:f}")
        return False

    # ------------------------------------------------------------------ outputs
    def _link(self, z: Tensor) -> Tensor:
        own = self.output_activation
        given = self.out_activation_ if own is None else own
        return function_of(given, OUTPUT_ACTIVATIONS, "output_activation")(z)

    def _out_activation(self) -> str:
        own = self.output_activation
        if own is not None:
            return own if isinstance(own, str) else getattr(own, "__name__", type(own).__name__)
        return self._canonical()

    def _outputs(self, X: Any) -> np.ndarray:
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False
        )
        model = self._network(self.coefs_, self.intercepts_)
        X = X.tocsr() if hasattr(X, "tocsr") else X
        return self._activated(forward(model, X.astype(self.coefs_[0].dtype, copy=False)))


class MLPClassifier(Classifier, MLP):
    """Multi-layer perceptron: scikit-learn's MLPClassifier with the parameters that it has, trained
    by compiled steps, and these besides:

    - `activation` may be a list, one per hidden layer, and any of clearprop's or a function.
    - `dropout`: how much of each hidden layer is dropped in training, a number or a list.
    - `output_activation`: instead of softmax (logistic for two classes or several labels per row).
    - `loss`: "log_loss", or a function of (outputs, targets) that gives a number per row, or their
      mean. outputs: before the output activation, unless `output_activation` is given; targets:
      class indices, or 0 and 1 in a column per output where the output activation is logistic.
    - `class_weight`: {class: weight} or "balanced"; times `sample_weight` of fit.
    - `callbacks`: `clearprop.train.Callback`s, or functions called with the run after every epoch.
    - `dtype`: "auto" trains in float32 where there are several batches, else in the type of X, and
      keeps weights and predictions in the type of X; "float64" and "float32" use that throughout.

    Errors: as scikit-learn's.

    >>> from clearprop.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["no", "yes", "yes", "no"]
    >>> clf = MLPClassifier((8,), solver="lbfgs", random_state=1).fit(X, y)
    >>> clf.predict(X).tolist(), clf.out_activation_
    (['no', 'yes', 'yes', 'no'], 'logistic')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLP._parameter_constraints,
        "loss": [StrOptions(set(CLASSIFICATION)), callable],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }
    _losses = CLASSIFICATION

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        output_activation: Any = None,
        loss: Any = "log_loss",
        class_weight: Any = None,
        callbacks: Any = None,
        dtype: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.output_activation = output_activation
        self.loss = loss
        self.class_weight = class_weight
        self.callbacks = callbacks
        self.dtype = dtype

    def _canonical(self) -> str:
        return "softmax" if self._kind == "multiclass" else "logistic"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Fit to X (n, features), dense or sparse, and labels y: (n,) or an indicator matrix."""
        fitted: MLPClassifier = self._fit(X, y, sample_weight, False)
        return fitted

    @available_if(_stochastic)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """One pass over these rows. `classes`: all labels there are, wanted at the first call."""
        self._validate_params()
        self._first_classes(y, classes)
        fitted: MLPClassifier = self._fit(X, y, sample_weight, True)
        return fitted


class MLPRegressor(Regressor, MLP):
    """Multi-layer perceptron: scikit-learn's MLPRegressor with the parameters that it has, trained
    by compiled steps, and these besides:

    - `loss` may also be "absolute_error" or "huber", or a function of (outputs, targets), both
      (n, outputs), that gives a number per row, or their mean.
    - `activation`, `dropout`, `output_activation`, `callbacks`, `dtype`: see `MLPClassifier`.

    With several outputs the gradient is that of the sum of their losses and `loss_` their mean, as
    in scikit-learn; the solver lbfgs looks at the sum. Errors: as scikit-learn's.

    >>> import numpy as np
    >>> from clearprop.sklearn import MLPRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> reg = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", random_state=0)
    >>> bool(reg.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.99)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **MLP._parameter_constraints,
        "loss": [StrOptions(set(REGRESSION)), callable],
    }
    _losses = REGRESSION

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        output_activation: Any = None,
        callbacks: Any = None,
        dtype: str = "auto",
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.output_activation = output_activation
        self.callbacks = callbacks
        self.dtype = dtype

    def _canonical(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Fit to X (n, features), dense or sparse, and values y: (n,) or (n, outputs)."""
        fitted: MLPRegressor = self._fit(X, y, sample_weight, False)
        return fitted

    @available_if(_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One pass over these rows."""
        self._validate_params()
        fitted: MLPRegressor = self._fit(X, y, sample_weight, True)
        return fitted
