"""Initial values, activations and losses against PyTorch: values, gradients, and random numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:mean is more than 2 std")

NAN, INF = np.nan, np.inf
DTYPES = ("float32", "float64")
SHAPES = ((1, 1), (3, 4), (5, 7), (64, 32))


def both(array, grad=False):
    """The same values as a tensor of each library."""
    array = np.asarray(array)
    pair = cp.tensor(array), torch.tensor(array)
    return [t.requires_grad_() for t in pair] if grad else pair


def seeded(seed=0):
    cp.manual_seed(seed)
    torch.manual_seed(seed)


def same_stream():
    """Both generators go on with the same number."""
    return cp.randint(0, 1 << 20, (3,)).tolist() == torch.randint(0, 1 << 20, (3,)).tolist()


# ---------------------------------------------------------------------- initial values
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [0, 1, 1234, 2**31 + 5, -3])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (64, 32), (784, 10), (30, 257)])
def test_linear_starts_with_the_very_weights_of_pytorch(sizes, seed, dtype):
    seeded(seed)
    mine, theirs = (
        library.nn.Linear(*sizes, dtype=getattr(library, dtype)) for library in (cp, torch)
    )
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b.detach().numpy())
    assert same_stream()


def test_a_network_starts_with_the_very_weights_of_pytorch():
    def build(nn):
        return nn.Sequential(
            nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Sequential(nn.Linear(16, 4), nn.Tanh())
        )

    seeded()
    mine, theirs = build(cp.nn), build(torch.nn)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(mine.state_dict()[key].numpy(), value.numpy())


UNIFORM = [
    ("uniform_", {}),
    ("uniform_", {"a": -3, "b": 0.7}),
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 1.7}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": 0.3, "mode": "fan_out"}),
    ("kaiming_uniform_", {"nonlinearity": "relu"}),
    ("trunc_normal_", {"a": 5.0, "b": 6.0}),
    ("eye_", {}),
    ("ones_", {}),
    ("zeros_", {}),
    ("constant_", {"val": 0.3}),
]
NORMAL = [
    ("normal_", {}),
    ("normal_", {"mean": 1.0, "std": 0.3}),
    ("xavier_normal_", {"gain": 0.7}),
    ("kaiming_normal_", {}),
    ("kaiming_normal_", {"nonlinearity": "tanh", "mode": "fan_out"}),
    ("trunc_normal_", {}),
    ("trunc_normal_", {"std": 0.02}),
    ("trunc_normal_", {"mean": 0.5, "a": 0.0, "b": 0.6}),
    ("sparse_", {"sparsity": 0.3}),
    ("orthogonal_", {}),
    ("orthogonal_", {"gain": 2.0}),
]


def initial(name, options, shape, dtype):
    seeded()
    mine = getattr(cp.nn.init, name)(cp.empty(*shape, dtype=getattr(cp, dtype)), **options)
    theirs = getattr(torch.nn.init, name)(
        torch.empty(shape, dtype=getattr(torch, dtype)), **options
    )
    assert same_stream()
    return mine.numpy(), theirs.numpy()


@pytest.mark.filterwarnings("ignore:trunc_normal_")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), UNIFORM)
@pytest.mark.parametrize("dtype", DTYPES)
def test_init_from_uniform_numbers_is_bit_equal(name, options, dtype, shape):
    np.testing.assert_array_equal(*initial(name, options, shape, dtype))


@pytest.mark.filterwarnings("ignore:trunc_normal_")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), NORMAL)
def test_init_from_normal_numbers_agrees_to_rounding(name, options, dtype, shape):
    a, b = initial(name, options, shape, dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(a, b, rtol=20 * eps, atol=10 * eps)


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_dropout_scales_what_it_keeps_as_pytorch_does(p):
    # the masks differ: PyTorch draws them from another library's stream
    x = torch.full((1000,), 3.0)
    a = cp.nn.functional.dropout(cp.tensor(x.numpy()), p).numpy()
    b = torch.nn.functional.dropout(x, p).numpy()
    assert set(a.tolist()) == set(b.tolist())


# ---------------------------------------------------------------------- activations
UGLY = np.array(
    [0.0, -0.0, INF, -INF, NAN, 1e-30, -1e-30, 88.0, -88.0, 1000.0, -1000.0, 1.0, -1.0, 6.0, 3.0,
     -3.0, 0.5, -0.5, 20.0, 20.5, -20.0, 0.1, -7.3, 2.0, -2.0],
)  # fmt: skip
ACTIVATIONS = [
    ("ReLU", {}),
    ("ReLU6", {}),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.2}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.5}),
    ("CELU", {}),
    ("CELU", {"alpha": 2.0}),
    ("SELU", {}),
    ("Tanh", {}),
    ("Sigmoid", {}),
    ("LogSigmoid", {}),
    ("Softplus", {}),
    ("Softplus", {"beta": 2.0, "threshold": 5.0}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}),
    ("Mish", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("Softsign", {}),
    ("Hardsigmoid", {}),
    ("Hardswish", {}),
    ("Hardshrink", {}),
    ("Hardshrink", {"lambd": 1.0}),
    ("Softshrink", {}),
    ("Softshrink", {"lambd": 2.0}),
    ("Tanhshrink", {}),
    ("Threshold", {"threshold": 0.5, "value": 7.0}),
    ("PReLU", {}),
    ("PReLU", {"init": -0.5}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS)
def test_activation_and_gradient_at_ugly_values(name, options, dtype):
    x, y = both(UGLY.astype(dtype), grad=True)
    ours, other = getattr(cp.nn, name)(**options), getattr(torch.nn, name)(**options)
    mine, theirs = ours.to(x.dtype)(x), other.to(y.dtype)(y)
    seed = np.linspace(1, 2, len(UGLY)).astype(dtype)
    mine.backward(cp.tensor(seed))
    theirs.backward(torch.tensor(seed))
    eps = 8 * float(np.finfo(dtype).eps)
    value, wanted = mine.detach().numpy(), theirs.detach().numpy()
    if name == "GELU":  # PyTorch gives inf for one float32 number and nan for several
        value, wanted = value[UGLY != INF], wanted[UGLY != INF]
    if name == "Hardswish":  # -inf * 0 is nan in PyTorch; the limit is 0
        value, wanted = value[UGLY != -INF], wanted[UGLY != -INF]
    np.testing.assert_allclose(value, wanted, eps, eps)
    slope, wanted = x.grad.numpy(), y.grad.numpy()
    if name in ("Hardsigmoid", "Hardswish"):  # PyTorch's float64 has 1/6 and 1/3 as float32
        eps = 1e-7
    if name in ("ELU", "CELU", "SELU", "Hardshrink", "Softshrink", "Hardswish"):
        # of nan, and of inf in Hardswish: one thing in PyTorch's float64, another in float32
        keep = ~np.isnan(UGLY) & ((name != "Hardswish") | (UGLY != INF))
        slope, wanted = slope[keep], wanted[keep]
    np.testing.assert_allclose(slope, wanted, eps, eps)


ROWS = np.array(
    [[0.0, 1.0, -1.0], [1000.0, 999.0, -1000.0], [-1000.0] * 3, [88.0, -88.0, 0.0],
     [-INF, 0.0, 1.0], [INF, 0.0, 1.0], [NAN, 0.0, 1.0], [1e-30, -1e-30, 0.0]]
)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Softmin"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_softmax_and_gradient_at_ugly_values(name, dim, dtype):
    rows = ROWS if dim != 0 else ROWS.T.copy()
    x, y = both(rows.astype(dtype), grad=True)
    mine, theirs = getattr(cp.nn, name)(dim=dim)(x), getattr(torch.nn, name)(dim=dim)(y)
    seed = np.random.default_rng(0).standard_normal(rows.shape).astype(dtype)
    mine.backward(cp.tensor(seed))
    theirs.backward(torch.tensor(seed))
    eps = 8 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), eps, eps)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), eps, eps)


# ---------------------------------------------------------------------- losses
REDUCTIONS = ("none", "mean", "sum")
TOLERANCE = {"float64": 1e-12, "float32": 1e-6}


def compare(name, options, arrays, dtype, wanted=(0,), tensors=()):
    """Value and gradients of a loss module; `tensors`: options that are arrays."""
    pairs = [
        both(a.astype(dtype) if a.dtype.kind == "f" else a, grad=i in wanted)
        for i, a in enumerate(arrays)
    ]
    given = {k: both(np.asarray(v).astype(dtype)) for k, v in dict(tensors).items()}
    mine = getattr(cp.nn, name)(**options, **{k: v[0] for k, v in given.items()})
    theirs = getattr(torch.nn, name)(**options, **{k: v[1] for k, v in given.items()})
    a, b = mine(*(p[0] for p in pairs)), theirs(*(p[1] for p in pairs))
    tol = TOLERANCE[dtype]
    assert a.shape == tuple(b.shape) and a.dtype.name == dtype
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), tol, tol)
    if not b.requires_grad:
        return
    seed = np.random.default_rng(1).standard_normal(a.shape).astype(dtype)
    a.backward(cp.tensor(seed))
    b.backward(torch.tensor(seed))
    for i in wanted:
        np.testing.assert_allclose(pairs[i][0].grad.numpy(), pairs[i][1].grad.numpy(), tol, tol)


REGRESSION = [
    ("MSELoss", {}),
    ("L1Loss", {}),
    *[("SmoothL1Loss", {"beta": beta}) for beta in (0.0, 0.5, 1.0, 3.0)],
    *[("HuberLoss", {"delta": delta}) for delta in (0.5, 1.0, 3.0)],
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options"), REGRESSION)
def test_regression_losses(name, options, reduction, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 5, 3)) * 2
    y[0] = x[0]  # the kink of l1
    y[1] = x[1] + 0.5  # the kinks of smooth_l1 and huber
    for shape in ((5, 3), (15,)):
        arrays = x.reshape(shape), y.reshape(shape)
        compare(name, options | {"reduction": reduction}, arrays, dtype, wanted=(0, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weights_of_regression_losses(name, reduction, dtype):
    rng = np.random.default_rng(0)
    x, y, w = (both(a.astype(dtype)) for a in np.abs(rng.standard_normal((3, 4, 2))))
    a, b = (
        getattr(library.nn.functional, name)(x[i], y[i], reduction=reduction, weight=w[i])
        for i, library in enumerate((cp, torch))
    )
    np.testing.assert_allclose(a.numpy(), b.numpy(), TOLERANCE[dtype])


LOGIT_SHAPES = {"N": (6, 4), "single": (4,), "d1": (3, 4, 5), "d1d2": (2, 4, 3, 2), "empty": (0, 4)}


def class_problem(shape, name, ignored):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * 3
    if name == "NLLLoss":
        x = -np.abs(x)
    axis = 1 if len(shape) > 1 else 0
    targets = np.array(rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]))
    if ignored is not None and targets.ndim:
        targets.reshape(-1)[:2] = ignored
    return x, targets


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", LOGIT_SHAPES.values(), ids=LOGIT_SHAPES)
@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_class_losses_with_every_option(name, shape, reduction, dtype):
    smoothings = (0.0, 0.3, 1.0) if name == "CrossEntropyLoss" else (None,)
    weights = {}, {"weight": [0.1, 2.0, 0.5, 1.5]}
    for smoothing, weight, ignored in itertools.product(smoothings, weights, (None, -100, 2)):
        options = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
        if smoothing is not None:
            options["label_smoothing"] = smoothing
        compare(name, options, class_problem(shape, name, ignored), dtype, tensors=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", LOGIT_SHAPES.values(), ids=LOGIT_SHAPES)
def test_cross_entropy_with_probabilities_as_targets(shape, reduction, dtype):
    rng = np.random.default_rng(0)
    x, p = rng.standard_normal(shape), rng.random(shape)
    for smoothing, weight in itertools.product((0.0, 0.3), ({}, {"weight": [0.1, 2.0, 0.5, 1.5]})):
        options = {"reduction": reduction, "label_smoothing": smoothing}
        compare("CrossEntropyLoss", options, (x, p), dtype, wanted=(0, 1), tensors=weight)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_class_losses_where_every_target_is_ignored(name, reduction):
    x = np.random.default_rng(0).standard_normal((3, 4))
    compare(name, {"reduction": reduction}, (x, np.full(3, -100)), "float64")


@pytest.mark.parametrize("dtype", DTYPES)
def test_cross_entropy_of_extreme_logits(dtype):
    x = np.array([[1000.0, 0, -1000], [-1000, 1000, 0], [88, -88, 0], [1e-30, 0, -1e-30]])
    compare("CrossEntropyLoss", {"reduction": "none"}, (x, np.array([2, 1, 0, 0])), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_of_probabilities(reduction, dtype):
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.uniform(0.01, 0.99, 5), [0, 1, 0, 1, 0.5, 1e-20, 0.25]])
    y = np.concatenate([rng.random(5), [0, 0, 1, 1, 0.5, 1, 0.25]])
    for weight in ({}, {"weight": rng.random(12)}):
        compare("BCELoss", {"reduction": reduction}, (p, y), dtype, tensors=weight)
    inside = slice(0, 5)
    arrays = p[inside].reshape(5, 1), y[inside].reshape(5, 1)
    compare("BCELoss", {"reduction": reduction}, arrays, dtype, wanted=(0, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_of_logits(reduction, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3)) * 3
    x[0], x[1], x[2] = (0, -0.0, 1e-30), (1000, -1000, 88), (-88, 1000, -1000)
    y = rng.random((6, 3))
    y[1], y[2] = (0, 1, 1), (0, 1, 0)
    weights = {}, {"weight": rng.random((6, 3))}, {"weight": rng.random(3)}
    positive = {}, {"pos_weight": rng.random(3) * 4}, {"pos_weight": [2.0]}
    for weight, pos in itertools.product(weights, positive):
        compare("BCEWithLogitsLoss", {"reduction": reduction}, (x, y), dtype, (0, 1), weight | pos)


@pytest.mark.filterwarnings("ignore:kl_div", "ignore:reduction")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_divergence(log_target, reduction, dtype):
    rng = np.random.default_rng(0)
    q, p = np.log(rng.random((4, 3))), rng.random((4, 3))
    options = {"reduction": reduction, "log_target": log_target}
    compare("KLDivLoss", options, (q, np.log(p) if log_target else p), dtype, wanted=(0, 1))
    if not log_target:
        p[0, 0] = 0.0
        compare("KLDivLoss", options, (q, p), dtype)


# ---------------------------------------------------------------------- second derivatives
@pytest.mark.parametrize(
    "name", ["MSELoss", "HuberLoss", "SmoothL1Loss", "CrossEntropyLoss", "BCELoss",
             "BCEWithLogitsLoss"]
)  # fmt: skip
def test_second_derivatives_of_losses(name):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 0.9, (2, 4, 3))
    direction = rng.standard_normal((4, 3))
    found = []
    for library, tensor in ((cp, cp.tensor), (torch, torch.tensor)):
        z = tensor(x).requires_grad_()
        loss = getattr(library.nn, name)()(z, tensor(y))
        (g,) = library.autograd.grad(loss, z, create_graph=True)
        (h,) = library.autograd.grad((g * tensor(direction)).sum(), z)
        found.append(h.numpy())
    # PyTorch adds 1e-12 to the denominator of this one
    np.testing.assert_allclose(*found, rtol=1e-10 if name == "BCELoss" else 1e-12, atol=1e-14)


# ---------------------------------------------------------------------- states
def test_state_dicts_change_sides():
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Sequential(torch.nn.Linear(4, 2)))
    mine = cp.nn.Sequential(cp.nn.Linear(3, 4), cp.nn.Sequential(cp.nn.Linear(4, 2)))
    mine.load_state_dict({k: cp.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((5, 3)).astype("float32")
    a, b = mine(cp.tensor(x)), theirs(torch.tensor(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-6, 1e-6)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in mine.state_dict().items()})
