"""A graph as native code that runs on NumPy arrays: the step under everything else."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from clearprop.core import Indexed, local
from clearprop.graph import Graph, text
from clearprop.jit import builtin, stored, watch, workers
from clearprop.jit.access import Access
from clearprop.jit.engine import Code, compile_text, load_code
from clearprop.jit.expansion import expanded
from clearprop.jit.joining import joined
from clearprop.jit.memory import ALIGNMENT, Plan, plan
from clearprop.jit.module import write_module
from clearprop.jit.nest import Nest
from clearprop.jit.parallel import write_parallel
from clearprop.jit.schedule import Callback, schedule
from clearprop.jit.stored import Layout
from clearprop.jit.target import host


class Program:
    """`run(inputs, outputs)` computes a graph: reads and writes the inputs, fills the outputs, all
    packed arrays of the graph's avals.
    """

    def __init__(self, graph: Graph, printed: str | None = None, threads: int = 1) -> None:
        """`printed`: the graph as text, by which its code is looked up."""
        whole = graph
        graph = expanded(whole)
        if printed is None or graph is not whole:
            printed = text(graph)
        self.graph = graph = joined(graph)
        self.threads = threads
        self.pool = workers.pool(threads) if threads > 1 else None
        self.layout, self.code = self._find(printed)
        self.lock = threading.Lock()
        self.error: BaseException | None = None
        self.entry = self.code.address("step")
        self._arena = _aligned(self.layout.arena)
        arrays = list(graph.constants.values())
        self._constants = [np.ascontiguousarray(arrays[i]) for i in self.layout.constants]
        self._callback = _CALLBACK(self.run_callback)
        kind = ctypes.PYFUNCTYPE if self.layout.callbacks else ctypes.CFUNCTYPE
        self._step = kind(ctypes.c_int, ctypes.c_void_p)(self.entry)
        self.busy = np.zeros(1, np.int64)  # 1 while a call uses the arena
        self.table = self.new_table()

    def _find(self, printed: str) -> tuple[Layout, Code]:
        """Layout and code, from the cache or new."""
        key = stored.key_of(self.graph, printed, self.threads) if not watch.shows_code() else None
        known = stored.load(key) if key else None
        if known is not None:
            code = load_code(known.object, "step")
            if code is not None:
                return known, code
        arena = self.plan.arena
        if self.threads > 1:
            module, arena = write_parallel(self.plan, host(), self.threads)
        else:
            module = write_module(self.plan, host())
        watch.show_code(self.graph.name, self.plan, module.text)
        code = compile_text(module.text, "step")
        layout = stored.layout_of(self.plan, arena, code.name)
        if key:
            stored.store(key, layout)
        return layout, code

    @cached_property
    def plan(self) -> Plan:
        """Kernels and places, worked out when they are asked for."""
        return plan(schedule(self.graph))

    def new_table(self) -> np.ndarray:
        """The addresses that the step is called with; those of inputs and outputs are missing."""
        table = np.zeros(self.layout.slots + 2, np.uintp)
        first = len(self.graph.inputs) + len(self.graph.outputs)
        for i, array in enumerate(self._constants):
            table[first + i] = array.ctypes.data
        table[-3] = self._arena.ctypes.data
        table[-2] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        table[-1] = self.pool.address if self.pool else 0
        return table

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Run once.

        Errors: what a callback raised; IndexError for an index out of range.
        """
        with self.lock:
            if watch.wanted():
                self._use((*inputs, *outputs))
                self.busy[0] = 0
                watch.run(self, inputs)
                return
            self._use((*inputs, *outputs))
            try:
                failed = self._step(self.table.ctypes.data)
            finally:
                self.busy[0] = 0
            if failed:
                self.fail(failed)

    def run_many(self, table: np.ndarray, k: int, moves: np.ndarray, n: int) -> None:
        """Run k times on a table of its own; between runs the addresses in the first n rows of
        `moves` (place, bytes) move on.
        """
        run = _RUN(builtin.code().address("run"))
        with self.lock:
            self._wait()
            self.busy[0] = 1
            try:
                failed = run(self.entry, table.ctypes.data, k, moves.ctypes.data, n)
            finally:
                self.busy[0] = 0
            if failed:
                self.fail(failed)

    def _wait(self) -> None:
        """Until no call from machine code, in another thread, uses the arena."""
        while self.busy[0]:
            time.sleep(1e-5)

    def _use(self, arrays: Sequence[np.ndarray]) -> None:
        """Put addresses into the table, when no other thread is running."""
        self._wait()
        for i, array in enumerate(arrays):
            self.table[i] = array.ctypes.data
        self.busy[0] = 1

    def fail(self, status: int) -> None:
        """Raise what went wrong in a kernel."""
        at = status - 1
        error, self.error = self.error, None
        if error is not None:
            raise error
        kernel: Any = self.plan.schedule.kernels[at]
        members = kernel.members if isinstance(kernel, Nest) else [kernel]
        for equation in (m.equation for m in members):
            if isinstance(equation.prim.lower, Indexed):
                raise IndexError(
                    f"{equation.prim.name}: an index is out of range, made {equation.origin}"
                )
        raise AssertionError(f"kernel {at} failed")

    def run_callback(self, at: int) -> int:
        """Run the eager kernel of an equation on the memory of the step."""
        kernel = self.plan.schedule.kernels[at]
        assert isinstance(kernel, Callback)
        try:
            equation = kernel.equation
            args = [self.array(x) for x in kernel.inputs]
            found = local.c.run(equation.prim.eager, *args, **equation.params)
            many = found if equation.prim.outputs > 1 else (found,)
            for v, value in zip(equation.outputs, many, strict=True):
                np.copyto(self.array(self.plan.schedule.access[v]), value)
        except BaseException as error:
            self.error = error
            return 1
        return 0

    def array(self, x: Access) -> np.ndarray:
        """The elements of an access, in the memory of the step."""
        place = self.plan.places[x.base]
        d = x.base.aval.dtype.np
        size = max(1, x.base.aval.size * d.itemsize)
        start = int(self.table[place.slot]) + place.offset
        memory = (ctypes.c_char * size).from_address(start)
        strides = [s * d.itemsize for s in x.strides]
        return np.ndarray(x.shape, d, memoryview(memory), x.offset * d.itemsize, strides)


_RUN = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64
)
_CALLBACK = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int)


def _aligned(size: int) -> np.ndarray:
    """Memory that begins at a multiple of ALIGNMENT."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size + 1 if size == 0 else start + size]
