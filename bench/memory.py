"""Peak memory of a training step: a process per contender, resident memory before and after.

    python bench/memory.py          W4, W6 and W7
    python bench/memory.py W7

What counts is memory beyond that of the process after its imports: parameters, gradients, state of
the optimizer, data, activations. "steps" is the peak while steps run (compiled code comes from
the cache on disk, as in every run but the first); "first run" has the compiler's own memory in it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import single_thread

HERE = str(Path(__file__).resolve())
STATUS = Path("/proc/self/status")
CONTENDERS = {  # what is shown: (column, variant)
    "torch eager": ("torch eager", "modules"),
    "torch eager, fused": ("torch eager", "modules, fused"),
    "clearprop eager": ("clearprop eager", "modules"),
    "clearprop": ("clearprop", "modules"),
}
STEPS = 5


def memory(field: str) -> int:
    """Bytes of a line of Linux's record of this process: VmRSS is now, VmHWM the peak."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def peak() -> int:
    """Most bytes that were resident since the last `forget_peak`."""
    if STATUS.exists():
        return memory("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Start the record of the peak anew, where that is possible: on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def measure(key: str, name: str) -> dict[str, float]:
    """Megabytes of a contender in this process."""
    contenders: Any = importlib.import_module("contenders")
    workloads: Any = importlib.import_module("workloads")
    column, variant = CONTENDERS[name]
    if column == "clearprop":
        importlib.import_module("clearprop.jit")
    # imports, and what libraries make at their first step
    contenders.variants(column, workloads.WORKLOADS["W1"])[variant]()
    forget_peak()
    before = memory("VmRSS") if STATUS.exists() else peak()
    program = contenders.variants(column, workloads.WORKLOADS[key])[variant]()
    first = peak() - before
    forget_peak()
    program.run(STEPS)
    return {"first run": max(first, peak() - before) / 2**20, "steps": (peak() - before) / 2**20}


def megabytes(key: str, name: str) -> dict[str, Any]:
    """What two processes need, the first with an empty cache of compiled code."""
    if importlib.util.find_spec(name.split()[0]) is None:
        return {"note": "not installed"}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "CLEARPROP_CACHE_DIR": folder}
        run = [sys.executable, HERE, "--once", key, name]
        found = []
        for _ in range(2):
            done = subprocess.run(run, capture_output=True, text=True, env=environment)
            if done.returncode:
                return {"note": (done.stderr.strip().splitlines() or ["failed"])[-1]}
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return {"first run": found[0]["first run"], "steps": found[1]["steps"]}


def show(rows: list[Any]) -> None:
    console: Any = importlib.import_module("rich.console").Console
    table: Any = importlib.import_module("rich.table").Table
    shown = table(title="peak memory beyond the imports, MB", title_justify="left")
    for name in ("step", "contender"):
        shown.add_column(name)
    for name in ("steps", "of torch's", "first run"):
        shown.add_column(name, justify="right")
    for w in rows:
        found = {name: megabytes(w.key, name) for name in CONTENDERS}
        torch = [f["steps"] for n, f in found.items() if n.startswith("torch") and "steps" in f]
        for name, f in found.items():
            cells = [f"{f[c]:.1f}" if c in f else "" for c in ("steps", "first run")]
            share = f"{f['steps'] / min(torch):.2f}" if torch and "steps" in f else f.get("note")
            shown.add_row(f"{w.key} {w.title}", name, cells[0], share or "", cells[1])
    console(width=None if sys.stdout.isatty() else 120).print(shown)


def main() -> None:
    single_thread()
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(measure(*sys.argv[2:4])))
        return
    workloads: Any = importlib.import_module("workloads")
    show(workloads.chosen(sys.argv[1:] or ["W4", "W6", "W7"]))


if __name__ == "__main__":
    main()
