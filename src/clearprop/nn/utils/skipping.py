"""Making a module without drawing its initial values."""

from __future__ import annotations

from typing import Any

from clearprop.nn import init
from clearprop.nn.module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Any:
    """module_cls(*args, **kwargs) whose parameters hold whatever was in memory, for weights that
    are loaded next; no random numbers are drawn.

    >>> import clearprop as cp
    >>> layer = cp.nn.utils.skip_init(cp.nn.Linear, 3, 2)
    >>> _ = layer.load_state_dict({"weight": cp.ones(2, 3), "bias": cp.zeros(2)})
    """
    if not isinstance(module_cls, type) or not issubclass(module_cls, Module):
        raise RuntimeError(f"skip_init: Expected a Module; got {module_cls}")
    with init.skipped():
        return module_cls(*args, **kwargs)
