"""What happens in a training loop, told to whoever listens.

Nobody listens in most programs: a call site asks `if listeners:` and goes on. The doctor registers
itself here, from far above; a listener is called as `listener(event, *details)`.

| event | details |
|---|---|
| backward, backward done | outputs, cotangents (None: 1), inputs (None: all leaves), create_graph |
| step, step done | optimizer |
| zero_grad | optimizer or module |
| optimizer | a new optimizer |
| clip | name of the function, parameters, limit, norm before |
| mode | module, training? |
| schedule | scheduler |
| export | tensor, what it is asked for: "numpy()", "item()", ... |
| import | array or tensor that was given, the new tensor |
| requires_grad | tensor, wanted? |
| detach | tensor, "detach()" or "data" |
| module | a new module, before its own set-up |
| block, block done | the class of a custom block, its tensors |
| called | compiled function, its code for these arguments, args, kwargs (where Python sees it) |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

listeners: list[Callable[..., None]] = []


def tell(event: str, *details: Any) -> None:
    """Tell everybody who listens."""
    for listener in list(listeners):
        listener(event, *details)
