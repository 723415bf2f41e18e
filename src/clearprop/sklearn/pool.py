"""Training steps that wait for the next fit of their kind, so that a grid search or a cross
validation traces and compiles once. Whoever takes one has it alone.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from clearprop.sklearn.steps import Steps

MOST = 8
LARGEST = 1_000_000  # parameters of a network that is kept

_idle: OrderedDict[Hashable, Steps] = OrderedDict()
_lock = threading.Lock()


def take(key: Hashable) -> Steps | None:
    """Steps of this kind that nobody uses."""
    with _lock:
        return _idle.pop(key, None)


def give(key: Hashable, steps: Steps) -> None:
    """Let the next fit of this kind use them."""
    if steps.size > LARGEST:
        return
    with _lock:
        _idle[key] = steps
        _idle.move_to_end(key)
        while len(_idle) > MOST:
            _idle.popitem(last=False)
