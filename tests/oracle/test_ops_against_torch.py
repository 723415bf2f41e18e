"""Every public op against PyTorch: values, dtypes and gradients of one expression run in both."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (3, 4))
Y = RNG.uniform(0.5, 2, (3, 4))
P = RNG.uniform(0.1, 0.9, (3, 4))
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, -1e30, np.inf, -np.inf, np.nan])
ABOVE_ONE = np.abs(X) + 1.1
CUBE = RNG.uniform(-2, 2, (2, 3, 4))


def both(f, *arrays, dtype="float64", grad=True, rtol=1e-12, atol=1e-12):
    """f(lib, *tensors) in both libraries: same dtypes, shapes, values, and gradients of the
    floating-point results weighted by fixed numbers.
    """
    results = []
    for lib in (cp, torch):
        made = []
        for a in arrays:
            a = np.asarray(a)
            t = lib.tensor(a.astype(dtype) if a.dtype.kind == "f" else a)
            if grad and a.dtype.kind == "f":
                t.requires_grad_()
            made.append(t)
        out = f(lib, *made)
        outs = list(out) if isinstance(out, tuple | list) else [out]
        total = None
        for i, y in enumerate(outs):
            if not getattr(y, "requires_grad", False):
                continue
            w = np.cos(np.arange(y.numel()) + i).reshape(tuple(y.shape))
            part = (y * lib.tensor(w.astype(str(y.dtype).split(".")[1]))).sum()
            total = part if total is None else total + part
        if total is not None:
            total.backward()
        results.append((outs, [t.grad for t in made]))
    (ours, our_grads), (theirs, their_grads) = results
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if not isinstance(b, torch.Tensor):
            assert a == b
            continue
        assert str(a.dtype).split(".")[1] == str(b.dtype).split(".")[1]
        assert tuple(a.shape) == tuple(b.shape)
        assert a.requires_grad == b.requires_grad
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=atol)
    for a, b in zip(our_grads, their_grads, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol)


UNARY = {
    **dict.fromkeys(
        """
        abs neg sign exp expm1 sin cos tan sinh cosh asinh atan tanh sigmoid erf square floor ceil
        round trunc relu absolute negative isnan isinf isfinite
        """.split(),
        X,
    ),
    **dict.fromkeys("log log2 log10 log1p sqrt rsqrt reciprocal".split(), Y),
    **dict.fromkeys("asin acos atanh".split(), P),
    "acosh": ABOVE_ONE,
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_tensor(name, dtype):
    tol = 1e-12 if dtype == "float64" else 2e-6
    both(lambda lib, x: getattr(lib, name)(x), UNARY[name], dtype=dtype, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor_at_special_values(name):
    with np.errstate(all="ignore"):
        both(lambda lib, x: getattr(lib, name)(x), SPECIAL)


@pytest.mark.parametrize("name", sorted(set(UNARY) - {"isnan", "isinf", "isfinite"}))
def test_functions_of_one_tensor_of_integers(name):
    both(lambda lib, x: getattr(lib, name)(x), np.array([1, 2, 3]), rtol=2e-6)


BINARY = "add sub mul div pow maximum minimum atan2 fmod remainder floor_divide".split()
COMPARE = "eq ne lt le gt ge logical_and logical_or logical_xor".split()


@pytest.mark.parametrize("name", BINARY + COMPARE)
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,))])
def test_functions_of_two_tensors_with_broadcasting(name, shapes):
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(0.5, 2, s) for s in shapes)
    grad = name != "floor_divide"  # PyTorch gives it no derivative
    both(lambda lib, a, b: getattr(lib, name)(a, b), x, y, grad=grad)


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
def test_functions_of_two_tensors_at_special_values(name):
    x, y = (a.reshape(-1) for a in np.meshgrid(SPECIAL, SPECIAL))
    if name in ("fmod", "remainder", "floor_divide"):
        keep = np.isfinite(x) & np.isfinite(y) & (np.abs(y) > 0.1) & (np.abs(x) < 100)
        x, y = x[keep], y[keep]
    both(lambda lib, a, b: getattr(lib, name)(a, b), x, y, grad=name != "floor_divide")


@pytest.mark.parametrize("name", [*BINARY, *COMPARE])
def test_functions_of_two_integer_tensors(name):
    x, y = np.array([7, -7, 3, 0, 5]), np.array([2, 2, -2, 5, 3])
    if name == "pow":
        y = np.abs(y)
    both(lambda lib, a, b: getattr(lib, name)(a, b), x, y, rtol=2e-6)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bit_operations(name):
    both(lambda lib, a, b: getattr(lib, name)(a, b), np.array([5, -3, 12]), np.array([3, 7, -1]))
    mask = np.array([True, False, True])
    both(lambda lib, a, b: getattr(lib, name)(a, b), mask, ~mask)


NUMPY_TYPES = "float32 float64 int64 int32 int16 int8 uint8 bool".split()


@pytest.mark.parametrize(("a", "b"), itertools.product(NUMPY_TYPES, NUMPY_TYPES))
@pytest.mark.parametrize("name", ["add", "mul", "div", "maximum", "eq"])
def test_promotion_of_every_pair_of_types(name, a, b):
    x, y = np.array([1, 2]), np.array([1, 1])
    for first, second in ((x, y), (x, y[0]), (x[0], y), (x[0], y[0])):
        both(
            lambda lib, p, q: getattr(lib, name)(p, q),
            np.asarray(first).astype(a),
            np.asarray(second).astype(b),
            grad=False,
            dtype=a if a.startswith("float") and not b.startswith("float") else "float64",
            rtol=2e-6,
        )


@pytest.mark.parametrize("a", NUMPY_TYPES)
@pytest.mark.parametrize("number", [2, 2.5, True])
def test_promotion_with_python_numbers(a, number):
    for f in (
        lambda lib, x: x + number,
        lambda lib, x: number * x,
        lambda lib, x: x / number,
        lambda lib, x: x > number,
        lambda lib, x: lib.where(x > 0, x, number),
    ):
        for value in (np.array([1, 0]), np.array(1)):
            results = []
            for lib in (cp, torch):
                results.append(f(lib, lib.tensor(value.astype(a))))
            ours, theirs = results
            assert str(ours.dtype).split(".")[1] == str(theirs.dtype).split(".")[1]
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


EXPRESSIONS = {
    "pow 2": (lambda lib, x: x**2, X),
    "pow 3": (lambda lib, x: x**3, X),
    "pow 0.5": (lambda lib, x: x**0.5, Y),
    "pow -1": (lambda lib, x: x**-1, Y),
    "pow 0": (lambda lib, x: x**0, X),
    "2 ** x": (lambda lib, x: 2**x, X),
    "1 - x": (lambda lib, x: 1 - x, X),
    "1 / x": (lambda lib, x: 1 / x, Y),
    "x % 1.5": (lambda lib, x: x % 1.5, X),
    "x // 0.5": (lambda lib, x: (x // 0.5).detach(), X),
    "clamp": (lambda lib, x: lib.clamp(x, -0.5, 0.5), X),
    "clamp low": (lambda lib, x: x.clamp(min=0.0), np.array([-1.0, 0.0, 1.0])),
    "clamp high": (lambda lib, x: x.clamp(max=0.0), np.array([-1.0, 0.0, 1.0])),
    "lerp": (lambda lib, x, y: lib.lerp(x, y, 0.3), X, Y),
    "addcmul": (lambda lib, x, y, p: lib.addcmul(x, y, p, value=0.5), X, Y, P),
    "addcdiv": (lambda lib, x, y, p: lib.addcdiv(x, y, p, value=0.5), X, Y, P),
    "where": (lambda lib, x, y: lib.where(x > 0, x, y), X, Y),
    "nan_to_num": (lambda lib, x: lib.nan_to_num(x, 1.0, 2.0, -2.0), SPECIAL),
    "sum": (lambda lib, x: x.sum(), X),
    "sum dim": (lambda lib, x: x.sum(1, keepdim=True), X),
    "sum dims": (lambda lib, x: x.sum((0, 2)), CUBE),
    "mean": (lambda lib, x: x.mean(), X),
    "mean dim": (lambda lib, x: x.mean(-1), X),
    "var": (lambda lib, x: x.var(), X),
    "var dim 0": (lambda lib, x: x.var(1, correction=0), X),
    "std": (lambda lib, x: x.std(0, keepdim=True), X),
    "prod": (lambda lib, x: x.prod(), X),
    "prod dim": (lambda lib, x: x.prod(1), X),
    "prod with zeros": (lambda lib, x: x.prod(1), X * (np.abs(X) > 0.5)),
    "max": (lambda lib, x: x.max(), X),
    "max dim": (lambda lib, x: tuple(x.max(1)), X),
    "min dim": (lambda lib, x: tuple(x.min(0)), X),
    "amax": (lambda lib, x: x.amax((0, 1)), np.array([[1.0, 2.0], [2.0, 0.0]])),
    "amin": (lambda lib, x: x.amin(1), np.array([[1.0, 1.0], [2.0, 0.0]])),
    "argmax": (lambda lib, x: x.argmax(1), X),
    "argmin": (lambda lib, x: x.argmin(), X),
    "any all": (lambda lib, x: ((x > 1).any(1), (x > -3).all()), X),
    "count_nonzero": (lambda lib, x: lib.count_nonzero(x > 0, dim=1), X),
    "cumsum": (lambda lib, x: x.cumsum(1), X),
    "cumprod": (lambda lib, x: x.cumprod(0), X),
    "logsumexp": (lambda lib, x: lib.logsumexp(x, 1), X),
    "logsumexp inf": (lambda lib, x: lib.logsumexp(x, 0), np.array([-np.inf, 1.0, 2.0])),
    "softmax": (lambda lib, x: lib.softmax(x, 1), X),
    "log_softmax": (lambda lib, x: lib.log_softmax(x, 0), X * 100),
    "norm": (lambda lib, x: x.norm(), X),
    "norm 1": (lambda lib, x: x.norm(p=1, dim=1), X),
    "norm 3": (lambda lib, x: x.norm(p=3), Y),
    "norm inf": (lambda lib, x: x.norm(p=float("inf"), dim=0), X),
    "norm of zeros": (lambda lib, x: x.norm(), np.zeros((2, 2))),
    "sort": (lambda lib, x: tuple(x.sort(1, descending=True)), X),
    "argsort": (lambda lib, x: lib.argsort(x, dim=0), X),
    "topk": (lambda lib, x: tuple(x.topk(2, 1)), X),
    "median": (lambda lib, x: tuple(x.median(1)), X),
    "median of all": (lambda lib, x: x.median(), X),
    "reshape": (lambda lib, x: x.reshape(2, -1), X),
    "flatten": (lambda lib, x: x.flatten(1), CUBE),
    "unflatten": (lambda lib, x: x.unflatten(1, (2, 2)), X),
    "squeeze": (lambda lib, x: (x[:, :1].squeeze(), x[:1].squeeze(0), x.squeeze(1)), X),
    "unsqueeze": (lambda lib, x: x.unsqueeze(-2), X),
    "permute": (lambda lib, x: x.permute(2, 0, 1), CUBE),
    "transpose": (lambda lib, x: (x.transpose(0, -1), x.mT), CUBE),
    "t": (lambda lib, x: (x.t(), x.T), X),
    "movedim": (lambda lib, x: lib.movedim(x, 0, 2), CUBE),
    "expand": (lambda lib, x: x[:, :1].expand(3, 5), X),
    "expand front": (lambda lib, x: x.expand(2, -1, -1), X),
    "broadcast_to": (lambda lib, x: lib.broadcast_to(x, (2, 3, 4)), X),
    "repeat": (lambda lib, x: x.repeat(2, 1, 3), X),
    "tile": (lambda lib, x: lib.tile(x, (2,)), X),
    "flip": (lambda lib, x: lib.flip(x, (0, 1)), X),
    "roll": (lambda lib, x: (lib.roll(x, 1, 0), lib.roll(x, (1, -2), (0, 1)), lib.roll(x, 2)), X),
    "narrow": (lambda lib, x: x.narrow(1, 1, 2), X),
    "select": (lambda lib, x: x.select(0, -1), X),
    "split": (lambda lib, x: lib.split(x, 3, dim=1), X),
    "split sizes": (lambda lib, x: lib.split(x, [1, 3], 1), X),
    "chunk": (lambda lib, x: lib.chunk(x, 3, 1), X),
    "unbind": (lambda lib, x: lib.unbind(x, 1), X),
    "cat": (lambda lib, x, y: lib.cat([x, y, x], 1), X, Y),
    "stack": (lambda lib, x, y: lib.stack([x, y], 1), X, Y),
    "hstack vstack": (lambda lib, x, y: (lib.hstack([x, y]), lib.vstack([x, y])), X, Y),
    "meshgrid": (lambda lib, x: lib.meshgrid(x[0], x[:, 0], indexing="ij"), X),
    "repeat_interleave": (lambda lib, x: lib.repeat_interleave(x, 2, dim=1), X),
    "tril triu": (lambda lib, x: (lib.tril(x), lib.triu(x, 1), lib.tril(x, -1)), X),
    "diag": (lambda lib, x: (lib.diag(x), lib.diag(x[0], 1), lib.diag(x, 1)), X),
    "trace": (lambda lib, x: lib.trace(x), X),
    "gather": (lambda lib, x, i: x.gather(1, i), X, np.array([[0, 3], [1, 1], [2, 0]])),
    "take_along_dim": (lambda lib, x, i: lib.take_along_dim(x, i, 0), X, np.array([[0, 2, 1, 0]])),
    "scatter_add": (
        lambda lib, x, y, i: x.scatter_add(1, i, y[:, :2]), X, Y, np.array([[0, 0], [1, 3], [2, 2]])
    ),
    "index_select": (lambda lib, x, i: lib.index_select(x, 1, i), X, np.array([0, 0, 3])),
    "index_add": (lambda lib, x, y, i: x.index_add(0, i, y), X, Y, np.array([0, 0, 2])),
    "masked_fill": (lambda lib, x: x.masked_fill(x > 0, 7.0), X),
    "masked_select": (lambda lib, x: lib.masked_select(x, x > 0), X),
    "nonzero": (lambda lib, x: lib.nonzero(x > 0), X),
    "matmul": (lambda lib, x, y: x @ y.mT, X, Y),
    "matmul batch": (lambda lib, x, y: lib.matmul(x, y.mT), CUBE, Y),
    "matmul vector": (lambda lib, x, y: (x @ y[0], y[0] @ x.mT, x[0] @ y[0]), X, Y),
    "bmm": (lambda lib, x: lib.bmm(x, x.mT), CUBE),
    "mv dot": (lambda lib, x: (lib.mv(x, x[0]), lib.dot(x[0], x[1])), X),
    "outer": (lambda lib, x: lib.outer(x[0], x[1]), X),
    "addmm": (lambda lib, x, y: lib.addmm(x[0, :3], x, y.mT, beta=0.5, alpha=2), X, Y),
    "baddbmm": (lambda lib, x: lib.baddbmm(x[:, :, :3], x, x.mT), CUBE),
    "views and sums": (lambda lib, x: x[1:, ::2].t() @ x[:2, 1:3], X),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    f, *arrays = EXPRESSIONS[name]
    both(f, *arrays)


@pytest.mark.parametrize("name", ["sum", "prod", "any", "all", "cumsum"])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "int64"])
def test_reductions_of_integers_keep_pytorchs_types(name, dtype):
    x = np.array([[1, 0], [1, 1]]).astype(dtype)
    args = (0,) if name == "cumsum" else ()
    both(lambda lib, t: getattr(lib, name)(t, *args), x)


EMPTY = {
    "sum": lambda lib, x: (x.sum(), x.sum(0), x.sum(1)),
    "prod": lambda lib, x: (x.prod(), x.prod(0)),
    "mean": lambda lib, x: (x.mean(), x.mean(0)),
    "any all": lambda lib, x: ((x > 0).any(), (x > 0).all()),
    "cumsum": lambda lib, x: x.cumsum(0),
    "softmax": lambda lib, x: lib.softmax(x, 0),
    "log_softmax": lambda lib, x: lib.log_softmax(x, 0),
    "logsumexp": lambda lib, x: lib.logsumexp(x, 0),
    "norm": lambda lib, x: x.norm(),
    "cat": lambda lib, x: lib.cat([x, x]),
    "matmul": lambda lib, x: x.mT @ x,
    "median": lambda lib, x: x.median(),
    "var": lambda lib, x: x.sum() * 0,
}


@pytest.mark.parametrize("name", EMPTY)
def test_empty_tensors(name):
    both(EMPTY[name], np.zeros((0, 3)))


WRONG = {
    "add of shapes": lambda lib: lib.ones(2, 3) + lib.ones(2, 4),
    "matmul of shapes": lambda lib: lib.ones(2, 3) @ lib.ones(2, 3),
    "matmul of types": lambda lib: lib.ones(2, 2) @ lib.ones(2, 2, dtype=lib.float64),
    "matmul of a number": lambda lib: lib.ones(2, 2) @ 3,
    "matmul of a 0-d tensor": lambda lib: lib.ones(2, 2) @ lib.tensor(3.0),
    "sum of a dim that is not there": lambda lib: lib.ones(2).sum(1),
    "a dim twice": lambda lib: lib.ones(2, 2).sum((0, 0)),
    "reshape to another size": lambda lib: lib.ones(2, 3).reshape(4),
    "two inferred sizes": lambda lib: lib.ones(2, 3).reshape(-1, -1),
    "view of a transposed tensor": lambda lib: lib.ones(2, 3).t().view(-1),
    "expand of a size": lambda lib: lib.ones(2, 3).expand(2, 4),
    "permute with too few dims": lambda lib: lib.ones(2, 3).permute(0),
    "cat of shapes": lambda lib: lib.cat([lib.ones(2, 3), lib.ones(2, 4)], 0),
    "stack of shapes": lambda lib: lib.stack([lib.ones(2), lib.ones(3)]),
    "stack of nothing": lambda lib: lib.stack([]),
    "split of sizes": lambda lib: lib.split(lib.ones(3), [1, 1]),
    "index out of range": lambda lib: lib.ones(2)[2],
    "too many indices": lambda lib: lib.ones(2)[0, 0],
    "mask of another shape": lambda lib: lib.ones(2)[lib.ones(3) > 0],
    "index tensor of floats": lambda lib: lib.ones(2)[lib.ones(1)],
    "negative step": lambda lib: lib.ones(4)[::-1],
    "gather out of range": lambda lib: lib.ones(2, 2).gather(0, lib.tensor([[5]])),
    "item of two": lambda lib: lib.ones(2).item(),
    "bool of two": lambda lib: bool(lib.ones(2)),
    "int of text": lambda lib: lib.tensor("a"),
    "ragged list": lambda lib: lib.tensor([[1], [1, 2]]),
    "negative size": lambda lib: lib.zeros(-1),
    "in-place to a smaller shape": lambda lib: lib.ones(1).add_(lib.ones(3)),
    "in-place to integers": lambda lib: lib.ones(2, dtype=lib.int64).mul_(1.5),
    "in-place on a leaf": lambda lib: lib.ones(2, requires_grad=True).add_(1),
    "in-place on an expanded tensor": lambda lib: lib.ones(1).expand(3).add_(1),
    "gradient of integers": lambda lib: lib.ones(2, dtype=lib.int64).requires_grad_(),
    "backward of a vector": lambda lib: lib.ones(2, requires_grad=True).mul(2).backward(),
    "backward without history": lambda lib: lib.ones(()).backward(),
    "backward twice": lambda lib: [
        y.backward() for y in [lib.ones((), requires_grad=True).exp()] * 2
    ],
    "numpy of what requires grad": lambda lib: lib.ones(2, requires_grad=True).numpy(),
    "len of a number": lambda lib: len(lib.ones(())),
    "max of nothing": lambda lib: lib.ones(0).max(),
    "argmax of nothing": lambda lib: lib.ones(0).argmax(),
    "bits of floats": lambda lib: lib.ones(2) & lib.ones(2),
    "not of floats": lambda lib: ~lib.ones(2),
    "minus of bools": lambda lib: lib.ones(2, dtype=lib.bool) - lib.ones(2, dtype=lib.bool),
    "minus of a bool": lambda lib: -lib.ones(2, dtype=lib.bool),
    "floats minus bools": lambda lib: lib.ones(2) - lib.ones(2, dtype=lib.bool),
    "mean of integers": lambda lib: lib.ones(2, dtype=lib.int64).mean(),
    "softmax of integers": lambda lib: lib.softmax(lib.ones(2, dtype=lib.int64), 0),
    "norm of integers": lambda lib: lib.ones(2, dtype=lib.int64).norm(),
    "integers to a negative power": lambda lib: lib.tensor([1, 2]) ** -1,
    "division of integers by zero": lambda lib: lib.tensor([1]) // lib.tensor([0]),
    "set an element out of range": lambda lib: lib.ones(2).__setitem__(5, 1.0),
    "set with a wrong shape": lambda lib: lib.ones(2, 2).__setitem__(0, lib.ones(3)),
    "topk of too many": lambda lib: lib.ones(2).topk(3),
    "diag of a cube": lambda lib: lib.diag(lib.ones(2, 2, 2)),
    "linspace of negative steps": lambda lib: lib.linspace(0, 1, -1),
    "arange the wrong way": lambda lib: lib.arange(3, 0),
    "add of a list": lambda lib: lib.ones(2).add([1, 2]),
    "sum by name": lambda lib: lib.ones(2).sum(dim="a"),
    "t of a cube": lambda lib: lib.ones(2, 2, 2).t(),
    "unflatten to another size": lambda lib: lib.ones(4).unflatten(0, (3, 2)),
    "one_hot of a class that is not there": lambda lib: lib.nn.functional.one_hot(
        lib.tensor([3]), 2
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_pytorch_refuses_is_refused_with_the_same_type(name):
    raised = []
    for lib in (torch, cp):
        try:
            raised.append((None, WRONG[name](lib)))
        except Exception as e:
            raised.append((type(e), e))
    (theirs, _), (ours, value) = raised
    assert theirs is not None, "PyTorch takes this"
    assert ours is not None, f"clearprop takes this and gives {value}"
    assert issubclass(ours, theirs), f"{theirs.__name__} there, {ours.__name__} here: {value}"
