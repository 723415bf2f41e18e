"""What every contender must compute: the workloads in float64 NumPy, derivatives by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import DAG, FORMULAS, NU, SINKS, Optimizer, Pair, Workload

Result = tuple[float, list[Pair]]


def summary_of_dag(loss: Any, gradients: Any) -> list[float]:
    """The scalar, then mean and root mean square of each input's gradient, times 1000."""
    g = np.asarray(gradients, np.float64) * 1000
    return [float(loss), *g.mean(1).tolist(), *np.sqrt((g * g).mean(1)).tolist()]


def summary_of_logits(logits: Any) -> list[float]:
    """A few numbers that stand for a table of logits."""
    o = np.asarray(logits, np.float64)
    return [float(o.mean()), float(np.sqrt((o * o).mean())), float(o[0, 3]), float(o[-1, -1])]


def worst_error(values: list[float], reference: list[float]) -> float:
    """The largest deviation, relative to the number or to a tenth of the largest of them."""
    v, r = np.array(values), np.array(reference)
    if v.shape != r.shape or not np.isfinite(v).all():
        return float("inf")
    return float((np.abs(v - r) / np.maximum(np.abs(r), 0.1 * np.abs(r).max())).max())


def reference(w: Workload) -> list[float]:
    """The numbers of the workload: losses of its first steps, or values and gradients."""
    feeds = [tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in feed)
             for feed in w.feeds()]  # fmt: skip
    if w.kind == "dag":
        return [v for (x,) in feeds for v in summary_of_dag(*dag_gradients(x))]
    if w.kind == "scalar":
        return [v for (x,) in feeds for v in chain_rule(float(x))]
    params = [(W.astype(np.float64), b.astype(np.float64)) for W, b in w.params()]
    if w.kind == "inference":
        (W1, b1), (W2, b2) = params
        logits = [np.maximum(x @ W1 + b1, 0) @ W2 + b2 for (x,) in feeds[:2]]
        return [v for z in logits for v in summary_of_logits(z)]
    assert w.optimizer is not None
    update = Update(w.optimizer, params)
    losses = []
    for step in range(w.check_steps):
        loss, gradients = GRADIENTS[w.kind](w, params, *feeds[step % len(feeds)])
        update(gradients)
        losses.append(float(loss))
    return losses


class Update:
    """SGD or Adam on arrays, in place."""

    def __init__(self, optimizer: Optimizer, params: list[Pair]) -> None:
        self.o, self.steps = optimizer, 0
        self.params = [p for pair in params for p in pair]
        self.first = [np.zeros_like(p) for p in self.params]
        self.second = [np.zeros_like(p) for p in self.params]

    def __call__(self, gradients: list[Pair]) -> None:
        self.steps += 1
        flat = [g for pair in gradients for g in pair]
        for p, g, m, v in zip(self.params, flat, self.first, self.second, strict=True):
            if self.o.betas is None:
                m *= self.o.momentum
                m += g
                p -= self.o.lr * m
                continue
            b1, b2 = self.o.betas
            m += (1 - b1) * (g - m)
            v += (1 - b2) * (g * g - v)
            root = np.sqrt(v / (1 - b2**self.steps)) + self.o.eps
            p -= self.o.lr * (m / (1 - b1**self.steps)) / root


# ------------------------------------------------------------------------ networks
def cross_entropy(z: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss and its derivative by the logits: (softmax - one-hot) / batch."""
    z = z - z.max(1, keepdims=True)
    e = np.exp(z)
    p = e / e.sum(1, keepdims=True)
    rows = np.arange(len(y))
    loss = -np.log(p[rows, y]).mean()
    p[rows, y] -= 1
    return loss, p / len(y)


def half_mean_square(out: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    e = out - y
    return 0.5 * (e * e).mean(), e / e.size


ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "": (lambda z: z, lambda a: 1.0),
    "relu": (lambda z: np.maximum(z, 0), lambda a: a > 0),
    "tanh": (np.tanh, lambda a: (1 + a) * (1 - a)),
}


def forward(params: list[Pair], names: list[str], x: np.ndarray) -> list[np.ndarray]:
    """x and the activations of every dense layer."""
    a = [x]
    for (W, b), name in zip(params, names, strict=True):
        a.append(ACTIVATIONS[name][0](a[-1] @ W + b))
    return a


def backward(
    params: list[Pair], names: list[str], a: list[np.ndarray], d: np.ndarray
) -> tuple[list[Pair], np.ndarray]:
    """Gradients of the dense layers and the derivative by their input, d: by their output."""
    gradients: list[Pair] = []
    for k in reversed(range(len(params))):
        d = d * ACTIVATIONS[names[k]][1](a[k + 1])
        gradients.insert(0, (a[k].T @ d, d.sum(0)))
        d = d @ params[k][0].T
    return gradients, d


def mlp(w: Workload, params: list[Pair], x: np.ndarray, y: np.ndarray) -> Result:
    names = [w.activation] * (len(params) - 1) + [w.last_activation]
    a = forward(params, names, x)
    loss, d = (cross_entropy if w.loss == "ce" else half_mean_square)(a[-1], y)
    return loss, backward(params, names, a, d)[0]


def actor_critic(
    w: Workload, params: list[Pair], x: np.ndarray, actions: np.ndarray, returns: np.ndarray
) -> Result:
    *trunk, (Wp, bp), (Wv, bv) = params
    names = ["tanh"] * len(trunk)
    a = forward(trunk, names, x)
    h = a[-1]
    policy_loss, dp = cross_entropy(h @ Wp + bp, actions)
    value_loss, dv = half_mean_square(h @ Wv + bv, returns)
    gradients, _ = backward(trunk, names, a, dp @ Wp.T + dv @ Wv.T)
    return policy_loss + value_loss, [*gradients, (h.T @ dp, dp.sum(0)), (h.T @ dv, dv.sum(0))]


def pinn(w: Workload, params: list[Pair], x: np.ndarray) -> Result:
    """Carries (a, a_t, a_x, a_xx) through the layers, then derives that backwards.

    With o = tanh z, s = 1 - o^2:  a_t = s z_t,  a_x = s z_x,  a_xx = s z_xx - 2 o s z_x^2.
    """
    n = len(x)
    one, zero = np.ones(n), np.zeros(n)
    state = (x, np.stack([one, zero], 1), np.stack([zero, one], 1), np.zeros_like(x))
    tape = []
    for k, (W, b) in enumerate(params):
        z, zt, zx, zxx = state[0] @ W + b, *(s @ W for s in state[1:])
        o = np.tanh(z)
        tape.append((state, o, zt, zx, zxx))
        if k == len(params) - 1:
            state = (z, zt, zx, zxx)
        else:
            s = 1 - o * o
            state = (o, s * zt, s * zx, s * zxx - 2 * o * s * zx * zx)
    u, ut, ux, uxx = state
    r = ut + u * ux - NU * uxx
    dr = 2 * r / r.size
    d, dt, dx, dxx = dr * ux, dr, dr * u, -NU * dr
    gradients: list[Pair] = []
    for k in reversed(range(len(params))):
        before, o, zt, zx, zxx = tape[k]
        if k < len(params) - 1:
            s = 1 - o * o
            # s' = -2 o s,  (o s)' = s^2 - 2 o^2 s
            d = (d * s - 2 * o * s * (dt * zt + dx * zx + dxx * zxx)
                 - 2 * dxx * zx * zx * (s * s - 2 * o * o * s))  # fmt: skip
            dt, dx, dxx = dt * s, dx * s - 4 * dxx * o * s * zx, dxx * s
        by_stream = zip(before, (d, dt, dx, dxx), strict=True)
        gradients.insert(0, (sum(a.T @ g for a, g in by_stream), d.sum(0)))
        d, dt, dx, dxx = (g @ params[k][0].T for g in (d, dt, dx, dxx))
    return (r * r).mean(), gradients


# --------------------------------------------------------------------- convolutions
def patches(x: np.ndarray, size: int) -> np.ndarray:
    """(n, c, h, w) to (n, h', w', c * size * size): every window as a row."""
    v = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))
    n, _, h, w = v.shape[:4]
    return v.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, -1)


def convolve(rows: np.ndarray, W: np.ndarray) -> np.ndarray:
    return (rows @ W.reshape(len(W), -1).T).transpose(0, 3, 1, 2)


def halve(x: np.ndarray) -> np.ndarray:
    """Means of 2x2 squares."""
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def double(d: np.ndarray) -> np.ndarray:
    """The derivative of `halve`."""
    return d.repeat(2, 2).repeat(2, 3) / 4


def gradient_of_kernel(rows: np.ndarray, d: np.ndarray, shape: tuple[int, ...]) -> Pair:
    flat = d.transpose(0, 2, 3, 1).reshape(-1, d.shape[1])
    return (flat.T @ rows.reshape(len(flat), -1)).reshape(shape), flat.sum(0)


def lenet(w: Workload, params: list[Pair], x: np.ndarray, y: np.ndarray) -> Result:
    (W1, b1), (W2, b2), *dense = params
    rows1 = patches(np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2))), 5)
    a1 = np.maximum(convolve(rows1, W1) + b1[:, None, None], 0)
    rows2 = patches(halve(a1), 5)
    a2 = np.maximum(convolve(rows2, W2) + b2[:, None, None], 0)
    pooled = halve(a2)
    names = ["relu", "relu", ""]
    a = forward(dense, names, pooled.reshape(len(x), -1))
    loss, d = cross_entropy(a[-1], y)
    gradients, d = backward(dense, names, a, d)
    d2 = double(d.reshape(pooled.shape)) * (a2 > 0)
    # the derivative by the input of a convolution: full correlation with the flipped kernel
    flipped = W2[:, :, ::-1, ::-1].swapaxes(0, 1)
    full = patches(np.pad(d2, ((0, 0), (0, 0), (4, 4), (4, 4))), 5)
    d1 = double(convolve(full, flipped)) * (a1 > 0)
    first = gradient_of_kernel(rows1, d1, W1.shape)
    return loss, [first, gradient_of_kernel(rows2, d2, W2.shape), *gradients]


GRADIENTS: dict[str, Callable[..., Result]] = {
    "mlp": mlp, "actor-critic": actor_critic, "pinn": pinn, "cnn": lenet,
}  # fmt: skip

# ------------------------------------------------------------------------- formulas
DERIVATIVES: dict[str, Callable[..., Any]] = {
    "tanh": lambda x, o: 1 - o * o,
    "sin": lambda x, o: np.cos(x),
    "cos": lambda x, o: -np.sin(x),
    "exp": lambda x, o: o,
    "sqrt1p": lambda x, o: x / o,
}


def dag_gradients(inputs: np.ndarray) -> tuple[float, np.ndarray]:
    """The scalar of the DAG and its gradients by the ten inputs."""
    v = list(inputs)
    for op, a, b in DAG:
        v.append(FORMULAS[op](v[a], None if b < 0 else v[b]))
    g = [np.zeros_like(x) for x in v]
    for i in SINKS:
        g[i] += 1 / v[i].size
    for k in reversed(range(len(DAG))):
        op, a, b = DAG[k]
        d, x, out = g[k + 10], v[a], v[k + 10]
        if b < 0:
            g[a] += d * DERIVATIVES[op](x, out)
        else:
            g[a] += d * v[b] if op == "mul" else d
            g[b] += {"add": d, "sub": -d, "mul": d * x}[op]
    return sum(v[i].mean() for i in SINKS), np.stack(g[:10])


def chain_rule(x: float) -> tuple[float, float]:
    """z = 3 y1 + y2^2 with y1 = 2 x^2 + e^(2x), y2 = e^x, and dz/dx."""
    y1, y2 = 2 * x * x + np.exp(2 * x), np.exp(x)
    return float(3 * y1 + y2 * y2), float(3 * (4 * x + 2 * np.exp(2 * x)) + 2 * y2 * y2)
