"""Training steps over the rows of a data set, many in one call of compiled code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from clearprop import jit, ops
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
        self.size = sum(p.numel() for p in self.parameters)
        self._compiled: dict[str, Callable[..., Any]] = {}
        self._eager = has_hooks(model)
        self._blocks_used: dict[Any, tuple[np.ndarray, ...]] = {}

    def rows(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Rows:
        """Training rows in the type of the network; class indices stay whole numbers.

        Errors: weights where the loss gives one number per batch.
        """
        if weight is not None and not self.per_row:
            raise ValueError(NO_WEIGHTS)
        X = X.tocsr() if scipy.sparse.issparse(X) else X
        y = y if y.dtype == np.int64 else np.asarray(y, self.dtype)
        return Rows(X.astype(self.dtype, copy=False), y, weight)

    # ------------------------------------------------------------------ the optimizer's memory
    def memory(self) -> list[np.ndarray]:
        """Copies of what the optimizer has gathered."""
        return [t.value.copy() for t in self._gathered_tensors()]

    def remember(self, arrays: list[np.ndarray] | None) -> None:
        """Put `memory` back into the tensors that are there; None: begin anew."""
        tensors = self._gathered_tensors()
        if arrays and not tensors:  # there is nothing before the first step: make room
            assert self.optimizer is not None
            for p in self.parameters:
                p.grad = ops.zeros_like(p)
            before = [p.value.copy() for p in self.parameters]
            self.optimizer.step()
            for p, value in zip(self.parameters, before, strict=True):
                p.value[...] = value
                p.grad = None
            tensors = self._gathered_tensors()
        for i, t in enumerate(tensors):
            t.value[...] = arrays[i] if arrays else 0

    def _gathered_tensors(self) -> list[Tensor]:
        state = {} if self.optimizer is None else self.optimizer.state
        return [
            t for p in self.parameters for t in state.get(p, {}).values() if isinstance(t, Tensor)
        ]

    # ------------------------------------------------------------------ what is computed
    def _backward(self, x: Tensor, y: Tensor, w: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Leave the gradients of the objective in the parameters; the objective, and the loss as it
        is reported. w adds up to 1, share is one over the sum of the weights.
        """
        for p in self.parameters:
            p.grad = None
        rows = self.loss(self.model(x), y)
        data = (rows * w).sum() if rows.ndim else rows
        data.backward()
        total = data.detach()
        reported = total / self.averaged if self.averaged > 1 else total
        if self.alpha and self.decayed:
            with no_grad():  # its gradient by hand, where the update reads W anyway
                squares = [(p * p).sum() for p in self.decayed]
                penalty = sum(squares[1:], squares[0]) * share * (0.5 * self.alpha)
                total, reported = total + penalty, reported + penalty
                for p in self.decayed:
                    p.grad = p.grad + p * (self.alpha * share)
        return total, reported

    def _step(self, x: Tensor, y: Tensor, w: Tensor, share: Tensor) -> Tensor:
        assert self.optimizer is not None
        _, reported = self._backward(x, y, w, share)
        self.optimizer.step()
        return reported

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
            total, reported = self._call("gradient", self._backward, *args)
            return total.item(), reported.item()

        return compute

    def plan_gradient(self, evaluations: int, rows: int) -> None:
        """Decide whether compiling pays for so many gradients."""
        self._plan(evaluations, rows)

    def _plan(self, steps: int, rows: int) -> None:
        saved = steps * (CALLS + 6 * rows * self.size / SPEED / 2)
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
        if self.padded and whole * batch_size < len(order):  # fill up the last one
            missing = (whole + 1) * batch_size - len(order)
            order = np.concatenate([order, np.full(missing, -1)])
            whole += 1
        for i in range(0, whole, most):
            k = min(most, whole - i)
            part = order[i * batch_size : (i + k) * batch_size]
            yield self._gathered(rows, part, k)
        if whole * batch_size < len(order):
            yield self._gathered(rows, order[whole * batch_size :], 1)

    def _gathered(
        self, rows: Rows, index: np.ndarray, k: int
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Rows of a block of k batches, in memory that the next block of this kind uses again; -1
        stands for a row of weight 0.
        """
        missing = int((index < 0).sum())  # at the end of the last batch
        if missing:
            index = np.where(index < 0, index[0], index)
        x, y, w, share, counts = self._memory(rows, len(index), k, missing)
        if scipy.sparse.issparse(rows.X):
            x[...] = rows.X[index].toarray()
        else:
            np.take(rows.X, index, 0, out=x, mode="clip")  # the index is in range
        np.take(rows.y, index, 0, out=y, mode="clip")
        if rows.weight is not None:
            weight = rows.weight[index]
            weight[len(index) - missing :] = 0
            sums = weight.reshape(k, -1).sum(axis=1)
            w.reshape(k, -1)[...] = weight.reshape(k, -1) / sums[:, None]
            share[...] = 1 / sums
        batches = [a.reshape(k, len(index) // k, *a.shape[1:]) for a in (x, y, w)]
        return (batches[0], batches[1], batches[2], share), counts

    def _memory(self, rows: Rows, n: int, k: int, missing: int) -> tuple[np.ndarray, ...]:
        """Arrays for a block: x, y, and w, share, counts as they are without weights."""
        key = (n, k, missing, rows.weight is None, rows.X.shape[1:])
        if key not in self._blocks_used:
            counts = np.full(k, n // k)
            counts[-1] -= missing
            w = np.repeat(1 / counts, n // k)
            w[n - missing :] = 0
            self._blocks_used[key] = (
                np.empty((n, *rows.X.shape[1:]), self.dtype),
                np.empty((n, *rows.y.shape[1:]), rows.y.dtype),
                w.astype(self.dtype),
                (1 / counts).astype(self.dtype),
                counts,
            )
        return self._blocks_used[key]


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
