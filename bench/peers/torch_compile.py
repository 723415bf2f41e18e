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
from peers.networks import (
    dag_value,
    modules,
    optimizer_of,
    pairs,
    parameters_of,
    scalar_value,
)
from peers.torch_eager import linear, read
from workloads import Workload


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
    layers = [tuple(p.detach() for p in pair) for pair in layers]
    params = parameters_of(layers)
    update = update_in_graph(w, params)

    def step(*feed: Any) -> Any:
        gradients, loss = torch.func.grad_and_value(loss_fn)(layers, *feed)
        update([g for pair in gradients for g in pair])
        return loss

    return Program(w, compiled(step, wrapper), feeds_of(w, torch.from_numpy), read)


def update_in_graph(w: Workload, params: list[Any]) -> Callable[[list[Any]], None]:
    """The optimizer in plain operations, which the compiler fuses."""
    o = w.optimizer
    assert o is not None
    lr, momentum, eps = o.lr, o.momentum, o.eps
    first = [torch.zeros_like(p) for p in params]
    second = [torch.zeros_like(p) for p in params]
    count = torch.zeros((), dtype=torch.float64)

    def sgd(gradients: list[Any]) -> None:
        for p, g, m in zip(params, gradients, first, strict=True):
            if momentum:
                m.mul_(momentum).add_(g)
                g = m
            p.add_(g, alpha=-lr)

    def adam(gradients: list[Any]) -> None:
        beta1, beta2 = o.betas
        count.add_(1)
        rate = (lr / (1 - beta1**count)).float()
        scale = (1 / (1 - beta2**count)).float()
        for p, g, m, v in zip(params, gradients, first, second, strict=True):
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            p.sub_(rate * m / ((v * scale).sqrt() + eps))

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
