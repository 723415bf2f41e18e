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
    return out


CASES = cases()
UNNAMED = ("lr", "betas", "alpha")
IDS = [
    "-".join([name, *(f"{k}={v}" for k, v in options.items() if v and k not in UNNAMED)])
    for name, _, options in CASES
]
