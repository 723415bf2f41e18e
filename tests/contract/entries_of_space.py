"""How to make the layers for signals, images and volumes, and what they print (for
test_layers_contract.py): rows of (make, inputs, shown), floats without ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop import nn

Row = tuple[Callable[[], Any], tuple[Any, ...], str]


def distinct(*shape: int) -> np.ndarray:
    """No two elements alike, none near zero."""
    n = math.prod(shape)
    return (np.random.default_rng(0).permutation(n).reshape(shape) - n / 2 + 0.25) / 4


SIGNAL, IMAGE, VOLUME = distinct(2, 2, 6), distinct(2, 2, 4, 6), distinct(1, 2, 4, 2, 4)
BY_AXES = {1: SIGNAL, 2: IMAGE, 3: VOLUME}
WHERE = np.array([[[1, 2, 5], [0, 3, 4]]])
PLANES = np.array([[[[1, 6], [9, 15]], [[0, 2], [8, 11]]]])


def rows() -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = {
        "Conv1d": [
            (lambda: nn.Conv1d(2, 3, 3), (SIGNAL,),
             "Conv1d(2, 3, kernel_size=(3,), stride=(1,))"),
            (lambda: nn.Conv1d(2, 2, 2, padding="same", groups=2, bias=False), (SIGNAL[0],),
             "Conv1d(2, 2, kernel_size=(2,), stride=(1,), padding=same, groups=2, bias=False)"),
        ],
        "Conv2d": [
            (lambda: nn.Conv2d(2, 3, (3, 2), stride=(1, 2), padding=1, dilation=(1, 2)), (IMAGE,),
             "Conv2d(2, 3, kernel_size=(3, 2), stride=(1, 2), padding=(1, 1), dilation=(1, 2))"),
            *((lambda mode=mode: nn.Conv2d(2, 2, 3, padding=1, padding_mode=mode), (IMAGE[:1],),
               "Conv2d(2, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1),"
               f" padding_mode={mode})") for mode in ("reflect", "replicate", "circular")),
        ],
        "Conv3d": [
            (lambda: nn.Conv3d(2, 2, 2), (VOLUME,),
             "Conv3d(2, 2, kernel_size=(2, 2, 2), stride=(1, 1, 1))"),
        ],
        "ConvTranspose1d": [
            (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1), (SIGNAL,),
             "ConvTranspose1d(2, 3, kernel_size=(3,), stride=(2,), padding=(1,),"
             " output_padding=(1,))"),
        ],
        "ConvTranspose2d": [
            (lambda: nn.ConvTranspose2d(2, 2, 3, groups=2, dilation=2), (IMAGE[:1],),
             "ConvTranspose2d(2, 2, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2), groups=2)"),
        ],
        "ConvTranspose3d": [
            (lambda: nn.ConvTranspose3d(2, 1, 2, bias=False), (VOLUME,),
             "ConvTranspose3d(2, 1, kernel_size=(2, 2, 2), stride=(1, 1, 1), bias=False)"),
        ],
        "Upsample": [
            (lambda: nn.Upsample(scale_factor=2), (IMAGE,),
             "Upsample(scale_factor=2.0, mode='nearest')"),
            (lambda: nn.Upsample(size=(3, 4), mode="bilinear", align_corners=True), (IMAGE,),
             "Upsample(size=(3, 4), mode='bilinear')"),
            (lambda: nn.Upsample(scale_factor=(1.5, 2), mode="bicubic"), (IMAGE,),
             "Upsample(scale_factor=(1.5, 2.0), mode='bicubic')"),
            (lambda: nn.Upsample(size=9, mode="linear"), (SIGNAL,),
             "Upsample(size=9, mode='linear')"),
        ],
        "UpsamplingNearest2d": [
            (lambda: nn.UpsamplingNearest2d(size=5), (IMAGE,),
             "UpsamplingNearest2d(size=5, mode='nearest')"),
        ],
        "UpsamplingBilinear2d": [
            (lambda: nn.UpsamplingBilinear2d(scale_factor=2), (IMAGE,),
             "UpsamplingBilinear2d(scale_factor=2.0, mode='bilinear')"),
        ],
        "PixelShuffle": [
            (lambda: nn.PixelShuffle(2), (distinct(1, 4, 2, 3),), "PixelShuffle(upscale_factor=2)"),
        ],
        "PixelUnshuffle": [
            (lambda: nn.PixelUnshuffle(2), (IMAGE,), "PixelUnshuffle(downscale_factor=2)"),
        ],
        "ChannelShuffle": [
            (lambda: nn.ChannelShuffle(2), (distinct(1, 4, 2, 3),), "ChannelShuffle(groups=2)"),
        ],
        "Unfold": [
            (lambda: nn.Unfold(3, padding=1, stride=(1, 2)), (IMAGE,),
             "Unfold(kernel_size=3, dilation=1, padding=1, stride=(1, 2))"),
        ],
        "Fold": [
            (lambda: nn.Fold((4, 5), (2, 2)), (distinct(1, 8, 12),),
             "Fold(output_size=(4, 5), kernel_size=(2, 2), dilation=1, padding=0, stride=1)"),
        ],
        "MaxPool1d": [
            (lambda: nn.MaxPool1d(3, stride=2, padding=1), (SIGNAL,),
             "MaxPool1d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"),
        ],
        "MaxPool2d": [
            (lambda: nn.MaxPool2d(2), (IMAGE,),
             "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
            (lambda: nn.MaxPool2d((3, 2), 2, 1, (1, 2), ceil_mode=True), (IMAGE[0],),
             "MaxPool2d(kernel_size=(3, 2), stride=2, padding=1, dilation=(1, 2), ceil_mode=True)"),
        ],
        "MaxPool3d": [
            (lambda: nn.MaxPool3d(2), (VOLUME,),
             "MaxPool3d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        ],
        "MaxUnpool1d": [
            (lambda: nn.MaxUnpool1d(2), (distinct(1, 2, 3), WHERE),
             "MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))"),
        ],
        "MaxUnpool2d": [
            (lambda: nn.MaxUnpool2d(2), (distinct(1, 2, 2, 2), PLANES),
             "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))"),
        ],
        "MaxUnpool3d": [
            (lambda: nn.MaxUnpool3d(2), (distinct(1, 1, 1, 2, 2), PLANES[:, :1, None]),
             "MaxUnpool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))"),
        ],
        "AvgPool1d": [
            (lambda: nn.AvgPool1d(3, 2, 1), (SIGNAL,),
             "AvgPool1d(kernel_size=(3,), stride=(2,), padding=(1,))"),
        ],
        "AvgPool2d": [
            (lambda: nn.AvgPool2d(2), (IMAGE,), "AvgPool2d(kernel_size=2, stride=2, padding=0)"),
            (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (IMAGE,),
             "AvgPool2d(kernel_size=3, stride=2, padding=1)"),
        ],
        "AvgPool3d": [
            (lambda: nn.AvgPool3d(2), (VOLUME,), "AvgPool3d(kernel_size=2, stride=2, padding=0)"),
        ],
    }  # fmt: skip
    for d, x in BY_AXES.items():
        out[f"LPPool{d}d"] = [
            (lambda d=d: getattr(nn, f"LPPool{d}d")(2, 2), (x,),
             f"LPPool{d}d(norm_type=2, kernel_size=2, stride=None, ceil_mode=False)"),
        ]  # fmt: skip
        for kind in ("Max", "Avg"):
            name = f"Adaptive{kind}Pool{d}d"
            out[name] = [
                (lambda name=name, n=n: getattr(nn, name)(n), (x,), f"{name}(output_size={n})")
                for n in (2, 3)
            ]
        shape = (1,) * 2 * d
        for kind in ("Zero", "Reflection", "Replication", "Circular"):
            name = f"{kind}Pad{d}d"
            out[name] = [(lambda name=name: getattr(nn, name)(1), (x,), f"{name}({shape})")]
        name = f"ConstantPad{d}d"
        out[name] = [
            (lambda name=name: getattr(nn, name)(1, 3.5), (x,),
             f"{name}(padding={shape}, value=3.5)"),
        ]  # fmt: skip
    return out


# these move elements or add them up: nothing is left of their second derivative
LINEAR = ("Pad", "Avg", "Up", "Pixel", "Channel", "old", "MaxPool", "MaxUnpool")
