"""Files: tensors as safetensors or `.npz`, whole states, JSON; every write is all or nothing.

Nothing here is ever pickled, and what a header promises is checked before memory is taken for it.
"""

from clearprop.serialization.atomic import atomic_file, atomic_write
from clearprop.serialization.json_file import read_json, write_json
from clearprop.serialization.nested import pack_state, unpack_state
from clearprop.serialization.save import load, save
from clearprop.serialization.tensors import (
    load_npz,
    load_safetensors,
    save_npz,
    save_safetensors,
)
from clearprop.serialization.torch_file import load_torch, save_torch

__all__ = [
    "atomic_file",
    "atomic_write",
    "load",
    "load_npz",
    "load_safetensors",
    "load_torch",
    "pack_state",
    "read_json",
    "save",
    "save_npz",
    "save_safetensors",
    "save_torch",
    "unpack_state",
    "write_json",
]
