"""Looking at the compiler and at what it made: the flags DEBUG, DUMP, CHECK=2 and PROFILE.

While kernels are timed or checked they run one by one, each from a function of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clearprop.errors import ClearpropError
from clearprop.flags import flags
from clearprop.graph import Graph, text
from clearprop.jit.check import Truth
from clearprop.jit.engine import assembly_of, compile_text, module_text
from clearprop.jit.memory import Plan
from clearprop.jit.module import write_apart
from clearprop.jit.nest import Nest
from clearprop.jit.schedule import Callback, Kernel, Product, makes, reads_of
from clearprop.jit.special import Special
from clearprop.jit.target import host


class CheckError(ClearpropError, AssertionError):
    """A compiled kernel that computes something else than eager mode (flag CHECK=2)."""


def wanted() -> bool:
    """Whether kernels are to be run one by one."""
    return int(flags.debug) >= 2 or int(flags.check) >= 2 or bool(flags.profile)


def shows_code() -> bool:
    """Whether schedule and code of every program are to be shown."""
    return int(flags.debug) >= 3 or bool(flags.dump)


# ---------------------------------------------------------------------- stages of a compile
_last: list[str] = [""]
_stage = itertools.count()


def show_graph(stage: str, graph: Graph) -> None:
    """The graph after a stage, if it has changed."""
    if not shows_code():
        return
    printed = text(graph)
    if printed != _last[0]:
        _last[0] = printed
        _say(3, f"{graph.name}, {stage}:\n{printed}")
        _dump(graph.name, f"{stage}.graph", printed)


def show_code(name: str, plan: Plan, ir: str) -> None:
    """The schedule and the code of a program."""
    if not shows_code():
        return
    lines = [f"{name}: {len(plan.schedule.kernels)} kernels, {plan.arena} bytes of arena"]
    lines += [f"  {i:3}  {described(k)}" for i, k in enumerate(plan.schedule.kernels)]
    schedule = "\n".join(lines)
    _say(3, schedule)
    _dump(name, "schedule.txt", schedule)
    _say(4, ir)
    _dump(name, "code.ll", ir)
    if int(flags.debug) >= 5 or flags.dump:
        whole = module_text(ir, host())
        _say(5, whole)
        _dump(name, "module.ll", whole)
    if int(flags.debug) >= 6 or flags.dump:
        assembly = assembly_of(ir)
        _say(6, assembly)
        _dump(name, "code.s", assembly)


def described(kernel: Kernel) -> str:
    """A kernel in one line."""
    match kernel:
        case Nest():
            ops = " ".join(m.equation.prim.name for m in kernel.members)
            return f"loops {list(kernel.space)}: {ops}"
        case Product():
            a, b = kernel.equation.inputs
            more = " + bias" * (kernel.bias is not None) + " relu" * kernel.relu
            return f"product {a.aval} @ {b.aval}{more}"
        case Special():
            operands = ", ".join(str(x.base.aval) for x in kernel.inputs)
            more = " + bias" * (getattr(kernel, "bias", None) is not None)
            more += " relu" * getattr(kernel, "relu", False)
            return f"{kernel.equation.prim.name} of {operands}{more}"
        case Callback():
            return f"eager {kernel.equation.prim.name}: {kernel.why}"


def _say(level: int, what: str) -> None:
    if int(flags.debug) >= level:
        print(f"clearprop: {what}", file=sys.stderr)


def _dump(name: str, suffix: str, what: str) -> None:
    if flags.dump:
        folder = Path(str(flags.dump))
        folder.mkdir(parents=True, exist_ok=True)
        safe = "".join(c if c.isalnum() else "_" for c in name)
        (folder / f"{next(_stage):03}-{safe}-{suffix}").write_text(what, encoding="utf-8")


# ---------------------------------------------------------------------- kernels one by one
class Apart:
    """The kernels of a program as functions of their own."""

    def __init__(self, plan: Plan) -> None:
        kernels = plan.schedule.kernels
        names = [f"kernel{i}" for i, k in enumerate(kernels) if not isinstance(k, Callback)]
        self.code = compile_text(write_apart(plan, host()), *names)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
        self.functions = {name: kind(self.code.address(name)) for name in names}


def run(program: Any, inputs: Sequence[np.ndarray]) -> None:
    """Run a program whose table is filled, kernel by kernel; time and check each."""
    apart = _apart(program)
    truth = Truth(program, inputs) if int(flags.check) >= 2 else None
    for at, kernel in enumerate(program.plan.schedule.kernels):
        start = time.perf_counter()
        if isinstance(kernel, Callback):
            failed = (at + 1) * program.run_callback(at)
        else:
            failed = apart.functions[f"kernel{at}"](program.table.ctypes.data)
        seconds = time.perf_counter() - start
        if failed:
            program.fail(failed)
        _record(program.graph.name, at, kernel, start, seconds)
        if truth is not None:
            _compare(truth, program.graph.name, at, kernel)


def _apart(program: Any) -> Apart:
    if not hasattr(program, "apart"):
        program.apart = Apart(program.plan)
    found: Apart = program.apart
    return found


def _compare(truth: Truth, name: str, at: int, kernel: Kernel) -> None:
    """What a kernel has stored, with the truth."""
    difference = truth.difference(at, kernel)
    if difference is None:
        return
    equations = (
        [m.equation for m in kernel.members] if isinstance(kernel, Nest) else [kernel.equation]
    )
    body = "\n".join(
        f"  {e.prim.name}({', '.join(str(x.aval) for x in e.inputs)}) {e.origin}" for e in equations
    )
    raise CheckError(
        f"{name}: kernel {at} ({described(kernel)}) computes something else than eager mode:"
        f" {difference}. It is made of\n{body}"
    )


# ---------------------------------------------------------------------- times
_events: list[dict[str, Any]] = []
_totals: dict[tuple[str, int], list[Any]] = {}


def _record(name: str, at: int, kernel: Kernel, start: float, seconds: float) -> None:
    what = described(kernel)
    flops, moved = _work(kernel)
    if int(flags.debug) >= 2:
        rates = f"{flops / seconds / 1e9:.2f} GFLOP/s, {moved / seconds / 1e9:.2f} GB/s"
        _say(2, f"{name} kernel {at}: {1e3 * seconds:.4f} ms, {rates}, {what}")
        total = _totals.setdefault((name, at), [0, 0.0, what])
        total[0] += 1
        total[1] += seconds
    if flags.profile:
        _events.append(
            {"name": what, "cat": name, "ph": "X", "ts": 1e6 * start, "dur": 1e6 * seconds,
             "pid": 1, "tid": 1, "args": {"kernel": at, "flops": flops, "bytes": moved}}
        )  # fmt: skip


def _work(kernel: Kernel) -> tuple[float, float]:
    """About how many operations a kernel makes, and how many bytes it reads and writes."""
    values = {r.base for r in reads_of(kernel)} | set(makes(kernel))
    moved = float(sum(v.aval.size * v.aval.dtype.np.itemsize for v in values))
    if isinstance(kernel, Product):
        return 2.0 * kernel.out.aval.size * kernel.a.shape[-1], moved
    if isinstance(kernel, Nest):
        return float(np.prod(kernel.space) * len(kernel.members)), moved
    if isinstance(kernel, Special):
        return kernel.work, moved
    return 0.0, moved


@atexit.register
def finish() -> None:
    """The summary of DEBUG=2, and the file of PROFILE."""
    rows = sorted(_totals.items(), key=lambda item: -item[1][1])
    all_seconds = sum(seconds for _, (_, seconds, _) in rows)
    for (name, at), (calls, seconds, what) in rows[:20]:
        share = 100 * seconds / all_seconds
        times = f"{share:5.1f} %  {1e3 * seconds:9.3f} ms  {calls:6} runs"
        _say(2, f"{times}  {name} kernel {at}: {what}")
    if flags.profile and _events:
        Path(str(flags.profile)).write_text(json.dumps({"traceEvents": _events}), encoding="utf-8")
