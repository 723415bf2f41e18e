"""PyTorch's names for data loading and checkpointing: `utils.data`, `utils.checkpoint`."""

from clearprop.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
