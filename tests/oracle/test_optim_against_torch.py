"""Optimizers, schedules and clipping against PyTorch, and states that change sides."""

from __future__ import annotations

import inspect
import itertools
import math

import numpy as np
import pytest

import clearprop as cp
from clearprop import optim
from clearprop.optim import lr_scheduler

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:To get the last learning rate")

SHAPES = ((4, 3), (3,), ())


def table(name, lr, **options):
    """All combinations of the given options."""
    values = itertools.product(*options.values())
    return [(name, {"lr": lr} | dict(zip(options, v, strict=True))) for v in values]


COMMON = {"weight_decay": (0, 0.1), "maximize": (False, True)}
CASES = [
    case
    for case in [
        *table(
            "SGD", 0.02, momentum=(0, 0.9), dampening=(0, 0.3), nesterov=(False, True), **COMMON
        ),
        *table("Adam", 0.02, betas=((0.9, 0.999), (0.5, 0.6)), amsgrad=(False, True), **COMMON),
        *table("AdamW", 0.02, betas=((0.9, 0.999), (0.5, 0.6)), amsgrad=(False, True), **COMMON),
        *table(
            "RMSprop", 0.005, alpha=(0.99, 0.5), centered=(False, True), momentum=(0, 0.9), **COMMON
        ),
        *table("Adagrad", 0.1, lr_decay=(0, 0.1), initial_accumulator_value=(0, 0.5), **COMMON),
        *table("Adadelta", 0.5, rho=(0.9, 0.7), eps=(1e-6, 1e-3), **COMMON),
        *table(
            "NAdam",
            0.02,
            betas=((0.9, 0.999), (0.5, 0.6)),
            momentum_decay=(4e-3, 0.1),
            decoupled_weight_decay=(False, True),
            **COMMON,
        ),
        *table(
            "RAdam",
            0.02,
            betas=((0.9, 0.999), (0.5, 0.6)),
            eps=(1e-8, 1e-3),
            decoupled_weight_decay=(False, True),
            **COMMON,
        ),
        *table("Adamax", 0.02, betas=((0.9, 0.999), (0.5, 0.6)), eps=(1e-8, 1e-2), **COMMON),
        *table(
            "Rprop",
            0.05,
            etas=((0.5, 1.2), (0.3, 1.5)),
            step_sizes=((1e-6, 50), (0.01, 0.2)),
            maximize=(False, True),
        ),
        *table("ASGD", 0.05, lambd=(1e-4, 0.1), alpha=(0.75, 0.5), t0=(1e6, 5), **COMMON),
        *table("Adafactor", 0.1, d=(1.0, 1.5), beta2_decay=(-0.8, -0.5), **COMMON),
        *table("Adafactor", 0.1, eps=((1e-4, 1e-2),), maximize=(False, True)),
    ]
    if not case[1].get("nesterov") or (case[1]["momentum"] and not case[1]["dampening"])
]
IDS = [f"{name}-{'-'.join(str(v) for v in options.values())}" for name, options in CASES]


class Pair:
    """The same parameters and optimizer on both sides, and the same gradients for both."""

    def __init__(self, name, options, dtype=np.float64):
        rng = np.random.default_rng(0)
        start = [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]
        self.ours = [cp.from_numpy(a.copy()).requires_grad_() for a in start]
        self.theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in start]
        self.our = getattr(optim, name)(self.ours, **options)
        self.their = getattr(torch.optim, name)(self.theirs, **options)
        self.rng, self.dtype = np.random.default_rng(1), dtype

    def step(self, steps, sides=("ours", "theirs")):
        for i in range(steps):
            for j, shape in enumerate(SHAPES):
                g = np.asarray(self.rng.normal(size=shape), self.dtype)
                skip = j == 1 and i % 7 == 3  # a parameter that the loss did not reach
                self.ours[j].grad = None if skip else cp.from_numpy(g.copy())
                self.theirs[j].grad = None if skip else torch.from_numpy(g.copy())
            if "ours" in sides:
                self.our.step()
            if "theirs" in sides:
                self.their.step()

    def difference(self):
        pairs = zip(self.ours, self.theirs, strict=True)
        return max(np.abs(a.detach().numpy() - b.detach().numpy()).max() for a, b in pairs)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_50_steps_in_float64(name, options):
    pair = Pair(name, options)
    pair.step(50)
    assert pair.difference() < 1e-10


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_20_steps_in_float32(name, options):
    pair = Pair(name, options, np.float32)
    pair.step(20)
    # centered: s - mean² cancels in the first steps, where both sides round differently
    assert pair.difference() < (1e-3 if options.get("centered") else 1e-5)


def moved(state):
    """A state_dict of one library in the other's tensors."""
    if isinstance(state, dict):
        return {k: moved(v) for k, v in state.items()}
    if isinstance(state, list):
        return [moved(v) for v in state]
    if isinstance(state, cp.Tensor):
        return torch.from_numpy(state.detach().numpy().copy())
    if isinstance(state, torch.Tensor):
        return cp.from_numpy(state.detach().numpy().copy())
    return state


@pytest.mark.parametrize(("name", "options"), CASES[::3], ids=IDS[::3])
def test_our_state_loads_into_torch(name, options):
    pair = Pair(name, options)
    pair.step(10, sides=("ours",))
    for a, b in zip(pair.ours, pair.theirs, strict=True):
        b.data.copy_(torch.from_numpy(a.detach().numpy()))
    pair.their = getattr(torch.optim, name)(pair.theirs, lr=9.0)
    pair.their.load_state_dict(moved(pair.our.state_dict()))
    pair.step(10)
    assert pair.difference() < 1e-12


@pytest.mark.parametrize(("name", "options"), CASES[::3], ids=IDS[::3])
def test_torchs_state_loads_into_ours(name, options):
    pair = Pair(name, options)
    pair.step(10, sides=("theirs",))
    with cp.no_grad():
        for a, b in zip(pair.ours, pair.theirs, strict=True):
            a.copy_(cp.from_numpy(b.detach().numpy().copy()))
    pair.our = getattr(optim, name)(pair.ours, lr=9.0)
    pair.our.load_state_dict(moved(pair.their.state_dict()))
    pair.step(10)
    assert pair.difference() < 1e-12


def test_states_have_the_same_keys_and_indices():
    for name in sorted({name for name, _ in CASES}):
        options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        pair = Pair(name, options)
        pair.step(1)
        ours, theirs = pair.our.state_dict(), pair.their.state_dict()
        assert {i: set(s) for i, s in ours["state"].items()} == {
            i: set(s) for i, s in theirs["state"].items()
        }
        assert ours["param_groups"] == theirs["param_groups"]


def test_options_stand_at_the_same_places():
    for name in sorted({name for name, _ in CASES} | {"LBFGS", "Muon"}):
        ours, theirs = (inspect.signature(getattr(o, name)) for o in (optim, torch.optim))
        assert [(p.name, p.kind, p.default) for p in ours.parameters.values()] == [
            (p.name, p.kind, p.default) for p in theirs.parameters.values()
        ]


@pytest.mark.parametrize("shape", [(4, 3), (3, 8), (32, 16)])
@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_rounds_like_bfloat16(shape, adjust, nesterov):
    rng = np.random.default_rng(0)
    start = rng.normal(size=shape).astype(np.float32)
    p, q = cp.tensor(start).requires_grad_(), torch.tensor(start).requires_grad_()
    options = {"lr": 0.02, "adjust_lr_fn": adjust, "nesterov": nesterov}
    ours, theirs = optim.Muon([p], **options), torch.optim.Muon([q], **options)
    for _ in range(20):
        g = rng.normal(size=shape).astype(np.float32)
        p.grad, q.grad = cp.tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
        # sums of products in another order: now and then another last bit of 8
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=0, atol=5e-4)


def averaging(m):
    return optim.swa_utils if m is lr_scheduler else torch.optim.swa_utils


SCHEDULES = {
    "step": lambda m, o: m.StepLR(o, 3, 0.5),
    "multi": lambda m, o: m.MultiStepLR(o, [5, 2, 5, 30], 0.3),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.93),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 7, 0.01),
    "cosine once": lambda m, o: m.CosineAnnealingLR(o, 40),
    "cosine 1": lambda m, o: m.CosineAnnealingLR(o, 1, 0.01),
    "lambda": lambda m, o: m.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "linear": lambda m, o: m.LinearLR(o),
    "linear down": lambda m, o: m.LinearLR(o, 1.0, 0.1, 12),
    "warm-up": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.1, 1.0, 4), m.CosineAnnealingLR(o, 20)], [4]
    ),
    "constant": lambda m, o: m.ConstantLR(o, 0.25, 6),
    "polynomial": lambda m, o: m.PolynomialLR(o, 13, 1.7),
    "multiplicative": lambda m, o: m.MultiplicativeLR(
        o, [lambda e: 0.95, lambda e: 1 - 1 / (2 + e)]
    ),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 7, eta_min=0.01),
    "longer restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2),
    "one cycle": lambda m, o: m.OneCycleLR(o, 0.7, 61),
    "one cycle, lines": lambda m, o: m.OneCycleLR(
        o,
        [0.7, 0.1],
        epochs=8,
        steps_per_epoch=8,
        anneal_strategy="linear",
        pct_start=0.4,
        div_factor=10.0,
        final_div_factor=50.0,
        base_momentum=0.5,
        max_momentum=[0.8, 0.9],
    ),
    "one cycle, three phases": lambda m, o: m.OneCycleLR(
        o, 0.7, 60, three_phase=True, cycle_momentum=False
    ),
    "triangles": lambda m, o: m.CyclicLR(o, 0.01, [0.3, 0.5], step_size_up=7),
    "lower triangles": lambda m, o: m.CyclicLR(
        o, 0.01, 0.3, step_size_up=4, step_size_down=9, mode="triangular2"
    ),
    "falling triangles": lambda m, o: m.CyclicLR(
        o, 0.01, 0.3, step_size_up=5, mode="exp_range", gamma=0.97, cycle_momentum=False
    ),
    "own triangles": lambda m, o: m.CyclicLR(
        o, 0.01, 0.3, step_size_up=5, scale_fn=lambda x: 1 / x, scale_mode="cycle"
    ),
    "chained": lambda m, o: m.ChainedScheduler(
        [m.ConstantLR(o, 0.1, 4), m.ExponentialLR(o, 0.9), m.StepLR(o, 5, 0.5)]
    ),
    "sequence with restarts": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.1, 4), m.CosineAnnealingWarmRestarts(o, 5)], [4]
    ),
    "sequence of polynomials": lambda m, o: m.SequentialLR(
        o, [m.PolynomialLR(o, 9), m.PolynomialLR(o, 20, 2.0)], [6]
    ),
    "sequence in a sequence": lambda m, o: m.SequentialLR(
        o,
        [
            m.LinearLR(o, 0.1),
            m.SequentialLR(o, [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.9)], [5]),
        ],
        [100],
    ),
    "averaging": lambda m, o: averaging(m).SWALR(o, [0.05, 0.2]),
    "averaging, a line": lambda m, o: averaging(m).SWALR(o, 0.01, 4, "linear"),
    "three": lambda m, o: m.SequentialLR(
        o, [m.ExponentialLR(o, 0.8), m.StepLR(o, 2, 0.5), m.MultiStepLR(o, [3, 9])], [5, 13]
    ),
}


def two_groups(side):
    p = [side.zeros(1, requires_grad=True) for _ in range(2)]
    return side.optim.SGD([{"params": p[0]}, {"params": p[1], "lr": 0.3}], lr=0.1, momentum=0.5)


def rates(optimizer):
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_gives_the_very_same_rates(name):
    our, their = two_groups(cp), two_groups(torch)
    a = SCHEDULES[name](lr_scheduler, our)
    b = SCHEDULES[name](torch.optim.lr_scheduler, their)
    for _ in range(60):
        assert rates(our) == rates(their)
        assert a.get_last_lr() == b.get_last_lr()
        for x in (our, their, a, b):
            x.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_torchs_schedule_continues_here(name):
    our, their = two_groups(cp), two_groups(torch)
    b = SCHEDULES[name](torch.optim.lr_scheduler, their)
    for _ in range(6):
        their.step()
        b.step()
    a = SCHEDULES[name](lr_scheduler, our)
    our.load_state_dict(moved(their.state_dict()))
    a.load_state_dict(b.state_dict())
    for _ in range(12):
        assert rates(our) == rates(their)
        for x in (our, their, a, b):
            x.step()


@pytest.mark.parametrize("name", SCHEDULES)
def test_our_schedule_continues_in_torch(name):
    our, their = two_groups(cp), two_groups(torch)
    a = SCHEDULES[name](lr_scheduler, our)
    for _ in range(6):
        our.step()
        a.step()
    b = SCHEDULES[name](torch.optim.lr_scheduler, their)
    their.load_state_dict(moved(our.state_dict()))
    b.load_state_dict(a.state_dict())
    for _ in range(12):
        assert rates(our) == rates(their)
        for x in (our, their, a, b):
            x.step()


@pytest.mark.parametrize("name", ["one cycle", "triangles"])
def test_schedules_move_the_first_beta_of_adam(name):
    optimizers, schedulers = [], []
    for side, m in ((cp, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        p = [side.zeros(1, requires_grad=True) for _ in range(2)]
        optimizers.append(side.optim.Adam([{"params": p[0]}, {"params": p[1]}]))
        schedulers.append(SCHEDULES[name](m, optimizers[-1]))
    for _ in range(40):
        ours, theirs = ([(g["lr"], g["betas"]) for g in o.param_groups] for o in optimizers)
        assert ours == theirs
        for x in (*optimizers, *schedulers):
            x.step()


def test_schedules_have_the_same_options_at_the_same_places():
    names = set(lr_scheduler.__all__) - {"LRScheduler"}
    assert names == set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"}
    for name in names:
        ours, theirs = (
            inspect.signature(getattr(m, name)) for m in (lr_scheduler, torch.optim.lr_scheduler)
        )
        assert [(p.name, p.default) for p in ours.parameters.values()] == [
            (p.name, p.default) for p in theirs.parameters.values()
        ]


def test_restarts_at_fractions_of_an_epoch():
    our, their = two_groups(cp), two_groups(torch)
    for ratio in (1, 2):
        a = lr_scheduler.CosineAnnealingWarmRestarts(our, 3, ratio)
        b = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(their, 3, ratio)
        for epoch in (0.5, 2.25, 3.5, 8.0, 10.75, 1.0):
            a.step(epoch)
            b.step(epoch)
            assert rates(our) == rates(their)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_begun_at_a_later_epoch(name):
    if "sequence" in name or "averaging" in name or name in ("warm-up", "three", "chained"):
        return  # these have no last_epoch of their own, or one that counts their parts
    our, their = two_groups(cp), two_groups(torch)
    for optimizer in (our, their):
        for group in optimizer.param_groups:
            group |= {"initial_lr": group["lr"], "max_lr": 0.7, "min_lr": 1e-4}
            group |= {"max_momentum": 0.9, "base_momentum": 0.8}
    made = []
    for m, o in ((lr_scheduler, our), (torch.optim.lr_scheduler, their)):
        later = type("Later", (), {"__getattr__": lambda _, n, m=m: begun(getattr(m, n))})()
        made.append(SCHEDULES[name](later, o))
    for _ in range(10):
        assert rates(our) == rates(their)
        for x in (our, their, *made):
            x.step()


def begun(kind):
    return lambda *args, **options: kind(*args, last_epoch=3, **options)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (2, 0), (1, 3)])
def test_plateau_gives_the_very_same_rates(mode, threshold_mode, patience, cooldown):
    options = {"mode": mode, "threshold_mode": threshold_mode, "patience": patience}
    options |= {"cooldown": cooldown, "factor": 0.6, "threshold": 0.01, "min_lr": [1e-4, 1e-3]}
    our, their = two_groups(cp), two_groups(torch)
    a = lr_scheduler.ReduceLROnPlateau(our, **options)
    b = torch.optim.lr_scheduler.ReduceLROnPlateau(their, **options)
    for value in np.random.default_rng(3).normal(size=60):
        a.step(value)
        b.step(value)
        assert rates(our) == rates(their)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("most", [0.5, 100.0])
def test_clipping_by_norm(order, most):
    pair = Pair("SGD", {})
    pair.step(1)
    ours = cp.nn.utils.clip_grad_norm_(pair.ours, most, order)
    theirs = torch.nn.utils.clip_grad_norm_(pair.theirs, most, order)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-14)
    for a, b in zip(pair.ours, pair.theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-14)


def test_safetensors_files_are_readable_on_both_sides(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    cp.save({k: cp.from_numpy(v) for k, v in weights.items()}, tmp_path / "ours.safetensors")
    theirs = files.load_file(tmp_path / "ours.safetensors")
    assert {k: v.numpy().tolist() for k, v in theirs.items()} == {
        k: v.tolist() for k, v in weights.items()
    }
    files.save_file(theirs, tmp_path / "theirs.safetensors")
    ours = cp.load(tmp_path / "theirs.safetensors")
    assert {k: v.tolist() for k, v in ours.items()} == {k: v.tolist() for k, v in weights.items()}
