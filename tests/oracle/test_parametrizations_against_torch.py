"""weight_norm, spectral_norm, orthogonal, old and new: keys, numbers and gradients of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch")

WAYS = {
    "weight_norm": lambda u, m: u.parametrizations.weight_norm(m),
    "weight_norm, one length": lambda u, m: u.parametrizations.weight_norm(m, dim=None),
    "weight_norm, columns": lambda u, m: u.parametrizations.weight_norm(m, dim=1),
    "spectral_norm": lambda u, m: u.parametrizations.spectral_norm(m, n_power_iterations=2),
    "spectral_norm, columns": lambda u, m: u.parametrizations.spectral_norm(m, dim=1),
    "spectral_norm of a vector": lambda u, m: u.parametrizations.spectral_norm(m, "bias"),
    "matrix_exp": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="matrix_exp"),
    "cayley": lambda u, m: u.parametrizations.orthogonal(
        m, orthogonal_map="cayley", use_trivialization=False
    ),
    "householder": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="householder"),
    "householder alone": lambda u, m: u.parametrizations.orthogonal(
        m, orthogonal_map="householder", use_trivialization=False
    ),
    "old weight_norm": lambda u, m: u.weight_norm(m),
    "old spectral_norm": lambda u, m: u.spectral_norm(m),
}


def pair(way, sizes):
    """The same layer on both sides, with the same numbers."""
    out = []
    for library in (cp, torch):
        library.manual_seed(5)
        layer = library.nn.Linear(*sizes, dtype=library.float64)
        out.append(WAYS[way](library.nn.utils, layer))
    return out


@pytest.mark.parametrize("sizes", [(3, 3), (4, 2), (2, 5)])
@pytest.mark.parametrize("way", WAYS)
def test_training_goes_the_same_way(way, sizes):
    ours, theirs = pair(way, sizes)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = theirs.state_dict()
    for key, value in ours.state_dict().items():  # a completed basis is random in other digits
        np.testing.assert_allclose(np.abs(value.numpy()), np.abs(state[key].numpy()), atol=1e-6)
    ours.load_state_dict({k: cp.from_numpy(v.numpy().copy()) for k, v in state.items()})
    x = np.random.default_rng(0).normal(size=(6, sizes[0]))
    optimizers = [
        library.optim.SGD(m.parameters(), lr=0.1) for library, m in ((cp, ours), (torch, theirs))
    ]
    for _ in range(3):
        losses = []
        for library, m, optimizer in zip((cp, torch), (ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            loss = (m(library.tensor(x)) ** 2).sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    ours.eval()
    theirs.eval()(torch.tensor(x))  # the old forms compute their weight in a forward only
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("way", ["weight_norm", "spectral_norm", "cayley"])
def test_printed_form(way):
    ours, theirs = pair(way, (3, 3))
    assert repr(ours).replace("clearprop", "torch") == repr(theirs)


def test_dirac_and_vectors():
    for shape, groups in (((6, 2, 3), 1), ((6, 2, 4, 3), 3), ((2, 2, 1, 1, 1), 1)):
        np.testing.assert_array_equal(
            cp.nn.init.dirac_(cp.empty(*shape), groups).numpy(),
            torch.nn.init.dirac_(torch.empty(*shape), groups).numpy(),
        )
