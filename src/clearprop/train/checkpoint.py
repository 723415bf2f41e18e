"""Checkpoints: the whole state of a run in one file that is never half written.

The file is a safetensors file: the arrays are its tensors, and everything else is JSON in its
metadata, with {"$array": "name"} where an array belongs. It is written beside the old one, synced
and renamed over it, so a crash at any moment leaves one that is whole.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError
from clearprop.serialization import atomic_write
from clearprop.train.callback import Callback

if TYPE_CHECKING:
    from clearprop.train.trainer import Trainer

FORMAT = "clearprop checkpoint 1"
BROKEN = "checkpoint: {path} is cut off or damaged, or no checkpoint: {error}"


class Checkpoint(Callback):
    """Save the state of the run to one file: every so many seconds and epochs, and at Ctrl-C.

    `Trainer.fit(..., resume=path)` goes on from it, and ends with the same weights as a run that
    was never interrupted. It is also written when the run ends.

    >>> from clearprop.train import Checkpoint
    >>> Checkpoint("run.ckpt", every_seconds=60).path.name
    'run.ckpt'
    """

    runs_last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        every_seconds: float | None = 30.0,
        every_epochs: int | None = 1,
    ) -> None:
        self.path = Path(path)
        self.every_seconds = every_seconds
        self.every_epochs = every_epochs
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: Trainer) -> None:
        self._saved_at = time.monotonic()

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.interrupted is not None or self._due():
            self.save(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        counted = self.every_epochs is not None and trainer.epoch % self.every_epochs == 0
        ends = trainer.epoch == trainer.epochs or trainer.history.stopped is not None
        if counted or ends or trainer.interrupted is not None or self._due():
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the state as it is now."""
        save_checkpoint(self.path, trainer.state_dict())
        self._saved_at = time.monotonic()

    def _due(self) -> bool:
        waited = time.monotonic() - self._saved_at
        return self.every_seconds is not None and waited >= self.every_seconds


def save_checkpoint(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write plain numbers, text, lists, dicts, arrays and tensors to one file, all or nothing."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(packed(state, "", arrays), allow_nan=True)
    atomic_write(path, save(arrays, metadata={"format": FORMAT, "state": text}))


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` wrote. Raises `DataError` for a file that is not one, or damaged."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError(BROKEN.format(path=path, error=f"not a {FORMAT}"), path)
            names = file.keys()
            arrays = {name: file.get_tensor(name) for name in names}
        return unpacked(json.loads(metadata["state"]), arrays)  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise DataError(f"checkpoint: there is no file {path}", path) from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(BROKEN.format(path=path, error=error), path) from error


def packed(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; arrays and tensors are put into `arrays` under the path that leads there."""
    match value:
        case Tensor():
            arrays[name] = np.ascontiguousarray(value.detach().numpy())
            return {"$tensor": name}
        case np.ndarray():
            arrays[name] = np.ascontiguousarray(value)
            return {"$array": name}
        case np.generic():
            return value.item()
        case None | bool() | int() | float() | str():
            return value
        case dict():
            # As pairs: the keys of an optimizer's state are numbers, which JSON would make text.
            return {"$dict": [[k, packed(v, f"{name}/{k}", arrays)] for k, v in value.items()]}
        case list() | tuple():
            items = [packed(v, f"{name}/{i}", arrays) for i, v in enumerate(value)]
            return {"$tuple": items} if isinstance(value, tuple) else items
    raise TypeError(
        f"save_checkpoint: {name or 'the state'} is a {type(value).__name__}; a state_dict may "
        "hold numbers, text, None, lists, dicts, arrays and tensors"
    )


def unpacked(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    match value:
        case {"$tensor": name}:
            return wrap(arrays[name].copy(), None)
        case {"$array": name}:
            return arrays[name].copy()
        case {"$dict": pairs}:
            return {k: unpacked(v, arrays) for k, v in pairs}
        case {"$tuple": items}:
            return tuple(unpacked(v, arrays) for v in items)
        case list():
            return [unpacked(v, arrays) for v in value]
    return value
