"""What every layer and loss of nn keeps: gradients, second gradients, modes, types, printing,
state, copies. A public class of nn without an entry here fails.
"""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from entries_of_space import LINEAR, rows

import clearprop as cp
from clearprop import nn
from clearprop.autograd import GradcheckError, gradcheck, gradgradcheck
from clearprop.core.tree import tensors_in
from clearprop.graph import evaluate, optimize, trace

pytestmark = pytest.mark.filterwarnings("ignore:kl_div")


@dataclass(frozen=True)
class Entry:
    """How to make a module and what to give it; arrays of floats take the module's type."""

    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    shows: str
    wants_gradient: tuple[int, ...] = (0,)
    twice: bool = True  # the second derivative is there to be compared
    modal: bool = False  # computes something else in training
    gradient: bool = True  # the gradient is that of the function


def numbers(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Random numbers, none of them near a kink of an activation (-1, 0, 1)."""
    x = np.random.default_rng(seed).uniform(low, high, shape)
    for kink in (-1.0, 0.0, 1.0):
        x = np.where(np.abs(x - kink) < 0.05, x + 0.11, x)
    return x


def all_results(module, args, out):
    """A forward hook: all that a module returns, as one vector."""
    return cp.cat([t.reshape(-1) for t in tensors_in(out)])


def joined(module):
    """The module, returning one tensor."""
    module.register_forward_hook(all_results)
    return module


X = numbers(3, 4)
CLASSES = np.array([1, 3, 0])
PROBABLE = numbers(3, 4, low=0.1, high=0.9)
WEIGHTS = cp.tensor([0.3, 1.0, 2.0, 0.7], dtype=cp.float64)
REGRESSION = (X, X + numbers(3, 4, low=0.3, high=1.7, seed=1))
SIGNS = np.where(numbers(3, 4, seed=3) > 0, 1.0, -1.0)


def squared_distance(x, y):
    return ((x - y) ** 2).sum(-1)


OUT = "NonDynamicallyQuantizableLinear(in_features=2, out_features=2, bias=True)"
SELF = f"MultiheadAttention(\n    (out_proj): {OUT}\n  )"
FEED = (
    "  (linear1): Linear(in_features=2, out_features=3, bias=True)\n"
    "  (dropout): Dropout(p=0.1, inplace=False)\n"
    "  (linear2): Linear(in_features=3, out_features=2, bias=True)\n"
)


def norms(n):
    """How the norms and dropouts of a Transformer layer are printed."""
    norm = "LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=True)"
    lines = [f"  (norm{i + 1}): {norm}\n" for i in range(n)]
    lines += [f"  (dropout{i + 1}): Dropout(p=0.1, inplace=False)\n" for i in range(n)]
    return "".join(lines)


ENTRIES = {
    "Linear": [
        Entry(lambda: nn.Linear(4, 2), (X,), "Linear(in_features=4, out_features=2, bias=True)"),
        Entry(
            lambda: nn.Linear(4, 2, bias=False),
            (X[0],),
            "Linear(in_features=4, out_features=2, bias=False)",
        ),
        Entry(
            lambda: nn.Linear(4, 1),
            (numbers(2, 3, 4),),
            "Linear(in_features=4, out_features=1, bias=True)",
        ),
    ],
    "Identity": [Entry(nn.Identity, (X,), "Identity()", twice=False)],
    "Flatten": [
        Entry(nn.Flatten, (numbers(2, 3, 2),), "Flatten(start_dim=1, end_dim=-1)", twice=False)
    ],
    "Unflatten": [
        Entry(
            lambda: nn.Unflatten(1, (2, 2)),
            (X,),
            "Unflatten(dim=1, unflattened_size=(2, 2))",
            twice=False,
        )
    ],
    "Dropout1d": [
        Entry(
            lambda: nn.Dropout1d(0.9),
            (numbers(2, 3, 4),),
            "Dropout1d(p=0.9, inplace=False)",
            twice=False,
            modal=True,
        )
    ],
    "Dropout2d": [
        Entry(
            nn.Dropout2d,
            (numbers(2, 3, 2, 2),),
            "Dropout2d(p=0.5, inplace=False)",
            twice=False,
            modal=True,
        )
    ],
    "Dropout3d": [
        Entry(
            nn.Dropout3d,
            (numbers(2, 3, 2, 1, 2),),
            "Dropout3d(p=0.5, inplace=False)",
            twice=False,
            modal=True,
        )
    ],
    "AlphaDropout": [
        Entry(nn.AlphaDropout, (X,), "AlphaDropout(p=0.5, inplace=False)", twice=False, modal=True)
    ],
    "FeatureAlphaDropout": [
        Entry(
            nn.FeatureAlphaDropout,
            (numbers(2, 3, 4),),
            "FeatureAlphaDropout(p=0.5, inplace=False)",
            twice=False,
            modal=True,
        )
    ],
    "Hardsigmoid": [Entry(nn.Hardsigmoid, (X * 2,), "Hardsigmoid()", twice=False)],
    "Hardswish": [Entry(nn.Hardswish, (X * 2,), "Hardswish()")],
    "Hardshrink": [Entry(lambda: nn.Hardshrink(0.7), (X,), "Hardshrink(0.7)", twice=False)],
    "Softshrink": [Entry(lambda: nn.Softshrink(0.7), (X,), "Softshrink(0.7)", twice=False)],
    "Tanhshrink": [Entry(nn.Tanhshrink, (X,), "Tanhshrink()")],
    "Threshold": [
        Entry(
            lambda: nn.Threshold(0.1, 20), (X,), "Threshold(threshold=0.1, value=20)", twice=False
        )
    ],
    "PReLU": [
        Entry(nn.PReLU, (X,), "PReLU(num_parameters=1)"),
        Entry(lambda: nn.PReLU(3), (numbers(2, 3, 2),), "PReLU(num_parameters=3)"),
    ],
    "RReLU": [Entry(nn.RReLU, (X,), f"RReLU(lower=0.125, upper={1 / 3})", twice=False, modal=True)],
    "GLU": [Entry(lambda: nn.GLU(1), (X,), "GLU(dim=1)")],
    "Softmax2d": [Entry(nn.Softmax2d, (numbers(2, 3, 2, 1),), "Softmax2d()")],
    "Bilinear": [
        Entry(
            lambda: nn.Bilinear(4, 2, 3),
            (X, numbers(3, 2, seed=1)),
            "Bilinear(in1_features=4, in2_features=2, out_features=3, bias=True)",
            (0, 1),
        ),
        Entry(
            lambda: nn.Bilinear(4, 2, 1, bias=False),
            (numbers(2, 2, 4), numbers(2, 2, 2)),
            "Bilinear(in1_features=4, in2_features=2, out_features=1, bias=False)",
        ),
    ],
    "CosineSimilarity": [Entry(nn.CosineSimilarity, REGRESSION, "CosineSimilarity()", (0, 1))],
    "PairwiseDistance": [
        Entry(nn.PairwiseDistance, REGRESSION, "PairwiseDistance()", (0, 1)),
        Entry(lambda: nn.PairwiseDistance(3.0, keepdim=True), REGRESSION, "PairwiseDistance()"),
    ],
    "MarginRankingLoss": [
        Entry(
            lambda: nn.MarginRankingLoss(0.1), (*REGRESSION, SIGNS), "MarginRankingLoss()", (0, 1)
        )
    ],
    "HingeEmbeddingLoss": [Entry(nn.HingeEmbeddingLoss, (X, SIGNS), "HingeEmbeddingLoss()")],
    "CosineEmbeddingLoss": [
        Entry(nn.CosineEmbeddingLoss, (*REGRESSION, SIGNS[:, 0]), "CosineEmbeddingLoss()", (0, 1))
    ],
    "SoftMarginLoss": [Entry(nn.SoftMarginLoss, (X, SIGNS), "SoftMarginLoss()")],
    "MultiMarginLoss": [
        Entry(lambda: nn.MultiMarginLoss(p=2), (X, CLASSES), "MultiMarginLoss()"),
        Entry(lambda: nn.MultiMarginLoss(weight=WEIGHTS), (X, CLASSES), "MultiMarginLoss()"),
    ],
    "MultiLabelMarginLoss": [
        Entry(
            nn.MultiLabelMarginLoss,
            (X, np.array([[1, 3, -1, 2], [0, -1, 1, 1], [3, 2, 1, 0]])),
            "MultiLabelMarginLoss()",
        )
    ],
    "MultiLabelSoftMarginLoss": [
        Entry(
            lambda: nn.MultiLabelSoftMarginLoss(WEIGHTS),
            (X, PROBABLE),
            "MultiLabelSoftMarginLoss()",
            (0, 1),
        )
    ],
    "TripletMarginLoss": [
        Entry(nn.TripletMarginLoss, (*REGRESSION, PROBABLE), "TripletMarginLoss()", (0, 1, 2)),
        Entry(
            lambda: nn.TripletMarginLoss(9.0, p=3, swap=True, reduction="none"),
            (*REGRESSION, PROBABLE),
            "TripletMarginLoss()",
        ),
    ],
    "TripletMarginWithDistanceLoss": [
        Entry(
            lambda: nn.TripletMarginWithDistanceLoss(distance_function=squared_distance),
            (*REGRESSION, PROBABLE),
            "TripletMarginWithDistanceLoss()",
            (0, 1, 2),
        )
    ],
    "GaussianNLLLoss": [
        Entry(
            lambda: nn.GaussianNLLLoss(full=True),
            (X, PROBABLE, PROBABLE),
            "GaussianNLLLoss()",
            (0, 1, 2),
        )
    ],
    "PoissonNLLLoss": [
        Entry(lambda: nn.PoissonNLLLoss(full=True), (X, PROBABLE * 3), "PoissonNLLLoss()", (0, 1)),
        Entry(lambda: nn.PoissonNLLLoss(log_input=False), (PROBABLE, PROBABLE), "PoissonNLLLoss()"),
    ],
    "Dropout": [Entry(nn.Dropout, (X,), "Dropout(p=0.5, inplace=False)", twice=False, modal=True)],
    "BatchNorm1d": [
        Entry(
            lambda: nn.BatchNorm1d(4),
            (X,),
            "BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, bias=True,"
            " track_running_stats=True)",
            modal=True,
        ),
        Entry(
            lambda: nn.BatchNorm1d(3, momentum=None, affine=False, track_running_stats=False),
            (numbers(2, 3, 2),),
            "BatchNorm1d(3, eps=1e-05, momentum=None, affine=False, bias=False,"
            " track_running_stats=False)",
        ),
    ],
    "BatchNorm2d": [
        Entry(
            lambda: nn.BatchNorm2d(3, eps=0.1, momentum=0.2, bias=False),
            (numbers(2, 3, 2, 2),),
            "BatchNorm2d(3, eps=0.1, momentum=0.2, affine=True, bias=False,"
            " track_running_stats=True)",
            modal=True,
        )
    ],
    "BatchNorm3d": [
        Entry(
            lambda: nn.BatchNorm3d(2, track_running_stats=False),
            (numbers(2, 2, 1, 2, 2),),
            "BatchNorm3d(2, eps=1e-05, momentum=0.1, affine=True, bias=True,"
            " track_running_stats=False)",
        )
    ],
    "InstanceNorm1d": [
        Entry(
            lambda: nn.InstanceNorm1d(3),
            (numbers(2, 3, 4),),
            "InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=False, bias=False,"
            " track_running_stats=False)",
        ),
        Entry(
            lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
            (numbers(3, 4),),
            "InstanceNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True,"
            " track_running_stats=True)",
            modal=True,
        ),
    ],
    "InstanceNorm2d": [
        Entry(
            lambda: nn.InstanceNorm2d(3, affine=True),
            (numbers(2, 3, 2, 2),),
            "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True,"
            " track_running_stats=False)",
        )
    ],
    "InstanceNorm3d": [
        Entry(
            lambda: nn.InstanceNorm3d(2),
            (numbers(2, 1, 2, 2),),
            "InstanceNorm3d(2, eps=1e-05, momentum=0.1, affine=False, bias=False,"
            " track_running_stats=False)",
        )
    ],
    "LayerNorm": [
        Entry(
            lambda: nn.LayerNorm(4),
            (X,),
            "LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)",
        ),
        Entry(
            lambda: nn.LayerNorm((3, 4), bias=False),
            (numbers(2, 3, 4),),
            "LayerNorm((3, 4), eps=1e-05, elementwise_affine=True, bias=False)",
        ),
    ],
    "RMSNorm": [
        Entry(
            lambda: nn.RMSNorm(4, eps=1e-5),
            (X,),
            "RMSNorm((4,), eps=1e-05, elementwise_affine=True)",
        )
    ],
    "GroupNorm": [
        Entry(
            lambda: nn.GroupNorm(2, 4),
            (numbers(2, 4, 3),),
            "GroupNorm(2, 4, eps=1e-05, affine=True, bias=True)",
        ),
        Entry(
            lambda: nn.GroupNorm(1, 4, affine=False),
            (X,),
            "GroupNorm(1, 4, eps=1e-05, affine=False, bias=False)",
        ),
    ],
    "LocalResponseNorm": [
        Entry(
            lambda: nn.LocalResponseNorm(3, alpha=0.5),
            (numbers(2, 4, 3),),
            "LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.0)",
        )
    ],
    "Embedding": [
        Entry(
            lambda: nn.Embedding(5, 3),
            (np.array([[0, 4], [1, 1]]),),
            "Embedding(5, 3)",
            (),
            twice=False,
        ),
        Entry(
            lambda: nn.Embedding(5, 3, padding_idx=-1),
            (np.array([[0, 4], [1, 1]]),),
            "Embedding(5, 3, padding_idx=4)",
            (),
            gradient=False,
        ),
        Entry(
            lambda: nn.Embedding(5, 3, max_norm=0.7, norm_type=1.0),
            (np.array([0, 4, 0]),),
            "Embedding(5, 3, max_norm=0.7, norm_type=1.0)",
            (),
            gradient=False,
        ),
        Entry(
            lambda: nn.Embedding(5, 3, scale_grad_by_freq=True, sparse=True),
            (np.array([0, 4, 0]),),
            "Embedding(5, 3, scale_grad_by_freq=True, sparse=True)",
            (),
            gradient=False,
        ),
    ],
    "EmbeddingBag": [
        Entry(
            lambda: nn.EmbeddingBag(5, 3),
            (np.array([[0, 4], [1, 1]]),),
            "EmbeddingBag(5, 3, mode='mean')",
            (),
            twice=False,
        ),
        Entry(
            lambda: nn.EmbeddingBag(5, 3, mode="max"),
            (np.array([0, 4, 1, 2]), np.array([0, 0, 3])),
            "EmbeddingBag(5, 3, mode='max')",
            (),
            twice=False,
        ),
        Entry(
            lambda: nn.EmbeddingBag(5, 3, mode="sum", include_last_offset=True),
            (np.array([0, 4, 1, 2]), np.array([0, 2, 4]), numbers(4)),
            "EmbeddingBag(5, 3, mode='sum')",
            (2,),
        ),
    ],
    "RNN": [
        Entry(
            lambda: joined(nn.RNN(3, 2, 2, bidirectional=True)),
            (numbers(3, 2, 3),),
            "RNN(3, 2, num_layers=2, bidirectional=True)",
        ),
        Entry(
            lambda: joined(nn.RNN(3, 2, nonlinearity="relu", batch_first=True, bias=False)),
            (numbers(2, 3, 3), numbers(1, 2, 2)),
            "RNN(3, 2, bias=False, batch_first=True)",
            (0, 1),
        ),
    ],
    "LSTM": [
        Entry(
            lambda: joined(nn.LSTM(3, 2, 2, batch_first=True, dropout=0.5)),
            (numbers(2, 3, 3),),
            "LSTM(3, 2, num_layers=2, batch_first=True, dropout=0.5)",
            modal=True,
        ),
        Entry(
            lambda: joined(nn.LSTM(3, 3, bidirectional=True, proj_size=2)),
            (numbers(3, 3),),
            "LSTM(3, 3, proj_size=2, bidirectional=True)",
        ),
    ],
    "GRU": [
        Entry(
            lambda: joined(nn.GRU(3, 2, bidirectional=True)),
            (numbers(3, 2, 3), numbers(2, 2, 2)),
            "GRU(3, 2, bidirectional=True)",
            (0, 1),
        ),
        Entry(lambda: joined(nn.GRU(3, 2, bias=False)), (numbers(2, 3),), "GRU(3, 2, bias=False)"),
    ],
    "RNNCell": [
        Entry(
            lambda: nn.RNNCell(3, 2, nonlinearity="relu"),
            (numbers(2, 3), numbers(2, 2)),
            "RNNCell(3, 2, nonlinearity=relu)",
            (0, 1),
        )
    ],
    "LSTMCell": [
        Entry(lambda: joined(nn.LSTMCell(3, 2)), (numbers(2, 3),), "LSTMCell(3, 2)"),
    ],
    "GRUCell": [
        Entry(
            lambda: nn.GRUCell(3, 2, bias=False),
            (numbers(3), numbers(2)),
            "GRUCell(3, 2, bias=False)",
            (0, 1),
        )
    ],
    "MultiheadAttention": [
        Entry(
            lambda: joined(nn.MultiheadAttention(2, 2)),
            (numbers(2, 2, 2), numbers(3, 2, 2, seed=1), numbers(3, 2, 2, seed=2)),
            f"MultiheadAttention(\n  (out_proj): {OUT}\n)",
            (0, 1, 2),
        ),
        Entry(
            lambda: joined(nn.MultiheadAttention(2, 2, dropout=0.5, add_bias_kv=True, kdim=3)),
            (numbers(2, 2, 2), numbers(3, 2, 3, seed=1), numbers(3, 2, 2, seed=2)),
            f"MultiheadAttention(\n  (out_proj): {OUT}\n)",
            (0, 1, 2),
            modal=True,
        ),
    ],
    "TransformerEncoderLayer": [
        Entry(
            lambda: nn.TransformerEncoderLayer(2, 2, 3, batch_first=True, activation="gelu"),
            (numbers(1, 3, 2),),
            f"TransformerEncoderLayer(\n  (self_attn): {SELF}\n{FEED}{norms(2)})",
            modal=True,
        )
    ],
    "TransformerDecoderLayer": [
        Entry(
            lambda: nn.TransformerDecoderLayer(2, 2, 3, 0.0, norm_first=True),
            (numbers(2, 1, 2), numbers(2, 1, 2, seed=1)),
            f"TransformerDecoderLayer(\n  (self_attn): {SELF}\n  (multihead_attn): {SELF}\n"
            f"{FEED}{norms(3)})".replace("p=0.1", "p=0.0"),
            (0, 1),
            twice=False,  # takes long; an encoder layer has the same parts
        )
    ],
    "ReLU": [Entry(nn.ReLU, (X,), "ReLU()")],
    "ReLU6": [Entry(nn.ReLU6, (X * 4,), "ReLU6()")],
    "LeakyReLU": [Entry(lambda: nn.LeakyReLU(0.2), (X,), "LeakyReLU(negative_slope=0.2)")],
    "Tanh": [Entry(nn.Tanh, (X,), "Tanh()")],
    "Sigmoid": [Entry(nn.Sigmoid, (X,), "Sigmoid()")],
    "LogSigmoid": [Entry(nn.LogSigmoid, (X,), "LogSigmoid()")],
    "Softplus": [
        Entry(nn.Softplus, (X,), "Softplus(beta=1.0, threshold=20.0)"),
        Entry(lambda: nn.Softplus(2.0, 1.0), (X,), "Softplus(beta=2.0, threshold=1.0)"),
    ],
    "ELU": [Entry(nn.ELU, (X,), "ELU(alpha=1.0)")],
    "CELU": [Entry(lambda: nn.CELU(2.0), (X,), "CELU(alpha=2.0)")],
    "SELU": [Entry(nn.SELU, (X,), "SELU()")],
    "GELU": [
        Entry(nn.GELU, (X,), "GELU(approximate='none')"),
        Entry(lambda: nn.GELU("tanh"), (X,), "GELU(approximate='tanh')"),
    ],
    "SiLU": [Entry(nn.SiLU, (X,), "SiLU()")],
    "Mish": [Entry(nn.Mish, (X,), "Mish()")],
    "Hardtanh": [Entry(nn.Hardtanh, (X,), "Hardtanh(min_val=-1.0, max_val=1.0)")],
    "Softsign": [Entry(nn.Softsign, (X,), "Softsign()")],
    "Softmax": [Entry(lambda: nn.Softmax(dim=1), (X,), "Softmax(dim=1)")],
    "Softmin": [Entry(lambda: nn.Softmin(dim=0), (X,), "Softmin(dim=0)")],
    "LogSoftmax": [Entry(lambda: nn.LogSoftmax(dim=-1), (X,), "LogSoftmax(dim=-1)")],
    "Sequential": [
        Entry(
            lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh()),
            (X,),
            "Sequential(\n  (0): Linear(in_features=4, out_features=3, bias=True)\n"
            "  (1): Tanh()\n)",
        )
    ],
    "MSELoss": [Entry(nn.MSELoss, REGRESSION, "MSELoss()", (0, 1))],
    "L1Loss": [Entry(nn.L1Loss, REGRESSION, "L1Loss()", (0, 1))],
    "SmoothL1Loss": [
        Entry(nn.SmoothL1Loss, REGRESSION, "SmoothL1Loss()", (0, 1)),
        Entry(lambda: nn.SmoothL1Loss(beta=0.0), REGRESSION, "SmoothL1Loss()", (0, 1)),
    ],
    "HuberLoss": [
        Entry(nn.HuberLoss, REGRESSION, "HuberLoss()", (0, 1)),
        Entry(lambda: nn.HuberLoss(reduction="sum", delta=0.5), REGRESSION, "HuberLoss()", (0, 1)),
    ],
    "CrossEntropyLoss": [
        Entry(nn.CrossEntropyLoss, (X, CLASSES), "CrossEntropyLoss()"),
        Entry(
            lambda: nn.CrossEntropyLoss(WEIGHTS, ignore_index=3, label_smoothing=0.2),
            (X, CLASSES),
            "CrossEntropyLoss()",
        ),
        Entry(
            lambda: nn.CrossEntropyLoss(WEIGHTS, label_smoothing=0.2),
            (X, PROBABLE),
            "CrossEntropyLoss()",
            (0, 1),
        ),
        Entry(
            lambda: nn.CrossEntropyLoss(reduction="none"),
            (numbers(2, 3, 2), np.array([[0, 1], [2, 2]])),
            "CrossEntropyLoss()",
        ),
    ],
    "NLLLoss": [
        Entry(nn.NLLLoss, (X, CLASSES), "NLLLoss()"),
        Entry(lambda: nn.NLLLoss(WEIGHTS, ignore_index=1), (X, CLASSES), "NLLLoss()"),
    ],
    "BCELoss": [
        Entry(nn.BCELoss, (PROBABLE, PROBABLE[::-1].copy()), "BCELoss()", (0, 1)),
        Entry(lambda: nn.BCELoss(WEIGHTS), (PROBABLE, PROBABLE[::-1].copy()), "BCELoss()"),
    ],
    "BCEWithLogitsLoss": [
        Entry(nn.BCEWithLogitsLoss, (X, PROBABLE), "BCEWithLogitsLoss()", (0, 1)),
        Entry(
            lambda: nn.BCEWithLogitsLoss(WEIGHTS, pos_weight=WEIGHTS),
            (X, PROBABLE),
            "BCEWithLogitsLoss()",
        ),
    ],
    "KLDivLoss": [
        Entry(lambda: nn.KLDivLoss(reduction="batchmean"), (X, PROBABLE), "KLDivLoss()", (0, 1)),
        Entry(lambda: nn.KLDivLoss(log_target=True), (X, np.log(PROBABLE)), "KLDivLoss()", (0, 1)),
    ],
}
ENTRIES |= {
    name: [
        Entry(make, inputs, shows, twice=not any(part in name for part in LINEAR))
        for make, inputs, shows in entries
    ]
    for name, entries in rows().items()
}
# Modules that hold others and are not called; tests/nn/test_containers.py is about them.
HOLDERS = {
    "RNNBase",
    "RNNCellBase",
    "Module",
    "ModuleList",
    "ModuleDict",
    "ParameterList",
    "ParameterDict",
}
# Made of layers that have entries; tests/nn/test_attention.py is about them.
HOLDERS |= {"Transformer", "TransformerEncoder", "TransformerDecoder"}
# These become others, tests/nn/test_lazy.py says when.
LAZY = {name for name in nn.__all__ if name.startswith("Lazy")}
CASES = [
    pytest.param(entry, id=f"{name}-{i}")
    for name, entries in ENTRIES.items()
    for i, entry in enumerate(entries)
]
SMOOTH = [case for case in CASES if case.values[0].gradient]


def public_modules():
    """The classes of modules that nn offers."""
    return {
        name
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and issubclass(getattr(nn, name), nn.Module)
    }


def without_an_entry(names):
    return names - set(ENTRIES) - HOLDERS - LAZY


def made(entry, dtype=cp.float64):
    """The module in the mode where it is a function of its input, and its inputs."""
    cp.manual_seed(1)
    module = entry.make().to(dtype).eval()
    inputs = [
        cp.tensor(a, dtype=dtype if a.dtype.kind == "f" else None).requires_grad_(
            i in entry.wants_gradient
        )
        for i, a in enumerate(map(np.asarray, entry.inputs))
    ]
    return module, inputs


def as_function(module, inputs):
    """(f, arguments): the module as a function of its inputs and of its parameters."""
    parameters = dict(module.named_parameters())

    def f(*args):
        return module(*args[: len(inputs)])

    return f, [*inputs, *parameters.values()]


def test_every_public_module_has_an_entry():
    assert without_an_entry(public_modules()) == set()
    assert set(ENTRIES) | HOLDERS | LAZY == public_modules()


def test_a_module_without_an_entry_is_found():
    assert without_an_entry(public_modules() | {"Linnear"}) == {"Linnear"}


@pytest.mark.parametrize("entry", SMOOTH)
def test_gradients_agree_with_finite_differences(entry):
    assert gradcheck(*as_function(*made(entry)))


@pytest.mark.parametrize(
    "entry", [case for case in CASES if case.values[0].twice and case.values[0].gradient]
)
def test_second_gradients_agree_with_finite_differences(entry):
    assert gradgradcheck(*as_function(*made(entry)))


def test_a_wrong_gradient_is_found():
    class Wrong(nn.Module):
        def forward(self, x):
            return x * x.detach()

    with pytest.raises(GradcheckError):
        gradcheck(*as_function(Wrong(), [cp.tensor(X, requires_grad=True)]))


@pytest.mark.parametrize("entry", CASES)
def test_traced_with_other_values_it_is_the_same_to_the_bit(entry):
    module, inputs = made(entry)
    others = [
        cp.tensor(np.roll(x.detach().numpy(), 1)).requires_grad_(x.requires_grad) for x in inputs
    ]
    wanted = [*module.parameters()]

    def f(*xs):
        y = module(*xs)
        given = [x for x in (*xs, *wanted) if x.requires_grad]
        return y, cp.autograd.grad(y.sum(), given, materialize_grads=True)

    traced = trace(f, *others)
    arrays = [*(x.detach().numpy() for x in inputs), *traced.captured]
    out, gradients = f(*inputs)
    for graph in (traced.graph, optimize(traced.graph)):
        got = evaluate(graph, arrays)
        for a, b in zip([out, *gradients], got, strict=True):
            np.testing.assert_array_equal(a.detach().numpy(), b)


def test_dropout_is_drawn_anew_in_a_traced_network():
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    x = cp.tensor(X, dtype=cp.float32)
    traced = trace(net, x)
    results = []
    for run in (net, traced):
        cp.manual_seed(3)
        results.append([run(x).tolist() for _ in range(3)])
    assert results[0] == results[1]
    assert results[0][0] != results[0][1]


@pytest.mark.parametrize("entry", CASES)
def test_float32_gives_what_float64_gives(entry):
    module, inputs = made(entry)
    exact = module(*inputs)
    single, rounded = made(entry, cp.float32)
    single.load_state_dict(module.state_dict())
    out = single(*rounded)
    assert out.dtype is cp.float32 and exact.dtype is cp.float64
    assert out.shape == exact.shape
    np.testing.assert_allclose(out.detach().numpy(), exact.detach().numpy(), 1e-5, 1e-5)
    out.sum().backward()
    for x in [*rounded, *single.parameters()]:
        if x.requires_grad:
            assert x.grad.dtype is cp.float32 and x.grad.shape == x.shape


@pytest.mark.parametrize("entry", CASES)
def test_forward_does_not_write_to_its_inputs(entry):
    module, inputs = made(entry)
    before = [x.detach().numpy().copy() for x in inputs]
    module.train()(*inputs)
    for x, old in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(x.detach().numpy(), old)


@pytest.mark.parametrize("entry", CASES)
def test_only_layers_that_say_so_know_the_mode(entry):
    module, inputs = made(entry)
    quiet = module.eval()(*inputs).detach().numpy()
    loud = module.train()(*inputs).detach().numpy()
    assert module.training
    assert np.array_equal(quiet, loud) == (not entry.modal)


@pytest.mark.parametrize("entry", CASES)
def test_prints_as_in_pytorch(entry):
    assert repr(entry.make()) == entry.shows


@pytest.mark.parametrize("entry", CASES)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_computes_the_same_and_shares_nothing(entry, copied):
    module, inputs = made(entry)
    other = copied(module)
    np.testing.assert_array_equal(other(*inputs).detach().numpy(), module(*inputs).detach().numpy())
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert not np.may_share_memory(a.detach().numpy(), b.detach().numpy())
        assert b.requires_grad


@pytest.mark.parametrize("entry", CASES)
def test_state_dict_carries_everything_to_another_module(entry):
    module, inputs = made(entry)
    cp.manual_seed(2)
    other = entry.make().double().eval()
    state = {k: v.clone() for k, v in module.state_dict().items()}
    assert other.load_state_dict(state) == ([], [])
    np.testing.assert_array_equal(other(*inputs).detach().numpy(), module(*inputs).detach().numpy())
