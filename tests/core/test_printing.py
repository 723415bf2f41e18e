"""What a tensor looks like when it is printed."""

import pytest

import clearprop as cp


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: cp.tensor(1), "tensor(1)"),
        (lambda: cp.tensor(1.5), "tensor(1.5000)"),
        (lambda: cp.tensor(2.0), "tensor(2.)"),
        (lambda: cp.tensor(True), "tensor(True)"),
        (lambda: cp.tensor([1, 20]), "tensor([ 1, 20])"),
        (lambda: cp.tensor([1.0, -2.5]), "tensor([ 1.0000, -2.5000])"),
        (lambda: cp.tensor([True, False]), "tensor([ True, False])"),
        (lambda: cp.tensor([0.0, -0.0]), "tensor([0., -0.])"),
        (lambda: cp.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: cp.tensor([1e9]), "tensor([1.0000e+09])"),
        (lambda: cp.tensor([1.0, float("nan")]), "tensor([1., nan])"),
        (lambda: cp.tensor([1.5, float("-inf")]), "tensor([1.5000,   -inf])"),
        (lambda: cp.tensor([]), "tensor([])"),
        (lambda: cp.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda: cp.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: cp.tensor([1], dtype=cp.int8), "tensor([1], dtype=clearprop.int8)"),
        (
            lambda: cp.tensor([1.0], dtype=cp.float64),
            "tensor([1.], dtype=clearprop.float64)",
        ),
        (lambda: cp.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (
            lambda: cp.tensor([1.0], requires_grad=True) * 2,
            "tensor([2.], grad_fn=<MulBackward>)",
        ),
        (
            lambda: cp.nn.Parameter(cp.tensor([1.0])),
            "Parameter containing:\ntensor([1.], requires_grad=True)",
        ),
    ],
)
def test_repr(make, text):
    assert repr(make()) == text


def test_a_short_printed_tensor_can_be_read_back():
    x = cp.tensor([[1.5, 2.25], [-3.0, 0.0]])
    assert cp.equal(eval(repr(x), {"tensor": cp.tensor}), x)


def test_a_long_tensor_shows_its_corners():
    assert repr(cp.arange(1001)) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert "..." not in repr(cp.arange(1000))
    rows = repr(cp.zeros(40, 40)).splitlines()
    assert len(rows) == 7 and rows[3].strip() == "...,"
    assert rows[0] == "tensor([[0., 0., 0.,  ..., 0., 0., 0.],"


def test_lines_stay_within_the_width():
    assert max(map(len, repr(cp.rand(100)).splitlines())) <= 82


def test_extras_go_to_a_line_of_their_own_when_the_last_is_full():
    text = repr(cp.ones(9, dtype=cp.float64) * 1.25)
    assert text.splitlines()[-1] == "       dtype=clearprop.float64)"


@pytest.mark.parametrize(
    ("x", "spec", "text"),
    [(1.23456, ".2f", "1.23"), (3, "d", "3"), (1.5, "", "tensor(1.5000)")],
)
def test_a_0d_tensor_formats_as_its_number(x, spec, text):
    assert format(cp.tensor(x), spec) == text


def test_a_dtype_prints_with_its_package_and_an_aval_briefly():
    assert repr(cp.float32) == "clearprop.float32"
    assert repr(cp.zeros(2, 3).aval) == "f32[2,3]"
