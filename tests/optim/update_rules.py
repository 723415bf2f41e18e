"""The update rules written out for NumPy arrays in float64, independent of clearprop."""

from __future__ import annotations

import numpy as np


def sgd(
    p, grads, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False
):
    buf = None
    for g in grads:
        d = (-g if maximize else g) + weight_decay * p
        if momentum:
            buf = d.copy() if buf is None else momentum * buf + (1 - dampening) * d
            d = d + momentum * buf if nesterov else buf
        p = p - lr * d
    return p


def adam(
    p,
    grads,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    amsgrad=False,
    maximize=False,
    decoupled=False,
):
    b1, b2 = betas
    m, v, most = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        d = -g if maximize else g
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            d = d + weight_decay * p
        m = b1 * m + (1 - b1) * d
        v = b2 * v + (1 - b2) * d**2
        most = np.maximum(most, v)
        root = np.sqrt(most if amsgrad else v) / np.sqrt(1 - b2**t) + eps
        p = p - lr / (1 - b1**t) * m / root
    return p


def adamw(p, grads, lr, weight_decay=1e-2, **options):
    return adam(p, grads, lr, weight_decay=weight_decay, decoupled=True, **options)


def rmsprop(
    p,
    grads,
    lr,
    alpha=0.99,
    eps=1e-8,
    weight_decay=0.0,
    momentum=0.0,
    centered=False,
    maximize=False,
):
    s, mean, buf = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        d = (-g if maximize else g) + weight_decay * p
        s = alpha * s + (1 - alpha) * d**2
        mean = alpha * mean + (1 - alpha) * d
        root = np.sqrt(s - mean**2 if centered else s) + eps
        buf = momentum * buf + d / root
        p = p - lr * buf
    return p


def adagrad(
    p,
    grads,
    lr,
    lr_decay=0.0,
    weight_decay=0.0,
    initial_accumulator_value=0.0,
    eps=1e-10,
    maximize=False,
):
    total = np.full_like(p, initial_accumulator_value)
    for t, g in enumerate(grads):
        d = (-g if maximize else g) + weight_decay * p
        total = total + d**2
        p = p - lr / (1 + t * lr_decay) * d / (np.sqrt(total) + eps)
    return p


def adadelta(p, grads, lr, rho=0.9, eps=1e-6, weight_decay=0.0, maximize=False):
    v, u = np.zeros_like(p), np.zeros_like(p)
    for g in grads:
        d = (-g if maximize else g) + weight_decay * p
        v = rho * v + (1 - rho) * d**2
        delta = np.sqrt(u + eps) / np.sqrt(v + eps) * d
        u = rho * u + (1 - rho) * delta**2
        p = p - lr * delta
    return p


def nadam(
    p,
    grads,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    momentum_decay=4e-3,
    decoupled_weight_decay=False,
    maximize=False,
):
    b1, b2 = betas
    m, v, product = np.zeros_like(p), np.zeros_like(p), np.float32(1)  # PyTorch keeps 24 bits of it
    for t, g in enumerate(grads, 1):
        d = -g if maximize else g
        if decoupled_weight_decay:
            p = p * (1 - lr * weight_decay)
        else:
            d = d + weight_decay * p
        mu, next_mu = (b1 * (1 - 0.96 ** (k * momentum_decay) / 2) for k in (t, t + 1))
        product = np.float32(product * np.float32(mu))
        m = b1 * m + (1 - b1) * d
        v = b2 * v + (1 - b2) * d**2
        root = np.sqrt(v / (1 - b2**t)) + eps
        p = p - lr * (1 - mu) / (1 - float(product)) * d / root
        p = p - lr * next_mu / (1 - float(product) * next_mu) * m / root
    return p


def radam(
    p,
    grads,
    lr,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
    decoupled_weight_decay=False,
    maximize=False,
):
    b1, b2 = betas
    m, v = np.zeros_like(p), np.zeros_like(p)
    longest = 2 / (1 - b2) - 1
    for t, g in enumerate(grads, 1):
        d = -g if maximize else g
        if decoupled_weight_decay:
            p = p * (1 - lr * weight_decay)
        else:
            d = d + weight_decay * p
        m = b1 * m + (1 - b1) * d
        v = b2 * v + (1 - b2) * d**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if length > 5:
            top = (length - 4) * (length - 2) * longest
            step *= np.sqrt(top / ((longest - 4) * (longest - 2) * length))
            step *= np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        p = p - lr * step
    return p


def adamax(p, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
    b1, b2 = betas
    m, u = np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        d = (-g if maximize else g) + weight_decay * p
        m = b1 * m + (1 - b1) * d
        u = np.maximum(b2 * u, np.abs(d) + eps)
        p = p - lr / (1 - b1**t) * m / u
    return p


def rprop(p, grads, lr, etas=(0.5, 1.2), step_sizes=(1e-6, 50), maximize=False):
    size, before = np.full_like(p, lr), np.zeros_like(p)
    for g in grads:
        d = -g if maximize else g.copy()
        size[d * before > 0] *= etas[1]
        size[d * before < 0] *= etas[0]
        size = np.clip(size, *step_sizes)
        d[d * before < 0] = 0
        p = p - size * np.sign(d)
        before = d
    return p


def asgd(
    p, grads, lr, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0, maximize=False, average=False
):
    mean, eta, mu = np.zeros_like(p), np.float32(lr), np.float32(1)
    for t, g in enumerate(grads, 1):
        d = (-g if maximize else g) + weight_decay * p
        p = p - float(eta) * (d + lambd * p)
        mean = mean + float(mu) * (p - mean)
        eta = np.float32(lr / (1 + lambd * lr * t) ** alpha)
        mu = np.float32(1 / max(1, t - t0))
    return mean if average else p


def adafactor(
    p, grads, lr, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, maximize=False
):
    small = np.finfo(p.dtype).eps if eps[0] is None else eps[0]
    rows, columns = np.zeros((len(p), 1)), np.zeros((1, p.shape[1]))
    rms = lambda x: np.sqrt((x**2).mean())
    for t, g in enumerate(grads, 1):
        g = -g if maximize else g
        w = float(t) ** beta2_decay
        rate = min(lr, t**-0.5) * max(eps[1], rms(p))
        p = p * (1 - lr * weight_decay)
        rows = (1 - w) * rows + w * (g**2).mean(1, keepdims=True)
        columns = (1 - w) * columns + w * (g**2).mean(0, keepdims=True)
        v = rows * columns / max(rows.mean(), small)
        u = g / np.sqrt(np.maximum(v, small**2))
        p = p - rate * u / max(1, rms(u) / d)
    return p


# Every combination of options that means something, as (class name, rule, options).
def cases():
    out = []
    for decay in (0.0, 0.1):
        for maximize in (False, True):
            common = {"weight_decay": decay, "maximize": maximize}
            for momentum, dampening, nesterov in (
                (0.0, 0.0, False),
                (0.9, 0.0, False),
                (0.9, 0.3, False),
                (0.9, 0.0, True),
            ):
                out.append(
                    (
                        "SGD",
                        sgd,
                        common
                        | {
                            "lr": 0.02,
                            "momentum": momentum,
                            "dampening": dampening,
                            "nesterov": nesterov,
                        },
                    )
                )
            for amsgrad in (False, True):
                for name, rule in (("Adam", adam), ("AdamW", adamw)):
                    out.append(
                        (
                            name,
                            rule,
                            common | {"lr": 0.02, "betas": (0.8, 0.99), "amsgrad": amsgrad},
                        )
                    )
            for centered in (False, True):
                for momentum in (0.0, 0.9):
                    out.append(
                        (
                            "RMSprop",
                            rmsprop,
                            common
                            | {
                                "lr": 0.005,
                                "alpha": 0.9,
                                "centered": centered,
                                "momentum": momentum,
                            },
                        )
                    )
            for lr_decay in (0.0, 0.1):
                out.append(
                    (
                        "Adagrad",
                        adagrad,
                        common
                        | {
                            "lr": 0.1,
                            "lr_decay": lr_decay,
                            "initial_accumulator_value": lr_decay,
                        },
                    )
                )
            for options in ({"rho": 0.9}, {"rho": 0.7, "eps": 1e-3}):
                out.append(("Adadelta", adadelta, common | {"lr": 0.5} | options))
            for decoupled in (False, True):
                options = common | {"lr": 0.02, "decoupled_weight_decay": decoupled}
                out.append(("NAdam", nadam, options))
                out.append(("NAdam", nadam, options | {"betas": (0.8, 0.9), "momentum_decay": 0.1}))
                out.append(("RAdam", radam, options))
                out.append(("RAdam", radam, options | {"betas": (0.5, 0.7), "eps": 1e-3}))
            out.append(("Adamax", adamax, common | {"lr": 0.02, "betas": (0.8, 0.9), "eps": 1e-4}))
            for t0 in (1e6, 5):
                out.append(("ASGD", asgd, common | {"lr": 0.05, "lambd": 0.1, "t0": t0}))
            for options in ({"d": 1.0}, {"d": 1.5, "eps": (0.01, 0.1), "beta2_decay": -0.5}):
                out.append(("Adafactor", adafactor, common | {"lr": 0.2} | options))
    for maximize in (False, True):
        options = {"lr": 0.1, "maximize": maximize}
        out.append(("Rprop", rprop, options))
        out.append(("Rprop", rprop, options | {"etas": (0.3, 1.5), "step_sizes": (0.01, 0.2)}))
    return out


CASES = cases()
UNNAMED = ("lr", "betas", "alpha")
IDS = [
    "-".join([name, *(f"{k}={v}" for k, v in options.items() if v and k not in UNNAMED)])
    for name, _, options in CASES
]
