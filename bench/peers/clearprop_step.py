"""clearprop: the step as it is written for PyTorch, in eager mode, compiled, and many in a call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from contenders import Make, Program, SkipError, feeds_of, stacked_feed
from workloads import Workload

import clearprop as cp
from peers.networks import (
    dag_value,
    modules,
    optimizer_of,
    pairs,
    parameters_of,
    scalar_value,
    training_step,
)


def variants(column: str, w: Workload) -> dict[str, Make]:
    if w.kind == "cnn" and not hasattr(cp.nn.functional, "conv2d"):
        raise SkipError("this clearprop has no conv2d")
    if column == "clearprop run" and w.sync_each:
        raise SkipError("every result is wanted by itself")
    return {way: functools.partial(program, column, w, way) for way in ways(w)}


def ways(w: Workload) -> list[str]:
    """How the step can be written; the first is the most usual."""
    if w.kind in ("dag", "scalar"):
        return ["autograd.grad"]
    plain = ["x @ W + b"]
    return plain if w.kind == "cnn" and not hasattr(cp.nn, "Conv2d") else ["modules", *plain]


def read(out: Any) -> list[np.ndarray]:
    return [t.detach().numpy() for t in (out if isinstance(out, tuple) else (out,))]


def program(column: str, w: Workload, way: str) -> Program:
    step = step_of(w, way)
    if column == "clearprop eager":
        return Program(w, step, feeds_of(w, cp.tensor), read)
    step = cp.compile(step)
    if column == "clearprop":
        return Program(w, step, feeds_of(w, cp.tensor), read)
    many = lambda *batches: step.run(w.scan, batches)
    return Program(w, many, [tuple(map(cp.tensor, stacked_feed(w)))], read, many=True)


def step_of(w: Workload, way: str) -> Callable[..., Any]:
    """The function that is timed."""
    if w.kind in ("dag", "scalar"):
        return gradient_of(w)
    linear = lambda pair, x: x @ pair[0] + pair[1]
    layers, loss_fn = modules(cp, w) if way == "modules" else pairs(cp, w, linear)
    if w.kind == "inference":

        def forward(x: cp.Tensor) -> cp.Tensor:
            with cp.no_grad():
                return loss_fn(layers, x)

        return forward
    return training_step(layers, loss_fn, optimizer_of(cp, w, parameters_of(layers)))


def gradient_of(w: Workload) -> Callable[..., Any]:
    value = scalar_value if w.kind == "scalar" else dag_value

    def step(x: cp.Tensor) -> tuple[cp.Tensor, cp.Tensor]:
        x = x.detach().requires_grad_(True)
        z = value(cp, x if w.kind == "scalar" else x.unbind(0))
        (gradient,) = cp.autograd.grad(z, x)
        return z.detach(), gradient

    return step
