"""The text of a whole step: a function per kernel (equal ones once) and `step`, which calls them in
order on the addresses of a table.

`step` returns 0, or 1 + the number of the kernel in which something went wrong; the kernels behind
it have not run then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clearprop.graph import Var
from clearprop.jit import vectormath
from clearprop.jit.loops import LoopCode, LoopWriter
from clearprop.jit.memory import Place, Plan
from clearprop.jit.nest import Nest
from clearprop.jit.products import Part, write_product
from clearprop.jit.schedule import Callback, Product, reads_of
from clearprop.jit.special import Special
from clearprop.jit.target import Target

PART = 400  # lines of a function that calls kernels
LIMIT = re.compile(r"icmp ult i64 (%i\d+), (\d+)$", re.MULTILINE)  # where a loop goes on


@dataclass(eq=False)
class Module:
    """`text` defines `step`; `kernels[i]` names the function of kernel i ('' for a callback)."""

    text: str
    kernels: list[str] = field(default_factory=list)


def write_module(plan: Plan, target: Target) -> Module:
    """The IR of a planned schedule."""
    return ModuleWriter(plan, target).write()


def write_apart(plan: Plan, target: Target) -> str:
    """The same as a function per kernel, `kernel0`, `kernel1`, ..., each called with the table;
    callbacks are left out.
    """
    return ModuleWriter(plan, target).apart()


class ModuleWriter:
    """Writes `step` for one thread."""

    prefix = ""  # of the names of parts

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.declares: set[str] = set()
        self.math: set[tuple[str, str, int]] = set()
        self.shared: set[str] = set()
        self.functions: dict[str, str] = {}  # text without name -> name
        self.main: list[str] = []
        self.parts: list[str] = []
        self.calls: list[str] = []  # of the parts
        self.slots: dict[int, str] = {}
        self.names = 0
        self.constants = _numbers(plan)

    def write(self) -> Module:
        kernels = []
        for at, kernel in enumerate(self.plan.schedule.kernels):
            match kernel:
                case Nest():
                    kernels.append(self._nest(at, kernel))
                case Product():
                    kernels.append(self._product(kernel))
                case Special():
                    kernels.append(self._special(at, kernel))
                case Callback():
                    self._callback(at)
                    kernels.append("")
            if len(self.main) > PART:
                self._part()
        return Module(self._text([*self.parts, self._entry("step", self.calls)]), kernels)

    def _part(self) -> None:
        """Make a function of what `main` holds, and call it: LLVM takes long for long functions."""
        name = f"{self.prefix}part{len(self.parts)}"
        self.parts.append(self._entry(name, ()).replace("define", "define internal", 1))
        self.slots = {}
        self.names += 1
        n = self.names
        self.calls += [
            f"  %p{n} = call i32 @{name}(ptr %table)",
            f"  %d{n} = icmp eq i32 %p{n}, 0",
            f"  br i1 %d{n}, label %on{n}, label %out{n}",
            f"out{n}:",
            f"  ret i32 %p{n}",
            f"on{n}:",
        ]
        self.main = []

    def apart(self) -> str:
        """One function for each kernel."""
        functions = []
        for at, kernel in enumerate(self.plan.schedule.kernels):
            self.main, self.slots = [], {}
            if isinstance(kernel, Nest):
                self._nest(at, kernel)
            elif isinstance(kernel, Product):
                self._product(kernel)
            elif isinstance(kernel, Special):
                self._special(at, kernel)
            else:
                continue
            functions.append(self._entry(f"kernel{at}", ()))
        return self._text(functions)

    def _entry(self, name: str, before: Sequence[str]) -> str:
        """A function of the table that does what `main` holds."""
        addresses = [
            f"  %at{i} = getelementptr ptr, ptr %table, i64 {i}\n  {slot} = load ptr, ptr %at{i}"
            for i, slot in self.slots.items()
        ]
        return "\n".join([
            f"define i32 @{name}(ptr %table) #0 {{",
            "entry:",
            "  %status = alloca i32",
            "  store i32 0, ptr %status",
            *before, *addresses, *self.main,
            "  ret i32 0",
            "}",
        ])  # fmt: skip

    def _text(self, entries: list[str]) -> str:
        """Declarations and functions, each once, and the entries."""
        math, declared = vectormath.definitions(self.math)
        parts = [
            *sorted(self.declares | set(declared)),
            math,
            *sorted(self.shared),
            *(text.replace("@KERNEL", f"@{name}") for text, name in self.functions.items()),
            *entries,
        ]
        return "\n".join(parts) + "\n"

    def _function(self, text: str, hint: str) -> str:
        """The name of the function with this text; equal texts are one function."""
        if text not in self.functions:
            self.functions[text] = f"{hint}{len(self.functions)}"
        return self.functions[text]

    def _nest(self, at: int, nest: Nest) -> str:
        stored = {m.out for m in nest.members if m.out in self.plan.places}
        apart = self._is_apart(nest, stored)
        code = LoopWriter(nest, stored, self.constants, self.target, apart=apart).write()
        body, count = _counted(code.body)
        counts = [] if count is None else [f"i64 {count}"]
        name = self._loop_function(replace(code, body=body), ", i64 %count" * len(counts))
        given = [self._address(self._place(at, v)) for v in code.arguments]
        self._call(name, given + ["ptr %status"] * code.checks + counts)
        if code.checks:
            self._stop(at)
        return name

    def _is_apart(self, nest: Nest, stored: set[Var]) -> bool:
        """Whether a nest writes only to memory that it does not read."""
        places = self.plan.places
        reads = [_reach(r.base, places[r.base]) for r in reads_of(nest) if r.base in places]
        writes = [_reach(v, places[v]) for v in stored]
        return not any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in reads for b in writes)

    def _loop_function(self, code: LoopCode, more: str = "") -> str:
        """The name of a function of loops; `more` arguments."""
        self.declares |= code.declares
        self.math |= code.math
        names = [f"ptr %p{i}" for i in range(len(code.arguments))]
        names += ["ptr %status"] * code.checks
        head = f"define internal void @KERNEL({', '.join(names)}{more}) #0 {{"
        return self._function(f"{head}\nentry:\n{code.body}\n}}", "loops")

    def _place(self, at: int, v: Var | tuple[str, Var]) -> Place:
        """Where an argument of kernel `at` lies."""
        return self.plan.scratch[at, v[1]] if isinstance(v, tuple) else self.plan.places[v]

    def _product(self, product: Product, part: Part | None = None) -> str:
        body, kernel, declares, shared = write_product(product, self.target, part)
        self.shared |= shared
        self.declares |= declares
        inner = self._function(kernel, "gemm")
        names = ["ptr %a", "ptr %b", "ptr %c", *(["ptr %bias"] if product.bias else [])]
        body = body.replace("@KERNEL", f"@{inner}")
        text = f"define internal void @KERNEL({', '.join(names)}) #0 {{\nentry:\n{body}\n}}"
        name = self._function(text, "product")
        operands: list[Any] = [product.a.base, product.b.base, product.out]
        if product.flipped:
            operands[0], operands[1] = operands[1], operands[0]
        if product.bias:
            operands.append(product.bias.base)
        self._call(name, [self._address(self.plan.places[v]) for v in operands])
        return name

    def _special(self, at: int, kernel: Special) -> str:
        places = self.plan.places
        over = None if kernel.over is None else kernel.inputs[kernel.over].base
        in_place = over is not None and places[over] == places[kernel.out]
        code = kernel.write(self.target, in_place)
        self.declares |= code.declares
        self.shared |= code.shared
        name = self._function(code.text, kernel.equation.prim.name)
        given = [self._address(places[v]) for v in code.operands]
        if code.scratch:
            given.append(self._address(self.plan.scratch[at, kernel.out]))
        self._call(name, given + ["ptr %status"] * code.checks)
        if code.checks:
            self._stop(at)
        return name

    def _callback(self, at: int) -> None:
        function = self._address(Place(self.plan.slots))
        self.names += 1
        self.main.append(f"  %v{self.names} = call i32 {function[4:]}(i32 {at})")
        self.main.append(f"  store i32 %v{self.names}, ptr %status")
        self._stop(at)

    def _call(self, name: str, args: list[str]) -> None:
        self.main.append(f"  call void @{name}({', '.join(args)})")

    def _stop(self, at: int) -> None:
        """Leave `step` if the kernel has set the status."""
        self.names += 1
        n = self.names
        self.main += [
            f"  %s{n} = load i32, ptr %status",
            f"  %c{n} = icmp eq i32 %s{n}, 0",
            f"  br i1 %c{n}, label %go{n}, label %stop{n}",
            f"stop{n}:",
            f"  ret i32 {at + 1}",
            f"go{n}:",
        ]

    def _address(self, place: Place) -> str:
        """A place as an argument."""
        base = self.slots.setdefault(place.slot, f"%slot{place.slot}")
        if not place.offset:
            return f"ptr {base}"
        self.names += 1
        self.main.append(f"  %v{self.names} = getelementptr i8, ptr {base}, i64 {place.offset}")
        return f"ptr %v{self.names}"


def _counted(body: str) -> tuple[str, int | None]:
    """Code with one loop as a function of how far it goes, so that nests that differ only in their
    size share it, and how far that is.
    """
    limits = LIMIT.findall(body)
    if len(limits) != 1:
        return body, None
    return LIMIT.sub(r"icmp ult i64 \1, %count", body), int(limits[0][1])


def _reach(v: Var, place: Place) -> tuple[int, int, int]:
    """The slot of a value, its first byte, and the one behind its last."""
    size = max(1, v.aval.size) * v.aval.dtype.np.itemsize
    return place.slot, place.offset, place.offset + size


def _numbers(plan: Plan) -> dict[Var, Any]:
    """Constants of one element, which go into the code."""
    return {v: a.reshape(()).item() for v, a in plan.graph.constants.items() if a.size == 1}
