"""Convolution, pooling, padding and resampling against PyTorch over generated options: values,
types, first and second gradients, and the type of errors.
"""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:::clearprop")
F, TF = cp.nn.functional, torch.nn.functional


def ours(x: Any) -> Any:
    return cp.tensor(x) if isinstance(x, np.ndarray) else x


def theirs(x: Any) -> Any:
    return torch.tensor(x) if isinstance(x, np.ndarray) else x


def outcome(name: str, args: Any, options: Any) -> tuple[Any, Any]:
    """What each library gives: its result, or its exception."""
    out = []
    for lib, to in ((F, ours), (TF, theirs)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out.append(getattr(lib, name)(*map(to, args), **options))
        except Exception as error:
            out.append(error)
    return out[0], out[1]


def derivatives(lib: Any, f: Any, xs: list[Any], seed: np.ndarray) -> list[np.ndarray]:
    """Value, gradients of <seed, value>, and those of the sum of squares of the gradients."""
    y = f(*xs)
    s = lib.tensor(seed)
    first = lib.autograd.grad(y, xs, s, create_graph=True)
    energy = sum((g * g).sum() for g in first) + (y * y * s).sum()
    second = lib.autograd.grad(energy, xs, allow_unused=True)
    second = [lib.zeros_like(x) if g is None else g for x, g in zip(xs, second, strict=True)]
    return [t.detach().numpy() for t in (y, *first, *second)]


def compare(name: str, arrays: list[np.ndarray], options: Any, tolerance: float = 1e-9) -> None:
    """The same values, shapes, types and gradients, or the same type of error."""
    mine, reference = outcome(name, arrays, options)
    told = f"{name}({', '.join(str(a.shape) for a in arrays)}, {options})"
    if isinstance(reference, Exception):
        assert isinstance(mine, type(reference)), f"{told}: {mine!r} is not {reference!r}"
        return
    assert not isinstance(mine, Exception), f"{told}: {mine!r}"
    found = mine if isinstance(mine, tuple) else (mine,)
    wanted = reference if isinstance(reference, tuple) else (reference,)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == tuple(b.shape) and a.dtype.name == str(b.dtype)[6:], told
        np.testing.assert_allclose(
            a.numpy(), b.numpy(), rtol=tolerance, atol=tolerance, err_msg=told
        )
    floats = [i for i, a in enumerate(arrays) if a.dtype == np.float64]
    if found[0].dtype is not cp.float64 or not found[0].numel() or not floats:
        return
    seed = np.random.default_rng(3).standard_normal(found[0].shape)

    def value(lib: Any, to: Any) -> Any:
        def f(*xs: Any) -> Any:
            given = [to(a) for a in arrays]
            for i, x in zip(floats, xs, strict=True):
                given[i] = x
            y = getattr(lib, name)(*given, **options)
            return y[0] if isinstance(y, tuple) else y

        return f

    results = []
    for lib, functional, to in ((cp, F, ours), (torch, TF, theirs)):
        xs = [to(arrays[i]).requires_grad_() for i in floats]
        results.append(derivatives(lib, value(functional, to), xs, seed))
    for a, b in zip(*results, strict=True):
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale, err_msg=told)


def choose(r: random.Random, d: int, values: list[int]) -> Any:
    """A number, or one per axis."""
    many = [r.choice(values) for _ in range(d)]
    return r.choice([many[0], tuple(many), many])


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def distinct(seed: int, *shape: int) -> np.ndarray:
    """No two elements alike, none close: winners stay winners."""
    rng = np.random.default_rng(seed)
    return rng.permutation(math.prod(shape)).reshape(shape) / 7.0 - 1.0


def lead(r: random.Random, c: int) -> tuple[int, ...]:
    return r.choice([(c,), (2, c), (1, c), (0, c)])


SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_convolution(seed):
    r = random.Random(seed)
    d = r.choice([1, 2, 2, 3])
    groups, per, out = r.choice([1, 1, 2, 3]), r.randint(1, 2), r.randint(1, 2)
    kernel = [r.randint(1, 3) for _ in range(d)]
    size = [r.randint(2, 7) for _ in range(d)]
    x = numbers(seed, *lead(r, groups * per), *size)
    w = numbers(seed + 1, groups * out, per, *kernel)
    arrays = [x, w] + ([numbers(seed + 2, groups * out)] if r.random() < 0.5 else [])
    options = {"stride": choose(r, d, [1, 1, 2, 3]), "dilation": choose(r, d, [1, 1, 2])}
    padding = r.choice(["valid", "same", None, None])
    options["padding"] = choose(r, d, [0, 1, 2]) if padding is None else padding
    compare(f"conv{d}d", arrays, {**options, "groups": groups})


@pytest.mark.parametrize("seed", SEEDS)
def test_transposed_convolution(seed):
    r = random.Random(seed)
    d = r.choice([1, 2, 2, 3])
    groups, per, out = r.choice([1, 1, 2, 3]), r.randint(1, 2), r.randint(1, 2)
    kernel = [r.randint(1, 3) for _ in range(d)]
    x = numbers(seed, *r.choice([(), (2,)]), groups * per, *(r.randint(2, 4) for _ in range(d)))
    w = numbers(seed + 1, groups * per, out, *kernel)
    arrays = [x, w] + ([numbers(seed + 2, groups * out)] if r.random() < 0.5 else [])
    options = {
        "stride": choose(r, d, [1, 2, 3]), "padding": choose(r, d, [0, 1]),
        "output_padding": choose(r, d, [0, 1, 2]), "dilation": choose(r, d, [1, 2, 3]),
    }  # fmt: skip
    compare(f"conv_transpose{d}d", arrays, {**options, "groups": groups})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_pooling(kind, seed):
    r = random.Random(seed)
    d = r.choice([1, 2, 2, 3])
    x = distinct(seed, *lead(r, 2), *(r.randint(3, 8) for _ in range(d)))
    options: dict[str, Any] = {
        "kernel_size": choose(r, d, [1, 2, 3]), "padding": choose(r, d, [0, 0, 1]),
        "ceil_mode": r.random() < 0.5,
    }  # fmt: skip
    if r.random() < 0.6:
        options["stride"] = choose(r, d, [1, 2, 3])
    if kind == "max":
        options |= {"dilation": choose(r, d, [1, 1, 2]), "return_indices": r.random() < 0.5}
    else:
        options["count_include_pad"] = r.random() < 0.5
        if d > 1 and r.random() < 0.3:
            options["divisor_override"] = r.choice([2, 5])
    compare(f"{kind}_pool{d}d", [x], options)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_adaptive_pooling(kind, seed):
    r = random.Random(seed)
    d = r.choice([1, 2, 2, 3])
    x = distinct(seed, *lead(r, 2), *(r.randint(1, 9) for _ in range(d)))
    size: Any = [r.choice([1, 2, 3, 5, 11, *([None] * (d > 1))]) for _ in range(d)]
    options = {"output_size": r.choice([size[0] or 1, tuple(size)])}
    if kind == "max":
        options["return_indices"] = r.random() < 0.5
    compare(f"adaptive_{kind}_pool{d}d", [x], options)


@pytest.mark.parametrize("kernel", [(17, 16), (20, 20)])
def test_large_windows_are_searched(kernel):
    x = distinct(0, 2, 3, 21, 22)
    compare("max_pool2d", [x], {"kernel_size": kernel, "stride": 2, "return_indices": True})
    compare("max_pool2d", [x], {"kernel_size": kernel, "padding": 5, "return_indices": True})


@pytest.mark.parametrize("kernel", [2, 8])
def test_ties_nan_and_infinities_in_max_pool(kernel):
    rng = np.random.default_rng(1)
    for values in ([0.0, 1.0], [np.nan, 1.0, 2.0], [-np.inf], [-np.inf, 1.0], [np.inf, np.nan, 0]):
        x = rng.choice(values, (2, 3, 16, 16)).astype(np.float32)
        options = {"kernel_size": kernel, "padding": kernel // 2, "return_indices": True}
        compare("max_pool2d", [x], options)
        a, b = cp.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        F.max_pool2d(a, kernel, 1, 1).sum().backward()
        TF.max_pool2d(b, kernel, 1, 1).sum().backward()
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())


def test_infinite_gradients_reach_the_winner_only():
    x = distinct(0, 1, 1, 4, 4)
    for options in ({"stride": 2}, {"stride": 1}):
        grads = []
        for lib, functional in ((cp, F), (torch, TF)):
            t = lib.tensor(x, requires_grad=True)
            y = functional.max_pool2d(t, 2, **options)
            g = np.ones(tuple(y.shape))
            g[0, 0, 0, 0] = np.inf
            y.backward(lib.tensor(g))
            grads.append(t.grad.numpy())
        np.testing.assert_array_equal(*grads)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float16", "bool", "float32"])
def test_other_types(dtype):
    x = (distinct(0, 2, 3, 6, 6) * 3).astype(dtype)
    compare("max_pool2d", [x], {"kernel_size": 2, "return_indices": True})
    compare("pad", [x], {"pad": (1, 2, -1, 1), "mode": "replicate"})
    compare("pad", [x], {"pad": (1, 2, -1, 1), "value": 2.7})
    compare("interpolate", [x], {"scale_factor": 2})
    if dtype != "float16":
        compare("avg_pool2d", [x], {"kernel_size": 3, "padding": 1}, 1e-5)
        compare("conv2d", [x, x[:, :, :2, :2]], {}, 1e-4)
        compare("unfold", [x], {"kernel_size": 2})


@pytest.mark.parametrize("p", [1, 2, 3, 1.5, 4.0])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_p_norm_pooling(d, p):
    for seed in range(4):
        r = random.Random(seed)
        x = numbers(seed, 2, 3, *(r.randint(3, 6) for _ in range(d)))
        x = np.abs(x) if p == 1.5 else x
        kernel = choose(r, d, [2, 3]) if d > 1 else r.choice([2, 3])
        options = {"norm_type": p, "kernel_size": kernel,
                   "ceil_mode": r.random() < 0.5}  # fmt: skip
        if r.random() < 0.5:
            options["stride"] = choose(r, d, [1, 2])
        with np.errstate(all="ignore"):
            compare(f"lp_pool{d}d", [x], options, 1e-7)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_max_unpool(d):
    for seed in range(6):
        r = random.Random(seed)
        size = [r.randint(4, 7) for _ in range(d)]
        x = distinct(seed, *r.choice([(2,), (2, 3)]), *size)
        kernel, stride = r.choice([(2, None), (2, 2), (3, 2)])
        y, where = getattr(TF, f"max_pool{d}d")(
            torch.tensor(x), kernel, stride, return_indices=True
        )
        options: dict[str, Any] = {"kernel_size": kernel, "stride": stride}
        if r.random() < 0.6:
            options["output_size"] = size
        if kernel == 2:  # no place is written twice
            compare(f"max_unpool{d}d", [y.numpy(), where.numpy()], options)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("seed", range(12))
def test_pad(mode, seed):
    r = random.Random(seed)
    d = r.choice([1, 2, 3])
    x = numbers(seed, *r.choice([(2,), (2, 1), (0, 2)]), *(r.randint(3, 6) for _ in range(d)))
    # (cut off and then padded by more than is left, PyTorch's circle reads what it has not written)
    pad = [r.choice([0, 1, 2, 3, 0 if mode == "circular" else -1, 5]) for _ in range(2 * d)]
    if mode == "circular" and r.random() < 0.3:
        pad = [r.choice([0, 1, 2, -1]) for _ in range(2 * d)]
    options: dict[str, Any] = {"pad": tuple(pad), "mode": mode}
    if mode == "constant" and r.random() < 0.5:
        options["value"] = 2.5
    compare("pad", [x], options)


LINES = {"linear": 1, "bilinear": 2, "trilinear": 3, "bicubic": 2}


@pytest.mark.parametrize(
    "mode", ["nearest", "nearest-exact", "area", "linear", "bilinear", "trilinear", "bicubic"]
)
@pytest.mark.parametrize("seed", range(12))
def test_interpolate(mode, seed):
    r = random.Random(seed)
    d = LINES.get(mode, r.choice([1, 2, 3]))
    x = numbers(seed, r.choice([1, 2]), 2, *(r.randint(1, 7) for _ in range(d)))
    options: dict[str, Any] = {"mode": mode}
    if r.random() < 0.5:
        options["size"] = choose(r, d, [1, 2, 5, 9, 14])
    else:
        factor = [r.choice([0.5, 1.0, 1.3, 2, 2.7, 3]) for _ in range(d)]
        if mode == "nearest":  # 1.3 may keep a size, where PyTorch's gradient is another's
            factor = [2 if f == 1.3 else f for f in factor]
        options["scale_factor"] = r.choice([factor[0], tuple(factor)])
        options["recompute_scale_factor"] = r.choice([None, True, False])
    if mode in LINES:
        options["align_corners"] = r.choice([None, True, False])
    if mode in ("bilinear", "bicubic") and r.random() < 0.4 and "size" in options:
        # (PyTorch does not resample the height if the width becomes 1)
        options |= {"antialias": True, "size": (r.choice([1, 2, 5, 9]), r.choice([2, 5, 9]))}
    compare("interpolate", [x], options)
    single = x.astype(np.float32)
    compare("interpolate", [single], options, 2e-5)


@pytest.mark.parametrize("seed", range(12))
def test_unfold_and_fold(seed):
    r = random.Random(seed)
    x = numbers(seed, *r.choice([(2,), (2, 3), (1, 1)]), r.randint(3, 7), r.randint(3, 7))
    options = {
        "kernel_size": choose(r, 2, [1, 2, 3]), "dilation": choose(r, 2, [1, 1, 2]),
        "padding": choose(r, 2, [0, 1]), "stride": choose(r, 2, [1, 2]),
    }  # fmt: skip
    compare("unfold", [x], options)
    try:
        columns = TF.unfold(torch.tensor(x), **options).numpy()
    except RuntimeError:
        return
    compare("fold", [columns], {**options, "output_size": x.shape[-2:]})


def test_pixel_and_channel_shuffle():
    for shape in [(8, 4, 6), (2, 8, 4, 6), (2, 3, 4, 2, 2), (4, 6)]:
        x = numbers(0, *shape)
        for r in (1, 2, 3, 0, -1):
            compare("pixel_shuffle", [x], {"upscale_factor": r})
            compare("pixel_unshuffle", [x], {"downscale_factor": r})
            compare("channel_shuffle", [x], {"groups": r})


X, W = numbers(0, 2, 3, 8, 8), numbers(1, 4, 3, 3, 3)
WT, B = numbers(2, 3, 4, 3, 3), numbers(3, 4)
WRONG: list[tuple[str, list[np.ndarray], dict[str, Any]]] = [
    ("conv2d", [X.astype(np.float32), W], {}),
    ("conv2d", [X, W, B.astype(np.float32)], {}),
    ("conv2d", [X[None], W], {}),
    ("conv2d", [X[0, 0], W], {}),
    ("conv2d", [X, W[0]], {}),
    ("conv1d", [X, W[..., 0]], {}),
    ("conv2d", [X[:, :2], W], {}),
    ("conv2d", [X[..., :2], W], {}),
    ("conv2d", [X > 0, W > 0], {}),
    *(("conv2d", [X, W], o) for o in (
        {"stride": 0}, {"padding": -1}, {"dilation": 0}, {"groups": 2}, {"groups": 0},
        {"stride": (1, 1, 1)}, {"stride": 1.5}, {"stride": None}, {"padding": "foo"},
        {"padding": "same", "stride": 2},
    )),
    ("conv2d", [X, W[:, :1]], {"groups": 3}),
    ("conv2d", [X, W, B[:3]], {}),
    ("conv2d", [X, W, B[None]], {}),
    ("conv_transpose2d", [X[:, :2], WT], {}),
    *(("conv_transpose2d", [X, WT], o) for o in (
        {"stride": 2, "output_padding": 2}, {"padding": 6}, {"output_padding": -1},
        {"padding": "same"}, {"groups": 2}, {"padding": 5},
    )),
    ("conv_transpose2d", [X[0, 0], WT], {}),
    ("conv_transpose2d", [X, WT, B[:2]], {}),
    *(("max_pool2d", [X], o) for o in (
        {"kernel_size": 2, "padding": 2}, {"kernel_size": 2, "stride": 0}, {"kernel_size": 9},
        {"kernel_size": 0}, {"kernel_size": 2, "dilation": 0}, {"kernel_size": (2, 2, 2)},
        {"kernel_size": 2.0}, {"kernel_size": None}, {"kernel_size": 2, "padding": -1},
        {"kernel_size": (2,)}, {"kernel_size": 3, "stride": []},
    )),
    ("max_pool2d", [X[0, 0]], {"kernel_size": 2}),
    ("max_pool1d", [X], {"kernel_size": 2}),
    ("max_pool2d", [X[:, :0]], {"kernel_size": 2}),
    ("avg_pool2d", [X], {"kernel_size": 2, "padding": 2}),
    ("avg_pool2d", [X], {"kernel_size": 2, "divisor_override": 0}),
    ("avg_pool1d", [X], {"kernel_size": 2}),
    *(("adaptive_avg_pool2d", [X], {"output_size": o}) for o in (-1, (1, 2, 3), 0, (3, None))),
    ("adaptive_avg_pool1d", [X[0]], {"output_size": 1.5}),
    ("adaptive_avg_pool1d", [X[0]], {"output_size": None}),
    ("adaptive_avg_pool2d", [X[0, 0]], {"output_size": 2}),
    ("adaptive_max_pool2d", [X], {"output_size": 0}),
    ("pad", [X], {"pad": (1, 2, 3)}),
    ("pad", [X], {"pad": (1,) * 10}),
    ("pad", [X], {"pad": (-5, -4)}),
    ("pad", [X], {"pad": (1, 1), "mode": "foo"}),
    ("pad", [X], {"pad": (1.5, 1)}),
    ("pad", [X], {"pad": 1}),
    ("pad", [X], {"pad": (1, 1), "mode": "reflect"}),
    ("pad", [X], {"pad": (1, 1, 1, 1), "mode": "reflect", "value": 2.0}),
    ("pad", [X], {"pad": (9, 1, 1, 1), "mode": "circular"}),
    *(("interpolate", [X], o) for o in (
        {}, {"size": 3, "scale_factor": 2}, {"size": 3, "mode": "linear"}, {"size": (2, 3, 4)},
        {"size": 3, "mode": "foo"}, {"size": 3, "align_corners": True}, {"size": 0},
        {"size": 3, "antialias": True}, {"scale_factor": (2,)}, {"scale_factor": 0.01},
        {"size": 3, "recompute_scale_factor": True}, {"size": 2.5},
    )),
    ("interpolate", [X[0]], {"size": 3, "mode": "bilinear"}),
    ("interpolate", [X[0, 0]], {"size": 3}),
    ("interpolate", [X.astype(np.int64)], {"size": 3}),
    *(("unfold", [X], o) for o in (
        {"kernel_size": 9}, {"kernel_size": 2, "stride": 0}, {"kernel_size": 0},
        {"kernel_size": 2, "padding": -1},
    )),
    ("fold", [X[0]], {"output_size": 9, "kernel_size": 3}),
    ("fold", [X], {"output_size": 8, "kernel_size": 3}),
    *((n, [X], {"p": 1.5}) for n in ("dropout1d", "dropout2d", "dropout3d", "alpha_dropout")),
    ("dropout1d", [X], {"p": 0.5}),
    ("dropout2d", [B], {"p": 0.5}),
    ("feature_alpha_dropout", [B], {"p": 0.5, "training": True}),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda c: f"{c[0]}-{len(c[1])}-{c[2]}")
def test_mistakes_raise_the_same_type(case):
    compare(*case)


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding, corners):
    for d in (2, 3):
        if d == 3 and mode == "bicubic":
            continue
        x = numbers(1, 2, 2, *(3, 4, 2)[:d])
        grid = numbers(2, 2, *(2, 3, 2)[:d], d) * 1.2
        options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        mine, reference = outcome("grid_sample", [x, grid], options)
        np.testing.assert_allclose(mine.numpy(), reference.numpy(), atol=1e-10)
        grads = []  # (PyTorch has no second derivative for some of these)
        for functional, to in ((F, ours), (TF, theirs)):
            a, b = (to(t).requires_grad_() for t in (x, grid))
            (functional.grid_sample(a, b, **options) ** 2).sum().backward()
            grads.append([t.grad.numpy() if t.grad is not None else 0 for t in (a, b)])
        for a, b in zip(*grads, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-9)


@pytest.mark.parametrize("corners", [True, False])
def test_affine_grid(corners):
    for theta, size in (
        (numbers(0, 2, 2, 3), (2, 1, 3, 4)),
        (numbers(0, 1, 3, 4), (1, 2, 2, 1, 3)),
    ):
        compare("affine_grid", [theta], {"size": size, "align_corners": corners})


LAYERS = [
    ("Conv1d", (4, 6, 3), {"groups": 2}),
    ("Conv2d", (3, 8, (5, 2)), {"padding": "same", "padding_mode": "reflect"}),
    ("Conv2d", (1, 6, 5), {"bias": False, "stride": 2, "dilation": (1, 2)}),
    ("Conv3d", (2, 3, 2), {"padding": 1, "padding_mode": "circular"}),
    ("ConvTranspose1d", (4, 6, 3), {"groups": 2, "output_padding": 1, "stride": 2}),
    ("ConvTranspose2d", (6, 4, (3, 2)), {"padding": 1}),
    ("ConvTranspose3d", (2, 3, 2), {"dilation": 2, "bias": False}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [0, 1234, -3])
@pytest.mark.parametrize(("name", "args", "options"), LAYERS)
def test_layers_start_with_the_very_weights_of_pytorch(name, args, options, seed, dtype):
    made = []
    for lib in (cp, torch):
        lib.manual_seed(seed)
        made.append(getattr(lib.nn, name)(*args, **options, dtype=getattr(lib, dtype)))
    mine, reference = made
    assert repr(mine) == repr(reference)
    assert list(mine.state_dict()) == list(reference.state_dict())
    for key, value in reference.state_dict().items():
        np.testing.assert_array_equal(mine.state_dict()[key].numpy(), value.numpy())
    d = int(name[-2])
    x = numbers(seed % 7, 2, args[0], *(9, 10, 5)[:d]).astype(dtype)
    close = 1e-10 if dtype == "float64" else 1e-5
    a, b = mine(cp.tensor(x)).detach().numpy(), reference(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(a, b, close, close)


PRINTED = [
    "MaxPool2d(2)", "MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True)", "MaxPool1d(3)",
    "MaxUnpool2d(2, stride=2)", "AvgPool1d(2)", "AvgPool2d((3, 2), 1, 1, True, False, 3)",
    "LPPool2d(2, 3)", "LPPool1d(1.5, 3)", "AdaptiveAvgPool2d((None, 5))", "AdaptiveMaxPool1d(4)",
    "Upsample(scale_factor=2)", "Upsample(size=(3, 4), mode='bilinear', align_corners=True)",
    "UpsamplingNearest2d(scale_factor=2)", "UpsamplingBilinear2d(size=4)", "PixelShuffle(2)",
    "PixelUnshuffle(3)", "ChannelShuffle(2)", "Unfold(3, padding=1)", "Fold((4, 5), (2, 2))",
    "ZeroPad2d((1, 2, 0, 3))", "ConstantPad1d((1, 2), 3.5)", "ReflectionPad2d(1)",
    "ReplicationPad3d(1)", "CircularPad1d(2)",
]  # fmt: skip


@pytest.mark.parametrize("source", PRINTED)
def test_layers_print_as_in_pytorch(source):
    mine, reference = (eval(f"nn.{source}", {"nn": lib.nn}) for lib in (cp, torch))
    assert repr(mine) == repr(reference)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("Conv2d(3, 4, 3, groups=2)", None), ("Conv2d(4, 3, 3, groups=2)", None),
        ("Conv2d(4, 4, 3, groups=0)", None), ("Conv2d(4, 4, 3, padding='foo')", None),
        ("Conv2d(4, 4, 3, padding='same', stride=2)", None),
        ("Conv2d(4, 4, 3, padding_mode='foo')", None),
        ("ConvTranspose2d(4, 4, 3, padding_mode='reflect')", None),
        ("ConvTranspose2d(4, 4, 3, 2, 1)", (12, 10)), ("ConvTranspose2d(4, 4, 3, 2, 1)", (12,)),
        ("ConvTranspose2d(4, 4, 3, 2, 1)", (10, 9)),
    ],
)  # fmt: skip
def test_layers_refuse_what_pytorch_refuses(source, size):
    found = []
    for lib in (cp, torch):
        try:
            layer = eval(f"nn.{source}", {"nn": lib.nn})
            found.append(tuple(layer(lib.zeros(1, 4, 5, 5), output_size=size).shape))
        except (ValueError, TypeError, RuntimeError) as error:
            found.append(type(error))
    assert found[0] == found[1] or issubclass(found[0], found[1])
