"""Learning-rate schedules against their closed formulas, resumed ones, and mistakes."""

from __future__ import annotations

import json
import math

import pytest

import clearprop as cp
from clearprop import optim
from clearprop.optim import lr_scheduler as schedules
from clearprop.serialization import pack_state, unpack_state


def optimizer(lr=1.0, groups=1):
    return optim.SGD([{"params": cp.zeros(1, requires_grad=True)} for _ in range(groups)], lr=lr)


def follow(o, scheduler, epochs):
    rates = []
    for _ in range(epochs):
        rates.append(o.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == [g["lr"] for g in o.param_groups]
        o.step()
        scheduler.step()
    return rates


FORMULAS = {
    "step": (lambda o: schedules.StepLR(o, 3, 0.5), lambda e: 0.5 ** (e // 3)),
    "multi": (
        lambda o: schedules.MultiStepLR(o, [5, 2, 5], 0.5),
        lambda e: 0.5 ** ((e >= 2) + 2 * (e >= 5)),
    ),
    "exponential": (lambda o: schedules.ExponentialLR(o, 0.9), lambda e: 0.9**e),
    "cosine": (
        lambda o: schedules.CosineAnnealingLR(o, 4, 0.05),
        lambda e: 0.1 + 0.9 * (1 + math.cos(math.pi * e / 4)) / 2,
    ),
    "lambda": (lambda o: schedules.LambdaLR(o, lambda e: 1 / (1 + e)), lambda e: 1 / (1 + e)),
    "linear": (
        lambda o: schedules.LinearLR(o, 0.25, 1.0, 4),
        lambda e: 0.25 + 0.75 * min(e, 4) / 4,
    ),
    "constant": (
        lambda o: schedules.ConstantLR(o, 0.25, 4),
        lambda e: 0.25 if e < 4 else 1.0,
    ),
    "polynomial": (
        lambda o: schedules.PolynomialLR(o, 8, 2.0),
        lambda e: (1 - min(e, 8) / 8) ** 2,
    ),
    "multiplicative": (
        lambda o: schedules.MultiplicativeLR(o, lambda e: e / (e + 1)),
        lambda e: 1 / (1 + e),
    ),
    "restarts": (
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 2, 0.05),
        lambda e: (
            0.1 + 0.45 * (1 + math.cos(math.pi * [0, 1 / 2, 0, 1 / 4, 2 / 4, 3 / 4][e]))
            if e < 6
            else 0.1 + 0.45 * (1 + math.cos(math.pi * (e - 6) / 8))
        ),
    ),
    "one cycle": (
        lambda o: schedules.OneCycleLR(
            o,
            0.5,
            11,
            pct_start=0.5,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=10.0,
            final_div_factor=100.0,
        ),
        lambda e: 0.1 + 0.9 * e / 4.5 if e <= 4.5 else 1 - 0.999 * (e - 4.5) / 5.5,
    ),
    "triangles": (
        lambda o: schedules.CyclicLR(o, 0.1, 0.5, 4, 4, "triangular2", cycle_momentum=False),
        lambda e: 0.2 + 0.8 * (1 - abs(e % 8 - 4) / 4) / 2 ** (e // 8),
    ),
    "chained": (
        lambda o: schedules.ChainedScheduler(
            [schedules.StepLR(o, 3, 0.5), schedules.ExponentialLR(o, 0.9)]
        ),
        lambda e: 0.5 ** (e // 3) * 0.9**e,
    ),
    "sequential": (
        lambda o: schedules.SequentialLR(
            o,
            [
                schedules.LinearLR(o, 0.5, 1.0, 2),
                schedules.StepLR(o, 2, 0.1),
                schedules.ExponentialLR(o, 0.5),
            ],
            [3, 7],
        ),
        lambda e: [0.5, 0.75, 1, 1, 1, 0.1, 0.1][e] if e < 7 else 0.5 ** (e - 7),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_schedule_follows_its_formula(name):
    make, formula = FORMULAS[name]
    o = optimizer(lr=0.5)
    epochs = 12 if name == "one cycle" else 14
    rates = follow(o, make(o), epochs - 1)
    wanted = [0.5 * formula(e) for e in range(epochs - 1)]
    assert rates == pytest.approx(wanted, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", FORMULAS)
def test_resumed_schedule_continues_exactly(name):
    make, _ = FORMULAS[name]
    o = optimizer(lr=0.3)
    scheduler = make(o)
    follow(o, scheduler, 3)
    tensors, text = pack_state([o.state_dict(), scheduler.state_dict()])
    rest = follow(o, scheduler, 8)

    again = optimizer(lr=9.0)
    resumed = make(again)
    saved = unpack_state(tensors, text)
    again.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert follow(again, resumed, 8) == rest


def test_schedules_can_be_chained():
    o = optimizer()
    a, b = schedules.ExponentialLR(o, 0.5), schedules.StepLR(o, 2, 0.1)
    for _ in range(4):
        o.step()
        a.step()
        b.step()
    assert o.param_groups[0]["lr"] == pytest.approx(0.5**4 * 0.01)


def test_schedule_keeps_the_ratio_of_groups():
    o = optim.SGD([{"params": cp.zeros(1), "lr": 1.0}, {"params": cp.zeros(1), "lr": 3.0}])
    scheduler = schedules.CosineAnnealingLR(o, 5)
    for _ in range(4):
        o.step()
        scheduler.step()
        first, second = (g["lr"] for g in o.param_groups)
        assert second == pytest.approx(3 * first)


def test_schedule_can_begin_at_a_later_epoch_with_loaded_rates():
    o = optimizer()
    follow(o, schedules.ExponentialLR(o, 0.5), 3)
    resumed = schedules.ExponentialLR(o, 0.5, last_epoch=2)
    assert resumed.last_epoch == 3
    assert resumed.base_lrs == [1.0]


def test_step_before_the_optimizer_is_warned_of():
    scheduler = schedules.StepLR(optimizer(), 1)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()


def plateau_rates(values, **options):
    o = optimizer()
    scheduler = schedules.ReduceLROnPlateau(o, factor=0.5, **options)
    rates = []
    for value in values:
        scheduler.step(value)
        rates.append(o.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize(
    ("values", "options", "rates"),
    [
        ([3, 2, 2, 2, 2], {"patience": 1}, [1, 1, 1, 0.5, 0.5]),
        ([3, 2, 2, 2, 2], {"patience": 0, "cooldown": 1}, [1, 1, 0.5, 0.5, 0.25]),
        ([1, 2, 2, 2], {"patience": 0, "mode": "max"}, [1, 1, 0.5, 0.25]),
        ([1.0, 0.95, 0.85], {"patience": 0, "threshold": 0.1}, [1, 0.5, 0.5]),
        (
            [1.0, 0.95, 0.85],
            {"patience": 0, "threshold": 0.1, "threshold_mode": "abs"},
            [1, 0.5, 0.5],
        ),
        (
            [-1.0, -0.95],
            {"patience": 0, "threshold": 0.1, "mode": "max", "threshold_mode": "abs"},
            [1, 0.5],
        ),
        ([1, 1, 1, 1], {"patience": 0, "min_lr": 0.4}, [1, 0.5, 0.4, 0.4]),
        ([1, 1, 1, 1], {"patience": 0, "eps": 0.3}, [1, 0.5, 0.5, 0.5]),
        ([1.0, math.nan, math.nan], {"patience": 1}, [1, 1, 0.5]),
    ],
)
def test_plateau_lowers_the_rate(values, options, rates):
    assert plateau_rates(values, **options) == rates


def test_plateau_takes_a_tensor_and_resumes():
    o = optimizer()
    scheduler = schedules.ReduceLROnPlateau(o, factor=0.5, patience=1)
    for value in (1.0, 1.0):
        scheduler.step(cp.tensor(value))
    state = json.loads(json.dumps(scheduler.state_dict()))
    again = optimizer()
    resumed = schedules.ReduceLROnPlateau(again)
    resumed.load_state_dict(state)
    resumed.step(1.0)
    assert again.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "kind", "phrase"),
    [
        (lambda: schedules.StepLR(3, 1), TypeError, "int is not an Optimizer"),
        (
            lambda: schedules.StepLR(optimizer(), 1, last_epoch=4),
            KeyError,
            "'initial_lr' is not specified",
        ),
        (
            lambda: schedules.LambdaLR(optimizer(), [abs, abs]),
            ValueError,
            "Expected 1 lr_lambdas, but got 2",
        ),
        (lambda: schedules.LinearLR(optimizer(), 0), ValueError, "Starting multiplicative factor"),
        (
            lambda: schedules.LinearLR(optimizer(), 0.5, 2),
            ValueError,
            "Ending multiplicative factor",
        ),
        (
            lambda: schedules.SequentialLR(optimizer(), [], []),
            ValueError,
            "0 schedulers and 0 milestones",
        ),
        (
            lambda: schedules.SequentialLR(optimizer(), [schedules.StepLR(optimizer(), 1)], []),
            ValueError,
            "same optimizer",
        ),
        (
            lambda: schedules.ReduceLROnPlateau(optimizer(), factor=1.0),
            ValueError,
            "Factor should be < 1.0",
        ),
        (
            lambda: schedules.ReduceLROnPlateau(optimizer(), mode="best"),
            ValueError,
            "mode best is unknown",
        ),
        (
            lambda: schedules.ReduceLROnPlateau(optimizer(), threshold_mode="x"),
            ValueError,
            "threshold mode x is unknown",
        ),
        (
            lambda: schedules.ReduceLROnPlateau(optimizer(), min_lr=[0, 0]),
            ValueError,
            "expected 1 min_lrs, got 2",
        ),
        (lambda: schedules.ReduceLROnPlateau(3), TypeError, "int is not an Optimizer"),
    ],
)
def test_refused(make, kind, phrase):
    with pytest.raises(kind, match=phrase):
        make()


def test_momentum_goes_against_the_rate():
    o = optim.SGD([cp.zeros(1, requires_grad=True)], lr=1.0, momentum=0.5)
    scheduler = schedules.CyclicLR(o, 0.0, 1.0, 2, base_momentum=0.2, max_momentum=0.6)
    seen = []
    for _ in range(5):
        seen.append(o.param_groups[0]["momentum"])
        o.step()
        scheduler.step()
    assert seen == pytest.approx([0.6, 0.4, 0.2, 0.4, 0.6])


def test_a_cycle_without_momentum_is_refused():
    o = optim.Adagrad([cp.zeros(1, requires_grad=True)])
    for make in (
        lambda: schedules.OneCycleLR(o, 1.0, 10),
        lambda: schedules.CyclicLR(o, 0.1, 1.0),
    ):
        with pytest.raises(ValueError, match="cycle_momentum=False"):
            make()


def test_one_cycle_ends():
    o = optimizer()
    scheduler = schedules.OneCycleLR(o, 1.0, 3, cycle_momentum=False)
    follow(o, scheduler, 3)
    with pytest.raises(ValueError, match="Tried to step 4 times"):
        scheduler.step()


def test_a_schedule_of_the_program():
    class Halving(schedules.LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    o = optimizer()
    assert follow(o, Halving(o), 4) == [1.0, 0.5, 0.25, 0.125]
    with pytest.raises(NotImplementedError, match="get_lr"):
        schedules.LRScheduler(o)


def test_a_chain_of_plateaus_is_refused():
    o = optimizer()
    with pytest.raises(ValueError, match="does not support `ReduceLROnPlateau`"):
        schedules.ChainedScheduler([schedules.ReduceLROnPlateau(o)])


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_the_rate_of_averaging_is_reached(strategy):
    o = optimizer()
    scheduler = optim.swa_utils.SWALR(o, 0.2, anneal_epochs=4, anneal_strategy=strategy)
    part = {"cos": lambda t: (1 - math.cos(math.pi * t)) / 2, "linear": lambda t: t}[strategy]
    wanted = [1 + (0.2 - 1) * part(min(e / 4, 1)) for e in range(7)]
    assert follow(o, scheduler, 7) == pytest.approx(wanted, rel=1e-12)
