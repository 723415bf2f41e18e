"""Losses: reductions, shapes, stability, and mistakes that are told. Their numbers are compared
with PyTorch's in tests/oracle, their gradients in tests/contract.
"""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn import functional as F

LOGITS = cp.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]], dtype=cp.float64)
CLASSES = cp.tensor([0, 2])
REGRESSION = ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"]


# ---------------------------------------------------------------------- reductions
@pytest.mark.parametrize("name", [*REGRESSION, "BCEWithLogitsLoss"])
def test_mean_and_sum_are_those_of_the_elements(name):
    x, y = cp.randn(4, 3), cp.rand(4, 3)
    loss = getattr(nn, name)
    elements = loss(reduction="none")(x, y)
    assert elements.shape == (4, 3)
    np.testing.assert_allclose(loss()(x, y).item(), elements.numpy().mean(), rtol=1e-6)
    np.testing.assert_allclose(loss(reduction="sum")(x, y).item(), elements.numpy().sum(), 1e-6)


@pytest.mark.parametrize("name", [n for n in nn.__all__ if n.endswith("Loss")])
def test_an_unknown_reduction_is_refused(name):
    x = cp.rand(2, 3)
    target = CLASSES if name in ("CrossEntropyLoss", "NLLLoss", "MultiMarginLoss") else x
    if name == "MultiLabelMarginLoss":
        target = cp.tensor([[0, -1, 1], [2, 1, 0]])
    third = {"CosineEmbeddingLoss": [x[:, 0]], "MarginRankingLoss": [x], "GaussianNLLLoss": [x]}
    more = [x] if name.startswith("Triplet") else third.get(name, [])
    with pytest.raises(ValueError, match="average is not a valid value for reduction; use 'none'"):
        getattr(nn, name)(reduction="average")(x, target, *more)


@pytest.mark.parametrize("name", ["MSELoss", "CrossEntropyLoss", "BCEWithLogitsLoss"])
def test_options_are_given_by_name(name):
    # PyTorch has two old options before them; by position they would mean something else there
    with pytest.raises(TypeError, match="positional argument"):
        getattr(nn, name)(None, "sum")


def test_weighted_mean_divides_by_the_weights_of_the_targets():
    w = cp.tensor([1.0, 5.0, 3.0], dtype=cp.float64)
    each = F.cross_entropy(LOGITS, CLASSES, reduction="none").numpy()
    expected = (1 * each[0] + 3 * each[1]) / 4
    np.testing.assert_allclose(F.cross_entropy(LOGITS, CLASSES, w).item(), expected, rtol=1e-12)
    # probabilities as targets: by the number of rows
    hot = F.one_hot(CLASSES, 3).double()
    expected = (1 * each[0] + 3 * each[1]) / 2
    np.testing.assert_allclose(F.cross_entropy(LOGITS, hot, w).item(), expected, rtol=1e-12)


def test_ignored_targets_do_not_count_and_get_no_gradient():
    x = LOGITS.clone().requires_grad_()
    loss = F.cross_entropy(x, cp.tensor([0, -100]))
    loss.backward()
    assert loss.item() == F.cross_entropy(LOGITS[:1], CLASSES[:1]).item()
    assert x.grad[1].tolist() == [0, 0, 0]
    assert np.isnan(F.cross_entropy(LOGITS, cp.tensor([-100, -100])).item())
    assert F.cross_entropy(LOGITS, cp.tensor([1, 1]), ignore_index=1, reduction="sum").item() == 0


def test_losses_of_an_empty_batch():
    empty = cp.zeros(0, 3)
    assert np.isnan(F.cross_entropy(empty, cp.zeros(0, dtype=cp.int64)).item())
    assert np.isnan(F.cross_entropy(empty, empty).item())
    assert np.isnan(F.mse_loss(empty, empty).item())
    assert F.mse_loss(empty, empty, reduction="sum").item() == 0


# ---------------------------------------------------------------------- relations
def test_cross_entropy_is_nll_of_log_softmax():
    a = F.cross_entropy(LOGITS, CLASSES)
    b = F.nll_loss(F.log_softmax(LOGITS, 1), CLASSES)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-14)


def test_smoothed_labels_are_smoothed_probabilities():
    smooth = 0.9 * F.one_hot(CLASSES, 3).double() + 0.1 / 3
    a = F.cross_entropy(LOGITS, CLASSES, label_smoothing=0.1)
    np.testing.assert_allclose(a.item(), F.cross_entropy(LOGITS, smooth).item(), rtol=1e-12)


def test_binary_cross_entropy_of_logits_is_that_of_their_sigmoid():
    y = cp.rand(2, 3, dtype=cp.float64)
    a = F.binary_cross_entropy_with_logits(LOGITS, y)
    b = F.binary_cross_entropy(cp.sigmoid(LOGITS), y)
    np.testing.assert_allclose(a.item(), b.item(), rtol=1e-12)


def test_huber_is_delta_times_smooth_l1():
    x, y = cp.randn(50) * 3, cp.zeros(50)
    a, b = F.huber_loss(x, y, delta=0.7), F.smooth_l1_loss(x, y, beta=0.7)
    np.testing.assert_allclose(a.item(), 0.7 * b.item(), rtol=1e-6)


def test_divergence_of_a_distribution_from_itself_is_zero():
    p = F.softmax(LOGITS, 1)
    np.testing.assert_allclose(F.kl_div(p.log(), p, reduction="batchmean").item(), 0, atol=1e-15)
    with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size") as seen:
        F.kl_div(p.log(), p)
    assert seen[0].filename == __file__


# ---------------------------------------------------------------------- stability
def test_losses_of_logits_are_exact_at_any_size():
    x = cp.tensor([[1000.0, -1000.0]], requires_grad=True)
    loss = F.cross_entropy(x, cp.tensor([1]))
    loss.backward()
    assert loss.item() == 2000 and x.grad.tolist() == [[1, -1]]
    z = cp.tensor([1000.0, -1000.0, 1000.0, -1000.0], requires_grad=True)
    each = F.binary_cross_entropy_with_logits(z, cp.tensor([0.0, 1, 1, 0]), reduction="none")
    each.sum().backward()
    assert each.tolist() == [1000, 1000, 0, 0] and z.grad.tolist() == [1, -1, 0, 0]


def test_binary_cross_entropy_at_the_ends_is_limited():
    p = cp.tensor([0.0, 1.0, 0.0, 1.0], dtype=cp.float64, requires_grad=True)
    each = F.binary_cross_entropy(p, cp.tensor([1.0, 0, 0, 1]).double(), reduction="none")
    each.sum().backward()
    assert each.tolist() == [100, 100, 0, 0]
    np.testing.assert_allclose(p.grad.numpy(), [-1e12, 1e12, 0, 0], rtol=1e-7)


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize("name", REGRESSION)
@pytest.mark.parametrize(("x", "y"), [((5, 1), (5,)), ((5,), (5, 1)), ((1,), (1, 1)), ((), (1,))])
def test_as_many_elements_in_another_shape_is_an_error(name, x, y):
    with pytest.raises(cp.errors.ShapeError, match=r"output.squeeze\(-1\), or target.unsqueeze"):
        getattr(nn, name)()(cp.zeros(*x) if x else cp.tensor(0.0), cp.zeros(*y))


@pytest.mark.parametrize("name", REGRESSION)
def test_another_shape_that_broadcasts_is_a_warning(name):
    with pytest.warns(UserWarning, match=r"Using a target size \(\[1, 3\]\) that is diff") as seen:
        loss = getattr(nn, name)()(cp.zeros(4, 3), cp.zeros(1, 3))
    assert loss.item() == 0 and seen[0].filename == __file__
    with pytest.raises(RuntimeError, match=r"The size of tensor a \(3\) must match"):
        getattr(nn, name)()(cp.zeros(4, 3), cp.zeros(4, 2))


def test_a_loss_of_whole_numbers_is_refused():
    with pytest.raises(NotImplementedError, match="not implemented for i64"):
        F.mse_loss(CLASSES, CLASSES)


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (cp.tensor([0, 3]), IndexError, "Target 3 is out of bounds. There are 3 classes: 0 to 2"),
        (cp.tensor([-1, 0]), IndexError, "Target -1 is out of bounds"),
        (cp.tensor([0, 1], dtype=cp.int32), RuntimeError, r"Long.*i32\[2\].*target.long\(\)"),
        (cp.tensor([0.0, 1.0]), RuntimeError, "expected scalar type Long.*probabilities as targ"),
        (cp.tensor([[0], [1]]), RuntimeError, r"multi-target not supported.*target.squeeze\(1\)"),
        (cp.tensor([[0, 1]] * 2), RuntimeError, r"multi-target not.*target.argmax\(1\) if one-hot"),
        (cp.tensor([0, 1, 2]), ValueError, r"batch_size \(2\) to match target batch_size \(3\)"),
        (cp.tensor(0), ValueError, r"batch_size \(2\) to match target batch_size \(1\)"),
    ],
)
def test_targets_that_do_not_fit_are_told(name, target, error, message):
    with pytest.raises(error, match=message):
        getattr(nn, name)()(LOGITS, target)


def test_targets_with_more_axes_that_do_not_fit():
    with pytest.raises(RuntimeError, match=r"Expected target size \[2, 4\], got \[2, 3\]"):
        F.cross_entropy(cp.zeros(2, 3, 4), cp.zeros(2, 3, dtype=cp.int64))


def test_whole_numbers_are_no_probabilities():
    with pytest.raises(RuntimeError, match="Expected floating point type for target with class pr"):
        F.cross_entropy(LOGITS, F.one_hot(CLASSES, 3))


def test_other_options_that_make_no_sense_are_refused():
    with pytest.raises(RuntimeError, match=r"either for all 3 classes.*of shape: \[2\]"):
        F.cross_entropy(LOGITS, CLASSES, cp.ones(2))
    with pytest.raises(RuntimeError, match=r"label_smoothing must be between 0.0 and 1.0. Got: 2"):
        F.cross_entropy(LOGITS, CLASSES, label_smoothing=2)
    with pytest.raises(RuntimeError, match="does not support negative values for beta"):
        F.smooth_l1_loss(LOGITS, LOGITS, beta=-1)
    with pytest.raises(RuntimeError, match="does not support non-positive values for delta"):
        F.huber_loss(LOGITS, LOGITS, delta=0)
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        F.mse_loss(LOGITS, LOGITS, weight=cp.ones(3))
    with pytest.raises(RuntimeError, match="scores of all classes wanted"):
        F.cross_entropy(cp.tensor(1.0), cp.tensor(0))


def test_probabilities_and_logits_are_told_apart():
    with pytest.raises(RuntimeError, match="should be between 0 and 1; these look like logits: us"):
        F.binary_cross_entropy(LOGITS, LOGITS)
    with pytest.raises(ValueError, match=r"Using a target size \(\[2\]\) that is different"):
        F.binary_cross_entropy(cp.rand(2, 1), cp.rand(2))
    with pytest.raises(ValueError, match=r"Target size \(\[2\]\) must be the same as input size"):
        F.binary_cross_entropy_with_logits(cp.rand(2, 1), cp.rand(2))


def test_an_error_inside_a_loss_module_names_it_and_the_line():
    with pytest.raises(IndexError, match=r"\(in CrossEntropyLoss, at .*test_losses.py:\d+\)"):
        nn.CrossEntropyLoss()(LOGITS, cp.tensor([0, 9]))


# ---------------------------------------------------------------------- state
def test_weights_are_buffers_and_change_type_with_the_module():
    loss = nn.BCEWithLogitsLoss(cp.ones(3), pos_weight=cp.ones(3))
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    assert loss.double().pos_weight.dtype is cp.float64
    assert list(nn.CrossEntropyLoss().state_dict()) == []
