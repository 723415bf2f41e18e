"""Special functions, cumulative ops, sorting, statistics, indexing and the rest against PyTorch:
value, dtype, shape, first and second gradient; at ordinary inputs and at 0, -0.0, inf, nan, ties,
empty, 0-d and size-1 axes; the same type of error.

A row of a table is a name, a function of the library and tensors, and the arrays for it.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (3, 4))
Y = RNG.uniform(0.3, 2.5, (3, 4))
P = RNG.uniform(0.05, 0.95, (3, 4))
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.0, 1e-30, -1e30, np.inf, -np.inf, np.nan])


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
        a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol, err_msg=what
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
    return [pytest.param(*row, id=f"{i}-{row[0]}") for i, row in enumerate(table)]


# ---------------------------------------------------------------------- special functions
UNARY = {
    **dict.fromkeys("lgamma digamma special.entr special.psi special.gammaln".split(), Y),
    **dict.fromkeys(
        """
        erfc exp2 sinc special.erfcx special.ndtr special.log_ndtr special.i0 special.i0e i0
        special.i1 special.i1e special.expit special.erf special.expm1
        """.split(),
        X,
    ),
    **dict.fromkeys("logit special.ndtri erfinv special.log1p".split(), P),
}  # fmt: skip
# points at which PyTorch's gradient is not the derivative: poles of trigamma, overflow, nan
LEFT_OUT = {
    **dict.fromkeys(["lgamma", "special.gammaln", "digamma", "special.psi"], (-1e30, -np.inf, -1)),
    "special.log_ndtr": (-1e30, -np.inf),
    "special.i1": (np.nan,),
    "special.i1e": (np.nan, -1e30),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_tensor(name, dtype):
    tol = 1e-9 if dtype == "float64" else 1e-4
    both(call(name), UNARY[name], dtype=dtype, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor_at_special_values(name):
    both(call(name), SPECIAL, grad=False)
    left_out = LEFT_OUT.get(name, ())
    keep = [not any(v == w or (v != v and w != w) for w in left_out) for v in SPECIAL]
    both(call(name), SPECIAL[keep], second=False, rtol=1e-8)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor_of_integers(name):
    both(call(name), np.array([1, 2, 3]), rtol=2e-6)


BINARY = "xlogy special.xlog1py logaddexp logaddexp2".split()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,))])
def test_functions_of_two_tensors_with_broadcasting(name, shapes):
    rng = np.random.default_rng(1)
    both(call(name), *(rng.uniform(0.5, 2, s) for s in shapes))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors_at_special_values(name):
    x, y = (a.reshape(-1) for a in np.meshgrid(SPECIAL, SPECIAL))
    both(call(name), x, y, second=False)


OTHERS = [
    ("polygamma", lambda lib, x: [lib.polygamma(n, x) for n in (0, 1, 2)], Y),
    ("mvlgamma", call("mvlgamma", 2), Y + 0.6),
    ("logit", call("logit", eps=0.2), P),
    (
        "gammainc",
        lambda lib, x: lib.special.gammainc(lib.full((3, 4), 1.5, dtype=lib.float64), x),
        Y,
    ),
    (
        "gammaincc",
        lambda lib, x: lib.special.gammaincc(lib.full((3, 4), 1.5, dtype=lib.float64), x),
        Y,
    ),
]


@pytest.mark.parametrize(("name", "f", "x"), rows(OTHERS))
def test_other_special_functions(name, f, x):
    both(f, x, rtol=1e-8, atol=1e-8)  # PyTorch's trigamma has nine digits
