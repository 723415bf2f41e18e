"""A small problem and its Trainer, built the same way each time."""

import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.train import EarlyStopping, GradientLog, Trainer


@pytest.fixture
def problem():
    """Two classes in the plane: (training, validation)."""
    generator = cp.Generator().manual_seed(7)
    x = cp.rand(120, 2, generator=generator) * 2 - 1
    y = (x[:, 0] * x[:, 1] > 0).long()
    return (x[:90], y[:90]), (x[90:], y[90:])


@pytest.fixture
def make():
    """A function that makes the same untrained Trainer again and again."""

    def build(callbacks=(), lr=0.01, **options):
        cp.manual_seed(3)
        model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
        optimizer = optim.AdamW(model.parameters(), lr=lr)
        scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
        standard = [EarlyStopping(patience=4), GradientLog()]
        return Trainer(
            model,
            nn.CrossEntropyLoss(),
            optimizer,
            scheduler=scheduler,
            metrics=["accuracy", "f1"],
            callbacks=[*standard, *callbacks],
            **options,
        )

    return build
