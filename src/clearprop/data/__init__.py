"""Data sets, loaders, toy and real sets, tables and files, and feature transforms.

What needs pandas or scikit-learn (tables, real sets, splits) is loaded when it is first asked for,
so that `import clearprop` is quick.
"""

from __future__ import annotations

import importlib
from typing import Any

from clearprop.data import images, toy, transforms
from clearprop.data.collate import default_collate, default_convert
from clearprop.data.dataset import (
    ConcatDataset,
    Dataset,
    DatasetError,
    Subset,
    TensorDataset,
    random_split,
)
from clearprop.data.files import read_cifar10, read_idx, read_npz
from clearprop.data.iterable import ChainDataset, IterableDataset
from clearprop.data.loader import DataLoader
from clearprop.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from clearprop.data.workers import get_worker_info

LAZY = {
    "REAL_SETS": "clearprop.data.real",
    "RealSet": "clearprop.data.real",
    "load_real": "clearprop.data.real",
    "Split": "clearprop.data.split",
    "stratified_split": "clearprop.data.split",
    "TablePreprocessor": "clearprop.data.table",
    "decide_task": "clearprop.data.task",
    "read_table": "clearprop.data.table_file",
}

__all__ = [
    "REAL_SETS", "BatchSampler", "ChainDataset", "ConcatDataset", "DataLoader", "Dataset",
    "DatasetError", "IterableDataset", "RandomSampler", "RealSet", "Sampler", "SequentialSampler",
    "Split", "Subset", "SubsetRandomSampler", "TablePreprocessor", "TensorDataset",
    "WeightedRandomSampler", "decide_task", "default_collate", "default_convert", "get_worker_info",
    "images", "load_real", "random_split", "read_cifar10", "read_idx", "read_npz", "read_table",
    "stratified_split", "toy", "transforms",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'clearprop.data' has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
