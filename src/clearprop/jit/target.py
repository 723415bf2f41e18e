"""The instruction sets that code is written for: how wide a vector is, how many registers there
are, and what LLVM is told about this processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from clearprop.errors import optional_import

BITS = {"f32": 32, "f64": 64, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "u8": 8, "bool": 8}


@dataclass(frozen=True)
class Target:
    """One instruction set. `triple`, `cpu` and `features` are LLVM's names for the machine."""

    name: str
    vector_bits: int
    registers: int
    triple: str = ""
    cpu: str = ""
    features: str = ""

    def lanes(self, dtype: str) -> int:
        """How many elements one register holds."""
        return self.vector_bits // BITS[dtype]

    @property
    def attributes(self) -> str:
        """What every function of a module is declared with."""
        return f'nounwind "prefer-vector-width"="{self.vector_bits}"'


def table(features: dict[str, bool], machine: str) -> tuple[str, int, int]:
    """(name, bits of a vector register, number of them) for a processor with these features."""
    if machine.startswith(("aarch64", "arm64")):
        return "neon", 128, 32
    if all(features.get(f) for f in ("avx512f", "avx512vl", "avx512bw", "avx512dq")):
        return "avx512", 512, 32
    if features.get("avx2") and features.get("fma"):
        return "avx2", 256, 16
    return "sse2", 128, 16


WIDEST = Target("avx512", 512, 32)  # no vectors are longer


@cache
def host() -> Target:
    """The processor that this runs on.

    Errors: MissingExtraError where there is no llvmlite.
    """
    llvm = optional_import("llvmlite.binding", extra="jit")
    triple = llvm.get_process_triple()
    features = llvm.get_host_cpu_features()
    name, bits, registers = table(dict(features), triple)
    return Target(name, bits, registers, triple, llvm.get_host_cpu_name(), features.flatten())
