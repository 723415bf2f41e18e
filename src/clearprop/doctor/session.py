"""A training program under observation: steps, the passes that are looked at closely, and what
happens in between.

    session = Session()
    with session:
        train()
    print(session.report())

Every step is watched through `core.events`, which costs a few calls; every so often (`sampling`) a
step is observed: its forward pass is logged op by op, and its backward pass is walked once more.
The program's own step alone changes anything.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np

from clearprop.core import Location, Tensor, local, locate
from clearprop.core.events import listeners
from clearprop.core.node import creation
from clearprop.core.provenance import user_frame
from clearprop.core.tensor import grad_of
from clearprop.doctor.compiled_steps import CompiledSteps
from clearprop.doctor.findings import Finding, Report
from clearprop.doctor.flow import Flow, flow_back
from clearprop.doctor.log import Log, Observer, Value
from clearprop.doctor.measure import finite, non_finite
from clearprop.doctor.retrace import log_of_tape

MOST_EVENTS = 20_000  # some thousand steps tell how a training loop is made


@dataclass(eq=False)
class Event:
    """Something that happened: when (the number of the optimizer step that was running or next),
    where in the program, and what.
    """

    kind: str
    step: int
    code: CodeType | None
    lasti: int
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> Location | None:
        return locate(self.code, self.lasti)


@dataclass(eq=False)
class Pass:
    """One backward pass that was observed, before it changed anything."""

    session: Session
    number: int  # of the backward pass in the program, from 1
    step: int
    log: Log
    flow: Flow
    outputs: list[Tensor]
    event: Event

    @property
    def when(self) -> str:
        return f"batch {self.number}"

    @property
    def loss(self) -> Value:
        """What was computed, also where requires_grad_() has made a leaf of it since."""
        array = self.outputs[0].value
        made = (v for r in reversed(self.log.records) for v in r.outs if v.array is array)
        return next(made, None) or self.log.value(self.outputs[0])

    def learns(self, p: Tensor) -> bool:
        """Whether a leaf is a parameter: not an input whose gradient is asked for."""
        if type(p) is not Tensor:
            return True
        optimized = self.session.optimized()
        return not optimized or id(p) in optimized

    def line(self, record: Any) -> Location | None:
        """The user's line of a record. A module in one of clearprop's containers is called by
        no line
        of the program: there it is the line that made the module.
        """
        scope = record.scope
        if scope is None or scope.parent is None or not (_ours(scope) and _ours(scope.parent)):
            return record.location  # type: ignore[no-any-return]
        return self.session.built.get(id(scope.module)) or record.location

    def name(self, p: Tensor) -> str:
        """'Net.fc1.weight', as the module that ran in this pass has it."""
        return self.session.parameter_name(p)


class Session:
    """What the doctor knows of a running program. Lists of events and numbers are for the checks of
    training loops (family G); `passes` are examined as they come and then dropped.
    """

    def __init__(
        self,
        *,
        sampling: Callable[[int], bool] | None = None,
        max_steps: int | None = None,
        max_seconds: float | None = None,
        thorough: bool = False,
    ) -> None:
        """`sampling(n)`: whether backward pass n is observed; `thorough`: all are, and those in
        between are examined if something in them is not finite.
        """
        self.sampling = sampling or often_at_first
        self.thorough = thorough
        self.max_steps = max_steps
        self.deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self.events: list[Event] = []
        self.steps = 0
        self.backwards = 0
        self.losses: list[tuple[int, float]] = []  # (backward pass, loss)
        self.optimizers: list[weakref.ref[Any]] = []
        self.roots: dict[int, weakref.ref[Any]] = {}  # outermost modules that ran
        self.findings: list[Finding] = []
        self.built: dict[int, Location] = {}  # where modules were made, by id
        # what checks of passes leave for the end
        self.candidates: defaultdict[str, list[Any]] = defaultdict(list)
        self.reached: set[int] = set()  # tensors that got a gradient in some pass, by id
        self.kept_alive: list[Any] = []  # so that ids stay those of the same objects
        self.notes: list[str] = []
        self.observed = 0
        self.broken = 0  # passes with something that is not finite
        self.log = Log()
        self._observer = Observer(self.log)
        self._names: dict[int, str] = {}
        self._before: Any = None
        self._busy = False
        self._compiled = CompiledSteps(self)
        self._born: dict[int, Any] = {}
        self._used: list[tuple[Tensor, Any]] = []  # gradients that the last step has used
        self.followups: list[Callable[[], Iterator[Finding]]] = []  # when the step is done
        self.born_before = 0  # nodes with a smaller number are from before the last step
        self.written: dict[
            int, Location | None
        ] = {}  # where leaves were filled, by id of the array
        self.unused: dict[int, Any] = {}  # per outermost module: which parameters were used
        self.frozen: dict[int, Event] = {}  # where requires_grad was set to False, by id
        self.outputs: list[tuple[int, weakref.ref[Tensor]]] = []  # what backward was called on
        self.moved: set[int] = set()  # tensors that an optimizer has stepped, by id
        self.death: tuple[BaseException, Location | None] | None = None

    # ------------------------------------------------------------------ with session:
    def __enter__(self) -> Session:
        listeners.append(self._hear)
        self._before = local.c.interpreter
        self._compiled.again()
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        listeners[:] = [f for f in listeners if f is not self._hear and f != self._hear]
        self._compiled.stop()
        local.c.interpreter = self._before

    def _look(self) -> None:
        """Log ops from here on, if the next step is one to observe."""
        c = local.c
        if self.thorough or self.sampling(self.backwards + 1):
            if c.interpreter is self._before:
                self.log.clear()
                c.interpreter = self._observer
        elif c.interpreter is self._observer:
            c.interpreter = self._before
            self.log.clear()

    @property
    def observing(self) -> bool:
        return local.c.interpreter is self._observer

    # ------------------------------------------------------------------ events
    def _hear(self, kind: str, *details: Any) -> None:
        interpreter = local.c.interpreter
        if self._busy or (interpreter is not None and interpreter.traces):
            return  # (what a trace does is not done)
        self._busy = True
        try:
            method = getattr(self, "_on_" + kind.replace(" ", "_"), None)
            if method is not None:
                method(*details)
        except StopProgram:
            raise
        except Exception as error:  # the doctor never stops a program
            self.notes.append(f"the doctor failed at {kind}: {type(error).__name__}: {error}")
        finally:
            self._busy = False

    def note(self, kind: str, **facts: Any) -> Event:
        """Keep an event with the user's line."""
        frame = user_frame(sys._getframe(1))
        code, lasti = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        event = Event(kind, self.steps, code, lasti, facts)
        if len(self.events) < MOST_EVENTS:
            self.events.append(event)
        return event

    def _on_backward(self, outputs: Any, grads: Any, inputs: Any, create_graph: bool) -> None:
        event = self.note(
            "grad" if create_graph or inputs is not None else "backward",
            number=self.backwards + 1, leaf_counts=None, create_graph=create_graph,
        )  # fmt: skip
        if event.kind == "grad":
            return
        self._follow_up()
        self.backwards += 1
        event.facts["stale"] = any(
            p.value is not None and grad_of(p) is not None and grad_of(p).value is used  # type: ignore[union-attr]
            for p, used in self._used
        )
        y = outputs[0]
        event.facts["older"] = 0 < getattr(y.node, "seq", 0) < self.born_before
        if y.numel() == 1 and y.value.__class__ is np.ndarray:
            event.facts["loss"] = float(y.value.reshape(()))
            if len(self.losses) < MOST_EVENTS:
                self.losses.append((self.backwards, event.facts["loss"]))
        self.outputs.append((self.backwards, weakref.ref(y)))
        if self.observing:
            self._examine(outputs, grads, event)
        elif not finite(y.value) and self.broken < 2:
            self._retrace(outputs, grads, event)
        local.c.interpreter = self._before  # its rules are not logged

    def _examine(self, outputs: list[Tensor], grads: Any, event: Event) -> None:
        flow = flow_back(outputs, grads, self.log)
        self.reached |= flow.leaves.keys()
        broken = flow.error is not None or non_finite(flow) or not finite(outputs[0].value)
        if broken:
            self.broken += 1
        if not self.sampling(self.backwards) and not (broken and self.broken <= 2):
            return
        self._find_roots()
        for write in self.log.writes:
            self.written[id(write.array)] = write.location
        seen = Pass(self, self.backwards, self.steps, self.log, flow, list(outputs), event)
        self.observed += 1
        for check in PASS_CHECKS:
            self._run(check, seen)

    def _retrace(self, outputs: list[Tensor], grads: Any, event: Event) -> None:
        """Look at a pass that was not observed and is not finite, by what its tape has kept."""
        self.broken += 1
        log = log_of_tape(outputs)
        seen = Pass(
            self, self.backwards, self.steps, log, flow_back(outputs, grads, log), list(outputs),
            event,
        )  # fmt: skip
        for check in PASS_CHECKS:
            if check.__module__.endswith(".nonfinite"):
                self._run(check, seen)

    def _run(self, check: Any, subject: Any) -> None:
        try:
            self.findings += list(check(subject))
        except Exception as error:
            self.notes.append(f"{check.__name__} failed: {type(error).__name__}: {error}")

    def _follow_up(self) -> None:
        """Examine the step that followed an observed pass."""
        followups, self.followups = self.followups, []
        for check in followups:
            self._run(lambda _subject, check=check: check(), None)

    def _on_backward_done(self, *_: Any) -> None:
        self.events[-1].facts["done"] = True
        self._look()

    def _on_step(self, optimizer: Any) -> None:
        self._know(optimizer)
        params = [p for group in optimizer.param_groups for p in group["params"]]
        grads = [(p, g.value) for p in params if (g := grad_of(p)) is not None]
        used = [(p, g) for p, g in grads if g.__class__ is np.ndarray and _moves(g)]
        lr = float(optimizer.param_groups[0].get("lr", 0.0))
        event = self.note("step", optimizer=weakref.ref(optimizer), any_grad=bool(used), lr=lr)
        self.moved.update(id(p) for p, _ in grads)
        for check in STEP_CHECKS if self.observing else ():
            self._run(lambda subject, check=check: check(subject, event), self)
        self._used = used[:8]
        local.c.interpreter = self._before

    def _on_step_done(self, optimizer: Any) -> None:
        self.steps += 1
        self._follow_up()
        self.born_before = next(creation)
        self._look()
        if self.max_steps is not None and self.steps >= self.max_steps:
            raise StopProgram
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise StopProgram

    def _on_zero_grad(self, owner: Any) -> None:
        self._used = []
        self.note("zero_grad", owner=weakref.ref(owner))

    def _on_optimizer(self, optimizer: Any) -> None:
        self._know(optimizer)
        self.note("optimizer", optimizer=weakref.ref(optimizer))

    def _on_clip(self, function: str, parameters: Any, limit: Any, norm: Any) -> None:
        size = None if norm is None else float(norm.value)
        self.note("clip", function=function, limit=float(limit), norm=size)

    def _on_module(self, module: Any) -> None:
        frame = user_frame(sys._getframe(1))
        if frame is not None:
            self.built[id(module)] = Location(
                frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
            )
            self.kept_alive.append(module)

    def _on_detach(self, tensor: Tensor, how: str) -> None:
        if self.observing and tensor.node is not None:
            self.note("detach", value=self.log.value(tensor), how=how)

    def _on_requires_grad(self, tensor: Tensor, wanted: bool) -> None:
        if not wanted:
            self.frozen[id(tensor)] = self.note("frozen", tensor=weakref.ref(tensor))

    def _on_mode(self, module: Any, training: bool) -> None:
        self.note("mode", module=weakref.ref(module), training=training)

    def _on_schedule(self, scheduler: Any) -> None:
        self.note("schedule", scheduler=weakref.ref(scheduler))

    def _on_import(self, source: Any, tensor: Tensor) -> None:
        if not self.observing:
            return  # (a log that grew between observations would hold all batches)
        value = self._births(source, tensor)
        if isinstance(source, np.ndarray | Tensor) and value is not None:
            array = source.value if isinstance(source, Tensor) else source
            value.source = self.log.values.get(id(array))
        if value is not None and value.source is None and value.is_float:
            value.hint = self._exported(value.array)

    def _exported(self, array: np.ndarray) -> Value | None:
        """A value that left the tape in this pass, and may have come back as this array: it has the
        same number, or as many rows.
        """
        for event in reversed(self.events[-64:]):
            value = event.facts.get("value")
            if event.kind in ("step", "backward"):
                break
            if event.kind != "export" or not isinstance(value, Value) or value.maker is None:
                continue
            a = value.array
            if a.size == 1 and array.size == 1:
                if np.isclose(float(a.reshape(())), float(array.reshape(())), rtol=1e-6):
                    return value
            elif a.shape == array.shape or (
                a.ndim and array.ndim and a.shape[0] == array.shape[0] > 1
            ):
                return value
        return None

    def _births(self, source: Any, tensor: Tensor) -> Value | None:
        """Where a tensor of data was made."""
        frame = user_frame(sys._getframe(1))
        if frame is None:
            return None
        value = self.log.value(tensor)
        value.born = locate(frame.f_code, frame.f_lasti)
        self._born[id(tensor.value)] = (value.born, weakref.ref(tensor))
        return value

    def _on_export(self, tensor: Tensor, what: str) -> None:
        if self.observing:
            self.note(
                "export", what=what, value=self.log.value(tensor), tracked=tensor.requires_grad
            )

    def _on_block(self, cls: type, args: Any) -> None:
        self.log.blocks.append(cls)

    def _on_block_done(self, cls: type, args: Any) -> None:
        if self.log.blocks:
            self.log.blocks.pop()

    def _on_called(self, function: Any, version: Any, args: Any, kwargs: Any) -> None:
        observing = self.observing
        if observing:  # (what runs as machine code has no log)
            local.c.interpreter = self._before
        self._compiled.called(function, version, args, kwargs)
        if observing:
            local.c.interpreter = self._observer

    # ------------------------------------------------------------------ who is who
    def _know(self, optimizer: Any) -> None:
        if not any(ref() is optimizer for ref in self.optimizers):
            self.optimizers.append(weakref.ref(optimizer))

    def known_optimizers(self) -> list[Any]:
        return [o for o in (ref() for ref in self.optimizers) if o is not None]

    def _find_roots(self) -> None:
        for record in self.log.records:
            scope = record.scope
            if scope is None:
                continue
            while scope.parent is not None:
                scope = scope.parent
            if id(scope.module) not in self.roots:
                self.roots[id(scope.module)] = weakref.ref(scope.module)
                self._names.clear()

    def modules(self) -> list[Any]:
        """The outermost modules that ran."""
        return [m for m in (ref() for ref in self.roots.values()) if m is not None]

    def parameter_name(self, p: Tensor) -> str:
        """The dotted name of a parameter, after the class of its outermost module."""
        if not self._names:
            for root in self.modules():
                for name, q in root.named_parameters():
                    self._names.setdefault(id(q), f"{type(root).__name__}.{name}")
        return self._names.get(id(p), "a tensor that no module has registered")

    def optimized(self) -> set[int]:
        """The ids of the tensors that some optimizer moves."""
        return {id(p) for o in self.known_optimizers() for g in o.param_groups for p in g["params"]}

    # ------------------------------------------------------------------ the end
    def died(self, error: BaseException, program: str) -> None:
        """The program ended with an error: keep it, and its line, for the checks."""
        trace, line = error.__traceback__, None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == program:
                line = Location(program, trace.tb_lineno, trace.tb_frame.f_code.co_qualname)
            trace = trace.tb_next
        self.death = (error, line)

    def improvement(self) -> float | None:
        """1 - (loss at the end) / (loss at the start), by medians; None where that is not known."""
        losses = [v for _, v in self.losses]
        n = max(1, min(len(losses) // 5, 10))
        if len(losses) < 4 or not all(map(np.isfinite, losses[:n])):
            return None
        first, last = float(np.median(losses[:n])), float(np.median(losses[-n:]))
        return (first - last) / abs(first) if first and np.isfinite(last) else -np.inf

    def finish(self) -> None:
        """Run the checks of the whole session."""
        for check in SESSION_CHECKS:
            self._run(check, self)

    def report(self) -> Report:
        """What was found."""
        return Report(self.findings, self.notes)


def _ours(scope: Any) -> bool:
    return type(scope.module).__module__.startswith("clearprop.")


def _moves(g: np.ndarray) -> bool:
    """Whether a gradient has an element that is not 0."""
    return bool(g.reshape(-1)[:256].any()) or bool(g.any())


class StopProgram(BaseException):
    """The program has been observed long enough."""


def often_at_first(n: int) -> bool:
    """Whether backward pass n is observed: 1, 2, 3, 5, 10, 20, 50, 100, 200, then every 200th."""
    return n in (1, 2, 3, 5, 10, 20, 50, 100) or n % 200 == 0


PASS_CHECKS: list[Callable[[Pass], Iterator[Finding]]] = []
SESSION_CHECKS: list[Callable[[Session], Iterator[Finding]]] = []
STEP_CHECKS: list[Callable[[Session, Event], Iterator[Finding]]] = []


def on_pass(check: Callable[[Pass], Iterator[Finding]]) -> Any:
    """Register a check of every observed backward pass."""
    PASS_CHECKS.append(check)
    return check


def on_session(check: Callable[[Session], Iterator[Finding]]) -> Any:
    """Register a check that runs when the program has ended or was stopped."""
    SESSION_CHECKS.append(check)
    return check


def on_step(check: Callable[[Session, Event], Iterator[Finding]]) -> Any:
    """Register a check that runs before the step after an observed backward pass."""
    STEP_CHECKS.append(check)
    return check


def every_so_often(every: int) -> Callable[[int], bool]:
    """Observe the first backward pass, and then every so many."""
    return lambda n: n == 1 or n % every == 0


@contextlib.contextmanager
def watch(every: int = 50, **options: Any) -> Iterator[Session]:
    """Observe what runs in this block: the first backward pass and every 50th (`every`); one whose
    loss is not finite in any case. `session.report()` tells what was found.

    Nothing in the block runs differently, and its numbers are the same to the bit.

    >>> import clearprop as cp
    >>> with cp.doctor.watch() as session:
    ...     w = cp.ones(2, requires_grad=True)
    ...     (w * 2).sum().backward()
    >>> session.report()
    clearprop doctor · nothing found
    """
    if every < 1:
        raise ValueError(f"watch: every must be at least 1, got {every}")
    session = Session(sampling=options.pop("sampling", every_so_often(every)), **options)
    try:
        with session:
            yield session
    finally:
        session.finish()
