"""The networks and their losses, written once for libraries with PyTorch's names.

`apply(layer, x)` runs a dense layer and `convolve(layer, x, padding)` a convolution, so that a
layer can be a module or a pair of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from workloads import NU, Workload, run_dag

Loss = Callable[..., Any]


def loss_of(lib: Any, w: Workload, apply: Any, convolve: Any) -> Loss:
    """The function loss(layers, *feed) of a workload."""
    F = lib.nn.functional
    activation = {"relu": lib.relu, "tanh": lib.tanh}[w.activation]
    last = lib.tanh if w.last_activation == "tanh" else None

    def dense(layers: Sequence[Any], x: Any) -> Any:
        for layer in layers[:-1]:
            x = activation(apply(layer, x))
        x = apply(layers[-1], x)
        return x if last is None else last(x)

    def mlp(layers: Sequence[Any], x: Any, y: Any) -> Any:
        out = dense(layers, x)
        return F.cross_entropy(out, y) if w.loss == "ce" else 0.5 * F.mse_loss(out, y)

    def actor_critic(layers: Sequence[Any], x: Any, actions: Any, returns: Any) -> Any:
        for layer in layers[:-2]:
            x = activation(apply(layer, x))
        policy = F.cross_entropy(apply(layers[-2], x), actions)
        return policy + 0.5 * F.mse_loss(apply(layers[-1], x), returns)

    def pinn(layers: Sequence[Any], x: Any) -> Any:
        grad = lib.autograd.grad
        x = x.detach().requires_grad_(True)
        u = dense(layers, x)
        (first,) = grad(u.sum(), x, create_graph=True)
        u_t, u_x = first[:, 0:1], first[:, 1:2]
        (second,) = grad(u_x.sum(), x, create_graph=True)
        return ((u_t + u * u_x - NU * second[:, 1:2]) ** 2).mean()

    def lenet(layers: Sequence[Any], x: Any, y: Any) -> Any:
        x = F.avg_pool2d(lib.relu(convolve(layers[0], x, 2)), 2)
        x = F.avg_pool2d(lib.relu(convolve(layers[1], x, 0)), 2)
        return F.cross_entropy(dense(layers[2:], x.flatten(1)), y)

    kinds = {"mlp": mlp, "actor-critic": actor_critic, "pinn": pinn, "cnn": lenet,
             "inference": dense}  # fmt: skip
    return kinds[w.kind]


def modules(lib: Any, w: Workload) -> tuple[list[Any], Loss]:
    """Modules with the workload's weights, and its loss with them."""
    layers: list[Any] = []
    with lib.no_grad():
        for W, b in w.params():
            if W.ndim == 4:
                layer = lib.nn.Conv2d(W.shape[1], W.shape[0], 5, padding=0 if layers else 2)
                layer.weight.copy_(lib.from_numpy(W))
            else:
                layer = lib.nn.Linear(*W.shape)
                layer.weight.copy_(lib.from_numpy(np.ascontiguousarray(W.T)))
            layer.bias.copy_(lib.from_numpy(b))
            layers.append(layer)
    return layers, loss_of(lib, w, lambda f, x: f(x), lambda f, x, _: f(x))


def pairs(lib: Any, w: Workload, apply: Any) -> tuple[list[Any], Loss]:
    """Pairs of Parameters (W, b) with W as in the workload, and its loss with them."""
    parameter = lambda a: lib.nn.Parameter(lib.from_numpy(a))
    layers = [(parameter(W), parameter(b)) for W, b in w.params()]
    convolve = lambda p, x, padding: lib.nn.functional.conv2d(x, p[0], p[1], padding=padding)
    return layers, loss_of(lib, w, apply, convolve)


def parameters_of(layers: Sequence[Any]) -> list[Any]:
    """All parameters of modules or pairs."""
    return [p for f in layers for p in (f if isinstance(f, tuple) else f.parameters())]


def optimizer_of(lib: Any, w: Workload, params: list[Any], **options: Any) -> Any:
    """The library's own optimizer."""
    o = w.optimizer
    assert o is not None
    if o.betas is None:
        return lib.optim.SGD(params, lr=o.lr, momentum=o.momentum, **options)
    return lib.optim.Adam(params, lr=o.lr, betas=o.betas, eps=o.eps, **options)


def training_step(layers: Sequence[Any], loss_fn: Loss, optimizer: Any) -> Callable[..., Any]:
    """A step as everybody writes it."""

    def step(*feed: Any) -> Any:
        loss = loss_fn(layers, *feed)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def dag_formulas(lib: Any) -> dict[str, Callable[..., Any]]:
    """The ops of the DAG."""
    return {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "tanh": lambda a, b: lib.tanh(a),
        "sin": lambda a, b: lib.sin(a),
        "cos": lambda a, b: lib.cos(a),
        "exp": lambda a, b: lib.exp(a),
        "sqrt1p": lambda a, b: lib.sqrt(1 + a * a),
    }


def dag_value(lib: Any, inputs: Any) -> Any:
    """The scalar of the DAG."""
    return run_dag(inputs, dag_formulas(lib)).mean()


def scalar_value(lib: Any, x: Any) -> Any:
    """z = 3 y1 + y2^2 with y1 = 2 x^2 + e^(2x), y2 = e^x."""
    y1 = 2 * x * x + lib.exp(2 * x)
    y2 = lib.exp(x)
    return 3 * y1 + y2 * y2
