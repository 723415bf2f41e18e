"""The flags that show what the compiler does: each once, from the outside."""

import json
import os
import subprocess
import sys

import pytest

import clearprop as cp
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
    tanh = TABLE["tanh"]
    object.__setattr__(tanh, "lower", Map("tanh(x) + 0.01 * x"))
    try:
        f = cp.compile(lambda x: (cp.tanh(x) * 2).sum(1))
        with cp.flags(check=2), pytest.raises(CheckError, match=r"(?s)kernel 0 .*tanh\(f32"):
            f(cp.rand(3, 4))
    finally:
        object.__setattr__(tanh, "lower", Map("tanh(x)"))
