"""Random index expressions, read and assigned, against PyTorch: values and gradients."""

from __future__ import annotations

import random

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

SHAPE = (4, 3, 5)


def entry(rng, n, fancy):
    """One entry of an index for an axis of n elements; tensors are given as lists."""
    kind = rng.choice(
        ["int", "slice", "slice", "all", "mask", "tensor"] if fancy else ["int", "slice", "all"]
    )
    if kind == "int":
        return rng.randrange(-n, n)
    if kind == "slice":
        start, stop = sorted(rng.choices(range(-n - 1, n + 2), k=2))
        return slice(rng.choice([None, start]), rng.choice([None, stop]), rng.choice([None, 1, 2]))
    if kind == "mask":
        return ("mask", [rng.random() < 0.6 for _ in range(n)])
    if kind == "tensor":
        size = rng.choice([(), (2,), (2,), (2, 1)])
        return ("tensor", np.array(rng.choices(range(-n, n), k=int(np.prod(size)))).reshape(size))
    return slice(None)


def index(seed):
    """A random index for SHAPE, with None and ... now and then."""
    rng = random.Random(seed)
    entries = [entry(rng, n, fancy=seed % 2) for n in SHAPE[: rng.randint(1, 3)]]
    masks = [e for e in entries if isinstance(e, tuple) and e[0] == "mask"]
    if masks:  # a mask beside other tensors must have as many True as they have elements
        entries = [e if not isinstance(e, tuple) or e is masks[0] else 0 for e in entries]
    if rng.random() < 0.3:
        entries.insert(rng.randint(0, len(entries)), None)
    if rng.random() < 0.3:
        entries.insert(rng.randint(0, len(entries)), ...)
    return entries


def fits(entries):
    """Whether axes after an ellipsis are given entries made for axes of their size."""
    try:
        np.zeros(SHAPE)[tuple(np.asarray(e[1]) if isinstance(e, tuple) else e for e in entries)]
    except IndexError:
        return False
    return True


CASES = [e for e in map(index, range(600)) if fits(e)]


def made(lib, entries):
    out = tuple(
        lib.tensor(e[1] if e[0] == "mask" else e[1].tolist()) if isinstance(e, tuple) else e
        for e in entries
    )
    return out if len(out) > 1 else out[0]


def test_there_are_enough_cases():
    assert len(CASES) > 400


@pytest.mark.parametrize("first", range(0, 600, 50))
def test_reading(first):
    for entries in CASES[first : first + 50]:
        results = []
        for lib in (cp, torch):
            x = lib.tensor(np.arange(60.0).reshape(SHAPE), requires_grad=True)
            y = x[made(lib, entries)]
            w = np.cos(np.arange(y.numel())).reshape(tuple(y.shape))
            (y * lib.tensor(w)).sum().backward()
            results.append((y.detach().numpy(), x.grad.numpy()))
        (y, g), (wanted, wanted_g) = results
        assert y.shape == wanted.shape, entries
        np.testing.assert_array_equal(y, wanted, err_msg=str(entries))
        np.testing.assert_allclose(g, wanted_g, atol=1e-14, err_msg=str(entries))


@pytest.mark.parametrize("first", range(0, 600, 50))
def test_assigning(first):
    for number, entries in enumerate(CASES[first : first + 50]):
        results = []
        for lib in (cp, torch):
            x = lib.tensor(np.arange(60.0).reshape(SHAPE), requires_grad=True)
            y = x * 1
            where = made(lib, entries)
            shape = tuple(y[where].shape)
            if any(isinstance(e, tuple) and e[0] == "tensor" for e in entries):
                value = np.array(7.0)  # an element may be named twice: give all the same value
            else:
                value = np.arange(float(np.prod(shape))).reshape(shape)
                value = value[:1] if number % 3 == 0 and shape and shape[0] else value
            v = lib.tensor(value, requires_grad=True)
            y[where] = v
            (y * lib.tensor(np.cos(np.arange(60.0)).reshape(SHAPE))).sum().backward()
            results.append((y.detach().numpy(), x.grad.numpy(), v.grad.numpy()))
        (y, gx, gv), (wanted, wanted_gx, wanted_gv) = results
        np.testing.assert_array_equal(y, wanted, err_msg=str(entries))
        np.testing.assert_allclose(gx, wanted_gx, atol=1e-14, err_msg=str(entries))
        if value.ndim:
            np.testing.assert_allclose(gv, wanted_gv, atol=1e-14, err_msg=str(entries))
