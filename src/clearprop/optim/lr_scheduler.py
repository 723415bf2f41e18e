"""Learning-rate schedules, by PyTorch's names and formulas."""

from clearprop.optim.cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from clearprop.optim.decays import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from clearprop.optim.plateau import ReduceLROnPlateau
from clearprop.optim.schedule import LRScheduler
from clearprop.optim.sequences import ChainedScheduler, SequentialLR

_LRScheduler = LRScheduler  # the name that programs of some years ago derive from

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
