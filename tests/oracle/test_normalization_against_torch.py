"""Layers that normalise, against PyTorch: values, gradients of both orders, running statistics."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:input's size at dim")

LAYERS = {
    "BatchNorm1d": [((3,), {}, (4, 3)), ((3,), {"momentum": None}, (4, 3, 2)),
                    ((3,), {"affine": False}, (0, 3)), ((3,), {"bias": False}, (4, 3)),
                    ((3,), {"track_running_stats": False}, (4, 3)),
                    ((3,), {"momentum": 0.0, "eps": 0.1}, (1, 3, 2))],
    "BatchNorm2d": [((2,), {"momentum": 0.3}, (3, 2, 4, 2)), ((1,), {}, (2, 1, 1, 1))],
    "BatchNorm3d": [((2,), {}, (2, 2, 2, 1, 3))],
    "LayerNorm": [((3,), {}, (4, 3)), (((2, 3),), {"bias": False}, (4, 2, 3)),
                  ((3,), {"elementwise_affine": False, "eps": 0.2}, (2, 2, 3)), ((1,), {}, (2, 1)),
                  ((3,), {}, (3,))],
    "GroupNorm": [((2, 4), {}, (3, 4)), ((4, 4), {}, (2, 4, 3, 2)),
                  ((1, 3), {"affine": False}, (1, 3))],
    "InstanceNorm1d": [((3,), {}, (2, 3, 4)), ((3,), {"affine": True}, (3, 4)),
                       ((3,), {"affine": True, "track_running_stats": True}, (2, 3, 4)),
                       ((5,), {}, (2, 3, 4))],
    "InstanceNorm2d": [((3,), {"track_running_stats": True}, (2, 3, 2, 2)), ((3,), {}, (3, 2, 2))],
    "InstanceNorm3d": [((2,), {"affine": True, "bias": False}, (2, 2, 2, 2, 1))],
    "RMSNorm": [((3,), {}, (4, 3)), (((2, 3),), {"eps": 0.1}, (4, 2, 3)),
                ((3,), {"elementwise_affine": False}, (3,))],
    "LocalResponseNorm": [((2,), {}, (2, 5, 3)), ((3,), {"alpha": 0.4, "k": 2.0}, (2, 5, 2, 2)),
                          ((9,), {"alpha": 1.0, "beta": 1.0}, (2, 3, 1))],
}  # fmt: skip
CASES = [(name, *case) for name, cases in LAYERS.items() for case in cases]


def gradients(library, module, x, seed):
    """Output, its gradients, and those of the sum of the squares of these."""
    y = module(x)
    wanted = [x, *module.parameters()]
    first = library.autograd.grad((y * seed).sum(), wanted, create_graph=True)
    total = sum((g * g).sum() for g in first)
    if not total.requires_grad:
        return [y, *first, *map(library.zeros_like, wanted)]
    return [y, *first, *library.autograd.grad(total, wanted, materialize_grads=True)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "args", "options", "shape"), CASES)
def test_same_numbers(name, args, options, shape, training, dtype):
    rng = np.random.default_rng(0)
    theirs = getattr(torch.nn, name)(*args, **options).to(getattr(torch, dtype)).train(training)
    mine = getattr(cp.nn, name)(*args, **options).to(getattr(cp, dtype)).train(training)
    assert repr(mine) == repr(theirs)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.standard_normal(p.shape)))
    mine.load_state_dict({k: cp.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    tol = {"float64": 1e-10, "float32": 2e-4}[dtype]
    for _ in range(2):
        x = (rng.standard_normal(shape) * 2 + 1).astype(dtype)
        seed = rng.standard_normal(shape).astype(dtype)
        a = gradients(cp, mine, cp.tensor(x, requires_grad=True), cp.tensor(seed))
        b = gradients(torch, theirs, torch.tensor(x, requires_grad=True), torch.tensor(seed))
        for p, q in zip(a, b, strict=True):
            assert p.dtype.name == dtype and p.shape == tuple(q.shape)
            scale = float(q.detach().abs().max()) if q.numel() else 0.0
            np.testing.assert_allclose(
                p.detach().numpy(), q.detach().numpy(), rtol=tol, atol=tol * max(1.0, scale)
            )
        for key, value in theirs.state_dict().items():
            np.testing.assert_allclose(mine.state_dict()[key].numpy(), value.numpy(), 1e-5, 1e-6)


def raised(library, call):
    try:
        call(library)
    except Exception as error:
        return error
    return None


MISTAKES = [
    lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
    lambda t: t.nn.BatchNorm1d(3)(t.ones(3)),
    lambda t: t.nn.BatchNorm2d(3)(t.ones(2, 3)),
    lambda t: t.nn.BatchNorm1d(4)(t.ones(2, 3)),
    lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 3).double()),
    lambda t: t.nn.BatchNorm1d(3)(t.ones(2, 3).long()),
    lambda t: t.nn.functional.batch_norm(t.ones(2, 3), None, None),
    lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(3), None),
    lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(3), None, training=True),
    lambda t: t.nn.functional.batch_norm(t.ones(2, 3), t.ones(3), t.ones(3), t.ones(2)),
    lambda t: t.nn.LayerNorm(4)(t.ones(2, 3)),
    lambda t: t.nn.functional.layer_norm(t.ones(3), 3),
    lambda t: t.nn.functional.layer_norm(t.ones(3), []),
    lambda t: t.nn.functional.layer_norm(t.ones(3), [3], t.ones(2)),
    lambda t: t.nn.functional.layer_norm(t.ones(3), [3], t.ones(3), t.ones(2)),
    lambda t: t.nn.functional.layer_norm(t.ones(3).long(), [3]),
    lambda t: t.nn.GroupNorm(2, 3),
    lambda t: t.nn.functional.group_norm(t.ones(2, 3), 2),
    lambda t: t.nn.functional.group_norm(t.ones(2, 3), 3, t.ones(2)),
    lambda t: t.nn.functional.group_norm(t.ones(3), 1),
    lambda t: t.nn.functional.group_norm(t.ones(1, 3), 3),
    lambda t: t.nn.InstanceNorm1d(3)(t.ones(2, 3, 1)),
    lambda t: t.nn.InstanceNorm1d(3)(t.ones(3)),
    lambda t: t.nn.InstanceNorm1d(4, affine=True)(t.ones(2, 3, 2)),
    lambda t: t.nn.functional.instance_norm(t.ones(2, 3, 2), use_input_stats=False),
    lambda t: t.nn.functional.instance_norm(t.ones(2, 3)),
    lambda t: t.nn.functional.rms_norm(t.ones(2, 3), (4,)),
    lambda t: t.nn.LocalResponseNorm(2)(t.ones(2, 3)),
    lambda t: t.nn.LocalResponseNorm(0)(t.ones(2, 3, 2)),
]


@pytest.mark.parametrize("call", MISTAKES)
def test_mistakes_raise_the_same_type(call):
    mine, theirs = raised(cp, call), raised(torch, call)
    assert theirs is not None and isinstance(mine, type(theirs))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, np.inf])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_normalize(p, dim):
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    x[1, 2] = 0
    a, b = cp.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = cp.nn.functional.normalize(a, p, dim), torch.nn.functional.normalize(b, p, dim)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), 1e-12, 1e-14)
    (y * y * y).sum().backward()
    (z * z * z).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), 1e-10, 1e-12)
