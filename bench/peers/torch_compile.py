"""torch.compile: the whole step in one graph with gradients by torch.func, with and without the
C++ wrapper, and the loss compiled with a fused optimizer beside it.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from typing import Any

import torch
from contenders import Make, Program, SkipError, feeds_of
from workloads import Workload

from peers.networks import (
    dag_value,
    modules,
    optimizer_of,
    pairs,
    parameters_of,
    scalar_value,
)
from peers.torch_eager import linear, read

Update = Callable[[list[Any], list[Any], list[Any]], tuple[Any, Any]]


def compiled(function: Callable[..., Any], wrapper: bool) -> Callable[..., Any]:
    options = {"cpp_wrapper": wrapper}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


def variants(column: str, w: Workload) -> dict[str, Make]:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise SkipError("torch.compile needs a C++ compiler, there is none")
    if w.kind == "pinn":
        raise SkipError("no second-order gradients under torch.compile")
    torch._dynamo.reset()
    make = {"dag": formula, "scalar": formula, "inference": inference}.get(w.kind, whole_step)
    found = {
        "whole step": functools.partial(make, w, False),
        "whole step, C++ wrapper": functools.partial(make, w, True),
    }
    if make is whole_step:
        found["loss, fused optimizer"] = functools.partial(loss_only, w)
    return found


def whole_step(w: Workload, wrapper: bool) -> Program:
    layers, loss_fn = pairs(torch, w, linear)
    params = [p.detach() for p in parameters_of(layers)]
    state = first_state(w, params)
    update = update_of(w)

    def step(params: list[Any], state: list[Any], *feed: Any) -> Any:
        layers = list(zip(params[::2], params[1::2], strict=True))
        gradients, loss = torch.func.grad_and_value(loss_fn)(layers, *feed)
        new_params, new_state = update(params, state, [g for pair in gradients for g in pair])
        torch._foreach_copy_(params, new_params)
        if state:
            torch._foreach_copy_(state, new_state)
        return loss

    fast = compiled(step, wrapper)
    call = lambda *feed: fast(params, state, *feed)
    return Program(w, call, feeds_of(w, torch.from_numpy), read)


def first_state(w: Workload, params: list[Any]) -> list[Any]:
    """What the optimizer keeps: nothing, velocities, or moments and the count of steps."""
    o = w.optimizer
    assert o is not None
    zeros = lambda: [torch.zeros_like(p) for p in params]
    if o.betas is None:
        return zeros() if o.momentum else []
    # not a 0-d tensor: PyTorch 2.13 does not write a new value into one of those
    return [*zeros(), *zeros(), torch.zeros(1, dtype=torch.float64)]


def update_of(w: Workload) -> Update:
    """The optimizer in plain operations, which the compiler fuses: new parameters, new state."""
    o = w.optimizer
    assert o is not None
    lr, momentum, eps = o.lr, o.momentum, o.eps

    def sgd(params: list[Any], state: list[Any], gradients: list[Any]) -> tuple[Any, Any]:
        if momentum:
            state = gradients = [momentum * m + g for m, g in zip(state, gradients, strict=True)]
        return [p - lr * g for p, g in zip(params, gradients, strict=True)], state

    def adam(params: list[Any], state: list[Any], gradients: list[Any]) -> tuple[Any, Any]:
        beta1, beta2 = o.betas
        n, count = len(params), state[-1] + 1
        pairs = lambda old: zip(old, gradients, strict=True)
        first = [m + (1 - beta1) * (g - m) for m, g in pairs(state[:n])]
        second = [beta2 * v + (1 - beta2) * g * g for v, g in pairs(state[n : 2 * n])]
        rate = (lr / (1 - beta1**count)).float()
        scale = (1 / (1 - beta2**count)).float()
        moments = zip(params, first, second, strict=True)
        new = [p - rate * m / ((v * scale).sqrt() + eps) for p, m, v in moments]
        return new, [*first, *second, count]

    return sgd if o.betas is None else adam


def loss_only(w: Workload) -> Program:
    layers, loss_fn = modules(torch, w)
    optimizer = optimizer_of(torch, w, parameters_of(layers), fused=True)
    fast = compiled(lambda *feed: loss_fn(layers, *feed), False)

    def step(*feed: Any) -> Any:
        loss = fast(*feed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Program(w, step, feeds_of(w, torch.from_numpy), read)


def formula(w: Workload, wrapper: bool) -> Program:
    value = (lambda x: scalar_value(torch, x)) if w.kind == "scalar" else (
        lambda x: dag_value(torch, x.unbind(0)))  # fmt: skip

    def step(x: Any) -> Any:
        gradient, z = torch.func.grad_and_value(value)(x)
        return z, (gradient,)

    return Program(w, compiled(step, wrapper), feeds_of(w, torch.from_numpy), read)


def inference(w: Workload, wrapper: bool) -> Program:
    layers, forward = pairs(torch, w, linear)
    layers = [tuple(p.detach() for p in pair) for pair in layers]
    fast = compiled(lambda x: forward(layers, x), wrapper)

    @torch.inference_mode()
    def step(x: Any) -> Any:
        return fast(x)

    return Program(w, step, feeds_of(w, torch.from_numpy), read)
