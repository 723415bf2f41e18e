"""Eager mode on tiny tensors: what clearprop adds to NumPy, and PyTorch's eager mode beside it.

    python bench/eager.py

Single thread. PyTorch is compared where it is installed (pip install torch==2.13.0).
"""

from __future__ import annotations

from timing import medians, single_thread

single_thread()

import importlib  # noqa: E402
import importlib.util  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402

import clearprop as cp  # noqa: E402


def elementwise() -> None:
    """One recorded op on 10 elements against NumPy's own call: at most 3 us more."""
    a = np.random.default_rng(0).uniform(0.5, 1.5, 10).astype(np.float32)
    x = cp.tensor(a, requires_grad=True)
    y = cp.tensor(a, requires_grad=True)
    pairs = {
        "x + y": (lambda: a + a, lambda: x + y),
        "x * y": (lambda: a * a, lambda: x * y),
        "x * 2.0": (lambda: a * 2.0, lambda: x * 2.0),
        "exp(x)": (lambda: np.exp(a), lambda: cp.exp(x)),
        "x.tanh()": (lambda: np.tanh(a), lambda: x.tanh()),
        "x ** 2": (lambda: a**2, lambda: x**2),
        "relu(x)": (lambda: np.maximum(a, 0), lambda: cp.relu(x)),
    }
    print("one elementwise op on 10 float32 numbers, gradient recorded (us per call)")
    print(f"  {'op':10} {'NumPy':>8} {'clearprop':>10} {'added':>8}")
    worst = 0.0
    for name, (plain, ours) in pairs.items():
        t = medians({"numpy": plain, "clearprop": ours})
        added = t["clearprop"] - t["numpy"]
        worst = max(worst, added)
        print(f"  {name:10} {t['numpy']:8.2f} {t['clearprop']:10.2f} {added:8.2f}")
    print(f"  most added: {worst:.2f} us (wanted: at most 3)\n")


def z_program(lib: Any, shape: tuple[int, ...]) -> Any:
    """z = 3 y1 + y2^2 with y1 = 2 x^2 + e^(2x), y2 = e^x: forward and backward."""
    start = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    x = lib.tensor(start, requires_grad=True)

    def run() -> None:
        x.grad = None
        y1 = 2 * x**2 + lib.exp(2 * x)
        y2 = lib.exp(x)
        z = 3 * y1 + y2**2
        (z if not shape else z.sum()).backward()

    return run


def lecture_example(torch: Any) -> None:
    print("z = 3 y1 + y2^2, y1 = 2 x^2 + e^(2x), y2 = e^x: forward + backward (us per step)")
    for shape in ((), (4,), (10, 4)):
        programs = {"clearprop": z_program(cp, shape)}
        if torch is not None:
            programs["torch"] = z_program(torch, shape)
        t = medians(programs)
        line = f"  x of shape {shape!s:8} clearprop {t['clearprop']:7.1f}"
        if torch is not None:
            line += f"   torch {t['torch']:7.1f}   ratio {t['torch'] / t['clearprop']:.1f}"
        print(line)
    print()


def step_program(lib: Any, width: int, batch: int) -> Any:
    """A whole training step of a small network: forward, backward, Adam."""
    lib.manual_seed(0)
    nn = lib.nn
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    x, y = lib.randn(batch, 4), lib.randn(batch, 1)

    def run() -> None:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run


def training_step(torch: Any) -> None:
    print("a training step of Linear-Tanh-Linear with Adam, eager mode (us per step)")
    for width, batch in ((16, 8), (64, 32), (256, 128)):
        programs = {"clearprop": step_program(cp, width, batch)}
        if torch is not None:
            programs["torch"] = step_program(torch, width, batch)
        t = medians(programs)
        line = f"  width {width:4} batch {batch:4}   clearprop {t['clearprop']:8.1f}"
        if torch is not None:
            line += f"   torch {t['torch']:8.1f}   ratio {t['torch'] / t['clearprop']:.1f}"
        print(line)


def main() -> None:
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    if torch is None:
        print("torch is not installed: no comparison with PyTorch\n")
    else:
        torch.set_num_threads(1)
    elementwise()
    lecture_example(torch)
    training_step(torch)


if __name__ == "__main__":
    main()
