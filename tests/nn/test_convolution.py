"""Convolutions, pooling and resampling against their formulas: correlation, loops, counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import signal

import clearprop as cp
from clearprop import nn

F = nn.functional


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def by_loops(x, w, stride, padding, dilation, groups):
    """The definition of a convolution with one axis of space."""
    n, _, size = x.shape
    out, per, kernel = w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding)))
    places = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    y = np.zeros((n, out, places))
    for o, i, k, t in itertools.product(range(out), range(per), range(kernel), range(places)):
        channel = o // (out // groups) * per + i
        y[:, o, t] += w[o, i, k] * x[:, channel, t * stride + k * dilation]
    return y


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 3, 2, 1), (2, 0, 1, 2)],
)
def test_conv1d_is_its_sum(stride, padding, dilation, groups):
    x, w = numbers(3, 4, 9), numbers(6, 4 // groups, 3, seed=1)
    y = F.conv1d(cp.tensor(x), cp.tensor(w), None, stride, padding, dilation, groups)
    wanted = by_loops(x, w, stride, padding, dilation, groups)
    np.testing.assert_allclose(y.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_convolution_is_correlation_over_channels(d):
    size, kernel = (6, 7, 5)[:d], (3, 2, 3)[:d]
    x, w, b = numbers(2, 3, *size), numbers(4, 3, *kernel, seed=1), numbers(4, seed=2)
    y = getattr(F, f"conv{d}d")(cp.tensor(x), cp.tensor(w), cp.tensor(b))
    wanted = [
        [
            sum(signal.correlate(x[n, c], w[o, c], "valid") for c in range(3)) + b[o]
            for o in range(4)
        ]
        for n in range(2)
    ]
    np.testing.assert_allclose(y.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_transposed_convolution_is_full_convolution(d):
    size, kernel = (4, 5, 3)[:d], (3, 2, 2)[:d]
    x, w = numbers(2, 3, *size), numbers(3, 2, *kernel, seed=1)
    y = getattr(F, f"conv_transpose{d}d")(cp.tensor(x), cp.tensor(w))
    wanted = [
        [sum(signal.convolve(x[n, c], w[c, o]) for c in range(3)) for o in range(2)]
        for n in range(2)
    ]
    np.testing.assert_allclose(y.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"stride": 3, "padding": 1}, {"dilation": 2}, {"padding": 2, "groups": 2}],
)
def test_transposed_convolution_is_the_adjoint(options):
    """<conv(x), y> = <x, conv_transpose(y)>."""
    groups = options.get("groups", 1)
    w = cp.tensor(numbers(6, 4 // groups, 3, 2))
    x = cp.tensor(numbers(2, 4, 9, 8, seed=1))
    y = F.conv2d(x, w, **options)
    g = cp.tensor(numbers(*y.shape, seed=2))
    layer = nn.ConvTranspose2d(6, 4, (3, 2), bias=False, dtype=cp.float64, **options)
    with cp.no_grad():
        layer.weight.copy_(w)
    back = layer(g, output_size=x.shape[2:])
    assert back.shape == x.shape
    assert abs((y * g).sum().item() - (x * back).sum().item()) < 1e-10


def test_same_padding_puts_the_odd_zero_last():
    x, w = cp.tensor([[[1.0, 2.0, 3.0]]]), cp.tensor([[[1.0, 10.0]]])
    assert F.conv1d(x, w, padding="same").tolist() == [[[21.0, 32.0, 3.0]]]
    assert F.conv1d(x, w, padding="valid").tolist() == [[[21.0, 32.0]]]


def test_depth_by_depth_and_pointwise():
    x = numbers(2, 3, 5, 5)
    w = numbers(3, 1, 3, 3, seed=1)
    y = F.conv2d(cp.tensor(x), cp.tensor(w), groups=3).numpy()
    for c in range(3):
        np.testing.assert_allclose(y[1, c], signal.correlate(x[1, c], w[c, 0], "valid"))
    p = numbers(4, 3, 1, 1, seed=2)
    np.testing.assert_allclose(
        F.conv2d(cp.tensor(x), cp.tensor(p)).numpy(),
        np.einsum("nchw,oc->nohw", x, p[..., 0, 0]),
        atol=1e-12,
    )


def test_memory_order_of_the_input_does_not_matter():
    x, w = numbers(2, 6, 7, 3), numbers(4, 3, 3, 2, seed=1)
    turned = cp.tensor(x).permute(0, 3, 1, 2)
    kept = cp.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    a, b = (F.conv2d(t, cp.tensor(w), padding=1).numpy() for t in (turned, kept))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_modes_of_a_layer(mode):
    x = numbers(1, 2, 6, 5)
    layer = nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode=mode, dtype=cp.float64)
    named = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)), named[mode])
    wanted = F.conv2d(cp.tensor(wide), layer.weight, layer.bias)
    np.testing.assert_allclose(layer(cp.tensor(x)).detach().numpy(), wanted.detach().numpy())


def test_a_wrong_number_of_channels_says_what_to_do():
    with pytest.raises(RuntimeError, match="to have 3 channels, but got 8") as error:
        nn.Conv2d(3, 4, 3)(cp.zeros(2, 8, 8, 3))
    assert "movedim(-1, 1)" in str(error.value) and "test_convolution.py" in str(error.value)


# ---------------------------------------------------------------------- pooling
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (3, 2), (4, 3), (8, 1)])
def test_pooling_is_what_loops_find(kernel, stride):
    x = numbers(2, 3, 9, 11)
    rows, columns = ((n - kernel) // stride + 1 for n in x.shape[2:])
    y, where = F.max_pool2d(cp.tensor(x), kernel, stride, return_indices=True)
    mean = F.avg_pool2d(cp.tensor(x), kernel, stride)
    for i, j in itertools.product(range(rows), range(columns)):
        a, b = i * stride, j * stride
        window = x[:, :, a : a + kernel, b : b + kernel].reshape(2, 3, -1)
        np.testing.assert_array_equal(y.numpy()[:, :, i, j], window.max(-1))
        np.testing.assert_allclose(mean.numpy()[:, :, i, j], window.mean(-1), atol=1e-12)
    flat = x.reshape(2, 3, -1)
    found = np.take_along_axis(flat, where.numpy().reshape(2, 3, -1), -1)
    np.testing.assert_array_equal(found.reshape(y.shape), y.numpy())


def test_max_pool_gives_the_gradient_to_the_first_of_equals():
    x = cp.zeros(1, 1, 4, 4, requires_grad=True)
    F.max_pool2d(x, 2).sum().backward()
    wanted = np.zeros((4, 4))
    wanted[::2, ::2] = 1
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], wanted)


def test_max_pool_of_nan_and_minus_infinity():
    x = cp.tensor([[1.0, np.nan, 2.0, -np.inf, -np.inf]])
    y, where = F.max_pool1d(x, 2, 1, 1, return_indices=True)
    np.testing.assert_array_equal(y.numpy()[0], [1, np.nan, np.nan, 2, -np.inf, -np.inf])
    assert where.tolist() == [[0, 1, 1, 2, 3, 4]]


def test_zeros_of_the_padding_count_unless_told_otherwise():
    x = cp.ones(1, 1, 4)
    assert F.avg_pool1d(x, 2, 2, 1).tolist() == [[[0.5, 1.0, 0.5]]]
    assert F.avg_pool1d(x, 2, 2, 1, count_include_pad=False).tolist() == [[[1.0, 1.0, 1.0]]]
    assert F.avg_pool2d(x[:, :, None], (1, 2), divisor_override=4).tolist() == [[[[0.5, 0.5]]]]


@pytest.mark.parametrize(("n", "t"), [(7, 3), (6, 3), (5, 5), (3, 7), (10, 4)])
def test_adaptive_windows_cover_the_input(n, t):
    x = numbers(2, 3, n)
    largest, where = F.adaptive_max_pool1d(cp.tensor(x), t, return_indices=True)
    mean = F.adaptive_avg_pool1d(cp.tensor(x), t)
    for i in range(t):
        window = x[:, :, i * n // t : -(-(i + 1) * n // t)]
        np.testing.assert_array_equal(largest.numpy()[:, :, i], window.max(-1))
        np.testing.assert_allclose(mean.numpy()[:, :, i], window.mean(-1), atol=1e-12)
    np.testing.assert_array_equal(np.take_along_axis(x, where.numpy(), -1), largest.numpy())


def test_unpooling_undoes_pooling_at_the_winners():
    x = numbers(2, 3, 6, 6)
    y, where = F.max_pool2d(cp.tensor(x), 2, return_indices=True)
    back = F.max_unpool2d(y, where, 2)
    again = F.max_pool2d(back.abs(), 2)
    np.testing.assert_array_equal(again.numpy(), np.abs(y.numpy()))
    assert int((back != 0).sum()) == y.numel()


# ---------------------------------------------------------------------- windows, padding, sizes
def test_unfolded_images_make_a_convolution_of_a_product():
    x, w = numbers(2, 3, 6, 7), numbers(4, 3, 3, 2, seed=1)
    columns = F.unfold(cp.tensor(x), (3, 2), padding=1, stride=2)
    y = cp.tensor(w.reshape(4, -1)) @ columns
    wanted = F.conv2d(cp.tensor(x), cp.tensor(w), padding=1, stride=2)
    np.testing.assert_allclose(y.numpy(), wanted.numpy().reshape(2, 4, -1), atol=1e-12)


def test_fold_of_unfold_counts_the_windows_of_each_element():
    ones = cp.ones(1, 1, 5, 6, dtype=cp.float64)
    counts = F.fold(F.unfold(ones, 3), (5, 6), 3).numpy()[0, 0]
    line = [np.convolve(np.ones(n - 2), np.ones(3)) for n in (5, 6)]
    np.testing.assert_array_equal(counts, np.outer(*line))


def test_windows_are_a_view():
    x = cp.arange(6.0)
    y = x.unfold(0, 2, 2)
    y[1, 0] = 9
    assert x.tolist() == [0, 1, 9, 3, 4, 5]
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        x.unfold(0, 3, 1).add_(1)


@pytest.mark.parametrize(
    ("mode", "name"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
)
def test_pad_is_numpys(mode, name):
    x = numbers(2, 3, 4, 5)
    y = F.pad(cp.tensor(x), (2, 1, 3, 0), mode=mode)
    np.testing.assert_array_equal(y.numpy(), np.pad(x, ((0, 0), (0, 0), (3, 0), (2, 1)), name))
    y = F.pad(cp.tensor(x), (1, -2), value=7.0)
    wanted = np.pad(x[..., :3], ((0, 0), (0, 0), (0, 0), (1, 0)), constant_values=7)
    np.testing.assert_array_equal(y.numpy(), wanted)


def test_lines_are_kept_by_linear_interpolation():
    line = np.linspace(-1.0, 1.0, 5)
    x = cp.tensor(np.add.outer(line, 3 * line)[None, None])
    y = F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True)
    wanted = np.add.outer(np.linspace(-1, 1, 9), 3 * np.linspace(-1, 1, 7))
    np.testing.assert_allclose(y.numpy()[0, 0], wanted, atol=1e-12)


def test_cubic_interpolation_keeps_constants_and_nodes():
    x = numbers(1, 1, 5, 5)
    y = F.interpolate(cp.tensor(x), size=(9, 9), mode="bicubic", align_corners=True).numpy()
    np.testing.assert_allclose(y[..., ::2, ::2], x, atol=1e-12)
    ones = F.interpolate(cp.ones(1, 1, 4, 4), scale_factor=2.5, mode="bicubic")
    np.testing.assert_allclose(ones.numpy(), 1, atol=1e-5)


def test_nearest_repeats_and_antialias_averages():
    x = numbers(1, 2, 4, 4)
    y = F.interpolate(cp.tensor(x), scale_factor=3)
    np.testing.assert_array_equal(y.numpy(), x.repeat(3, 2).repeat(3, 3))
    smooth = F.interpolate(cp.tensor(x), size=(2, 2), mode="bilinear", antialias=True).numpy()
    # the first place: centre 1, triangle of width 4 over elements 0 to 2, weights 3, 3, 1
    row = np.array([3, 3, 1]) / 7
    np.testing.assert_allclose(smooth[0, 0, 0, 0], row @ x[0, 0, :3, :3] @ row, atol=1e-12)


def test_infinite_elements_stay_among_their_neighbours():
    x = np.zeros((1, 1, 6))
    x[..., 0] = np.inf
    y = F.interpolate(cp.tensor(x), size=12, mode="linear").numpy()[0, 0]
    assert np.isfinite(y[3:]).all() and np.isinf(y[:3]).all()


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_a_grid_of_the_centres_gives_the_image_back(mode):
    x = cp.tensor(numbers(2, 3, 4, 5))
    theta = cp.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2, dtype=cp.float64)

    def turned(x, theta):
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return F.grid_sample(x, grid, mode, align_corners=False)

    np.testing.assert_allclose(turned(x, theta).numpy(), x.numpy(), atol=1e-9)
    sheared = theta + 0.3
    compiled = cp.compile(turned)(x, sheared)
    np.testing.assert_allclose(compiled.numpy(), turned(x, sheared).numpy(), atol=1e-12)


# ---------------------------------------------------------------------- initial values
@pytest.mark.parametrize(
    ("layer", "fan"),
    [
        (lambda: nn.Conv1d(4, 6, 3, groups=2), 2 * 3),
        (lambda: nn.Conv2d(3, 8, (5, 2)), 3 * 10),
        (lambda: nn.ConvTranspose2d(6, 4, 3, groups=2), 2 * 9),
    ],
)
def test_initial_weights_are_uniform_up_to_the_bound(layer, fan):
    made = layer()
    bound = 1 / np.sqrt(fan)
    for p in made.parameters():
        assert np.abs(p.detach().numpy()).max() <= bound
    assert np.abs(made.weight.detach().numpy()).max() > 0.9 * bound


def test_keys_and_shapes_of_weights():
    shapes = {k: tuple(v.shape) for k, v in nn.Conv2d(4, 6, (3, 5), groups=2).state_dict().items()}
    assert shapes == {"weight": (6, 2, 3, 5), "bias": (6,)}
    layer = nn.ConvTranspose1d(4, 6, 3, groups=2, bias=False)
    assert [*layer.state_dict()] == ["weight"] and layer.weight.shape == (4, 3, 3)
