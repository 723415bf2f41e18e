"""Parametrizations, and what is made of them: values, gradients, keys, copies, removal, compiled
steps.
"""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.nn.utils import parametrizations as ready
from clearprop.nn.utils import parametrize as P


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T

    def right_inverse(self, x):
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


class Product(nn.Module):
    """A matrix of rank one from two vectors."""

    def forward(self, a, b):
        return a.unsqueeze(1) * b.unsqueeze(0)

    def right_inverse(self, x):
        return x[:, 0].clone(), x[0].clone()


def layer():
    cp.manual_seed(0)
    return nn.Linear(3, 3).double()


MAKES = {
    "symmetric": lambda m: P.register_parametrization(m, "weight", Symmetric()),
    "two": lambda m: P.register_parametrization(
        P.register_parametrization(m, "weight", Symmetric()), "weight", Doubled()
    ),
    "product": lambda m: P.register_parametrization(m, "weight", Product()),
    "weight_norm": ready.weight_norm,
    "weight_norm, one length": lambda m: ready.weight_norm(m, dim=None),
    "weight_norm, columns": lambda m: ready.weight_norm(m, dim=1),
    "spectral_norm": ready.spectral_norm,
    "orthogonal": ready.orthogonal,
    "cayley": lambda m: ready.orthogonal(m, orthogonal_map="cayley"),
    "householder": lambda m: ready.orthogonal(
        m, orthogonal_map="householder", use_trivialization=False
    ),
    "old weight_norm": nn.utils.weight_norm,
    "old spectral_norm": nn.utils.spectral_norm,
}
NEW = [name for name in MAKES if not name.startswith("old")]


def test_the_weight_follows_its_original():
    m = MAKES["two"](layer())
    m.parametrizations.weight.original.data.copy_(cp.arange(9).reshape(3, 3).double())
    assert m.weight.tolist() == [[0, 2, 4], [2, 8, 10], [4, 10, 16]]
    x = cp.rand(2, 3, dtype=cp.float64)
    np.testing.assert_allclose(
        m(x).detach().numpy(), x.numpy() @ m.weight.detach().numpy().T + m.bias.detach().numpy()
    )
    m(x).sum().backward()
    assert m.parametrizations.weight.original.grad.shape == (3, 3)


def test_keys_and_printed_form():
    m = MAKES["two"](layer())
    assert list(m.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert repr(m).startswith("ParametrizedLinear(\n  in_features=3, out_features=3, bias=True\n")
    m = MAKES["product"](layer())
    assert list(m.state_dict())[1:] == [f"parametrizations.weight.original{i}" for i in (0, 1)]
    assert P.type_before_parametrizations(m) is nn.Linear
    assert isinstance(m, nn.Linear)


def test_a_trained_parameter_stays_the_same_object():
    m = layer()
    weight = m.weight
    MAKES["symmetric"](m)
    assert m.parametrizations.weight.original is weight
    P.remove_parametrizations(m, "weight")
    assert m.weight is weight


def test_assignment_goes_through_right_inverse():
    m = MAKES["symmetric"](layer())
    value = cp.tensor([[1.0, 2, 3], [2, 4, 5], [3, 5, 6]], dtype=cp.float64)
    m.weight = value
    assert m.weight.tolist() == value.tolist()
    assert m.parametrizations.weight.original.tolist() == value.triu().tolist()
    m.weight = nn.Parameter(value * 2)
    assert m.weight.tolist() == (value * 2).tolist()
    with pytest.raises(RuntimeError, match="Doubled does not implement right_inverse"):
        P.register_parametrization(layer(), "weight", Doubled()).weight = value


def test_a_buffer_can_be_parametrized():
    m = nn.BatchNorm1d(2)
    P.register_parametrization(m, "running_mean", Doubled())
    m.parametrizations.running_mean.original.fill_(3.0)
    assert m.running_mean.tolist() == [6.0, 6.0]


@pytest.mark.parametrize("name", NEW)
def test_removal_leaves_the_value(name):
    m = MAKES[name](layer()).eval()
    value = m.weight.tolist()
    P.remove_parametrizations(m, "weight")
    assert type(m) is nn.Linear
    assert sorted(m.state_dict()) == ["bias", "weight"]
    assert m.weight.tolist() == value and m.weight.requires_grad
    assert not P.is_parametrized(m)


def test_removal_can_leave_the_original():
    m = MAKES["symmetric"](layer())
    original = m.parametrizations.weight.original.tolist()
    P.remove_parametrizations(m, "weight", leave_parametrized=False)
    assert m.weight.tolist() == original
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        P.remove_parametrizations(MAKES["product"](layer()), "weight", leave_parametrized=False)


def test_several_tensors_of_one_module():
    m = MAKES["symmetric"](layer())
    P.register_parametrization(m, "bias", Doubled())
    assert P.is_parametrized(m, "bias") and P.is_parametrized(m, "weight")
    P.remove_parametrizations(m, "weight")
    assert P.is_parametrized(m) and not P.is_parametrized(m, "weight")
    P.remove_parametrizations(m, "bias")
    assert type(m) is nn.Linear


def test_cached_computes_once():
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(0)
            return x * 1

    m = P.register_parametrization(layer(), "weight", Counting(), unsafe=True)
    with P.cached():
        assert m.weight is m.weight
        with P.cached():
            m(cp.rand(1, 3, dtype=cp.float64))
    assert len(calls) == 1
    assert m.weight is not m.weight


@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_on_their_own(name, copied):
    m = MAKES[name](layer()).eval()
    other = copied(m)
    assert other.weight.tolist() == m.weight.tolist()
    assert type(other) is not type(m)
    with cp.no_grad():
        for p in other.parameters():
            p.mul_(-1.5)
    assert other.bias.tolist() != m.bias.tolist()
    if name in NEW:
        P.remove_parametrizations(other, "weight")
        assert P.is_parametrized(m, "weight")


@pytest.mark.parametrize("name", MAKES)
def test_state_dict_goes_to_another_module(name):
    m = MAKES[name](layer()).eval()
    other = MAKES[name](nn.Linear(3, 3).double()).eval()
    other.load_state_dict(m.state_dict())
    assert other.weight.tolist() == m.weight.tolist()


@pytest.mark.parametrize("name", MAKES)
def test_a_compiled_training_step_does_what_the_eager_one_does(name):
    x = cp.rand(4, 3, dtype=cp.float64)
    found = []
    for compiled in (False, True):
        cp.manual_seed(1)
        m = MAKES[name](layer())
        optimizer = cp.optim.SGD(m.parameters(), lr=0.1)

        def step(x, m=m, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (m(x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = cp.compile(step) if compiled else step
        losses = [run(x).item() for _ in range(4)]
        found.append(losses + m.eval().weight.flatten().tolist())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)
    assert found[0][0] != found[0][3]


def test_weight_norm_separates_length_and_direction():
    m = layer()
    w = m.weight.detach().numpy().copy()
    ready.weight_norm(m)
    np.testing.assert_allclose(m.weight.detach().numpy(), w, rtol=1e-12)
    g, v = m.parametrizations.weight.original0, m.parametrizations.weight.original1
    np.testing.assert_allclose(g.detach().numpy()[:, 0], np.linalg.norm(w, axis=1))
    v.data.mul_(7.0)
    np.testing.assert_allclose(m.weight.detach().numpy(), w, rtol=1e-12)
    g.data.mul_(2.0)
    np.testing.assert_allclose(m.weight.detach().numpy(), 2 * w, rtol=1e-12)


def test_weight_norm_reads_the_keys_of_the_old_form():
    old = nn.utils.weight_norm(layer())
    new = ready.weight_norm(nn.Linear(3, 3).double())
    new.load_state_dict(old.state_dict())
    np.testing.assert_allclose(new.weight.detach().numpy(), old.weight.detach().numpy())


@pytest.mark.parametrize("norm", [ready.spectral_norm, nn.utils.spectral_norm])
def test_spectral_norm_finds_the_largest_singular_value(norm):
    m = norm(layer(), n_power_iterations=30)
    x = cp.rand(2, 3, dtype=cp.float64)
    m(x)
    assert np.linalg.svd(m.eval().weight.detach().numpy())[1][0] == pytest.approx(1, abs=1e-6)
    quiet = m.weight.tolist()
    m(x)
    assert m.weight.tolist() == quiet  # no iteration in evaluation


@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (3, 5)])
@pytest.mark.parametrize("name", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal_matrices_stay_orthogonal(shape, name, trivial):
    m = nn.Linear(*shape[::-1]).double()
    ready.orthogonal(m, orthogonal_map=name, use_trivialization=trivial)
    optimizer = cp.optim.SGD(m.parameters(), lr=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        (m(cp.ones(2, shape[1], dtype=cp.float64)) ** 3).sum().backward()
        optimizer.step()
        q = m.weight.detach().numpy()
        q = q if shape[0] >= shape[1] else q.T
        np.testing.assert_allclose(q.T @ q, np.eye(min(shape)), atol=1e-10)


def test_an_orthogonal_weight_can_be_assigned():
    q = cp.from_numpy(np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0])
    for options in ({}, {"orthogonal_map": "householder", "use_trivialization": False}):
        m = ready.orthogonal(nn.Linear(4, 4).double(), **options)
        m.weight = q
        np.testing.assert_allclose(m.weight.detach().numpy(), q.numpy(), atol=1e-12)
    m = ready.orthogonal(nn.Linear(4, 4).double(), use_trivialization=False)
    with pytest.raises(NotImplementedError, match="not possible to assign"):
        m.weight = q


@pytest.mark.parametrize(
    ("add", "remove"),
    [
        (nn.utils.weight_norm, nn.utils.remove_weight_norm),
        (nn.utils.spectral_norm, nn.utils.remove_spectral_norm),
    ],
)
def test_the_old_forms_can_be_removed(add, remove):
    m = add(layer()).eval()
    value = m.weight.tolist()
    with pytest.raises(RuntimeError, match="is computed from other parameters"):
        m.weight = cp.ones(3, 3)
    with pytest.raises(RuntimeError, match="Cannot register two"):
        add(m)
    remove(m)
    assert type(m) is nn.Linear and m.weight.tolist() == value
    assert sorted(m.state_dict()) == ["bias", "weight"]
    with pytest.raises(ValueError, match="not found in"):
        remove(m)


def test_parametrizations_are_transferred():
    m, other = MAKES["two"](layer()), nn.Linear(3, 3).double()
    P.transfer_parametrizations_and_params(m, other)
    assert other.weight.tolist() == m.weight.tolist()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda m: P.register_parametrization(m, "wait", Doubled()), ValueError, "does not have"),
        (lambda m: P.register_parametrization(m, "weight", nn.Flatten(0)), ValueError, "shape"),
        (lambda m: P.remove_parametrizations(m, "weight"), ValueError, "parametrization on weight"),
        (lambda m: ready.orthogonal(m, "bias"), ValueError, "Expected a matrix"),
        (lambda m: ready.orthogonal(m, orthogonal_map="polar"), ValueError, "Got: polar"),
        (lambda m: ready.spectral_norm(m, dim=2), IndexError, "Dimension out of range"),
        (lambda m: ready.spectral_norm(m, "wait"), ValueError, "no parameter or buffer"),
    ],
)
def test_mistakes(make, error, words):
    with pytest.raises(error, match=words):
        make(layer())


# ---------------------------------------------------------------------- vectors, clipping, skipping
def test_parameters_as_a_vector_and_back():
    m = layer()
    vector = nn.utils.parameters_to_vector(m.parameters())
    assert vector.shape == (12,) and vector.requires_grad
    vector.sum().backward()
    assert m.weight.grad.tolist() == [[1.0] * 3] * 3
    other = nn.Linear(3, 3).double()
    nn.utils.vector_to_parameters(vector.detach(), other.parameters())
    assert other.weight.tolist() == m.weight.tolist() and other.bias.tolist() == m.bias.tolist()
    with pytest.raises(RuntimeError, match="the parameters have 12 elements, the vector is"):
        nn.utils.vector_to_parameters(vector.detach()[:11], other.parameters())


def test_clipping_with_a_known_norm():
    m = layer()
    (m(cp.ones(1, 3, dtype=cp.float64)) ** 2).sum().backward()
    wanted = copy.deepcopy(m)
    for a, b in zip(m.parameters(), wanted.parameters(), strict=True):
        b.grad = a.grad.clone()
    norm = nn.utils.get_total_norm([p.grad for p in m.parameters()])
    nn.utils.clip_grads_with_norm_(m.parameters(), 0.1, norm)
    nn.utils.clip_grad_norm_(wanted.parameters(), 0.1)
    for a, b in zip(m.parameters(), wanted.parameters(), strict=True):
        assert a.grad.tolist() == b.grad.tolist()


def test_skipped_initial_values_draw_nothing():
    cp.manual_seed(3)
    net = nn.utils.skip_init(nn.Linear, 3, 2, bias=False)
    assert net.weight.shape == (2, 3) and net.bias is None
    after = cp.rand(3).tolist()
    cp.manual_seed(3)
    assert cp.rand(3).tolist() == after
    with pytest.raises(RuntimeError, match="Expected a Module"):
        nn.utils.skip_init(dict)


def test_dirac_kernels_pass_their_channels_through():
    w = nn.init.dirac_(cp.rand(4, 2, 3), groups=2).numpy()
    wanted = np.zeros((4, 2, 3))
    for i in range(4):
        wanted[i, i % 2, 1] = 1
    np.testing.assert_array_equal(w, wanted)
