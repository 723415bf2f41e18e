"""The same expression in clearprop and in PyTorch: values, dtypes, shapes, first and second
gradients, types of errors.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")


def name_of(dtype):
    return str(dtype).split(".")[1]


def tensors(lib, arrays, dtype, grad):
    made = []
    for a in arrays:
        a = np.asarray(a)
        t = lib.tensor(a.astype(dtype) if a.dtype.kind == "f" else a)
        if grad and a.dtype.kind == "f":
            t.requires_grad_()
        made.append(t)
    return made


def weighted(lib, ys, phase):
    """The sum of all elements that have a gradient, each with a weight of its own."""
    total = None
    for i, y in enumerate(ys):
        if getattr(y, "requires_grad", False):
            w = np.cos(np.arange(y.numel()) + i + phase).reshape(tuple(y.shape))
            part = (y * lib.tensor(w.astype(name_of(y.dtype)))).sum()
            total = part if total is None else total + part
    return total


def gradients(lib, ys, xs, phase):
    total = weighted(lib, ys, phase)
    if total is None or not xs:
        return [None] * len(xs)
    return list(lib.autograd.grad(total, xs, create_graph=True, allow_unused=True))


def flat(out):
    if isinstance(out, tuple | list):
        return [y for part in out for y in flat(part)]
    return [out]


def results(lib, f, arrays, dtype, grad, second):
    """(results, first gradients, second gradients) of f(lib, *tensors)."""
    xs = tensors(lib, arrays, dtype, grad)
    ys = flat(f(lib, *xs))
    wanted = [x for x in xs if x.requires_grad]
    first = gradients(lib, ys, wanted, 0.0)
    twice = gradients(lib, first, wanted, 1.0) if second else []
    return ys, first, twice


def same(a, b, rtol, atol, what):
    if not isinstance(b, torch.Tensor):
        assert a == b or (a != a and b != b), f"{what}: {a} is not {b}"
        return
    assert name_of(a.dtype) == name_of(b.dtype), f"{what}: {a.dtype}, {b.dtype}"
    assert tuple(a.shape) == tuple(b.shape), f"{what}: {a.shape}, {b.shape}"
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(force=True), rtol=rtol, atol=atol, err_msg=what
    )


def both(f, *arrays, dtype="float64", grad=True, second=True, rtol=1e-10, atol=1e-10):
    """f in both libraries: results and gradients are the same (no gradient is a gradient of 0)."""
    with np.errstate(all="ignore"):
        ours, theirs = (results(lib, f, arrays, dtype, grad, second) for lib in (cp, torch))
    assert len(ours[0]) == len(theirs[0])
    for a, b in zip(ours[0], theirs[0], strict=True):
        same(a, b, rtol, atol, "value")
        if isinstance(b, torch.Tensor):
            assert a.requires_grad == b.requires_grad
    for order in (1, 2):
        for a, b in zip(ours[order], theirs[order], strict=True):
            if a is None and b is None:
                continue
            a = cp.tensor(np.zeros(tuple(b.shape), name_of(b.dtype))) if a is None else a
            b = (
                torch.zeros(tuple(a.shape), dtype=getattr(torch, name_of(a.dtype)))
                if b is None
                else b
            )
            same(a, b, rtol, atol, f"gradient of order {order}")


def raises_the_same(f, *arrays, dtype="float64"):
    """f fails in both libraries, with the same type of exception."""
    with pytest.raises(Exception) as theirs:
        f(torch, *tensors(torch, arrays, dtype, False))
    with pytest.raises(theirs.type):
        f(cp, *tensors(cp, arrays, dtype, False))


def call(path, *args, **kwargs):
    """lib.path(*tensors, *args)."""

    def f(lib, *xs):
        for part in path.split("."):
            lib = getattr(lib, part)
        return lib(*xs, *args, **kwargs)

    return f


def rows(table):
    return [pytest.param(row, id=f"{i}-{row[0]}") for i, row in enumerate(table)]
