"""Training a 3-layer network on the digits beside PyTorch: the same seed, the same program, no
copied weights, the same losses.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import clearprop as cp

torch = pytest.importorskip("torch")

STEPS, BATCH = 200, 64
OPTIMIZERS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adam": {"lr": 1e-3},
}


def losses(library, data, dtype, name, seed=0):
    """The loss of every step, by a program that reads the same for both libraries."""
    pixels, labels = load_digits(return_X_y=True)
    x = library.tensor((pixels / 16).astype(dtype))
    y = library.tensor(labels.astype(np.int64))
    library.manual_seed(seed)
    nn = library.nn
    model = nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)
    ).to(getattr(library, dtype))
    optimizer = getattr(library.optim, name)(model.parameters(), **OPTIMIZERS[name])
    criterion = nn.CrossEntropyLoss()
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    out = []
    while True:
        for inputs, targets in loader:
            if len(out) == STEPS:
                return np.array(out)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            out.append(loss.item())


@pytest.fixture(scope="module", params=list(OPTIMIZERS))
def runs(request):
    """(losses here, losses of PyTorch) by type of number."""
    return {
        dtype: (
            losses(cp, cp.data, dtype, request.param),
            losses(torch, torch.utils.data, dtype, request.param),
        )
        for dtype in ("float64", "float32")
    }


def test_the_network_learns(runs):
    for mine, theirs in runs.values():
        assert mine[-20:].mean() < 0.5 * mine[0] and theirs[-20:].mean() < 0.5 * theirs[0]


def test_float64_losses_agree_over_200_steps(runs):
    mine, theirs = runs["float64"]
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)


def test_float32_losses_agree_over_20_steps(runs):
    mine, theirs = runs["float32"]
    np.testing.assert_allclose(mine[:20], theirs[:20], rtol=0, atol=1e-5)


def test_float32_losses_stay_close_for_200_steps(runs):
    mine, theirs = runs["float32"]
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=0)


def test_another_seed_gives_other_losses(runs):
    # the comparisons above would not notice a seed that is not used
    other = losses(cp, cp.data, "float32", "SGD", seed=1)
    assert not np.allclose(other, runs["float32"][0], rtol=1e-3)
