"""What all optimizers share: parameter groups, state per parameter, hooks, PyTorch's state format.

An optimizer of clearprop gives `_update(p, g, state, group)`: the rule for one parameter, in
in-place Tensor ops without a decision that depends on a value, so that a whole step can be traced.
A program's own optimizer may give `step` instead, as in PyTorch.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import enable_grad, no_grad
from clearprop.core import Tensor, Watched, changed, get_default_dtype, local, wrap
from clearprop.core.events import listeners, tell

Group = dict[str, Any]
State = dict[str, Any]
Hook = Callable[..., Any]


class StepHook:
    """The handle of a hook; `remove()` takes the hook away."""

    def __init__(
        self, hooks: OrderedDict[StepHook, Hook], hook: Hook, prepend: bool = False
    ) -> None:
        self._hooks = hooks
        hooks[self] = hook
        if prepend:
            hooks.move_to_end(self, last=False)

    def remove(self) -> None:
        """Do not call this hook any more."""
        self._hooks.pop(self, None)


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` of an optimizer, with what has to happen before and after every one."""

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._stepping:  # super().step() of a program's own optimizer
            return step(self, *args, **kwargs)
        for hook in list(self._pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = changed
        self._stepping = True
        if listeners:
            tell("step", self)
        try:
            out = step(self, *args, **kwargs)
        finally:
            self._stepping = False
        if listeners:
            tell("step done", self)
        self._opt_called = True
        for hook in list(self._post_hooks.values()):
            hook(self, args, kwargs)
        return out

    return run


class Optimizer:
    """Moves parameters by their gradients.

    `params` is a list of tensors or of groups `{"params": [...], "lr": ...}`; what a group leaves
    out it takes from `defaults`. State lives in `state[p]`, under PyTorch's names. The options
    `foreach`, `fused` and `capturable`, which choose among PyTorch's kernels, are kept in the
    groups and change nothing here; differentiable=True is an error.

    >>> import clearprop as cp
    >>> w = cp.tensor([1.0], requires_grad=True)
    >>> optimizer = cp.optim.SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.tolist()
    [0.5]
    """

    _numbers: frozenset[str] = frozenset()  # state of shape () and of the default type
    _factors: frozenset[str] = frozenset()  # other state that is not of its parameter's shape

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                f"{self._name}: params argument given to the optimizer should be an iterable of "
                f"Tensors or dicts, but got {type(params).__name__}; put it into a list"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._pre_hooks: OrderedDict[StepHook, Hook] = OrderedDict()
        self._post_hooks: OrderedDict[StepHook, Hook] = OrderedDict()
        self._state_hooks: dict[str, OrderedDict[StepHook, Hook]] = {
            when: OrderedDict() for when in ("saving", "saved", "loading", "loaded")
        }
        self._opt_called = self._stepping = False
        given = list(params)
        if not given:
            raise ValueError(
                f"{self._name}: optimizer got an empty parameter list; was model.parameters() "
                "already used up, or has the model no layers?"
            )
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)
        if listeners:
            tell("optimizer", self)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = hooked(_whole(cls.step))  # type: ignore[method-assign]

    @property
    def _name(self) -> str:
        return type(self).__name__

    def add_param_group(self, param_group: Group) -> None:
        """Add a group `{"params": tensor or list, option: value, ...}`.

        Errors: a tensor that is no leaf, one that is in a group already, an unordered set, an
        option out of its range.
        """
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{self._name}: param_group must be a dict, but got {type(param_group).__name__}"
            )
        group = Watched(param_group)
        params = group["params"]
        if isinstance(params, set | frozenset):
            raise TypeError(
                f"{self._name}: optimizer parameters need to be organized in ordered collections, "
                "but the ordering of tensors in sets will change between runs. "
                "Please use a list instead."
            )
        group["params"] = [params] if isinstance(params, Tensor) else list(params)
        for p in group["params"]:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{self._name}: optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"{self._name}: can't optimize a non-leaf Tensor, this one was made by "
                    f"{p.grad_fn.name}; give the optimizer the tensor that it was computed from"
                )
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        if group.get("differentiable"):
            raise ValueError(
                f"{self._name}: differentiable=True is not possible, a step is never recorded; to"
                " differentiate through an update, take autograd.grad(loss, params,"
                " create_graph=True) and compute the new parameters as p - lr * g"
            )
        self._check(group)
        if len(set(group["params"])) != len(group["params"]):
            warnings.warn(
                f"{self._name}: optimizer contains a parameter group with duplicate parameters; "
                "each is moved once for every time that it is listed",
                stacklevel=3,
            )
        known = {p for other in self.param_groups for p in other["params"]}
        if not known.isdisjoint(group["params"]):
            raise ValueError(
                f"{self._name}: some parameters appear in more than one parameter group"
            )
        self.param_groups.append(group)
        changed()

    def _check(self, group: Group) -> None:
        """Raise ValueError for options out of their range."""

    def _update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        """Move one parameter by its gradient, which is already negated to maximize."""
        raise NotImplementedError(f"{self._name}: an optimizer of your own must define step()")

    @hooked
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; the others stay, without weight decay too.

        `closure` computes the loss again (with gradients recorded) and step returns what it gives.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        interpreter = local.c.interpreter
        if interpreter is not None:
            interpreter.assume(self._same(), True)
        with no_grad():
            for group in self.param_groups:
                options = group if interpreter is None else interpreter.options(group)
                maximize = group.get("maximize", False)
                for p in group["params"]:
                    if p.grad is not None:
                        g = -p.grad if maximize else p.grad
                        self._update(p, g, self.state[p], options)
        return loss

    def _same(self) -> Callable[[], bool]:
        """Asks whether state and groups are still those of now."""
        state, groups = self.state, len(self.param_groups)
        return lambda: self.state is state and len(self.param_groups) == groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with `set_to_none=False` they become zeros instead."""
        if listeners:
            tell("zero_grad", self)
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad = wrap(np.zeros_like(p.grad.value), None)

    def register_step_pre_hook(self, hook: Hook) -> StepHook:
        """Call `hook(optimizer, args, kwargs)` before every step; what it returns replaces both."""
        return StepHook(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Hook) -> StepHook:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return StepHook(self._post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> StepHook:
        """Call `hook(optimizer)` before `state_dict`; prepend: before the hooks that are there."""
        return StepHook(self._state_hooks["saving"], hook, prepend)

    def register_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> StepHook:
        """Call `hook(optimizer, state_dict)` after `state_dict`; what it returns replaces it."""
        return StepHook(self._state_hooks["saved"], hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Hook, prepend: bool = False) -> StepHook:
        """Call `hook(optimizer, state_dict)` before loading; what it returns is loaded instead."""
        return StepHook(self._state_hooks["loading"], hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Hook, prepend: bool = False) -> StepHook:
        """Call `hook(optimizer)` after loading."""
        return StepHook(self._state_hooks["loaded"], hook, prepend)

    def state_dict(self) -> dict[str, Any]:
        """State and groups, with every parameter replaced by its index, as PyTorch does it.

        The tensors are the live ones, not copies.
        """
        for hook in list(self._state_hooks["saving"].values()):
            hook(self)
        index: dict[Tensor, int] = {}
        for p in chain.from_iterable(group["params"] for group in self.param_groups):
            index.setdefault(p, len(index))
        groups = [
            {k: v for k, v in group.items() if k != "params"}
            | {"params": [index[p] for p in group["params"]]}
            for group in self.param_groups
        ]
        out: dict[str, Any] = {
            "state": {index[p]: dict(s) for p, s in self.state.items() if p in index and s},
            "param_groups": groups,
        }
        for hook in list(self._state_hooks["saved"].values()):
            changed = hook(self, out)
            out = out if changed is None else changed
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, here or in PyTorch; tensors are copied.

        Errors: another number of groups, or groups of other sizes.
        """
        for hook in list(self._state_hooks["loading"].values()):
            given = hook(self, state_dict)
            state_dict = state_dict if given is None else given
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"{self._name}: loaded state dict has a different number of parameter groups: "
                f"{len(saved)}, the optimizer has {len(self.param_groups)}"
            )
        for i, (ours, theirs) in enumerate(zip(self.param_groups, saved, strict=True)):
            if len(ours["params"]) != len(theirs["params"]):
                raise ValueError(
                    f"{self._name}: loaded state dict contains a parameter group that doesn't "
                    f"match the size of optimizer's group: group {i} has {len(theirs['params'])} "
                    f"parameters there and {len(ours['params'])} here"
                )
        of_index = {
            i: p
            for ours, theirs in zip(self.param_groups, saved, strict=True)
            for i, p in zip(theirs["params"], ours["params"], strict=True)
        }
        state: defaultdict[Tensor, State] = defaultdict(dict)
        for i, values in state_dict["state"].items():
            p = of_index[int(i)]
            state[p] = {k: self._loaded(p, k, v) for k, v in values.items()}
        self.state = state
        changed()
        for ours, theirs in zip(self.param_groups, saved, strict=True):
            ours.update({k: v for k, v in theirs.items() if k != "params"})
        for hook in list(self._state_hooks["loaded"].values()):
            hook(self)

    def _loaded(self, p: Tensor, key: str, value: Any) -> Any:
        if key == "step":
            return counter(int(value))
        if not isinstance(value, Tensor | np.ndarray):
            return value
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        if array.shape != p.shape and key not in self._factors | self._numbers:
            raise ValueError(
                f"{self._name}: loaded state dict has {key} of shape {list(array.shape)} for a "
                f"parameter of shape {list(p.shape)}"
            )
        if key in self._numbers:  # in PyTorch these become float64 here, and go on another way
            return wrap(np.array(array), None)
        return wrap(np.array(array, dtype=p.value.dtype), None)

    def __repr__(self) -> str:
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])


def _whole(step: Callable[..., Any]) -> Callable[..., Any]:
    """The `step` that a program gave its optimizer. In a traced function Python's numbers would be
    frozen in it: options are watched, and state that counts in Python is refused.
    """

    @functools.wraps(step)
    def run(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        interpreter = local.c.interpreter
        if interpreter is None or not interpreter.traces:
            return step(self, *args, **kwargs)
        interpreter.assume(self._same(), True)
        interpreter.assume(_unchanged(self.param_groups), True)
        before = _numbers(self.state)
        out = step(self, *args, **kwargs)
        if _numbers(self.state) != before:
            interpreter.refuse(
                f"step() of {self._name}",
                "it keeps numbers of Python in its state, which a traced function would not change;"
                " keep a 0-d tensor and change it in place",
            )
        return out

    return run


def _unchanged(groups: list[Group]) -> Callable[[], bool]:
    """Asks whether the options of the groups are those of now."""
    now = [{k: v for k, v in g.items() if k != "params"} for g in groups]
    return lambda: all(
        g.get(k) == v for g, before in zip(groups, now, strict=False) for k, v in before.items()
    )


def _numbers(state: defaultdict[Tensor, State]) -> list[tuple[int, str, float]]:
    return [
        (id(p), key, value)
        for p, values in state.items()
        for key, value in values.items()
        if isinstance(value, int | float)
    ]


def betas_in_range(name: str, betas: Sequence[float]) -> None:
    """ValueError unless each of them is 0 or more and less than 1."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(
                f"{name}: Invalid beta parameter at index {i}: {beta}; "
                "it must be 0 or more and less than 1"
            )


def not_negative(name: str, **options: float) -> None:
    """ValueError unless every option is 0 or more (NaN is refused too)."""
    for option, value in options.items():
        if not value >= 0.0:
            what = {"lr": "learning rate", "eps": "epsilon value"}.get(option, f"{option} value")
            raise ValueError(f"{name}: Invalid {what}: {value}; it must be 0 or more")


def not_traced(scheduler: Any) -> None:
    """Refuse a schedule's step inside a traced function: it would be done once and never again."""
    interpreter = local.c.interpreter
    if interpreter is not None:
        interpreter.refuse(
            f"{type(scheduler).__name__}.step()",
            "a schedule counts in Python, which a traced function does not run again. Call it after"
            " the traced or compiled step; the new learning rate is used without compiling again",
        )


def counter(start: int = 0) -> Tensor:
    """A count of steps, as a tensor, so that a traced step can go on counting."""
    return wrap(np.array(start), None)


def filled(p: Tensor, value: Any) -> Tensor:
    """A tensor like p with today's value of a number everywhere, in memory of its own."""
    return wrap(np.full(p.shape, getattr(value, "now", value), p.value.dtype), None)


def scalar(value: Any) -> Tensor:
    """Today's value of a number as a 0-d tensor of the default type, in memory of its own."""
    return wrap(np.array(getattr(value, "now", value), get_default_dtype().np), None)


def zeros(p: Tensor) -> Tensor:
    """Zeros of the shape and dtype of p."""
    return ops.zeros_like(p)
