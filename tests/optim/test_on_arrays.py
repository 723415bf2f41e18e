"""Steps on bare arrays give the bits that the same steps in ops give."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.optim import on_arrays

SIZES = [(), (3, 4), (on_arrays.BLOCK * 2 + 5,)]
OPTIMIZERS = {
    "sgd": lambda ps: cp.optim.SGD(ps, lr=0.1),
    "sgd lr 1": lambda ps: cp.optim.SGD(ps, lr=1.0, weight_decay=0.1),
    "momentum": lambda ps: cp.optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01),
    "dampened": lambda ps: cp.optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.3),
    "nesterov": lambda ps: cp.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "adam": lambda ps: cp.optim.Adam(ps, lr=0.1),
    "adam decayed": lambda ps: cp.optim.Adam(ps, lr=0.1, weight_decay=0.1, amsgrad=True),
    "adamw": lambda ps: cp.optim.AdamW(ps, lr=0.1, betas=(0.8, 0.95), eps=1e-4),
}


def steps(make, dtype):
    rng = np.random.default_rng(0)
    ps = [cp.tensor(rng.standard_normal(s), dtype=dtype, requires_grad=True) for s in SIZES]
    optimizer = make(ps)
    for _ in range(3):
        for p in ps:
            p.grad = cp.tensor(rng.standard_normal(p.shape), dtype=dtype)
        optimizer.step()
    return [p.detach().numpy() for p in ps]


@pytest.mark.parametrize("dtype", [cp.float32, cp.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_bits_of_ops(name, dtype, monkeypatch):
    quick = steps(OPTIMIZERS[name], dtype)
    monkeypatch.setattr(on_arrays, "flat", lambda *_: None)
    for a, b in zip(quick, steps(OPTIMIZERS[name], dtype), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_counts_as_a_write():
    w = cp.ones(3, requires_grad=True)
    y = (w * w).sum()
    w.grad = cp.ones(3)
    cp.optim.SGD([w], lr=0.5).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_parameters_that_cannot_be_written_are_refused():
    array = np.ones(3, np.float32)
    w = cp.from_numpy(array).requires_grad_()
    array.flags.writeable = False
    w.value.flags.writeable = False
    w.grad = cp.ones(3)
    with pytest.raises(Exception, match=r"read-only|writ"):
        cp.optim.SGD([w], lr=0.5).step()


def test_a_learning_rate_may_be_a_tensor():
    w = cp.ones(3, requires_grad=True)
    w.grad = cp.ones(3)
    cp.optim.SGD([w], lr=cp.tensor(0.5)).step()
    assert w.tolist() == [0.5] * 3
