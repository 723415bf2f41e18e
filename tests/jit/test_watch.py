"""The flags that show what the compiler does: each once, from the outside."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

import clearprop as cp
from clearprop import nn
from clearprop.core import TABLE, Map
from clearprop.jit.watch import CheckError

SCRIPT = """
import clearprop as cp
from clearprop import nn
net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = cp.optim.Adam(net.parameters(), lr=0.01)
@cp.compile
def step(x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y) + cp.sort(x)[0].sum() * 0
    loss.backward()
    optimizer.step()
    return loss
x, y = cp.rand(6, 5), cp.tensor([0, 1, 2, 0, 1, 2])
first = step(x, y).item()
for _ in range(20):
    last = step(x, y).item()
assert last < first
"""


def run(**flags):
    env = {**os.environ, **{f"CLEARPROP_{k.upper()}": str(v) for k, v in flags.items()}}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_debug_1_says_what_is_compiled_why_and_what_runs_in_eager_mode():
    err = run(debug=1)
    assert "compiled step" in err and "because it is the first call" in err
    assert "runs in eager mode: sorts" in err
    assert "kernel" not in err.replace("kernels", "")


def test_debug_2_times_every_kernel_and_sums_up():
    err = run(debug=2)
    assert err.count("step kernel 0:") >= 21 and "GFLOP/s" in err and "GB/s" in err
    assert "21 runs  step kernel" in err.rsplit("GB/s", 1)[1]


@pytest.mark.parametrize(
    ("level", "sign"),
    [(3, "graph step("), (4, "define i32 @step"), (5, "target triple"), (6, ".globl")],
)
def test_debug_shows_graphs_code_and_assembly(level, sign):
    assert sign in run(debug=level)


def test_without_flags_nothing_is_said():
    assert run() == ""


def test_dump_writes_every_stage(tmp_path):
    run(dump=tmp_path / "out")
    kinds = {p.name.split("-", 2)[2] for p in (tmp_path / "out").iterdir()}
    assert {"traced.graph", "schedule.txt", "code.ll", "module.ll", "code.s"} <= kinds
    graph = next((tmp_path / "out").glob("*-step-traced.graph")).read_text()
    assert cp.graph.text(cp.graph.parse(graph)) == graph


def test_profile_is_what_perfetto_reads(tmp_path):
    run(profile=tmp_path / "times.json")
    events = json.loads((tmp_path / "times.json").read_text())["traceEvents"]
    assert len(events) > 100
    assert {"name", "ph", "ts", "dur", "pid", "tid"} <= set(events[0])


def test_check_2_passes_what_is_right_and_finds_what_is_not():
    run(check=2)
    with faulty("tanh", "tanh(x) + 0.01 * x"):
        f = cp.compile(lambda x: (cp.tanh(x) * 2).sum(1))
        with cp.flags(check=2), pytest.raises(CheckError, match=r"(?s)kernel 0 .*tanh\(f32"):
            f(cp.rand(3, 4))


@contextmanager
def faulty(name, formula):
    """Machine code of a primitive that computes something else."""
    prim = TABLE[name]
    right = prim.lower
    object.__setattr__(prim, "lower", Map(formula))
    try:
        yield
    finally:
        object.__setattr__(prim, "lower", right)


def test_check_2_lets_pass_what_rounding_decides():
    """Fused, `a * b - c` is rounded once, so it has another sign than in eager mode here and there;
    and a sum of deviations from the mean is rounding alone."""
    a, b = cp.rand(4000), cp.rand(4000)
    c = a * b
    f = cp.compile(lambda a, b, c: (a * b - c <= 0, (a * b - c).sum(), (a - a.mean()).sum()))
    with cp.flags(check=2):
        below, *_ = f(a, b, c)
    assert not below.all()  # eager mode: all


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("le", "x < y - 0.01"),  # far from what rounding decides
        ("sub", "x - y + 0.0001 * x"),
        ("maximum", "max(x, y) + 0.01"),
    ],
)
def test_check_2_finds_faults_beside_what_rounding_decides(name, formula):
    a, b, m = cp.rand(400), cp.rand(400), cp.rand(400)
    with faulty(name, formula):
        f = cp.compile(lambda a, b, m: ((cp.maximum(a, b) <= m), (a - m).sum(), cp.maximum(a, b)))
        with cp.flags(check=2), pytest.raises(CheckError, match=name):
            f(a, b, m + a - a.mean() + (a - m).mean() if name == "sub" else m)


def test_check_2_of_a_convolutional_network():
    net = nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(54, 10),
    )  # fmt: skip
    optimizer = cp.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    @cp.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    with cp.flags(check=2):
        for _ in range(3):
            step(cp.randn(32, 1, 20, 20), cp.randint(0, 10, (32,)))
