"""Optimizers, learning-rate schedules and gradient clipping, by PyTorch's names and formulas."""

from clearprop.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from clearprop.optim import lr_scheduler, swa_utils
from clearprop.optim.adafactor import Adafactor
from clearprop.optim.adam import Adam, AdamW
from clearprop.optim.adam_relatives import Adamax, NAdam, RAdam
from clearprop.optim.adaptive import Adadelta, Adagrad, RMSprop
from clearprop.optim.asgd import ASGD
from clearprop.optim.lbfgs import LBFGS
from clearprop.optim.muon import Muon
from clearprop.optim.optimizer import Optimizer, StepHook
from clearprop.optim.rprop import Rprop
from clearprop.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "StepHook",
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "lr_scheduler",
    "swa_utils",
]
