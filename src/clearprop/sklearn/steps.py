"""Training steps over the rows of a data set, many in one call of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from clearprop import jit
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.errors import TraceError
from clearprop.nn.warn import warn
from clearprop.ops import from_numpy
from clearprop.optim.optimizer import Optimizer
from clearprop.sklearn.losses import Loss

IN_EAGER_MODE = (
    "fit: the training step cannot be compiled and runs in eager mode, with the same results, but"
    " slower: {reason}"
)
NO_WEIGHTS = (
    "fit: the loss gives one number per batch, so rows cannot be weighted; let it give one per row"
    " (reduction='none'), or leave sample_weight and class_weight out"
)
BLOCK = 2**21  # bytes of rows that are gathered at a time: they stay in a near cache
# Compiling costs about COMPILE seconds; a compiled step saves about CALLS seconds of Python, and
# half of the time of about SPEED operations a second.
COMPILE, CALLS, SPEED = 0.1, 2e-4, 6e10


@dataclass(frozen=True)
class Rows:
    """Training rows: X (dense or CSR), encoded y, weights or None; all of the types of the step."""

    X: Any
    y: np.ndarray
    weight: np.ndarray | None

    def __len__(self) -> int:
        return int(self.X.shape[0])


class Steps:
    """Steps of one network.

    objective = sum w loss / sum w + alpha/2 ‖W‖² / sum w, W: the parameters in `decayed`

    With `padded`, which wants a loss of one number per row and a module that does not look from one
    row to another, the last, shorter batch is filled up with rows of weight 0: one version of the
    step does for all batches, and an epoch is one call. The bits do not depend on the filling.
    """

    def __init__(
        self,
        model: Any,
        loss: Loss,
        optimizer: Optimizer | None,
        dtype: np.dtype,
        *,
        alpha: float = 0.0,
        decayed: tuple[Tensor, ...] = (),
        averaged: int = 1,
        per_row: bool = True,
        padded: bool = True,
    ) -> None:
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.dtype = dtype
        self.alpha = alpha
        self.decayed = decayed
        self.averaged = averaged
        self.per_row = per_row
        self.padded = padded and per_row
        self.done = 0
        self.parameters = tuple(p for p in model.parameters() if p.requires_grad)
        self._size = sum(p.numel() for p in self.parameters)
        self._compiled: dict[str, Callable[..., Any]] = {}
        self._eager = has_hooks(model)

    def rows(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Rows:
        """Training rows in the type of the network; class indices stay whole numbers.

        Errors: weights where the loss gives one number per batch.
        """
        if weight is not None and not self.per_row:
            raise ValueError(NO_WEIGHTS)
        X = X.tocsr() if scipy.sparse.issparse(X) else X
        y = y if y.dtype == np.int64 else np.asarray(y, self.dtype)
        return Rows(X.astype(self.dtype, copy=False), y, weight)

    # ------------------------------------------------------------------ what is computed
    def _objective(self, x: Tensor, y: Tensor, w: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """What the gradients are of, and the loss as it is reported. w adds up to 1, share is one
        over the sum of the weights.
        """
        rows = self.loss(self.model(x), y)
        data = (rows * w).sum() if rows.ndim else rows
        total = data
        reported = data / self.averaged if self.averaged > 1 else data
        if self.alpha and self.decayed:
            squares = [(p * p).sum() for p in self.decayed]
            penalty = sum(squares[1:], squares[0]) * share * (0.5 * self.alpha)
            total, reported = total + penalty, reported + penalty
        return total, reported.detach()

    def _step(self, x: Tensor, y: Tensor, w: Tensor, share: Tensor) -> Tensor:
        assert self.optimizer is not None
        total, reported = self._objective(x, y, w, share)
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return reported

    def _gradient(self, x: Tensor, y: Tensor, w: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        for p in self.parameters:
            p.grad = None
        total, reported = self._objective(x, y, w, share)
        total.backward()
        return total.detach(), reported

    # ------------------------------------------------------------------ epochs
    def epoch(
        self,
        rows: Rows,
        order: np.ndarray,
        batch_size: int,
        epochs: int,
        watch: Callable[[float, int], bool] | None = None,
    ) -> float:
        """One pass over rows in this order; the mean of the losses of the batches. `epochs` is how
        many passes there may be, which decides whether compiling pays; `watch` is called with
        (loss, rows) after every batch and ends the pass with True.
        """
        n_batches = -(-len(order) // batch_size)
        self._plan(self.done + epochs * n_batches, batch_size)
        total = 0.0
        for arrays, counts in self._blocks(rows, order, batch_size, 1 if watch else 0):
            losses = self._run(len(counts), arrays)
            self.done += len(counts)
            total += float(np.dot(losses, counts))
            if watch is not None and watch(float(losses[0]), int(counts[0])):
                break
        return total / len(order)

    def gradient(self, rows: Rows) -> Callable[[], tuple[float, float]]:
        """A function that leaves the gradients of all rows in the parameters, and returns the
        objective and the loss.
        """
        whole = np.arange(len(rows))
        ((arrays, _),) = self._blocks(rows, whole, len(rows), 1)
        args = [from_numpy(a[0, ...]) for a in arrays]

        def compute() -> tuple[float, float]:
            total, reported = self._call("gradient", self._gradient, *args)
            return total.item(), reported.item()

        return compute

    def plan_gradient(self, evaluations: int, rows: int) -> None:
        """Decide whether compiling pays for so many gradients."""
        self._plan(evaluations, rows)

    def _plan(self, steps: int, rows: int) -> None:
        saved = steps * (CALLS + 6 * rows * self._size / SPEED / 2)
        self.compiles = not self._eager and saved > COMPILE

    def _run(self, k: int, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
        """k steps; their losses."""
        stacks = tuple(map(from_numpy, arrays))
        if k > 1 and self.compiles:
            losses = self._call("step", self._step, *stacks, k=k)
            return np.asarray(losses.value, np.float64)
        return np.array(
            [
                self._call("step", self._step, *(from_numpy(a[i, ...]) for a in arrays)).item()
                for i in range(k)
            ]
        )

    def _call(self, name: str, function: Callable[..., Any], *args: Tensor, k: int = 0) -> Any:
        """function(*args) compiled, if that pays and works; k > 0: as many runs in one."""
        if self.compiles:
            made: Any = self._compiled.get(name)
            if made is None:
                made = self._compiled[name] = jit.compile(function)
            try:
                return made.run(k, args) if k and hasattr(made, "run") else made(*args)
            except TraceError as reason:
                warn(IN_EAGER_MODE.format(reason=reason), RuntimeWarning)
                self.compiles, self._eager = False, True
        if not k:
            return function(*args)
        results = [function(*(from_numpy(t.value[i, ...]) for t in args)) for i in range(k)]
        return from_numpy(np.array([r.item() for r in results]))

    # ------------------------------------------------------------------ batches
    def _blocks(
        self, rows: Rows, order: np.ndarray, batch_size: int, most: int
    ) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray]]:
        """Batches side by side: (x, y, w, share), each with an axis of batches in front, and how
        many rows each has; at most `most` batches, 0: as many as fit into a block.
        """
        item = rows.X.dtype.itemsize
        wide = batch_size * item * int(np.prod(rows.X.shape[1:]))
        most = most or max(1, BLOCK // max(1, wide))
        whole = len(order) // batch_size
        if self.padded and whole * batch_size < len(order):
            missing = (whole + 1) * batch_size - len(order)
            order = np.concatenate([order, np.full(missing, -1)])
            whole += 1
        for i in range(0, whole, most):
            k = min(most, whole - i)
            part = order[i * batch_size : (i + k) * batch_size]
            yield gathered(rows, part, k, batch_size)
        if whole * batch_size < len(order):
            rest = order[whole * batch_size :]
            yield gathered(rows, rest, 1, len(rest))


def gathered(
    rows: Rows, index: np.ndarray, k: int, size: int
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Rows of a block of k batches; -1 stands for one of weight 0."""
    there = index >= 0
    index = np.where(there, index, index[0])
    weight = there.astype(rows.X.dtype) if rows.weight is None else rows.weight[index] * there
    weight = weight.reshape(k, size)
    sums = weight.sum(axis=1)
    x = rows.X[index].toarray() if scipy.sparse.issparse(rows.X) else np.take(rows.X, index, 0)
    y = np.take(rows.y, index, 0)
    arrays = (
        x.reshape(k, size, *x.shape[1:]),
        y.reshape(k, size, *y.shape[1:]),
        np.ascontiguousarray(weight / sums[:, None], dtype=x.dtype),
        np.asarray(1 / sums, dtype=x.dtype),
    )
    return arrays, there.reshape(k, size).sum(axis=1)


def has_hooks(model: Any) -> bool:
    """Whether somebody looks on while modules run: a compiled module does not call hooks."""
    tables = ("_forward_hooks", "_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(m, table, None) for m in model.modules() for table in tables)


def forward(model: Any, X: Any, rows: int = 4096) -> np.ndarray:
    """What the module gives for X in eval mode, so many rows at a time."""
    model.eval()
    parts = []
    with no_grad():
        for i in range(0, max(1, X.shape[0]), rows):
            x = X[i : i + rows]
            x = x.toarray() if scipy.sparse.issparse(x) else np.ascontiguousarray(x)
            parts.append(model(from_numpy(x)).value)
    out: np.ndarray = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return out
