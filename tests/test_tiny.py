"""The user's story in a few seconds: what must work before anything is committed."""

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.nn import functional as F


def test_the_chain_rule_of_the_lecture():
    x = cp.linspace(-1, 1, 9, dtype=cp.float64).requires_grad_()
    y1, y2 = 2 * x**2 + cp.exp(2 * x), cp.exp(x)
    z = 3 * y1 + y2**2
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * x.detach() + 8 * cp.exp(2 * x.detach()))


def test_a_network_learns_xor():
    cp.manual_seed(0)
    x = cp.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = cp.tensor([0, 1, 1, 0])
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert (model(x).argmax(1) == y).all()


def test_blocks_nest_to_any_depth():
    class Residual(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.block = block

        def forward(self, x):
            return x + self.block(x)

    inner = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model = nn.Sequential(Residual(inner), Residual(Residual(inner)), nn.Linear(3, 1))
    model(cp.randn(5, 3)).sum().backward()
    names = [name for name, _ in model.named_parameters()]
    assert names == ["0.block.0.weight", "0.block.0.bias", "2.weight", "2.bias"]
    assert all(p.grad is not None for p in model.parameters())


def test_a_block_with_a_backward_of_its_own():
    class Cube(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    x = cp.randn(4, dtype=cp.float64, requires_grad=True)
    assert cp.autograd.gradcheck(Cube.apply, (x,))


def test_derivatives_of_any_order():
    x = cp.tensor(2.0, dtype=cp.float64, requires_grad=True)
    y = x**5
    for expected in (80.0, 160.0, 240.0):
        (y,) = cp.autograd.grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(expected)


def test_numbers_of_pytorch_from_the_same_seed():
    cp.manual_seed(0)
    first = nn.Linear(5, 2).weight[0]
    expected = [-0.003348208, 0.239904866, -0.368076981, -0.329121947, -0.172246262]
    np.testing.assert_allclose(first.detach().numpy(), expected, rtol=3e-7)


def test_values_and_files_round_trip(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1))
    x = cp.randn(6, 3)
    cp.save(model.state_dict(), tmp_path / "model.safetensors")
    other = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1))
    other.load_state_dict(cp.load(tmp_path / "model.safetensors"))
    for twin in (other, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (twin(x) == model(x)).all()


def test_arrays_are_shared_with_numpy():
    a = np.zeros(3, np.float32)
    t = cp.from_numpy(a)
    t += 1
    assert a.tolist() == [1, 1, 1]
    assert isinstance(a * t, cp.Tensor)


def test_errors_name_the_line():
    with pytest.raises(RuntimeError, match=r"test_tiny\.py"):
        cp.ones(2, 3) @ cp.ones(2, 3)


def test_an_overwritten_value_is_noticed():
    x = cp.ones(3, requires_grad=True)
    y = x.exp()
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
