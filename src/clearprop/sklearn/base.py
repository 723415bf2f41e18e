"""What the four estimators share: checks of the input, the epochs, the rules of stopping."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight

from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.core.random import default_generator
from clearprop.nn.warn import warn
from clearprop.ops import from_numpy
from clearprop.sklearn import pool
from clearprop.sklearn.run import Run, callbacks_of
from clearprop.sklearn.steps import Rows, Steps, forward

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and"
    " need to be preprocessed."
)
TOO_SMALL = (
    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
)
CLIPPED = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
NOT_CONVERGED = (
    "Stochastic Optimizer: Maximum iterations (%d) reached and the optimization hasn't converged"
    " yet."
)
NOTHING_LEFT = "fit: every sample_weight is 0 (times class_weight), so no row is left to train on"

SHARED: dict[str, list[Any]] = {
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "callbacks": [None, "array-like", list, tuple],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
}


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]
    """The loop over epochs. A subclass says how a network is made, kept and read back.

    `_training` holds what a partial_fit leaves for the next: network, optimizer, compiled step. A
    fit, and a pickle, keep the optimizer's state in its place.
    """

    _training: Steps | None
    classes_: Any
    _kind_of_steps: Any = None

    # ------------------------------------------------------------------ what a subclass gives
    @abstractmethod
    def _make_steps(self, dtype: np.dtype, y: np.ndarray) -> Steps:
        """Network, loss and optimizer in this type, from what is kept, for targets like y."""

    @abstractmethod
    def _keep(self, steps: Steps) -> None:
        """Take the weights over into the attributes."""

    def _restore(self, steps: Steps) -> None:
        """Put what the attributes hold into the network again, in case somebody changed it."""

    @abstractmethod
    def _link(self, z: Tensor) -> Tensor:
        """The output activation."""

    @abstractmethod
    def _truth(self, y: np.ndarray) -> Any:
        """Targets of what they were encoded as."""

    @abstractmethod
    def _labels(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions of what a network gives."""

    @abstractmethod
    def _score(self, truth: Any, prediction: Any, weight: Any) -> float:
        """Accuracy or R²."""

    @abstractmethod
    def _stratify(self, y: np.ndarray) -> Any:
        """What the validation rows are drawn by."""

    def _activated(self, z: np.ndarray) -> np.ndarray:
        """The output activation of what the network gives."""
        with no_grad():
            out: np.ndarray = self._link(from_numpy(z)).value
        return out

    # ------------------------------------------------------------------ data
    @property
    def _door(self) -> Any:
        """The types that X may have."""
        return (np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype)

    def _weights(self, X: Any, sample_weight: Any, class_weight: Any) -> np.ndarray | None:
        """Weights of the rows, None if they are all alike."""
        weight: np.ndarray | None = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if class_weight is not None:
            weight = class_weight if weight is None else weight * class_weight
        return weight

    def _is_stochastic(self) -> bool:
        return True

    def _training_dtype(self, X: Any, batch_size: int) -> np.dtype:
        """float32 for batches, whose noise is far above rounding; else the type of X."""
        batches = self._is_stochastic() and batch_size < X.shape[0]
        return np.dtype(np.float32 if batches and self.dtype == "auto" else X.dtype)

    def _batch_rows(self, n: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, n)
        if self.batch_size > n:
            warn(CLIPPED)
        return int(np.clip(self.batch_size, 1, n))

    # ------------------------------------------------------------------ training
    def _forget(self) -> None:
        """Begin to count."""
        self.n_iter_ = 0
        self.t_ = 0
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        if self.early_stopping:
            self.validation_scores_: list[float] | None = []
            self.best_validation_score_: float | None = -np.inf
            self.best_loss_: float | None = None
        else:
            self.best_loss_ = np.inf
            self.validation_scores_ = None
            self.best_validation_score_ = None

    def _train(self, X: Any, y: Any, weight: Any, incremental: bool) -> None:
        """Epochs over the rows, with scikit-learn's rules of stopping."""
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if weight is not None:
            there = weight > 0  # a row of weight 0 is as one that is not there
            if not there.any():
                raise ValueError(NOTHING_LEFT)
            if not there.all():
                X, y, weight = X[there], y[there], weight[there]
        held_out = None
        if self.early_stopping:
            parts = [X, y] if weight is None else [X, y, weight]
            split = train_test_split(
                *parts, random_state=self._random_state, test_size=self.validation_fraction,
                stratify=self._stratify(y),
            )  # fmt: skip
            X, y, weight = split[0], split[2], (split[4] if weight is not None else None)
            held_out = (split[1], split[3], split[5] if weight is not None else None)
            if held_out[0].shape[0] < 2:
                raise ValueError(TOO_SMALL)
        n = int(X.shape[0])
        batch_size = self._batch_rows(n)
        steps = self._steps_for(X, y, batch_size, incremental)
        rows = steps.rows(X, y, weight)
        with self._stream():
            self._epochs(steps, rows, batch_size, held_out, incremental)
        self._keep(steps)
        if not incremental:
            self._leave()

    def _steps_for(self, X: Any, y: Any, batch_size: int, incremental: bool) -> Steps:
        """What the last partial_fit used, or those of an earlier fit, or new ones."""
        if incremental and getattr(self, "_training", None) is not None:
            assert self._training is not None
            self._restore(self._training)
            return self._training
        saved = self.__dict__.pop("_optimizer_state", None) if incremental else None
        d = np.dtype(saved["dtype"]) if saved else self._training_dtype(X, batch_size)
        self._kind_of_steps = self._pool_key(d)
        steps = None if self._kind_of_steps is None else pool.take(self._kind_of_steps)
        if steps is None:
            steps = self._make_steps(d, y)
        else:
            self._restore(steps)
        steps.remember(saved["memory"] if saved else None)
        steps.done = saved["done"] if saved else 0
        assert steps.optimizer is not None
        if saved or self._kind_of_steps is not None:
            lr = saved["lr"] if saved else self.learning_rate_init
            steps.optimizer.param_groups[0]["lr"] = lr
        self._training = steps
        return steps

    def _pool_key(self, dtype: np.dtype) -> Any:
        """What steps that another fit left must have in common with those of this one; None: they
        are not shared.
        """
        return None

    def _leave(self) -> None:
        """After a fit: the steps are there for others, what they have gathered is kept."""
        steps = self._training
        if steps is not None and self._kind_of_steps is not None:
            self._optimizer_state = _state_of(steps)
            pool.give(self._kind_of_steps, steps)
            self._training = None

    def _epochs(
        self, steps: Steps, rows: Rows, batch_size: int, held_out: Any, incremental: bool
    ) -> None:
        optimizer = steps.optimizer
        n, best = len(rows), None
        if held_out is not None:  # should no score be better, the fit leaves what was there
            best = [t.value.copy() for t in steps.model.state_dict().values()]
        index = np.arange(n)
        epochs = 1 if incremental else self.max_iter
        run = Run(
            self, steps.model, optimizer, epochs, -(-n // batch_size), self._callbacks(optimizer)
        )
        self.n_iter_ = 0
        try:
            steps.model.train()
            run.call("on_fit_start")
            for _ in range(epochs):
                if self.shuffle:
                    mixed = np.arange(n)
                    self._random_state.shuffle(mixed)
                    index = index[mixed]
                run.begin_epoch()
                loss = steps.epoch(rows, index, batch_size, epochs, run.watch)
                self.n_iter_ += 1
                self.t_ += n
                self.loss_ = loss
                self.loss_curve_.append(loss)
                if self.verbose:
                    print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")
                if held_out is not None:
                    best = self._validate(steps, held_out, best)
                self._count(held_out is not None)
                self._after_epoch(optimizer)
                score = (
                    self.validation_scores_[-1] if held_out and self.validation_scores_ else None
                )
                run.end_epoch(loss, score)
                if run.stopped or self._stops(optimizer, held_out is not None):
                    break
            else:
                if not incremental:
                    warn(NOT_CONVERGED % self.max_iter, ConvergenceWarning)
            run.call("on_fit_end")
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        finally:
            run.call("on_fit_exit")
            steps.model.eval()
        if best is not None:
            for p, value in zip(steps.model.state_dict().values(), best, strict=True):
                p.value[...] = value

    def _validate(self, steps: Steps, held_out: Any, best: Any) -> Any:
        """The score on the held-out rows; the state of the network if it is the best so far."""
        X, y, weight = held_out
        outputs = self._activated(forward(steps.model, X.astype(steps.dtype, copy=False)))
        steps.model.train()
        score = np.nan
        if np.isfinite(outputs).all():
            score = self._score(self._truth(y), self._labels(outputs), weight)
        assert self.validation_scores_ is not None and self.best_validation_score_ is not None
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        worse = score < self.best_validation_score_ + self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            best = [t.value.copy() for t in steps.model.state_dict().values()]
        return best

    def _count(self, validated: bool) -> None:
        """How often in a row the loss did not get better by tol."""
        if validated:
            return
        best = np.inf if self.best_loss_ is None else self.best_loss_
        worse = self.loss_ > best - self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        self.best_loss_ = min(best, self.loss_)

    def _stops(self, optimizer: Any, validated: bool) -> bool:
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if validated else "Training loss"
        message = (
            f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change}"
            " consecutive epochs."
        )
        if self._gives_up(optimizer, message):
            return True
        self._no_improvement_count = 0
        return False

    def _gives_up(self, optimizer: Any, message: str) -> bool:
        """Whether a fit that no longer gets better ends."""
        if self.verbose:
            print(f"{message} Stopping.")
        return True

    def _callbacks(self, optimizer: Any) -> list[Any]:
        return callbacks_of(self.callbacks)

    def _after_epoch(self, optimizer: Any) -> None:
        """Move the learning rate."""

    def _draws(self) -> bool:
        """Whether the network draws random numbers."""
        return True

    @contextlib.contextmanager
    def _stream(self) -> Iterator[None]:
        """Random numbers of the network from `random_state`; the program's own stay as they are."""
        if not self._draws():
            yield
            return
        before = default_generator.get_state()
        seed = int(self._random_state.randint(2**31 - 1)) + getattr(self, "t_", 0)
        default_generator.manual_seed(seed)
        try:
            yield
        finally:
            default_generator.set_state(before)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        steps = state.pop("_training", None)
        state.pop("_kind_of_steps", None)
        if steps is not None:
            state["_optimizer_state"] = _state_of(steps)
        return state

    def _begin(self) -> Any:
        self._random_state = check_random_state(self.random_state)
        return self._random_state


def _state_of(steps: Steps) -> dict[str, Any]:
    """What another partial_fit wants, as arrays and numbers."""
    assert steps.optimizer is not None
    return {
        "memory": steps.memory(),
        "lr": steps.optimizer.param_groups[0]["lr"],
        "done": steps.done,
        "dtype": steps.dtype.str,
    }
