"""Two hundred training steps of twelve models: every single step, from the same state, does the
same compiled and in eager mode.
"""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
import clearprop.nn.functional as F
from clearprop import nn

STEPS = 200


class Recurrent(nn.Module):
    """Two layers of long short-term memory over a sequence, and one linear layer behind the last
    step.
    """

    def __init__(self, size, hidden, out):
        super().__init__()
        self.memory = nn.LSTM(size, hidden, 2, batch_first=True)
        self.out = nn.Linear(hidden, out)

    def forward(self, x):
        return self.out(self.memory(x)[0][:, -1])


class Attention(nn.Module):
    """One Transformer layer with several heads, a mask and dropout, and one linear layer behind the
    last step.
    """

    def __init__(self, width, heads, out):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(width, heads, 8, batch_first=True)
        self.out = nn.Linear(width, out)

    def forward(self, x):
        causal = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        return self.out(self.layer(x, causal, is_causal=True)[:, -1])


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.two(F.gelu(self.one(x)))


def mlp(*middle):
    return nn.Sequential(nn.Linear(6, 16), *middle, nn.Linear(16, 3))


def classes(model, x, y):
    return F.cross_entropy(model(x), y)


def slopes(model, x, y):
    """A loss with a derivative in it: double backward."""
    x = x.detach().requires_grad_()
    out = model(x).sum(1)
    (g,) = cp.autograd.grad(out.sum(), x, create_graph=True)
    return ((g * g).sum(1) - 1).pow(2).mean() + F.mse_loss(out, y.to(out.dtype))


def binary(model, x, y):
    return F.binary_cross_entropy_with_logits(model(x)[:, 0], (y > 1).to(x.dtype))


def regression(model, x, y):
    return F.smooth_l1_loss(model(x)[:, 0], y.to(x.dtype))


FLAT, SEQUENCE = (12, 6), (8, 5, 6)
SGD = lambda ps: cp.optim.SGD(ps, lr=0.05, momentum=0.9, weight_decay=1e-3)
ADAM = lambda ps: cp.optim.Adam(ps, lr=0.003)
ADAMW = lambda ps: cp.optim.AdamW(ps, lr=0.003)
RMS = lambda ps: cp.optim.RMSprop(ps, lr=0.001)

MODELS = {
    "tanh": (lambda: mlp(nn.Tanh()), FLAT, classes, SGD),
    "relu, deep": (lambda: mlp(*[m for _ in range(4) for m in (nn.ReLU(), nn.Linear(16, 16))]),
                   FLAT, classes, ADAM),
    "batch normalisation": (lambda: mlp(nn.BatchNorm1d(16), nn.ReLU()), FLAT, classes, SGD),
    "dropout": (lambda: mlp(nn.ReLU(), nn.Dropout(0.3)), FLAT, classes, ADAM),
    "long short-term memory": (lambda: Recurrent(6, 7, 3), SEQUENCE, classes, ADAM),
    "attention": (lambda: Attention(6, 2, 3), SEQUENCE, classes, ADAMW),
    "double backward": (lambda: mlp(nn.Tanh()), FLAT, slopes, ADAM),
    "residual": (lambda: mlp(Residual(16), Residual(16)), FLAT, classes, RMS),
    "layer normalisation": (lambda: mlp(nn.LayerNorm(16), nn.SiLU()), FLAT, classes, ADAMW),
    "binary": (lambda: mlp(nn.Sigmoid()), FLAT, binary, SGD),
    "regression": (lambda: mlp(nn.ELU()), FLAT, regression, RMS),
    "normalised and dropped": (
        lambda: mlp(nn.BatchNorm1d(16), nn.LeakyReLU(), nn.Dropout(0.1), Residual(16)),
        FLAT, classes, ADAM,
    ),
}  # fmt: skip


def state(net, optimizer):
    tensors = [*net.parameters(), *net.buffers()]
    for p in net.parameters():
        tensors += optimizer.state[p].values()
    return tensors


# Adam divides a gradient by its size: where the truth is 0 (a bias in front of a normalisation), it
# makes steps of the rounding errors, in float32 of full size. So float32 goes with SGD.
@pytest.mark.parametrize("d", [cp.float64, cp.float32], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_every_step_is_the_same(name, d):
    make, shape, loss_of, optimizer_of = MODELS[name]
    if d is cp.float32:
        optimizer_of = SGD
    limit = {"rtol": 1e-9, "atol": 1e-11} if d is cp.float64 else {"rtol": 1e-4, "atol": 2e-6}
    nets = []
    for _ in range(2):
        cp.manual_seed(0)
        net = make().to(d)
        nets.append((net, optimizer_of(net.parameters())))

    def step_of(net, optimizer):
        def step(x, y):
            optimizer.zero_grad()
            loss = loss_of(net, x, y)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            return loss

        return step

    eager = step_of(*nets[0])
    step = cp.compile(step_of(*nets[1]))
    rng = np.random.default_rng(0)
    for i in range(STEPS):
        x = cp.from_numpy(rng.standard_normal(shape).astype(d.np))
        y = cp.from_numpy(rng.integers(0, 3, shape[0]))
        if i:  # the compiled one starts every step where the other one is
            for a, b in zip(state(*nets[0]), state(*nets[1]), strict=True):
                b.value[...] = a.value
        losses = []
        for f in (eager, step):
            cp.manual_seed(i)
            losses.append(f(x, y).item())
        np.testing.assert_allclose(*losses, **limit)
        for a, b in zip(state(*nets[0]), state(*nets[1]), strict=True):
            np.testing.assert_allclose(a.value, b.value, **limit)
    assert sum(map(len, step.versions.values())) <= 2
