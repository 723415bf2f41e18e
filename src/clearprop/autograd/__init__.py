"""Backpropagation through whatever the tape recorded, to any order."""

from clearprop.autograd import functional, graph
from clearprop.autograd.anomaly import detect_anomaly, set_detect_anomaly
from clearprop.autograd.function import Function, once_differentiable
from clearprop.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from clearprop.autograd.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from clearprop.autograd.reverse import RemovableHandle, backward, grad
from clearprop.autograd.variable import Variable

__all__ = [
    "Function",
    "GradcheckError",
    "RemovableHandle",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "once_differentiable",
    "set_detect_anomaly",
    "set_grad_enabled",
]  # fmt: skip
