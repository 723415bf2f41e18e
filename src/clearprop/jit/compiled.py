"""`clearprop.compile`: a function of tensors as native code, traced at its first call with
arguments of a kind, and again when something changes that the trace depended on.
"""

from __future__ import annotations

import functools
import gc
import os
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np

from clearprop.core import Tensor, local, wrap
from clearprop.core.events import listeners, tell
from clearprop.core.tree import map_tensors, structure, tensors_in
from clearprop.errors import ShapeError
from clearprop.flags import flags
from clearprop.graph import Graph, optimize, text, trace
from clearprop.jit.callable import NativeCallable
from clearprop.jit.guards import Names

if find_spec("llvmlite"):
    from clearprop.jit import watch
    from clearprop.jit.binding import Binding, Direct, Entry, this_thread, why_not
    from clearprop.jit.program import Program
    from clearprop.jit.version import Version, described, is_packed, log
else:
    Program = None  # type: ignore[assignment, misc]

MOST_THREADS = 64
MANY = 8  # versions of a function for arguments of one kind, before it is said that there are many

WITHOUT_LLVMLITE = (
    "clearprop.compile: there is no llvmlite for this platform (it writes the machine code);"
    " compiled functions run in eager mode, with the same results"
)


class Compiled(NativeCallable):
    """A function that runs as native code. Call it as the function it was made from.

    `explain()` tells what was compiled, why, and what runs in eager mode inside.
    """

    def __init__(
        self, function: Callable[..., Any], threads: int = 1, background: bool = False
    ) -> None:
        super().__init__()
        self.function = function
        self.threads = threads
        self.background = background
        self.versions: dict[Any, list[Version]] = {}
        self.programs: dict[str, Program] = {}
        self.lock = threading.RLock()
        self.gradients: dict[int, Any] = {}
        self._again = False
        self.directly: dict[int, Any] = {}  # `run` for so many steps
        functools.update_wrapper(self, function, updated=())
        if Program is not None:
            self._entry = Entry(self._slow)
            self._entry.lead(self)
            self._entries: dict[int, Entry] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._slow(*args, **kwargs)  # where calls do not go to machine code at once

    def __reduce__(self) -> Any:
        return (type(self), (self.function, self.threads, self.background))

    def _slow(self, *args: Any, **kwargs: Any) -> Any:
        """A call that goes through Python."""
        c = local.c
        if _plainly(c):
            if Program is None:
                _say_once(WITHOUT_LLVMLITE)
            return self.function(*args, **kwargs)
        with self.lock:
            version = self.version(args, kwargs)
            if listeners and not self._again:
                tell("called", self, version, args, kwargs)
            if version.ready():
                return self._run(version, args, kwargs)
        return self.function(*args, **kwargs)

    def _run(self, version: Version, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A call of a version, and the next one without Python."""
        mine = version.bindings.get(this_thread())
        waits = mine is not None and bool(version.program.busy[0])  # for another thread's call
        if mine is not None and not self._again and not watch.wanted():
            mine.refresh()
            self._again = True
            try:
                return self(*args, **kwargs)
            finally:
                self._again = False
        given = tensors_in((args, kwargs))
        if version.overlaps(given) or version.adds_to_arguments(given):
            return self.function(*args, **kwargs)
        result = version.run(given)
        if not waits and not watch.wanted():
            self._bind(version, args, kwargs)
        return result

    def _bind(self, version: Version, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Make this thread's next call of this kind go without Python, if it can."""
        ended = [t for t, b in version.bindings.items() if b.context() is None]
        for thread in (this_thread(), *ended):
            self._retire(version, version.bindings.pop(thread, None), self._entry)
        version.unbound = (
            "it has keyword arguments"
            if kwargs
            else (why_not(version.traced, version.program, args) or "")
        )
        if not version.unbound:
            binding = version.bindings[this_thread()] = Binding(
                version.traced, version.program, version.names, args, self.gradients,
                version.program.fail,
            )  # fmt: skip
            self._entry.add(binding)

    def _retire(self, version: Version, binding: Binding | None, entry: Entry | None) -> None:
        if binding is not None and entry is not None:
            version.calls += binding.calls
            entry.remove(binding)

    def _unbind(self, version: Version) -> None:
        """Let calls of a version go through Python again."""
        for binding in version.bindings.values():
            self._retire(version, binding, self._entry)
        for k, binding in version.bound.items():
            self._retire(version, binding, self._entries.get(k))
        version.bindings.clear()
        version.bound.clear()

    def _bind_many(self, version: Version, k: int, batches: tuple[Any, ...]) -> None:
        """Make the next k steps of this kind in one call go without Python, if they can."""
        self._retire(version, version.bound.pop(k, None), self._entries.get(k))
        first = map_tensors(functools.partial(_entry, 0), batches)
        packed = all(is_packed(t.value) for t in tensors_in(batches))
        if not batches or not packed or why_not(version.traced, version.program, first):
            return
        if k not in self.directly:
            if len(self.directly) == MANY:  # whoever takes a new number of steps each time
                for known in self.versions.values():
                    for v in known:
                        v.calls += sum(binding.calls for binding in v.bound.values())
                        v.bound.clear()
                self.directly.clear()
                self._entries.clear()
            entry = self._entries[k] = Entry(functools.partial(self._run_slow, k))
            entry.lead(direct := Direct(entry.slow))
            self.directly[k] = direct
        version.bound[k] = Binding(
            version.traced, version.program, version.names, batches, self.gradients,
            version.program.fail, k,
        )  # fmt: skip
        self._entries[k].add(version.bound[k])

    def version(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Version:
        """The code for these arguments; compiled now if there is none yet."""
        key = self._key(args, kwargs)
        known = self.versions.setdefault(key, [])
        for i, version in enumerate(known):
            if version.changed() is None:
                if i:
                    known.insert(0, known.pop(i))
                return version
        reason = self._reason(key, known)
        for old in known:
            self._unbind(old)
        version = self._compile(args, kwargs, reason)
        known.insert(0, version)
        del known[2 * MANY :]
        if len(known) == MANY:
            warnings.warn(
                f"clearprop.compile: {self._name} was compiled {MANY} times for arguments of one"
                f" kind, the last time because {reason}; every compilation costs time. Make what"
                " changes an argument that is a Tensor, or keep it the same. explain() tells more",
                RuntimeWarning,
                stacklevel=3,
            )
        return version

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What decides on the trace before anything is looked up: kinds of arguments and modes."""
        key = (structure(args), structure(kwargs), local.c.grad, local.c.inference)
        try:
            hash(key)
        except TypeError:
            raise TypeError(
                f"clearprop.compile: {self._name} got an argument that is neither a Tensor nor"
                " hashable, so it cannot be told whether the compiled code fits it; give it as a"
                " Tensor, or make it hashable"
            ) from None
        return key

    def _reason(self, key: Any, known: list[Version]) -> str:
        if known:
            return known[0].changed() or "something has changed"
        if not any(self.versions.values()):
            return "it is the first call"
        before = next(k for k in reversed(self.versions) if self.versions[k])
        return _difference(key, before)

    def _compile(self, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str) -> Version:
        start = time.perf_counter()
        collecting = gc.isenabled()  # all that is made now stays until the end
        gc.disable()
        try:
            return self._compile_now(args, kwargs, reason, start)
        finally:
            if collecting:
                gc.enable()

    def _compile_now(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str, start: float
    ) -> Version:
        stands: list[Tensor] = []
        given = map_tensors(lambda t: _stand_in(t, stands), (args, kwargs))
        traced = trace(self._called, *given, name=self._name)
        graph = optimize(traced.graph, each=watch.show_graph)
        traced = traced.with_graph(graph)
        printed = text(graph)
        program = self.programs.get(printed)
        again, waiting = program is not None, None
        if program is None and self.background:
            waiting = _background().submit(self._program, graph, printed)
        elif program is None:
            program = self._program(graph, printed)
        seconds = time.perf_counter() - start
        version = Version(traced, program, Names(self.function), reason, seconds, waiting=waiting)  # type: ignore[arg-type]
        version.again = functools.partial(Compiled, threads=self.threads)
        place = {id(t): i for i, t in enumerate(stands)}
        version.targets = [place.get(id(e.tensor())) for e in traced.gradients]
        if flags.debug:
            log(self._name, version, again)
        return version

    def _program(self, graph: Graph, printed: str) -> Program:
        """The machine code of a graph."""
        program = self.programs[printed] = Program(graph, printed, self.threads)
        return program

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.function(*args, **kwargs)

    def run(self, k: int, batches: Any) -> Any:
        """k calls in one: call i takes entry i of every Tensor in `batches`, a tuple of arguments
        of which the Tensors have an axis of k in front. The results, stacked in the same way.

        >>> import clearprop as cp
        >>> double = cp.compile(lambda x: 2 * x)
        >>> double.run(3, (cp.tensor([1.0, 2.0, 3.0]),))
        tensor([2., 4., 6.])
        """
        if type(batches) is tuple and k in self.directly:
            return self.directly[k](*batches)
        return self._run_slow(k, *(batches if isinstance(batches, tuple) else (batches,)))

    def _run_slow(self, k: int, *batches: Any) -> Any:
        """`run` through Python."""
        stacks = tensors_in(batches)
        if k < 1 or any(t.ndim == 0 or t.shape[0] != k for t in stacks):
            raise ShapeError(
                f"run: wants {k} entries along the first axis of every Tensor and at least one, got"
                f" {', '.join(str(t.aval) for t in stacks)}"
            )
        first = map_tensors(functools.partial(_entry, 0), batches)
        if not _plainly(local.c):
            with self.lock:
                version = self.version(first, {})
                if listeners and not self._again:
                    tell("called", self, version, first, {})
                if version.ready() and version.in_one_call() and not watch.wanted():
                    if k in version.bound and k in self.directly and not self._again:
                        version.bound[k].refresh()
                        self._again = True
                        try:
                            return self.directly[k](*batches)
                        finally:
                            self._again = False
                    out = version.run_many(tensors_in(first), stacks, k)
                    self._bind_many(version, k, batches)
                    return out
        results = []
        for i in range(k):
            results.append(self(*map_tensors(functools.partial(_entry, i), batches)))
        columns = zip(*map(tensors_in, results), strict=True)
        stacked = iter([wrap(np.stack([t.value for t in ts]), None) for ts in columns])
        return map_tensors(lambda _: next(stacked), results[0])

    def explain(self) -> str:
        """What was compiled, why, how long that took, and what runs in eager mode inside."""
        lines = [f"{self._name}: {sum(map(len, self.versions.values()))} compiled"]
        for known in self.versions.values():
            for version in known:
                lines += described(version)
        return "\n".join(lines)

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that runs for these arguments."""
        with self.lock:
            return self.version(args, kwargs).traced.graph

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """As a method of a class: compiled for every instance by itself."""
        if instance is None:
            return self
        method = self.function.__get__(instance, owner)  # type: ignore[attr-defined]
        bound = Compiled(method, self.threads, self.background)
        instance.__dict__[self._name] = bound
        return bound

    def __repr__(self) -> str:
        return f"<compiled {self._name}>"


@functools.cache
def _background() -> ThreadPoolExecutor:
    """The thread in which code is made while functions run in eager mode."""
    return ThreadPoolExecutor(1, "clearprop compiles")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_background.cache_clear)


def compile(
    function: Callable[..., Any] | None = None, *, threads: int = 1, background: bool = False
) -> Any:
    """A function of tensors as native code; use it as a decorator.

    The function may read and update what a training step does: modules, optimizers, buffers, random
    numbers. It is traced at its first call: what depends on shapes and Python values is followed
    then; learning rates, other options of optimizers, step counts and random numbers are looked up
    at every call. Other arguments, another mode or another shape lead to another version. The
    values of tensors are not known to the function while it is traced.

    With `threads=n`, large kernels are split among n threads, which stay ready between calls. The
    parts do not depend on what else runs, so n threads give the same bits in every run, and the
    numbers of one thread up to rounding. It pays for steps of a fraction of a millisecond or more,
    on cores that have nothing else to do.

    With `background=True` no call waits for code: it is made in another thread, and calls run in
    eager mode until it is there. At which call that is, and so the last digits of what is
    computed, differs from run to run.

    Errors: TraceError where the function decides on a value of a tensor (`if loss > 1`, `.item()`).

    >>> import clearprop as cp
    >>> @cp.compile
    ... def energy(x, y):
    ...     return ((x - y) ** 2).sum()
    >>> energy(cp.tensor([1.0, 2.0]), cp.tensor([3.0, 2.0]))
    tensor(4.)
    """
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"compile: threads must be from 1 to {MOST_THREADS}, got {threads!r}")
    if threads > 1 and os.name == "nt":
        raise ValueError("compile: threads wants POSIX threads, which Windows has not; take 1")
    if function is None:
        return functools.partial(compile, threads=threads, background=background)
    if not callable(function):
        raise TypeError(f"compile: wants a function, got {type(function).__name__}")
    return function if isinstance(function, Compiled) else Compiled(function, threads, background)


def _plainly(c: Any) -> bool:
    """Whether functions run as they are: switched off, inside another trace, or where every op is
    to be looked at.
    """
    tracing = c.interpreter is not None and c.interpreter.traces
    return not flags.jit or Program is None or tracing or c.anomaly or bool(flags.nancheck)


def _entry(i: int, x: Tensor) -> Tensor:
    return wrap(x.value[i, ...], None)  # a 0-d entry is an array, too


def _stand_in(x: Tensor, made: list[Tensor]) -> Tensor:
    """A tensor of the same kind in memory of its own, so that an argument which is also known to
    the function in another way (a weight) is not mistaken for it in later calls.
    """
    out = wrap(np.zeros(x.value.shape, x.value.dtype), None)
    if x.node is not None:
        out.requires_grad_()
    made.append(out)
    return out


# ---------------------------------------------------------------------- telling
_said: set[str] = set()


def _say_once(what: str) -> None:
    if what not in _said:
        _said.add(what)
        warnings.warn(what, RuntimeWarning, stacklevel=3)


def _difference(key: Any, before: Any) -> str:
    """What is new about these arguments."""
    if key[2:] != before[2:]:
        return "gradients are recorded now, or no longer"
    new, old = list(_leaves(key[:2])), list(_leaves(before[:2]))
    if len(new) != len(old):
        return "there are other arguments"
    for a, b in zip(new, old, strict=True):
        if a != b:
            return f"an argument is {a}, was {b}"
    return "an argument is another container"


def _leaves(part: Any) -> Any:
    if isinstance(part, tuple) and part and part[0] is Tensor:
        yield f"{part[1]}{' that requires grad' if part[2] else ''}"
    elif isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], type):
        yield repr(part[1])
    elif isinstance(part, tuple):
        for p in part:
            yield from _leaves(p)
