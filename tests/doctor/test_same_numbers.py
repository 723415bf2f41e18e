"""The numbers of a program are the same, to the bit, with and without the doctor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.doctor import Session
from clearprop.nn import functional as F

Model = Callable[[], tuple[Any, Callable[[Any, int], Any]]]


def data(*shape: int) -> Any:
    return cp.randn(*shape)


def dense() -> Any:
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    x, y = data(32, 6), cp.randint(0, 3, (32,))
    return net, lambda net, _: F.cross_entropy(net(x), y)


def convolution() -> Any:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(64, 1)
    )
    x = data(8, 1, 6, 6)
    return net, lambda net, _: net(x + 0.1 * cp.randn(8, 1, 6, 6)).pow(2).mean()


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, s: Any) -> Any:
        return self.out(self.rnn(s)[0][:, -1])


def recurrent() -> Any:
    s = data(8, 7, 3)
    return Last(), lambda net, _: F.mse_loss(net(s), s.sum((1, 2)).unsqueeze(1))


def attention() -> Any:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    net = nn.Sequential(nn.Linear(3, 8), layer, nn.Linear(8, 1))
    s = data(4, 5, 3)
    return net, lambda net, _: net(s).pow(2).mean()


def adversarial() -> Any:
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, y = data(32, 6), cp.randint(0, 3, (32,))

    def loss_of(net: Any, _: int) -> Any:
        near = (x + 0.01 * cp.randn(32, 6)).requires_grad_(True)
        (g,) = cp.autograd.grad(F.cross_entropy(net(near), y), near, create_graph=True)
        return F.cross_entropy(net(x), y) + 0.1 * g.pow(2).sum()

    return net, loss_of


def losses(model: Model, steps: int) -> list[float]:
    cp.manual_seed(3)
    net, loss_of = model()
    optimizer = optim.Adam(net.parameters(), lr=1e-2)
    out = []
    for step in range(steps):
        loss = loss_of(net, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        out.append(loss.item())
    return out


MODELS = [dense, convolution, recurrent, attention, adversarial]


def compare(model: Model, steps: int) -> None:
    plain = losses(model, steps)
    with Session(thorough=True) as session:
        watched = losses(model, steps)
    session.finish()
    assert watched == plain
    assert session.observed >= 4
    assert not [n for n in session.notes if "failed" in n]


@pytest.mark.parametrize("model", MODELS)
def test_losses_are_the_same_with_the_doctor(model: Model) -> None:
    compare(model, 12)


@pytest.mark.nightly
@pytest.mark.parametrize("model", MODELS)
def test_losses_are_the_same_for_500_steps(model: Model) -> None:
    compare(model, 500)
