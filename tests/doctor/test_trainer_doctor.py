"""Trainer(doctor=True) and clearprop train: the same numbers, and findings at the end."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim
from clearprop.train import Trainer


class Data:
    def __init__(self):
        cp.manual_seed(0)
        self.x, self.y = cp.rand(96, 5), cp.randint(0, 3, (96,))


def networks():
    return {
        "mlp": lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3)),
        "dropout": lambda: nn.Sequential(
            nn.Linear(5, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3)
        ),
        "batch norm": lambda: nn.Sequential(
            nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        ),
        "layer norm": lambda: nn.Sequential(
            nn.Linear(5, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)
        ),
        "convolution": lambda: nn.Sequential(
            nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 3)
        ),
    }


def trained(make, doctor, epochs=4, optimizer=optim.Adam, **options):
    data = Data()
    model = make()
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer(model.parameters(), lr=0.01), doctor=doctor,
        **options,
    )  # fmt: skip
    history = trainer.fit((data.x, data.y), epochs=epochs, batch_size=8, seed=3)
    losses = [row["train_loss"] for row in history.rows]
    return losses, [p.numpy().copy() for p in model.state_dict().values()], trainer


@pytest.mark.parametrize("name", networks())
def test_numbers_are_the_same_to_the_bit_and_a_healthy_run_has_no_findings(name):
    make = networks()[name]
    without, with_ = trained(make, False), trained(make, True)
    assert without[0] == with_[0]
    assert all((a == b).all() for a, b in zip(without[1], with_[1], strict=True))
    assert without[2].findings is None
    report = with_[2].findings
    assert report.alarms == [] and report.notes == []


def test_with_clipping_and_eager_steps():
    make = networks()["dropout"]
    options = {"clip_norm": 0.1, "eager": True, "optimizer": optim.AdamW}
    without, with_ = trained(make, False, **options), trained(make, True, **options)
    assert without[0] == with_[0]


@pytest.mark.nightly
@pytest.mark.parametrize("name", networks())
def test_five_hundred_steps(name):
    make = networks()[name]
    without, with_ = trained(make, False, epochs=42), trained(make, True, epochs=42)
    assert without[0] == with_[0]


def test_a_fault_is_found():
    def make():
        return nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=1))

    *_, trainer = trained(make, True)
    assert [f.code for f in trainer.findings.alarms] == ["E1"]


class Explodes(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.register_buffer("n", cp.zeros(()))

    def forward(self, x):
        if self.training:
            self.n += 1
        return self.fc(x) + cp.log(20.0 - self.n)  # log(0) in the 20th step


def test_a_loss_that_is_not_finite_is_replayed_and_named():
    with pytest.raises(cp.train.trainer.TrainingError, match="lower learning rate") as caught:
        trained(Explodes, True)
    text = str(caught.value)
    assert "error C2" in text and "cp.log(20.0 - self.n)" in text


def test_without_the_doctor_the_error_is_as_before():
    with pytest.raises(cp.train.trainer.TrainingError) as caught:
        trained(Explodes, False)
    assert "doctor" not in str(caught.value)


def test_a_gradient_that_is_not_finite_is_replayed_before_the_step():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(5, 3)
            self.register_buffer("n", cp.zeros(()))

        def forward(self, x):
            self.n += 1
            h = self.fc(x)
            far = (h - h.detach() * (self.n == 5)) * (self.n == 5)
            return h + (far * far).sum().sqrt() * 0 + far.abs().sqrt().sum() * 0

    data = Data()
    model = Root()
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.01), doctor=True
    )
    with pytest.raises(cp.train.trainer.TrainingError) as caught:
        trainer.fit((data.x, data.y), epochs=2, batch_size=8, seed=0)
    assert "C1" in str(caught.value)


def test_a_mistake_of_the_doctor_does_not_stop_the_training(monkeypatch):
    def broken(self, batch):
        raise RuntimeError("a mistake")

    monkeypatch.setattr("clearprop.train.checkup.Checkup._up_to_date", broken)
    losses, _, trainer = trained(networks()["mlp"], True)
    assert np.isfinite(losses).all()
    assert any("the doctor left" in note for note in trainer.findings.notes)
