"""Whole networks of layers, and single layers: forward and backward, clearprop's eager and compiled
mode beside PyTorch's eager mode, in one run, on one thread.

    python bench/layers.py                 all rows
    python bench/layers.py lenet --rounds 25

A row is a network as a user writes it, the same source for both libraries, with the same weights
and inputs; the losses are compared before anything is timed. Times are medians over rounds that
run in turn; the ratio is PyTorch's time over clearprop's, so above 1 clearprop is faster.
"""

from __future__ import annotations

from timing import medians, single_thread

single_thread()

import argparse  # noqa: E402
import functools  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

import clearprop as cp  # noqa: E402

Made = tuple[Any, Callable[..., Any], tuple[np.ndarray, ...]]  # module, its loss, its inputs


def lenet(lib: Any) -> Made:
    """LeNet on 28x28, batch 64."""
    nn, F = lib.nn, lib.nn.functional
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 1, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, 64)
    return model, lambda x, y: F.cross_entropy(model(x), y), (x, y)


def lenet_with_means(lib: Any) -> Made:
    """LeNet with mean pooling."""
    model, _, inputs = lenet(lib)
    model[2], model[5] = lib.nn.AvgPool2d(2), lib.nn.AvgPool2d(2)
    F = lib.nn.functional
    return model, lambda x, y: F.cross_entropy(model(x), y), inputs


def recurrent(kind: str, shape: tuple[int, int, int], layers: int, lib: Any) -> Made:
    """Layers as wide as their input, of (steps, batch, width)."""
    model = getattr(lib.nn, kind)(shape[2], shape[2], layers)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return model, lambda x: (model(x)[0] ** 2).mean(), (x,)


def attention(lib: Any) -> Made:
    """Self-attention of width 128 with 4 heads over 64 places, batch 16."""
    model = lib.nn.MultiheadAttention(128, 4, batch_first=True)
    x = np.random.default_rng(0).standard_normal((16, 64, 128)).astype(np.float32)
    return model, lambda x: (model(x, x, x, need_weights=False)[0] ** 2).mean(), (x,)


def transformer(lib: Any) -> Made:
    """An encoder layer of that size, without dropout."""
    model = lib.nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True)
    x = np.random.default_rng(0).standard_normal((16, 64, 128)).astype(np.float32)
    return model, lambda x: (model(x) ** 2).mean(), (x,)


def layer(make: Callable[[Any], Any], *shape: int) -> Callable[[Any], Made]:
    """One layer on normal numbers that want a gradient; the cotangent is the result itself."""

    def made(lib: Any) -> Made:
        model = make(lib.nn)
        return model, model, (np.random.default_rng(0).standard_normal(shape).astype(np.float32),)

    return made


def classes(n: int, count: int) -> Callable[[Any], Made]:
    """Softmax and cross entropy of n examples."""

    def made(lib: Any) -> Made:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n, count)).astype(np.float32)
        return lib.nn.Identity(), lib.nn.CrossEntropyLoss(), (x, rng.integers(0, count, n))

    return made


def embedding(lib: Any) -> Made:
    """1000 words of 128 numbers, 32 x 50 of them looked up."""
    model = lib.nn.Embedding(1000, 128)
    return model, model, (np.random.default_rng(0).integers(0, 1000, (32, 50)),)


ROWS: dict[str, Callable[[Any], Made]] = {
    "lenet": lenet,
    "lenet-mean": lenet_with_means,
    "lstm": functools.partial(recurrent, "LSTM", (50, 32, 128), 2),
    "gru": functools.partial(recurrent, "GRU", (50, 32, 128), 2),
    "rnn": functools.partial(recurrent, "RNN", (50, 32, 128), 2),
    "attention": attention,
    "transformer": transformer,
    "lstm-small": functools.partial(recurrent, "LSTM", (20, 8, 32), 1),
    "layer norm": layer(lambda nn: nn.LayerNorm(128), 16, 64, 128),
    "group norm": layer(lambda nn: nn.GroupNorm(4, 32), 32, 32, 14, 14),
    "batch norm": layer(lambda nn: nn.BatchNorm2d(32), 32, 32, 14, 14),
    "batch norm 1d": layer(lambda nn: nn.BatchNorm1d(128), 64, 128),
    "instance norm": layer(lambda nn: nn.InstanceNorm2d(32, affine=True), 32, 32, 14, 14),
    "rms norm": layer(lambda nn: nn.RMSNorm(128), 16, 64, 128),
    "max pool": layer(lambda nn: nn.MaxPool2d(2), 64, 16, 28, 28),
    "gelu": layer(lambda nn: nn.GELU(), 1024, 512),
    "relu": layer(lambda nn: nn.ReLU(), 1024, 512),
    "dropout": layer(lambda nn: nn.Dropout(0.1), 1024, 512),
    "softmax": layer(lambda nn: nn.Softmax(-1), 1024, 64),
    "embedding": embedding,
    "cross entropy": classes(128, 10),
    "cross entropy 1000": classes(64, 1000),
}


def step(model: Any, loss_of: Any, xs: Any) -> Callable[[], Any]:
    """Forward and backward, from no gradients."""
    wanted = [x for x in xs if x.requires_grad]

    def run() -> Any:
        model.zero_grad()
        for x in wanted:
            x.grad = None
        out = loss_of(*xs)
        out.backward(out.detach() if out.ndim else None)
        return out

    return run


def inputs(lib: Any, arrays: tuple[np.ndarray, ...], whole: bool) -> list[Any]:
    """The arrays as tensors; those of a single layer want gradients."""
    xs = [lib.from_numpy(a) for a in arrays]
    return [x.requires_grad_() if not whole and x.is_floating_point() else x for x in xs]


def programs(make: Callable[[Any], Made]) -> dict[str, Callable[[], Any]]:
    """The three ways to run a row, from the same weights."""
    theirs, their_loss, arrays = make(torch)
    whole = not (their_loss is theirs or isinstance(theirs, torch.nn.Identity))
    out = {"torch": step(theirs, their_loss, inputs(torch, arrays, whole))}
    for name in ("eager", "compiled"):
        model, loss_of, _ = make(cp)
        with cp.no_grad():
            for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
                p.copy_(cp.from_numpy(q.detach().numpy()))
        run = step(model, loss_of, inputs(cp, arrays, whole))
        out[name] = cp.compile(run) if name == "compiled" else run
    losses = {name: float((run().detach() ** 2).sum()) for name, run in out.items()}
    for name, loss in losses.items():
        if isinstance(theirs, torch.nn.Dropout):
            continue  # other masks
        assert abs(loss - losses["torch"]) < 1e-4 * abs(losses["torch"]), f"{name}: {losses}"
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="which rows; all if none")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'forward + backward, us':24}{'torch':>9}{'eager':>9}{'compiled':>10}   torch/eager"
          "  torch/compiled")  # fmt: skip
    for name in options.rows or ROWS:
        t = medians(programs(ROWS[name]), rounds=options.rounds)
        ours, code, theirs = t["eager"], t["compiled"], t["torch"]
        print(
            f"{name:24}{theirs:9.0f}{ours:9.0f}{code:10.0f}{theirs / ours:14.2f}"
            f"{theirs / code:16.2f}"
        )


if __name__ == "__main__":
    main()
