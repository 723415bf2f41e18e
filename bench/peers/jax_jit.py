"""JAX: the whole step under jax.jit with donated state, and many steps in one call by lax.scan.

Calls are not waited for one by one unless the workload wants each result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from contenders import Make, Program, SkipError, feeds_of, stacked_feed
from jax import lax
from workloads import NU, Workload

from peers.networks import dag_value, scalar_value

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "": lambda x: x}


def variants(column: str, w: Workload) -> dict[str, Make]:
    many = column == "jax scan"
    if many and w.sync_each:
        raise SkipError("every result is wanted by itself")
    if w.kind == "inference":
        return {"jit": functools.partial(inference, w)}
    if w.kind == "scalar":
        return {"jit": functools.partial(formula, w, False)}
    if w.kind == "dag":
        return {"jit": functools.partial(formula, w, many)}
    return {name: functools.partial(training, w, f, many) for name, f in LOSSES[w.kind].items()}


def read(out: Any) -> list[np.ndarray]:
    return [np.asarray(a) for a in (out if isinstance(out, tuple) else (out,))]


# ------------------------------------------------------------------------ networks
def dense(w: Workload, params: Any, x: Any) -> Any:
    activation = ACTIVATIONS[w.activation]
    for W, b in params[:-1]:
        x = activation(x @ W + b)
    W, b = params[-1]
    return ACTIVATIONS[w.last_activation](x @ W + b)


def cross_entropy(z: Any, y: Any) -> Any:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1)
    return -chosen.mean()


def mlp(w: Workload, params: Any, x: Any, y: Any) -> Any:
    out = dense(w, params, x)
    return cross_entropy(out, y) if w.loss == "ce" else 0.5 * ((out - y) ** 2).mean()


def actor_critic(w: Workload, params: Any, x: Any, actions: Any, returns: Any) -> Any:
    *trunk, (Wp, bp), (Wv, bv) = params
    for W, b in trunk:
        x = jnp.tanh(x @ W + b)
    value_loss = 0.5 * ((x @ Wv + bv - returns) ** 2).mean()
    return cross_entropy(x @ Wp + bp, actions) + value_loss


def pinn_forward(w: Workload, params: Any, x: Any) -> Any:
    """Derivatives of u in forward mode, which suits two inputs."""
    u = functools.partial(dense, w, params)
    along_t = jnp.zeros_like(x).at[:, 0].set(1)
    along_x = jnp.zeros_like(x).at[:, 1].set(1)
    value, u_t = jax.jvp(u, (x,), (along_t,))
    by_x = lambda x: jax.jvp(u, (x,), (along_x,))[1]
    u_x, u_xx = jax.jvp(by_x, (x,), (along_x,))
    return ((u_t + value * u_x - NU * u_xx) ** 2).mean()


def pinn_reverse(w: Workload, params: Any, x: Any) -> Any:
    """Derivatives of u by two backward passes."""
    first = jax.grad(lambda x: dense(w, params, x).sum())
    d = first(x)
    u_xx = jax.grad(lambda x: first(x)[:, 1].sum())(x)[:, 1:]
    return ((d[:, :1] + dense(w, params, x) * d[:, 1:] - NU * u_xx) ** 2).mean()


def convolution(x: Any, W: Any, b: Any, padding: int, order: str) -> Any:
    sides = [(padding, padding)] * 2
    out = lax.conv_general_dilated(x, W, (1, 1), sides, dimension_numbers=(order, "OIHW", order))
    return out + (b if order == "NHWC" else b[:, None, None])


def halve(x: Any, order: str) -> Any:
    """Means of 2x2 squares."""
    window = tuple(2 if axis in "HW" else 1 for axis in order)
    return lax.reduce_window(x, 0.0, lax.add, window, window, "VALID") / 4


def lenet(order: str, w: Workload, params: Any, x: Any, y: Any) -> Any:
    """Pictures come with their channels first; `order` is where they are inside."""
    if order == "NHWC":
        x = x.transpose(0, 2, 3, 1)
    x = halve(jax.nn.relu(convolution(x, *params[0], 2, order)), order)
    x = halve(jax.nn.relu(convolution(x, *params[1], 0, order)), order)
    if order == "NHWC":
        x = x.transpose(0, 3, 1, 2)
    return cross_entropy(dense(w, params[2:], x.reshape(len(x), -1)), y)


LOSSES: dict[str, dict[str, Callable[..., Any]]] = {
    "mlp": {"jit": mlp},
    "actor-critic": {"jit": actor_critic},
    "pinn": {"jvp of jvp": pinn_forward, "grad of grad": pinn_reverse},
    "cnn": {order: functools.partial(lenet, order) for order in ("NCHW", "NHWC")},
}


# ------------------------------------------------------------------------ programs
def update(w: Workload, params: Any, state: Any, gradients: Any) -> tuple[Any, Any]:
    """New parameters and state of the optimizer."""
    o, each = w.optimizer, jax.tree_util.tree_map
    assert o is not None
    if o.betas is None:
        if not o.momentum:
            return each(lambda p, g: p - o.lr * g, params, gradients), state
        state = each(lambda m, g: o.momentum * m + g, state, gradients)
        return each(lambda p, m: p - o.lr * m, params, state), state
    m, v, count = state
    b1, b2 = o.betas
    count = count + 1
    m = each(lambda m, g: b1 * m + (1 - b1) * g, m, gradients)
    v = each(lambda v, g: b2 * v + (1 - b2) * g * g, v, gradients)
    rate, scale = o.lr / (1 - b1**count), 1 / (1 - b2**count)
    new = lambda p, m, v: p - rate * m / (jnp.sqrt(v * scale) + o.eps)
    return each(new, params, m, v), (m, v, count)


def first_state(w: Workload, params: Any) -> Any:
    """The optimizer's state before the first step."""
    assert w.optimizer is not None
    zeros = lambda: jax.tree_util.tree_map(jnp.zeros_like, params)
    if w.optimizer.betas is not None:
        return zeros(), zeros(), jnp.zeros((), jnp.float32)
    return zeros() if w.optimizer.momentum else ()


def training(w: Workload, loss_fn: Callable[..., Any], many: bool) -> Program:
    params = [(jnp.array(W), jnp.array(b)) for W, b in w.params()]
    carry = (params, first_state(w, params))

    def step(carry: Any, feed: Any) -> tuple[Any, Any]:
        params, state = carry
        loss, gradients = jax.value_and_grad(functools.partial(loss_fn, w))(params, *feed)
        return update(w, params, state, gradients), loss

    whole = (lambda carry, feeds: lax.scan(step, carry, feeds)) if many else step
    jitted = jax.jit(whole, donate_argnums=0)

    def call(*feed: Any) -> Any:
        nonlocal carry
        carry, loss = jitted(carry, feed)
        return loss

    # the carry belongs to the same call as the loss, so that waiting for both waits for all work
    wait = lambda loss: jax.block_until_ready((loss, carry))
    feeds = [tuple(map(jnp.array, stacked_feed(w)))] if many else feeds_of(w, jnp.array)
    return Program(w, call, feeds, read, wait, many)


def formula(w: Workload, many: bool) -> Program:
    value = (lambda x: scalar_value(jnp, x)) if w.kind == "scalar" else (
        lambda x: dag_value(jnp, [x[i] for i in range(10)]))  # fmt: skip
    step = jax.value_and_grad(value)
    if many:
        scanned = lambda xs: lax.scan(lambda carry, x: (carry, step(x)), None, xs)[1]
        feeds = [tuple(map(jnp.array, stacked_feed(w)))]
        return Program(w, jax.jit(scanned), feeds, read, jax.block_until_ready, True)
    return Program(w, jax.jit(step), feeds_of(w, jnp.array), read, jax.block_until_ready)


def inference(w: Workload) -> Program:
    params = [(jnp.array(W), jnp.array(b)) for W, b in w.params()]
    jitted = jax.jit(functools.partial(dense, w))
    return Program(w, functools.partial(jitted, params), feeds_of(w, jnp.array), read,
                   jax.block_until_ready)  # fmt: skip
