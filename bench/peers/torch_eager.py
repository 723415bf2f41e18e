"""PyTorch's eager mode: its optimizers, fused ones, and updates written by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contenders import Make, Program, feeds_of
from workloads import Workload

from peers.networks import (
    dag_value,
    modules,
    optimizer_of,
    pairs,
    parameters_of,
    scalar_value,
    training_step,
)

torch.set_num_threads(1)


def linear(pair: tuple[Any, Any], x: Any) -> Any:
    """One call for x W + b."""
    return torch.addmm(pair[1], x, pair[0])


def read(out: Any) -> list[np.ndarray]:
    """The arrays of a result: a tensor, or a scalar with its gradients."""
    if isinstance(out, torch.Tensor):
        return [out.detach().numpy()]
    loss, gradients = out
    arrays = [g.numpy() for g in gradients]
    return [loss.detach().numpy(), arrays[0] if len(arrays) == 1 else np.stack(arrays)]


def variants(column: str, w: Workload) -> dict[str, Make]:
    if w.kind == "inference":
        return {name: functools.partial(inference, w, name) for name in ("modules", "addmm")}
    if w.kind in ("dag", "scalar"):
        return {"autograd.grad": functools.partial(formula, w)}
    return {
        "modules": functools.partial(library_optimizer, w),
        "modules, fused": functools.partial(library_optimizer, w, fused=True),
        "update by hand": functools.partial(by_hand, w),
    }


def library_optimizer(w: Workload, **options: Any) -> Program:
    layers, loss_fn = modules(torch, w)
    optimizer = optimizer_of(torch, w, parameters_of(layers), **options)
    step = training_step(layers, loss_fn, optimizer)
    return Program(w, step, feeds_of(w, torch.from_numpy), read)


def by_hand(w: Workload) -> Program:
    layers, loss_fn = pairs(torch, w, linear)
    params = parameters_of(layers)
    update = update_by_hand(w, params)

    def step(*feed: Any) -> Any:
        loss = loss_fn(layers, *feed)
        gradients = torch.autograd.grad(loss, params)
        with torch.no_grad():
            update(gradients)
        return loss

    return Program(w, step, feeds_of(w, torch.from_numpy), read)


def update_by_hand(w: Workload, params: list[Any]) -> Callable[[Any], None]:
    """SGD in list operations, Adam in the one call below torch.optim."""
    o = w.optimizer
    assert o is not None
    lr, momentum, eps = o.lr, o.momentum, o.eps
    if o.betas is None and not momentum:
        return lambda gradients: torch._foreach_add_(params, gradients, alpha=-lr)
    first = [torch.zeros_like(p) for p in params]
    if o.betas is None:

        def sgd(gradients: Any) -> None:
            torch._foreach_mul_(first, momentum)
            torch._foreach_add_(first, gradients)
            torch._foreach_add_(params, first, alpha=-lr)

        return sgd

    second = [torch.zeros_like(p) for p in params]
    steps = [torch.zeros((), dtype=torch.float32) for _ in params]
    beta1, beta2 = o.betas

    def adam(gradients: Any) -> None:
        torch._foreach_add_(steps, 1)
        torch._fused_adam_(
            params, gradients, first, second, [], steps, lr=lr, beta1=beta1, beta2=beta2,
            weight_decay=0.0, eps=eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    return adam


def formula(w: Workload) -> Program:
    if w.kind == "scalar":
        value = lambda x: scalar_value(torch, x)
        feeds = feeds_of(w, torch.from_numpy)
    else:
        value = lambda *xs: dag_value(torch, xs)
        feeds = [tuple(torch.from_numpy(a).unbind(0)) for (a,) in w.feeds()]
    feeds = [tuple(x.clone().requires_grad_(True) for x in feed) for feed in feeds]

    def step(*inputs: Any) -> Any:
        z = value(*inputs)
        return z, torch.autograd.grad(z, inputs)

    return Program(w, step, feeds, read)


def inference(w: Workload, name: str) -> Program:
    layers, forward = modules(torch, w) if name == "modules" else pairs(torch, w, linear)

    @torch.inference_mode()
    def step(x: Any) -> Any:
        return forward(layers, x)

    return Program(w, step, feeds_of(w, torch.from_numpy), read)
