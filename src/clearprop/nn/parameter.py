"""Parameters and buffers, by PyTorch's name of the module."""

from clearprop.core import Parameter
from clearprop.nn.buffer import Buffer
from clearprop.nn.uninitialized import UninitializedBuffer, UninitializedParameter, is_lazy

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]
