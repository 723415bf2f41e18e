"""L-BFGS: steps along an approximate Newton direction, made of the last gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import enable_grad, no_grad
from clearprop.core import Tensor, local, wrap
from clearprop.optim.line_search import Point, strong_wolfe
from clearprop.optim.optimizer import Group, Optimizer, State, not_negative


class LBFGS(Optimizer):
    """Limited-memory BFGS for smooth losses of the whole data set; step(closure) only.

    `closure` zeroes the gradients, computes the loss, calls backward and returns the loss; a step
    calls it up to `max_eval` times (default 5/4 max_iter) and takes up to `max_iter` iterations of
    length lr, or of the length that line_search_fn="strong_wolfe" finds. It ends early where the
    largest gradient is tolerance_grad or less, or loss or parameters change by less than
    tolerance_change. One parameter group only. Its decisions depend on values, so it cannot be
    compiled; compile the closure. Errors: a negative lr, a second group, an unknown line search.

    >>> import clearprop as cp
    >>> w = cp.tensor([3.0, -2.0], requires_grad=True)
    >>> optimizer = cp.optim.LBFGS([w], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((w - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    13.0
    >>> [round(x, 4) for x in w.tolist()]
    [1.0, 1.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "max_iter": max_iter}
        options["max_eval"] = max_iter * 5 // 4 if max_eval is None else max_eval
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(
            params, options | {"history_size": history_size, "line_search_fn": line_search_fn}
        )

    def _check(self, group: Group) -> None:
        not_negative("LBFGS", lr=group["lr"])
        if self.param_groups:
            raise ValueError("LBFGS: doesn't support per-parameter options (parameter groups)")
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(
                f"LBFGS: only 'strong_wolfe' is supported, got {group['line_search_fn']!r}"
            )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise for up to max_iter iterations; returns the loss before the first."""
        if closure is None:
            raise TypeError("LBFGS: step() wants a closure that computes the loss again")
        interpreter = local.c.interpreter
        if interpreter is not None:
            interpreter.refuse(
                "LBFGS.step()",
                "it decides by the values of the loss how often to call the closure. Compile the"
                " closure instead, and call step() eagerly",
            )
        with no_grad():
            return self._minimise(_Problem(self.param_groups[0], closure))

    def _minimise(self, problem: _Problem) -> Any:
        group = self.param_groups[0]
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first = problem.closure()
        loss, g = float(first), problem.gradient()
        evaluations = 1
        state["func_evals"] += 1
        if _largest(g) <= group["tolerance_grad"]:
            return first
        for i in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, g, group["history_size"])
            state["prev_flat_grad"], state["prev_loss"] = g, loss
            t = group["lr"]
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / g.abs().sum().item()) * t
            state["t"] = t
            slope = g.dot(direction).item()
            if slope > -group["tolerance_change"]:
                break
            before, used = loss, 0
            if group["line_search_fn"] is not None:
                found, used = strong_wolfe(
                    problem.along(direction),
                    Point(0.0, loss, g, slope),
                    t,
                    _largest(direction),
                    max_evaluations=group["max_eval"] - evaluations,
                )
                t, loss, g = found.t, found.loss, found.gradient
                state["t"] = t
                problem.move(direction, t)
            else:
                problem.move(direction, t)
                if i != group["max_iter"]:  # the loss after the last iteration is nobody's business
                    loss, g, used = float(problem.closure()), problem.gradient(), 1
            evaluations += used
            state["func_evals"] += used
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(direction * t) <= group["tolerance_change"]
                or abs(loss - before) < group["tolerance_change"]
            ):
                break
        return first

    def _direction(self, state: State, g: Tensor, most: int) -> Tensor:
        """-H g, where H is what the last pairs (change of gradient y, step s) say of the inverse
        Hessian: the two-loop recursion.
        """
        if state["n_iter"] == 1:
            state |= {"old_dirs": [], "old_stps": [], "ro": [], "H_diag": 1, "al": [None] * most}
            state["d"] = -g
            return state["d"]  # type: ignore[no-any-return]
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        ys = y.dot(s)
        if ys.item() > 1e-10:
            for history, new in (("old_dirs", y), ("old_stps", s), ("ro", 1.0 / ys)):
                state[history] = [*state[history], new][-most:]
            state["H_diag"] = ys / y.dot(y)
        pairs = list(zip(state["old_dirs"], state["old_stps"], state["ro"], strict=True))
        d = -g
        al = state["al"] = [None] * most
        for i in reversed(range(len(pairs))):
            y, s, ro = pairs[i]
            al[i] = s.dot(d) * ro
            d.sub_(y * al[i])
        d.mul_(state["H_diag"])
        for i, (y, s, ro) in enumerate(pairs):
            d.add_(s * (al[i] - y.dot(d) * ro))
        state["d"] = d
        return d

    def _loaded(self, p: Tensor, key: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._loaded(p, key, part) for part in value]
        if not isinstance(value, Tensor | np.ndarray):
            return value
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        return array.item() if key == "t" else wrap(np.array(array, p.value.dtype), None)


class _Problem:
    """The loss as a function of all parameters as one vector."""

    def __init__(self, group: Group, closure: Callable[[], Any]) -> None:
        self.params: list[Tensor] = group["params"]
        self._closure = closure

    def closure(self) -> Any:
        with enable_grad():
            return self._closure()

    def gradient(self) -> Tensor:
        """All gradients as one new vector; zeros where there is none."""
        parts = [(ops.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.params]
        return ops.cat([part.detach() for part in parts]).clone()

    def move(self, direction: Tensor, t: float) -> None:
        """p += t · direction."""
        at = 0
        for p in self.params:
            p.add_(direction[at : at + p.numel()].view(p.shape), alpha=t)
            at += p.numel()

    def along(self, direction: Tensor) -> Callable[[float], Point]:
        """The loss as a function of the step length; the parameters stay where they are."""
        start = [p.clone() for p in self.params]

        def evaluate(t: float) -> Point:
            self.move(direction, t)
            loss, g = float(self.closure()), self.gradient()
            for p, value in zip(self.params, start, strict=True):
                p.copy_(value)
            return Point(t, loss, g, g.dot(direction).item())

        return evaluate


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
