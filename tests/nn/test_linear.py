"""Linear and functional.linear: shapes, starting values, and errors that teach."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("lead", [(), (5,), (0,), (2, 3), (1, 1, 4)])
def test_linear_works_on_the_last_axis(lead):
    fc = nn.Linear(3, 2).double()
    x = np.random.default_rng(0).standard_normal((*lead, 3))
    y = fc(cp.tensor(x)).detach().numpy()
    assert y.shape == (*lead, 2)
    expected = x @ fc.weight.detach().numpy().T + fc.bias.detach().numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_a_vector_of_weights_gives_one_number_per_row():
    x, w = cp.tensor([[1.0, 2.0], [3.0, 4.0]]), cp.tensor([10.0, 1.0])
    assert F.linear(x, w).tolist() == [12, 34]
    assert F.linear(x, w, cp.tensor(0.5)).tolist() == [12.5, 34.5]


def test_without_bias_there_is_no_bias():
    fc = nn.Linear(3, 2, bias=False)
    assert fc.bias is None and list(fc.state_dict()) == ["weight"]


def test_the_type_can_be_chosen():
    assert nn.Linear(3, 2, dtype=cp.float64).weight.dtype is cp.float64


def test_starting_values_lie_within_one_over_the_root_of_the_inputs():
    fc = nn.Linear(400, 100)
    for p in fc.parameters():
        assert p.abs().max().item() <= 1 / 20
    assert fc.weight.abs().max().item() > 0.049


def test_a_layer_of_no_inputs_gives_its_bias():
    fc = nn.Linear(0, 2)
    assert fc(cp.zeros(3, 0)).shape == (3, 2) and fc.bias.tolist() == [0, 0]


def test_wrong_width_names_module_shapes_line_and_remedy():
    with pytest.raises(cp.errors.ShapeError) as error:
        Net()(cp.zeros(3, 6))
    text = str(error.value)
    for part in (
        "linear: mat1 and mat2 shapes cannot be multiplied (3x4 and 5x2)",
        "the layer has in_features=5, got 4; x is f32[3,4], weight is f32[2,5]",
        "make the layer Linear(4, 2), or give x 5 features",
        "in Net.body.2, at ",
        "test_linear.py:",
    ):
        assert part in text
    assert isinstance(error.value, RuntimeError)


@pytest.mark.parametrize(
    ("layer", "shape", "advice"),
    [
        ((64, 2), (3, 8, 8), r"nn.Flatten\(\) before the layer"),
        ((64, 2), (3, 1, 8, 8), r"nn.Flatten\(\) before the layer"),
        ((5, 2), (5, 3), r"x.transpose\(-1, -2\)"),
        ((1, 2), (9,), r"x.unsqueeze\(-1\)"),
        ((1, 2), (), r"in_features=1, got a 0-d tensor.*x.unsqueeze\(0\)"),
    ],
)
def test_wrong_width_guesses_what_was_meant(layer, shape, advice):
    with pytest.raises(RuntimeError, match=advice):
        nn.Linear(*layer)(cp.zeros(*shape))


def test_a_vector_of_weights_of_the_wrong_width():
    with pytest.raises(RuntimeError, match=r"\(2x3 and 4\).*give x 4 features"):
        F.linear(cp.zeros(2, 3), cp.zeros(4))


def test_mixed_types_are_refused():
    with pytest.raises(RuntimeError, match="same dtype"):
        nn.Linear(2, 1)(cp.zeros(1, 2, dtype=cp.float64))


def test_reset_parameters_draws_anew():
    fc = nn.Linear(3, 3)
    before = fc.weight.detach().clone()
    fc.reset_parameters()
    assert not cp.equal(before, fc.weight.detach()) and fc.weight.requires_grad


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], np.ones((1, 2), np.float32)], ids=["list", "array"])
def test_an_input_that_is_no_tensor_is_named(rows):
    with pytest.raises(TypeError, match=r"linear: argument must be Tensor, not .*clearprop.tensor"):
        nn.Linear(2, 1)(rows)


def test_another_type_than_the_weights_says_how_to_convert():
    layer = nn.Linear(2, 3)
    with pytest.raises(cp.errors.DtypeError, match=r"weight is f32\[3,2\].*model.to\(.*float64"):
        layer(cp.ones(1, 2, dtype=cp.float64))
    with pytest.raises(cp.errors.DtypeError, match=r"x is i64\[1,2\].*; convert it with x.to"):
        layer(cp.ones(1, 2, dtype=cp.int64))
