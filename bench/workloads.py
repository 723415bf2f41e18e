"""The workloads W1 to W11: shapes, data and initial weights, everything drawn from one seed.

Every contender follows these conventions:
    dense layer    y = x W + b,  W: (inputs, outputs), b: (outputs,)
    "ce"           softmax cross-entropy with labels, mean over the batch
    "mse"          0.5 * mean((out - y)^2)
    actor-critic   cross-entropy of the policy head + 0.5 * mean((value - return)^2)
    PINN           mean((u_t + u u_x - NU u_xx)^2), columns of x: t and x; u_xx by differentiation
    SGD            v = momentum * v + g,  p = p - lr * v
    Adam           bias-corrected, eps outside the root
    step i         sees feed i (mod their number); its loss is the one before its update
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

SEED = 20240
NU = 0.01 / np.pi
Pair = tuple[np.ndarray, np.ndarray]
Feed = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Optimizer:
    """How parameters are updated; Adam where `betas` is given, else SGD."""

    lr: float
    momentum: float = 0.0
    betas: tuple[float, float] | None = None
    eps: float = 1e-8


ADAM = Optimizer(1e-3, betas=(0.9, 0.999))


@dataclass(frozen=True)
class Workload:
    """One row of the table. `feeds()` are the arguments of the steps, `params()` what is trained.

    `scan` steps go into one call where many steps are one call; `check_steps` losses are compared
    with the float64 reference; `sync_each` says that every result is wanted before the next call.
    """

    key: str
    title: str
    kind: str  # mlp, actor-critic, pinn, dag, scalar, cnn, inference
    batch: int
    draw: Callable[[Generator, Workload], list[np.ndarray]]
    widths: tuple[int, ...] = ()
    activation: str = "relu"
    last_activation: str = ""
    loss: str = "ce"
    optimizer: Optimizer | None = None
    n_feeds: int = 8
    check_steps: int = 20
    scan: int = 100
    sync_each: bool = False
    tolerance: float = 1e-4

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each dense layer of the trunk."""
        return list(zip(self.widths, self.widths[1:], strict=False))

    def params(self) -> list[Pair]:
        """(W, b) of each layer, float32. Heads come last (policy, value), convolutions first."""
        number = int("".join(filter(str.isdigit, self.key)))
        rng = np.random.default_rng(SEED + (2 if number == 11 else number))
        shapes = ((6, 1, 5), (16, 6, 5)) if self.kind == "cnn" else ()
        convolutions = [_convolution(rng, *shape) for shape in shapes]
        trunk = [_dense(rng, n, m, self.activation) for n, m in self.layers]
        heads = [_dense(rng, 64, n, "tanh") for n in (4, 1)] if self.kind == "actor-critic" else []
        return convolutions + trunk + heads

    def feeds(self) -> list[Feed]:
        """The arrays of each step: inputs, and labels or targets where there are any."""
        rng = np.random.default_rng(SEED + 1000 + sum(map(ord, self.key)))
        arrays = self.draw(rng, self)
        if self.kind in ("dag", "scalar"):
            return [(a,) for a in arrays]
        b = self.batch
        return [tuple(a[i * b : (i + 1) * b] for a in arrays) for i in range(self.n_feeds)]


def _dense(rng: Generator, inputs: int, outputs: int, activation: str) -> Pair:
    w = rng.standard_normal((inputs, outputs))
    w *= np.sqrt((2.0 if activation == "relu" else 1.0) / inputs)
    return w.astype(np.float32), rng.uniform(-0.1, 0.1, outputs).astype(np.float32)


def _convolution(rng: Generator, outputs: int, inputs: int, size: int) -> Pair:
    w = rng.standard_normal((outputs, inputs, size, size)) * np.sqrt(2.0 / (inputs * size * size))
    return w.astype(np.float32), rng.uniform(-0.1, 0.1, outputs).astype(np.float32)


# ------------------------------------------------------------------------- data
def _rings(rng: Generator, w: Workload) -> list[np.ndarray]:
    """Two rings, one around the other, labelled 1 and -1."""
    radius = np.concatenate([rng.uniform(0, 2.5, 100), rng.uniform(3.5, 5, 100)])
    angle = rng.uniform(0, 2 * np.pi, 200)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) / 5
    y = np.where(radius < 3, 1.0, -1.0)[:, None]
    order = rng.permutation(200)
    return [x[order].astype(np.float32), y[order].astype(np.float32)]


@functools.cache
def _load_digits() -> Pair:
    from sklearn.datasets import load_digits  # noqa: PLC0415  # a second, which few rows need

    digits = load_digits()
    return (digits.data / 16.0).astype(np.float32), digits.target.astype(np.int64)


def _digits(rng: Generator, w: Workload) -> list[np.ndarray]:
    """scikit-learn's 8x8 digits in random order, from the start again if they do not suffice."""
    x, y = _load_digits()
    order = rng.permutation(len(x))
    order = np.resize(order, w.batch * w.n_feeds)
    return [x[order]] if w.kind == "inference" else [x[order], y[order]]


def _labels(rng: Generator, x: np.ndarray, classes: int) -> np.ndarray:
    """Labels by a random linear map; one in ten is drawn at random."""
    teacher = rng.standard_normal((x.shape[1], classes))
    y = ((x - x.mean(0)) @ teacher).argmax(1)
    wrong = rng.random(len(y)) < 0.1
    y[wrong] = rng.integers(0, classes, wrong.sum())
    return y.astype(np.int64)


def _states(rng: Generator, w: Workload) -> list[np.ndarray]:
    """States of a made-up environment, the actions taken in them and the returns."""
    n = w.batch * w.n_feeds
    x = rng.standard_normal((n, 8)).astype(np.float32)
    actions = _labels(rng, x, 4)
    returns = np.sin(x @ rng.standard_normal(8)) + 0.3 * rng.standard_normal(n)
    return [x, actions, returns.astype(np.float32)[:, None]]


def _pictures(rng: Generator, w: Workload) -> list[np.ndarray]:
    """28x28 pictures of which about a fifth of the pixels is not 0, as in MNIST."""
    shape = (w.batch * w.n_feeds, 784)
    x = (rng.random(shape) * (rng.random(shape) < 0.2)).astype(np.float32)
    y = _labels(rng, x, 10)
    return [x.reshape(-1, 1, 28, 28) if w.kind == "cnn" else x, y]


def _normal(rng: Generator, w: Workload) -> list[np.ndarray]:
    x = rng.standard_normal((w.batch * w.n_feeds, w.widths[0])).astype(np.float32)
    return [x, _labels(rng, x, 10)]


def _times_and_places(rng: Generator, w: Workload) -> list[np.ndarray]:
    n = w.batch * w.n_feeds
    return [np.stack([rng.uniform(0, 1, n), rng.uniform(-1, 1, n)], 1).astype(np.float32)]


def _vectors(rng: Generator, w: Workload) -> list[np.ndarray]:
    return [rng.uniform(-1, 1, (10, w.batch)).astype(np.float32) for _ in range(w.n_feeds)]


def _numbers(rng: Generator, w: Workload) -> list[np.ndarray]:
    return [np.array(x, np.float32) for x in (0.3, 0.5, 0.7, -0.4)]


# -------------------------------------------------------------------- the DAG of W8
UNARY = ("tanh", "sin", "cos", "exp", "sqrt1p")
FORMULAS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "tanh": lambda a, b: np.tanh(a),
    "sin": lambda a, b: np.sin(a),
    "cos": lambda a, b: np.cos(a),
    "exp": lambda a, b: np.exp(a),
    "sqrt1p": lambda a, b: np.sqrt(1 + a * a),
}


def _draw_dag() -> tuple[list[tuple[str, int, int]], list[int]]:
    """(op, a, b) of nodes 10, 11, ...; nodes 0 to 9 are the inputs, b is -1 for ops of one operand.

    The second value is the sinks, nodes that nobody reads; the scalar is the mean of their sum.
    Operands are mostly recent nodes; a value that gets large goes through tanh.
    """
    rng = np.random.default_rng(SEED + 8)
    values = [rng.uniform(-1, 1, 1000) for _ in range(10)]
    names = ["add", "sub", "mul", "mul", "tanh", "sin", "cos", "exp", "sqrt1p"]
    program = []
    while len(program) < 200:
        n = len(values)
        a, b = (int(rng.integers(0 if rng.random() < 0.35 else max(0, n - 20), n)) for _ in "ab")
        op = str(rng.choice(names))
        if op == "exp" and np.abs(values[a]).max() > 1.5:
            op = "tanh"
        value = FORMULAS[op](values[a], values[b])
        if np.abs(value).max() > 3:
            op, value = "tanh", np.tanh(values[a])
        program.append((op, a, -1 if op in UNARY else b))
        values.append(value)
    read = {i for _, *operands in program for i in operands}
    return program, [i for i in range(10, 210) if i not in read]


DAG, SINKS = _draw_dag()


def run_dag(inputs: Any, formulas: dict[str, Callable[..., Any]]) -> Any:
    """The sum of the sinks, computed with another library's ops."""
    values = list(inputs)
    for op, a, b in DAG:
        values.append(formulas[op](values[a], None if b < 0 else values[b]))
    return functools.reduce(formulas["add"], [values[i] for i in SINKS])


# ------------------------------------------------------------------------ the table
WORKLOADS = {
    w.key: w
    for w in [
        Workload("W1", "2-4-2-1 tanh, batch 10, MSE, SGD", "mlp", 10, _rings, (2, 4, 2, 1),
                 "tanh", "tanh", "mse", Optimizer(0.03), n_feeds=20),
        Workload("W2", "64-128-10 ReLU, batch 64, CE, SGD momentum", "mlp", 64, _digits,
                 (64, 128, 10), optimizer=Optimizer(0.02, 0.9), n_feeds=28),
        Workload("W3", "actor-critic 8-64-64-(4+1) tanh, batch 64, Adam", "actor-critic", 64,
                 _states, (8, 64, 64), "tanh", optimizer=ADAM, n_feeds=16),
        Workload("W4", "784-512-256-10 ReLU, batch 128, CE, Adam", "mlp", 128, _pictures,
                 (784, 512, 256, 10), optimizer=ADAM, n_feeds=16),
        # a larger learning rate is chaotic in float32
        Workload("W5", "20 x 256 ReLU, batch 128, SGD", "mlp", 128, _normal, (256,) * 21 + (10,),
                 optimizer=Optimizer(0.001), check_steps=6, scan=20),
        Workload("W6", "2048-2048-2048-10, batch 512, SGD", "mlp", 512, _normal,
                 (2048, 2048, 2048, 10), optimizer=Optimizer(0.001), n_feeds=2, check_steps=4,
                 scan=4),
        Workload("W7", "PINN 2-64-64-64-1 tanh, 256 points, Adam", "pinn", 256,
                 _times_and_places, (2, 64, 64, 64, 1), "tanh", optimizer=ADAM, n_feeds=4, scan=50),
        Workload("W8", "200-op DAG, vectors of 1000, 10 gradients", "dag", 1000, _vectors,
                 n_feeds=4),
        Workload("W9", "z = 3 y1 + y2^2, one number, gradient", "scalar", 1, _numbers, n_feeds=4,
                 sync_each=True),
        Workload("W10", "LeNet 28x28, batch 64, SGD", "cnn", 64, _pictures, (400, 120, 84, 10),
                 optimizer=Optimizer(0.05), check_steps=10, scan=10),
        Workload("W11a", "inference 64-128-10, batch 1", "inference", 1, _digits, (64, 128, 10),
                 n_feeds=32, sync_each=True),
        Workload("W11b", "inference 64-128-10, batch 1024", "inference", 1024, _digits,
                 (64, 128, 10), n_feeds=2, sync_each=True),
    ]
}  # fmt: skip


def chosen(names: list[str]) -> list[Workload]:
    """The workloads of these names; W11 stands for W11a and W11b, nothing for all."""
    found = [w for n in names for k, w in WORKLOADS.items() if n in (k, k.rstrip("ab"))]
    unknown = [n for n in names if n not in WORKLOADS and f"{n}a" not in WORKLOADS]
    if unknown:
        raise SystemExit(f"no workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return found or list(WORKLOADS.values())
