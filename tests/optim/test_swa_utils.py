"""Averaged models: means and EMAs by their formulas, eager and compiled; statistics anew."""

from __future__ import annotations

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.optim import swa_utils


def model():
    cp.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()


def flat(m):
    return np.concatenate([p.detach().numpy().ravel() for p in m.parameters()])


def shake(m, seed):
    rng = np.random.default_rng(seed)
    with cp.no_grad():
        for p in m.parameters():
            p.copy_(cp.from_numpy(rng.normal(size=p.shape)))


KINDS = {
    "mean": ({}, None),
    "mean by lists": ({"multi_avg_fn": swa_utils.get_swa_multi_avg_fn()}, None),
    "ema": ({"avg_fn": swa_utils.get_ema_avg_fn(0.9)}, 0.9),
    "ema by lists": ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}, 0.9),
    "own": ({"avg_fn": lambda mean, p, n: mean * 0.5 + p * 0.5}, 0.5),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("compiled", [False, True])
def test_averages_follow_their_formulas(name, compiled):
    options, decay = KINDS[name]
    m = model()
    averaged = swa_utils.AveragedModel(m, **options)
    update = (lambda: averaged.update_parameters(m)) if not compiled else None
    if compiled:
        update = cp.compile(lambda: averaged.update_parameters(m))
    seen = []
    for seed in range(5):
        shake(m, seed)
        update()
        seen.append(flat(m))
    wanted = seen[0]
    for x in seen[1:]:
        wanted = np.mean(seen, 0) if decay is None else decay * wanted + (1 - decay) * x
    np.testing.assert_allclose(flat(averaged), wanted, rtol=1e-12)
    assert averaged.n_averaged.item() == 5
    assert np.abs(flat(m) - wanted).max() > 0.1


def test_buffers_are_copied_or_averaged():
    m = model()
    copied = swa_utils.AveragedModel(m)
    averaged = swa_utils.AveragedModel(m, use_buffers=True)
    for value in (1.0, 3.0):
        m[1].running_mean.fill_(value)
        copied.update_parameters(m)
        averaged.update_parameters(m)
    assert copied.module[1].running_mean.tolist() == [3.0] * 4
    assert averaged.module[1].running_mean.tolist() == [2.0] * 4


def test_the_average_computes_like_the_model_and_saves_its_count():
    m = model().eval()
    averaged = swa_utils.AveragedModel(m).eval()
    averaged.update_parameters(m)
    x = cp.rand(5, 3, dtype=cp.float64)
    assert averaged(x).tolist() == m(x).tolist()
    again = swa_utils.AveragedModel(m)
    again.load_state_dict(averaged.state_dict())
    assert again.n_averaged.item() == 1
    assert set(averaged.state_dict()) == {"n_averaged"} | {f"module.{k}" for k in m.state_dict()}


def test_statistics_are_computed_anew_over_all_batches():
    m = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3)).eval()
    batches = [cp.rand(8, 2) + i for i in range(3)]
    with cp.no_grad():
        m[0].running_mean.fill_(100.0)
    swa_utils.update_bn([(x, None) for x in batches], m)
    wanted = np.mean([x.numpy().mean(0) for x in batches], 0)
    np.testing.assert_allclose(m[0].running_mean.numpy(), wanted, rtol=1e-6)
    variance = np.mean([x.numpy().var(0, ddof=1) for x in batches], 0)
    np.testing.assert_allclose(m[0].running_var.numpy(), variance, rtol=1e-5)
    assert m[0].momentum == 0.3
    assert not m.training


def test_mistakes():
    with pytest.raises(ValueError, match=r"Invalid decay value 1\.5"):
        swa_utils.get_ema_avg_fn(1.5)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        swa_utils.AveragedModel(
            model(), avg_fn=lambda m, p, n: m, multi_avg_fn=lambda m, p, n: None
        )
    o = optim.SGD([cp.zeros(1, requires_grad=True)])
    with pytest.raises(ValueError, match="anneal_strategy"):
        swa_utils.SWALR(o, 0.1, anneal_strategy="sine")
