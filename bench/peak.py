"""The most float32 multiply-adds that one core does in a second, measured with a native loop.

python bench/peak.py
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import time
from typing import Any

import numpy as np

CHAINS = 12  # independent sums: enough to hide the latency, few enough for the registers
TURNS = 2_000_000


def loop_text(lanes: int) -> str:
    """IR of a loop in which each of the chains multiplies and adds once."""
    v = f"<{lanes} x float>"
    chains = range(CHAINS)
    phis = "\n".join(f"  %a{i} = phi {v} [ %s{i}, %entry ], [ %b{i}, %loop ]" for i in chains)
    starts = "\n".join(f"  %s{i} = fadd {v} %one, {_splat(lanes, i)}" for i in chains)
    steps = "\n".join(
        f"  %b{i} = call {v} @llvm.fmuladd({v} %a{i}, {v} %factor, {v} %one)" for i in chains
    ).replace("fmuladd(", f"fmuladd.v{lanes}f32(")
    sums = "\n".join(
        f"  %t{i} = fadd {v} {f'%t{i - 1}' if i else 'zeroinitializer'}, %b{i}" for i in chains
    )
    return f"""
declare {v} @llvm.fmuladd.v{lanes}f32({v}, {v}, {v})
define void @turns(ptr %numbers, ptr %out, i64 %n) {{
entry:
  %one = load {v}, ptr %numbers, align 4
  %next = getelementptr {v}, ptr %numbers, i64 1
  %factor = load {v}, ptr %next, align 4
{starts}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
{phis}
{steps}
  %j = add i64 %i, 1
  %more = icmp ult i64 %j, %n
  br i1 %more, label %loop, label %done
done:
{sums}
  store {v} %t{CHAINS - 1}, ptr %out, align 4
  ret void
}}
"""


def _splat(lanes: int, i: int) -> str:
    return "<" + ", ".join([f"float {float(i)}"] * lanes) + ">"


def native_peak(rounds: int = 15) -> float:
    """Floating-point operations per second of the loop, the best of some rounds."""
    llvm: Any = importlib.import_module("llvmlite.binding")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    lanes = 16 if features.get("avx512f") else 8 if features.get("avx2") else 4
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features.flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(loop_text(lanes)), machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    turns = signature(engine.get_function_address("turns"))
    numbers = np.repeat(np.array([1.0, 0.5], np.float32), lanes)
    out = np.empty(lanes, np.float32)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        turns(numbers.ctypes.data, out.ctypes.data, TURNS)
        best = min(best, time.perf_counter() - start)
    return 2 * lanes * CHAINS * TURNS / best


def product_peak(rounds: int = 8) -> float:
    """What NumPy reaches in a large matrix product, where there is no llvmlite."""
    a = np.ones((1024, 1024), np.float32)
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best


def peak() -> float:
    """Floating-point operations per second of one core, float32."""
    return native_peak() if importlib.util.find_spec("llvmlite") else product_peak()


if __name__ == "__main__":
    print(f"{peak() / 1e9:.1f} GFLOP/s in float32 on one core")
