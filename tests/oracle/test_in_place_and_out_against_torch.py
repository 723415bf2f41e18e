"""In-place methods, `out=`, creation and random fills against PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from against_torch import both, name_of, raises_the_same, rows, torch

import clearprop as cp
from clearprop.ops.names import ALIASES, INPLACE, TAKES_OUT

RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.8, (3, 4))
Y = RNG.uniform(0.3, 0.9, (3, 4))
INTS = RNG.integers(1, 9, (3, 4))
MASK = X > 0.5
PICKS = np.array([2, 0])
ROWS = np.array([[0, 2, 1, 1], [1, 0, 2, 0]])


# ---------------------------------------------------------------------- in place
def changed(name, *args, before=lambda x: x * 1, **kwargs):
    """What x.name_(...) makes of a tensor with a history, and what it returns."""

    def f(lib, x, *more):
        y = before(x)
        back = getattr(y, f"{name}_")(*more, *args, **kwargs)
        assert back is y
        return y

    return f


ARGUMENTS = {
    **dict.fromkeys(
        """
        add sub mul div atan2 fmod remainder floor_divide copysign eq ne ge gt le lt logical_and
        logical_or logical_xor nextafter xlogy ldexp heaviside hypot pow
        """.split(),
        (X, Y),
    ),
    **dict.fromkeys(
        """
        bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift gcd lcm
        """.split(),
        (INTS, INTS[::-1].copy()),
    ),
    "addcmul": (X, Y, X),
    "addcdiv": (X, Y, Y),
    "bitwise_not": (INTS,),
    "acosh": (X + 1.5,),
    "float_power": (X, Y),
}
OPTIONS = {
    "clamp": (0.3, 0.6),
    "clamp_max": (0.5,),
    "clamp_min": (0.5,),
    "cumprod": (1,),
    "cumsum": (0,),
    "mvlgamma": (1,),
    "polygamma": (1,),
    "tril": (1,),
    "triu": (1,),
}
BY_INDEX = {
    "index_add": lambda lib, x, y: x.index_add_(0, lib.tensor([2, 0, 2]), y),
    "index_copy": lambda lib, x, y: x.index_copy_(0, lib.tensor([2, 0, 1]), y),
    "index_fill": lambda lib, x, y: x.index_fill_(1, lib.tensor([2, 0]), 2.5),
    "index_put": lambda lib, x, y: x.index_put_((lib.tensor([2, 0]),), y[:2]),
    "masked_fill": lambda lib, x, y: x.masked_fill_(lib.tensor(MASK), 2.0),
    "masked_scatter": lambda lib, x, y: x.masked_scatter_(lib.tensor(MASK), y),
    "put": lambda lib, x, y: x.put_(lib.tensor([1, 5]), y[0, :2]),
    "scatter": lambda lib, x, y: x.scatter_(0, lib.tensor(ROWS), y[:2]),
    "scatter_add": lambda lib, x, y: x.scatter_add_(0, lib.tensor(ROWS), y[:2]),
    "scatter_reduce": lambda lib, x, y: x.scatter_reduce_(0, lib.tensor(ROWS), y[:2], "prod"),
    "lerp": lambda lib, x, y: x.lerp_(y, 0.3),
    "fill_diagonal": lambda lib, x, y: x.fill_diagonal_(3.0),
    "squeeze": lambda lib, x, y: x[:1].squeeze_(0),
    "unsqueeze": lambda lib, x, y: x.unsqueeze_(1),
    "t": lambda lib, x, y: x.t_(),
    "transpose": lambda lib, x, y: x.transpose_(0, 1),
    "swapaxes": lambda lib, x, y: x.swapaxes_(0, 1),
    "swapdims": lambda lib, x, y: x.swapdims_(0, 1),
    "value": lambda lib, x, y: x.scatter_(1, lib.tensor([[0], [1], [3]]), 1.0),
    "reduce": lambda lib, x, y: x.detach().scatter_(
        0, lib.tensor(ROWS), y[:2].detach(), reduce="add"
    ),
}
ELSEWHERE = {"addmm", "addmv", "addr", "addbmm", "baddbmm", "index_reduce", "igamma", "igammac"}
ALONE = [n for n in INPLACE if n not in {*ARGUMENTS, *BY_INDEX, *ELSEWHERE}]
# a comparison, a step or a truth value written to x has no derivative in PyTorch
NO_RULE = {
    "eq",
    "ne",
    "ge",
    "gt",
    "le",
    "lt",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
    "nextafter",
    "heaviside",
    "floor_divide",
    # nor have these in place
    "acosh",
    "asinh",
    "atanh",
}


@pytest.mark.parametrize("name", [*ALONE, *ARGUMENTS])
def test_in_place(name):
    arrays = ARGUMENTS.get(name, (X,))
    f = changed(name, *OPTIONS.get(name, ()))
    both(f, *arrays, grad=name not in NO_RULE, second=False, rtol=1e-8)


@pytest.mark.parametrize("name", [a for a, own in ALIASES.items() if own in INPLACE])
def test_second_names_in_place(name):
    own = ALIASES[name]
    arrays = ARGUMENTS.get(own, (X,))
    both(changed(name, *OPTIONS.get(own, ())), *arrays, grad=own not in NO_RULE, second=False)


@pytest.mark.parametrize("name", BY_INDEX)
def test_in_place_by_index_and_shape(name):
    def f(lib, x, y):
        z = x * 2
        w = BY_INDEX[name](lib, z, y)
        return [w, z]

    both(f, X, Y, second=False)


def test_in_place_on_a_view_and_after_a_change_of_shape():
    def on_a_diagonal(lib, x, y):
        z = x * 1
        z.diagonal().mul_(2)
        z.unsqueeze_(0)
        z.mul_(y)
        return z

    both(on_a_diagonal, X, Y)

    def base_of_a_reshaped_one(lib, x, y):
        z = x * 1
        part = z[0]
        z.t_()
        z[0] = 5.0
        return [z, part]

    both(base_of_a_reshaped_one, X, Y)


WRONG = [
    ("type", lambda lib, x: lib.tensor([1, 2]).div_(2)),
    ("type", lambda lib, x: lib.tensor([1, 2]).exp_()),
    ("type", lambda lib, x: lib.tensor([True]).add_(1)),
    ("type", lambda lib, x: lib.tensor([1, 2]).mul_(1.5)),
    ("shape", lambda lib, x: x[0].add_(x)),
    ("leaf", lambda lib, x: x.clone().requires_grad_().exp_()),
    ("leaf", lambda lib, x: x.clone().requires_grad_().unsqueeze_(0)),
    ("expanded", lambda lib, x: x[:1].expand(3, 4).mul_(2)),
    ("float_power", lambda lib, x: x.float().float_power_(2)),
    ("fill_diagonal", lambda lib, x: x[0].fill_diagonal_(1)),
]


@pytest.mark.parametrize("row", rows(WRONG))
def test_in_place_mistakes(row):
    raises_the_same(row[1], X)


def test_functions_in_place():
    for name in ("exp_", "relu_", "sigmoid_", "clamp_", "neg_", "arccos_", "clip_"):
        options = (0.3, 0.6) if name in ("clamp_", "clip_") else ()
        both(lambda lib, x: getattr(lib, name)(x * 1, *options), X)  # noqa: B023


# ---------------------------------------------------------------------- out=
OUT = [
    ("add", lambda lib, x, o: lib.add(x, 1, alpha=2, out=o)),
    ("exp", lambda lib, x, o: lib.exp(x, out=o)),
    ("mul", lambda lib, x, o: lib.mul(x, x, out=o)),
    ("pow", lambda lib, x, o: lib.pow(x, 2, out=o)),
    ("matmul", lambda lib, x, o: lib.matmul(x, x.T, out=o)),
    ("mm", lambda lib, x, o: lib.mm(x, x.T, out=o)),
    ("sum", lambda lib, x, o: lib.sum(x, 0, out=o)),
    ("mean", lambda lib, x, o: lib.mean(x, (0, 1), out=o)),
    ("cat", lambda lib, x, o: lib.cat([x, x], out=o)),
    ("stack", lambda lib, x, o: lib.stack([x, x], 1, out=o)),
    ("where", lambda lib, x, o: lib.where(x > 0.5, x, x * 2, out=o)),
    ("clamp", lambda lib, x, o: lib.clamp(x, 0.3, out=o)),
    ("div", lambda lib, x, o: lib.div(x, 2, rounding_mode="floor", out=o)),
    ("tril", lambda lib, x, o: lib.tril(x, out=o)),
    ("lerp", lambda lib, x, o: lib.lerp(x, x * 2, 0.5, out=o)),
    ("hypot", lambda lib, x, o: lib.hypot(x, x, out=o)),
    ("cumsum", lambda lib, x, o: lib.cumsum(x, 1, out=o)),
    ("gather", lambda lib, x, o: lib.gather(x, 0, lib.tensor(ROWS), out=o)),
    ("index_select", lambda lib, x, o: lib.index_select(x, 0, lib.tensor([1, 0]), out=o)),
    ("masked_select", lambda lib, x, o: lib.masked_select(x, x > 0.5, out=o)),
    ("norm", lambda lib, x, o: lib.norm(x, 2, 0, out=o)),
    ("amax", lambda lib, x, o: lib.amax(x, 1, out=o)),
    ("scatter", lambda lib, x, o: lib.scatter(x, 0, lib.tensor(ROWS), 2.0, out=o)),
    ("nansum", lambda lib, x, o: lib.nansum(x, 0, out=o)),
    ("logcumsumexp", lambda lib, x, o: lib.logcumsumexp(x, 0, out=o)),
    ("quantile", lambda lib, x, o: lib.quantile(x, 0.3, out=o)),
    ("linspace", lambda lib, x, o: lib.linspace(0, 1, 5, out=o)),
    ("diag", lambda lib, x, o: lib.diag(x, out=o)),
    ("take", lambda lib, x, o: lib.take(x, lib.tensor([1, 2]), out=o)),
    ("lgamma", lambda lib, x, o: lib.lgamma(x, out=o)),
    ("xlogy", lambda lib, x, o: lib.xlogy(x, x, out=o)),
    ("outer", lambda lib, x, o: lib.outer(x[0], x[1], out=o)),
]


@pytest.mark.parametrize("row", rows(OUT))
def test_out(row):
    def into(lib, x, shape):
        o = lib.empty(shape, dtype=x.dtype)
        memory = o.data_ptr()
        back = row[1](lib, x, o)
        assert back is o
        assert not np.prod(shape) or o.data_ptr() == memory
        return o

    shape = tuple(row[1](torch, torch.tensor(X), None).shape)
    both(lambda lib, x: into(lib, x, shape), X, grad=False)  # in the memory of `out`
    both(
        lambda lib, x: into(lib, x, (0,)), X, grad=False
    )  # an empty one is made as large as it must be


def test_out_of_several():
    def f(lib, x):
        values, indices = lib.empty(0, dtype=x.dtype), lib.empty(0, dtype=lib.int64)
        back = lib.sort(x, 1, out=(values, indices))
        assert back[0] is values
        more = lib.empty(3, dtype=x.dtype), lib.empty(3, dtype=lib.int64)
        lib.max(x, 1, out=more)
        lib.topk(x[0], 3, out=more)
        return [values, indices, *more]

    both(f, X, grad=False)


def test_a_full_out_of_another_size_is_resized_with_a_warning():
    for lib in (cp, torch):
        o = lib.ones(2)
        with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
            lib.add(lib.ones(3), 1, out=o)
        assert o.tolist() == [2, 2, 2]


OUT_MISTAKES = [
    ("gradient", lambda lib, x: lib.add(x.clone().requires_grad_(), 1, out=x)),
    ("gradient", lambda lib, x: lib.exp(x, out=x.clone().requires_grad_())),
    ("gradient", lambda lib, x: lib.sum(x.clone().requires_grad_(), 0, out=lib.empty(0))),
    ("gradient", lambda lib, x: lib.matmul(x.clone().requires_grad_(), x.T, out=lib.empty(0))),
    ("type", lambda lib, x: lib.add(x, 1.5, out=lib.empty((3, 4), dtype=lib.int64))),
    ("type", lambda lib, x: lib.exp(x, out=lib.empty((3, 4), dtype=lib.int64))),
    ("kind", lambda lib, x: lib.exp(x, out=3)),
    ("kind", lambda lib, x: lib.sort(x, out=x)),
]


@pytest.mark.parametrize("row", rows(OUT_MISTAKES))
def test_out_mistakes(row):
    raises_the_same(row[1], X)


def test_without_a_gradient_in_sight_out_takes_parameters():
    for lib in (cp, torch):
        p, o = lib.ones(3, requires_grad=True), lib.empty(3)
        with lib.no_grad():
            lib.mul(p, 2, out=o)
        assert o.tolist() == [2, 2, 2]


def test_what_takes_out_takes_it_in_pytorch_too():
    more = {
        "bernoulli",
        "igamma",
        "igammac",
        "rand",
        "randn",
        "randint",
        "randperm",
        "square",
        "mvlgamma",
    }
    for name in TAKES_OUT:
        assert hasattr(cp, name)
        assert name in more or "out=" in getattr(torch, name).__doc__, name


# ---------------------------------------------------------------------- creation
MADE = [
    ("logspace", lambda lib: lib.logspace(-1, 2, 5)),
    ("logspace", lambda lib: lib.logspace(0, 3, 4, base=2.0, dtype=lib.float64)),
    ("logspace", lambda lib: lib.logspace(0, 1, 0)),
    ("asarray", lambda lib: lib.asarray([1, 2.5])),
    ("asarray", lambda lib: lib.asarray(np.arange(3))),
    ("asarray", lambda lib: lib.asarray([1, 2], dtype=lib.float32)),
    ("scalar_tensor", lambda lib: lib.scalar_tensor(3)),
    ("scalar_tensor", lambda lib: lib.scalar_tensor(2, dtype=lib.int64)),
    ("frombuffer", lambda lib: lib.frombuffer(bytearray(b"\1\0\2\0"), dtype=lib.int16)),
    ("hann_window", lambda lib: lib.hann_window(7)),
    ("hann_window", lambda lib: lib.hann_window(6, periodic=False)),
    ("hamming_window", lambda lib: lib.hamming_window(8)),
    ("hamming_window", lambda lib: lib.hamming_window(8, True, 0.5, 0.4)),
    ("blackman_window", lambda lib: lib.blackman_window(9, dtype=lib.float64)),
    ("bartlett_window", lambda lib: lib.bartlett_window(7)),
    ("bartlett_window", lambda lib: lib.bartlett_window(1)),
    ("hann_window", lambda lib: lib.hann_window(0)),
    ("new", lambda lib: lib.ones(2, dtype=lib.float64).new_zeros(2, 3)),
    ("new", lambda lib: lib.ones(2, dtype=lib.int64).new_ones((2,))),
    ("new", lambda lib: lib.ones(2).new_full((2,), 3)),
    ("new", lambda lib: lib.ones(2).new_tensor([1, 2])),
    ("new", lambda lib: lib.ones(2).new_tensor([1.5], dtype=lib.float64)),
    ("new", lambda lib: lib.ones(2).new_zeros(2, dtype=lib.int64)),
    ("full", lambda lib: lib.full((2,), True)),
    ("full", lambda lib: lib.full((2,), 3)),
    ("full", lambda lib: lib.full((), 2.5)),
    ("full_like", lambda lib: lib.full_like(lib.ones(2, dtype=lib.int64), 3)),
    ("arange", lambda lib: lib.arange(1, 2, 0.25)),
    ("arange", lambda lib: lib.arange(5, 0, -2)),
    ("linspace", lambda lib: lib.linspace(-1, 1, 7, dtype=lib.float64)),
    ("eye", lambda lib: lib.eye(2, 3)),
    ("as_tensor", lambda lib: lib.as_tensor([1, 2], dtype=lib.float64)),
    ("tensor", lambda lib: lib.tensor([[True], [False]])),
]


@pytest.mark.parametrize("row", rows(MADE))
def test_creation(row):
    both(row[1], rtol=1e-6, atol=1e-7)


MADE_WRONG = [
    ("logspace", lambda lib: lib.logspace(0, 1, -1)),
    ("hann_window", lambda lib: lib.hann_window(-1)),
    ("asarray", lambda lib: lib.asarray([1, 2], copy=False)),
    ("device", lambda lib: lib.device("fpu")),
    ("finfo", lambda lib: lib.finfo(lib.int64)),
    ("iinfo", lambda lib: lib.iinfo(lib.float32)),
]


@pytest.mark.parametrize("row", rows(MADE_WRONG))
def test_creation_mistakes(row):
    raises_the_same(row[1])


# ---------------------------------------------------------------------- random
RANDOM = [
    ("geometric_", lambda lib, x: x.geometric_(0.3)),
    ("cauchy_", lambda lib, x: x.cauchy_(1.0, 2.0)),
    ("log_normal_", lambda lib, x: x.log_normal_(0.5, 0.7)),
    ("exponential_", lambda lib, x: x.exponential_(2.0)),
    ("uniform_", lambda lib, x: x.uniform_(-1, 2)),
    ("bernoulli_", lambda lib, x: x.bernoulli_(0.3)),
    ("random_", lambda lib, x: x.random_(10)),
    ("random_", lambda lib, x: x.random_(3, 10)),
    ("randint_like", lambda lib, x: lib.randint_like(x, 3, 9)),
    ("bernoulli", lambda lib, x: lib.bernoulli(lib.full((3, 4), 0.4))),
    ("randperm", lambda lib, x: lib.randperm(9)),
    ("multinomial", lambda lib, x: lib.multinomial(lib.tensor([0.1, 0.2, 0.3, 0.4]), 20, True)),
    ("multinomial", lambda lib, x: lib.multinomial(lib.tensor([[1.0, 2, 3], [3, 0, 1]]), 9, True)),
    ("multinomial", lambda lib, x: lib.multinomial(lib.tensor([[1.0, 2, 3]] * 9), 1, True)),
    ("multinomial", lambda lib, x: lib.multinomial(lib.tensor([0.1, 0.2, 0.3, 0.4]), 3)),
    ("multinomial", lambda lib, x: lib.multinomial(lib.tensor([[1.0, 2, 3], [3, 0, 1]]), 1)),
    ("rand_like", lambda lib, x: lib.rand_like(x)),
    ("randn_like", lambda lib, x: lib.randn_like(x)),
    ("normal", lambda lib, x: lib.normal(lib.zeros(20), 2.0)),
    ("normal", lambda lib, x: lib.normal(1.0, lib.ones(3))),
    ("normal", lambda lib, x: lib.normal(lib.ones(3), lib.ones(3) * 2)),
]
# drawn by rejection or by another library there: the same distribution, other numbers
OTHER_STREAM = {"bernoulli_"}


@pytest.mark.parametrize("row", rows(RANDOM))
def test_random_numbers(row):
    drawn = []
    for lib in (cp, torch):
        lib.manual_seed(3)
        drawn.append(row[1](lib, lib.empty(3, 4)))
    a, b = drawn
    assert name_of(a.dtype) == name_of(b.dtype)
    assert tuple(a.shape) == tuple(b.shape)
    if row[0] not in OTHER_STREAM:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)


def test_devices():
    for lib in (cp, torch):
        d = lib.zeros(2).device
        assert d == lib.device("cpu")
        assert (d.type, d.index, str(d), repr(d)) == ("cpu", None, "cpu", "device(type='cpu')")
        assert lib.device("cuda:1").index == 1
        assert lib.device("cuda", 1) == lib.device("cuda:1")
        assert lib.device("cpu") != lib.device("cuda")
        assert (
            lib.zeros(2, device=lib.device("cpu")).to(lib.device("cpu")).to("cpu").device.type
            == "cpu"
        )
        assert {lib.device("cpu"): 1}[lib.zeros(1).device] == 1


def test_elements_by_python():
    def f(lib, x):
        y = x.clone()
        y.apply_(lambda v: v + 1)
        z = x.clone()
        z.map_(y, lambda a, b: a * b)
        return [y, z]

    both(f, X, grad=False)


def test_print_options():
    shown = []
    for lib in (cp, torch):
        lib.set_printoptions(precision=2, edgeitems=1, threshold=5, linewidth=60)
        shown.append([repr(lib.tensor(a)) for a in (X[0], np.arange(50) / 7, X)])
        lib.set_printoptions(sci_mode=True)
        shown[-1].append(repr(lib.tensor(X[0])))
        lib.set_printoptions(profile="short")
        shown[-1].append(repr(lib.tensor(X[0])))
        lib.set_printoptions(profile="default")
    ours, theirs = ([t.replace("clearprop", "torch") for t in s] for s in shown)
    assert ours == theirs


def test_questions_about_tensors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lib in (cp, torch):
            x = lib.tensor(X)
            assert lib.is_tensor(x) and not lib.is_tensor(3)
            assert lib.numel(x) == 12 and x.nelement() == 12 and x.ndimension() == 2
            assert lib.is_floating_point(x) and not lib.is_complex(x) and x.is_signed()
            assert lib.is_nonzero(lib.tensor(2)) and not lib.is_nonzero(lib.tensor([0.0]))
            assert x.is_same_size(x * 2) and not x.is_same_size(x[0])
            assert x.get_device() == -1 and x.is_cpu and not x.is_sparse and not x.is_pinned()
            assert x.cpu() is x
            with pytest.raises((RuntimeError, AssertionError)):
                x.cuda()
