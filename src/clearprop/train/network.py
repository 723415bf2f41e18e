"""Networks, losses and optimizers by name, and the user's own network: `file.py:function`."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from clearprop import nn, optim
from clearprop.errors import ClearpropError, did_you_mean

# fmt: off
ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus, "elu": nn.ELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "identity": nn.Identity,
}
LOSSES: dict[str, dict[str, Callable[..., Any]]] = {
    "classification": {"cross_entropy": nn.CrossEntropyLoss},
    "regression": {
        "mse": nn.MSELoss, "l1": nn.L1Loss, "huber": nn.HuberLoss, "smooth_l1": nn.SmoothL1Loss,
    },
}
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adamw": optim.AdamW, "adam": optim.Adam, "sgd": optim.SGD, "rmsprop": optim.RMSprop,
}
# fmt: on


class NetworkError(ClearpropError, ValueError):
    """A network, loss or optimizer that cannot be built as asked."""


def pick(what: str, name: str, known: dict[str, Any]) -> Any:
    """`known[name]`, or an error that says what there is."""
    if name not in known:
        raise NetworkError(
            f"train: there is no {what} {name!r}{did_you_mean(name, known)}; "
            f"there {'are' if len(known) > 1 else 'is'} {', '.join(known)}"
        )
    return known[name]


def mlp(
    inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu", dropout: float = 0.0
) -> Any:
    """Linear layers with an activation (and dropout) after each but the last.

    >>> from clearprop.train.network import mlp
    >>> [name for name, _ in mlp(4, (8,), 3, dropout=0.5).named_children()]
    ['linear1', 'relu1', 'dropout1', 'output']
    """
    make = pick("activation", activation, ACTIVATIONS)
    layers: OrderedDict[str, Any] = OrderedDict()
    for i, width in enumerate(hidden, start=1):
        layers[f"linear{i}"] = nn.Linear(inputs, width)
        layers[f"{activation}{i}"] = make()
        if dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        inputs = width
    layers["output"] = nn.Linear(inputs, outputs)
    return nn.Sequential(layers)


def optimizer_for(name: str, parameters: Iterable[Any], lr: float, weight_decay: float) -> Any:
    """An optimizer by name; sgd has momentum 0.9."""
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    make = pick("optimizer", name, OPTIMIZERS)
    return make(list(parameters), lr=lr, weight_decay=weight_decay, **momentum)


def loss_for(task: str, name: str, label_smoothing: float) -> Any:
    """A loss by name, of those that suit the task."""
    make = pick(f"loss for {task}", name, LOSSES[task])
    return make(label_smoothing=label_smoothing) if name == "cross_entropy" else make()


# ---------------------------------------------------------------------- the user's own
def from_script(place: str, inputs: int, outputs: int) -> Any:
    """The module that `file.py:function` builds; the function may take (inputs, outputs)."""
    file, _, name = place.rpartition(":")
    path = Path(file)
    build = getattr(load_script(path), name, None)
    if build is None:
        functions = re.findall(r"^(?:def|class) (\w+)", path.read_text(), re.MULTILINE)
        listed = f"it defines {', '.join(functions)}" if functions else "it defines none"
        raise NetworkError(
            f"train: {file} has no function {name!r}{did_you_mean(name, functions)}; {listed}"
        )
    arguments = (inputs, outputs) if takes(build, 2) else ()
    try:
        model = build(*arguments)
    except Exception as error:
        raise NetworkError(in_script(path, error, f"{name}{arguments}")) from error
    if not isinstance(model, nn.Module):
        raise NetworkError(
            f"train: {file}: {name}{arguments} gave a {type(model).__name__}, "
            "wanted a clearprop.nn.Module: does it return the model?"
        )
    return model


def load_script(path: Path) -> ModuleType:
    """The module in a Python file, imported under a name of its own."""
    if not path.is_file():
        near = [p.name for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise NetworkError(f"train: there is no file {path}{did_you_mean(path.name, near)}")
    spec = importlib.util.spec_from_file_location(f"clearprop_script_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NetworkError(f"train: {path} is not a Python file; wanted file.py:function")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # as if it were run: its neighbours import
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise NetworkError(in_script(path, error, "import")) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def takes(function: Callable[..., Any], n: int) -> bool:
    """Whether a function can be called with n positional arguments."""
    try:
        inspect.signature(function).bind(*range(n))
    except TypeError:
        return False
    return True


def in_script(path: Path, error: Exception, doing: str) -> str:
    """Where in the user's file it went wrong, in one line."""
    if isinstance(error, SyntaxError):
        return f"train: {path}: line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if Path(f.filename).resolve() == path.resolve()]
    where = f"line {lines[-1]}: " if lines else ""
    return f"train: {path}: {where}{type(error).__name__} in {doing}: {error}"
