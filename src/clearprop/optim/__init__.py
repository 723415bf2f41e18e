"""Optimizers, learning-rate schedules and gradient clipping, by PyTorch's names and formulas."""

from clearprop.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from clearprop.optim import lr_scheduler
from clearprop.optim.adam import Adam, AdamW
from clearprop.optim.adaptive import Adagrad, RMSprop
from clearprop.optim.optimizer import Optimizer, StepHook
from clearprop.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "StepHook",
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "lr_scheduler",
]
