"""Running a function once more, eagerly and observed, although it changes things: what it changes
is noted before, and put back afterwards.

That is how a compiled step is observed: the Python function that it was made of runs on the same
memory, which then is as it was, and the compiled step itself runs as always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.autograd import engine
from clearprop.autograd.anomaly import Checked
from clearprop.core import Aval, Leaf, Tensor
from clearprop.core.events import listeners
from clearprop.core.random import Generator, default_generator
from clearprop.core.tensor import grad_of
from clearprop.doctor.log import Log, Observer
from clearprop.graph import Traced


class Keeper:
    """Remembers arrays, gradients, states of optimizers and of random generators."""

    def __init__(self) -> None:
        self.arrays: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.optimizers: dict[int, tuple[Any, dict[str, Any], list[Any]]] = {}
        self.generators: dict[int, tuple[Generator, np.ndarray]] = {}
        self.numpy = np.random.get_state()
        self.generator(default_generator)

    def traced(self, traced: Traced) -> None:
        """All that a run of this trace changes."""
        variables = traced.graph.inputs[traced.arguments :]
        for source, variable in zip(traced.sources, variables, strict=False):
            array = source.now()
            if variable in traced.graph.writes and array is not None:
                self.array(array)
        for effect in traced.gradients:
            tensor = effect.tensor()
            if tensor is not None:
                self.grad(tensor)

    def array(self, array: np.ndarray) -> None:
        if id(array) not in self.arrays:
            self.arrays[id(array)] = (array, array.copy())

    def grad(self, tensor: Tensor) -> None:
        if id(tensor) not in self.grads:
            grad = grad_of(tensor)
            self.grads[id(tensor)] = (tensor, grad)
            if grad is not None:
                self.array(grad.value)

    def optimizer(self, optimizer: Any) -> None:
        """Its state, and the weights and gradients that it works on."""
        if id(optimizer) in self.optimizers:
            return
        state = [(p, dict(entries)) for p, entries in optimizer.state.items()]
        for _, entries in state:
            for x in entries.values():
                if isinstance(x, Tensor):
                    self.array(x.value)
        for group in optimizer.param_groups:
            for p in group["params"]:
                self.array(p.value)
                self.grad(p)
        plain = {k: v for k, v in vars(optimizer).items() if k not in ("state", "param_groups")}
        self.optimizers[id(optimizer)] = (optimizer, plain, state)

    def generator(self, generator: Generator) -> None:
        if id(generator) not in self.generators:
            self.generators[id(generator)] = (generator, generator.get_state())

    def hear(self, event: str, *details: Any) -> None:
        """What is about to change."""
        if event == "step":
            self.optimizer(details[0])
        elif event == "zero_grad":
            owner = details[0]
            params = (
                owner.parameters()
                if hasattr(owner, "parameters")
                else (p for group in owner.param_groups for p in group["params"])
            )
            for p in params:
                self.grad(p)
        elif event == "backward":
            for node in engine.collect([y.node for y in details[0] if y.node is not None]):
                tensor = node.tensor() if isinstance(node, Leaf) else None
                if tensor is not None:
                    self.grad(tensor)

    def put_back(self) -> None:
        for optimizer, plain, state in self.optimizers.values():
            vars(optimizer).update(plain)
            optimizer.state.clear()
            for p, entries in state:
                optimizer.state[p] = entries
        for tensor, grad in self.grads.values():
            tensor._grad = grad
        for array, before in self.arrays.values():
            np.copyto(array, before)
        for generator, drawn in self.generators.values():
            generator.set_state(drawn)
        np.random.set_state(self.numpy)


def _before_drawing(keeper: Keeper, draw: Callable[[], Any]) -> None:
    """Keep the state of a generator that `draw` holds on to."""
    for cell in getattr(draw, "__closure__", None) or ():
        if isinstance(cell.cell_contents, Generator):
            keeper.generator(cell.cell_contents)


class KeepingObserver(Observer):
    """An Observer that has a keeper note what is written to."""

    def __init__(self, log: Log, keeper: Keeper) -> None:
        super().__init__(log)
        self.keeper = keeper

    def write(self, target: Tensor, source: Tensor) -> None:
        self.keeper.array(target.value)
        super().write(target, source)

    def drawn(self, aval: Aval, draw: Callable[[], Any]) -> Any:
        _before_drawing(self.keeper, draw)
        return super().drawn(aval, draw)


class Keeping(Checked):
    """The eager interpreter, with the same notes and without a log."""

    def __init__(self, keeper: Keeper) -> None:
        super().__init__(shapes=False, finite=False)
        self.keeper = keeper

    def write(self, target: Tensor, source: Tensor) -> None:
        self.keeper.array(target.value)
        super().write(target, source)

    def drawn(self, aval: Aval, draw: Callable[[], Any]) -> Any:
        _before_drawing(self.keeper, draw)
        return super().drawn(aval, draw)


class kept:
    """Within this block things may change; after it they are as before."""

    def __init__(self, traced: Traced | None = None) -> None:
        self.keeper = Keeper()
        if traced is not None:
            self.keeper.traced(traced)

    def __enter__(self) -> Keeper:
        listeners.append(self.keeper.hear)
        return self.keeper

    def __exit__(self, *_: object) -> None:
        listeners.remove(self.keeper.hear)
        self.keeper.put_back()
