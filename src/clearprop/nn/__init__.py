"""Networks: modules, layers, losses, initial values; PyTorch's names, numbers and state_dict keys."""

from clearprop.core import Parameter
from clearprop.nn import functional, init, utils
from clearprop.nn.containers import ModuleDict, ModuleList, Sequential
from clearprop.nn.layers import (
    ELU,
    GELU,
    SELU,
    Dropout,
    Flatten,
    Hardtanh,
    Identity,
    LeakyReLU,
    Linear,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    Unflatten,
)
from clearprop.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from clearprop.nn.module import Module
from clearprop.nn.parameters import ParameterDict, ParameterList
from clearprop.nn.state import StateDictError

__all__ = [
    "ELU", "GELU", "SELU", "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "Dropout", "Flatten", "Hardtanh", "HuberLoss", "Identity",
    "KLDivLoss", "L1Loss", "LeakyReLU", "Linear", "LogSigmoid", "LogSoftmax", "MSELoss", "Mish", "Module", "ModuleDict", "ModuleList",
    "NLLLoss", "Parameter", "ParameterDict", "ParameterList", "ReLU", "ReLU6", "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "Softmax", "Softplus",
    "Softsign", "StateDictError", "Tanh", "Unflatten", "functional", "init", "utils",
]  # fmt: skip
