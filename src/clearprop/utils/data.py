"""Data sets, loaders and samplers: `clearprop.data` under PyTorch's name."""

from clearprop import data as _data
from clearprop.data import *  # noqa: F403

__all__ = list(_data.__all__)
