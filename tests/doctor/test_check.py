"""doctor.check: one batch before training, examined on copies."""

import copy

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn, optim


def digits_like(rows=16):
    return cp.rand(rows, 8), cp.randint(0, 3, (rows,))


def network():
    return nn.Sequential(
        nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)
    )


def codes(report):
    return [f.code for f in report.alarms]


@pytest.mark.parametrize("optimizer", [None, "sgd", "adam"])
def test_a_healthy_network_raises_nothing(optimizer):
    model = network()
    made = {
        None: None,
        "sgd": optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        "adam": optim.Adam(model.parameters()),
    }[optimizer]
    report = cp.doctor.check(model, nn.CrossEntropyLoss(), digits_like(), made)
    assert codes(report) == [] and not report
    assert report.notes == []


def test_a_softmax_over_one_unit_is_found():
    model = nn.Sequential(nn.Linear(4, 1), nn.Softmax(1))
    report = cp.doctor.check(model, nn.MSELoss(), (cp.rand(8, 4), cp.rand(8, 1)))
    assert codes(report)[0] == "B5"
    assert report.errors[0].module == "Sequential.1"


def test_a_layer_in_a_python_list_is_found_with_its_line():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(8, 8)]
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(cp.relu(self.layers[0](x)))

    model = Hidden()
    report = cp.doctor.check(
        model, nn.CrossEntropyLoss(), digits_like(), optim.SGD(model.parameters(), lr=0.1)
    )
    assert "A3" in codes(report)


def test_nothing_of_the_users_state_is_touched():
    model, batch = network(), digits_like()
    optimizer = optim.Adam(model.parameters())
    loss = nn.CrossEntropyLoss()
    for _ in range(3):
        optimizer.zero_grad()
        loss(model(batch[0]), batch[1]).backward()
        optimizer.step()
    weights = copy.deepcopy(dict(model.state_dict()))
    state = copy.deepcopy(optimizer.state_dict())
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    random, numpy_random = cp.default_generator.get_state(), np.random.get_state()[1].copy()
    modes = [m.training for m in model.modules()]
    cp.doctor.check(model, loss, batch, optimizer)
    for name, w in model.state_dict().items():
        assert (w.numpy() == weights[name].numpy()).all(), name
    assert str(optimizer.state_dict()) == str(state)
    assert all((p.grad.numpy() == g).all() for p, g in zip(model.parameters(), grads, strict=True))
    assert (cp.default_generator.get_state() == random).all()
    assert (np.random.get_state()[1] == numpy_random).all()
    assert [m.training for m in model.modules()] == modes
    assert cp.core.local.c.interpreter is None and not cp.core.events.listeners


def test_an_error_of_the_model_is_in_the_report():
    report = cp.doctor.check(network(), nn.CrossEntropyLoss(), (cp.rand(4, 5), digits_like(4)[1]))
    assert any("ShapeError" in note for note in report.notes)


def test_what_cannot_be_copied_is_said():
    model = network()
    model.handle = (i for i in range(3))  # a generator has no copy
    report = cp.doctor.check(model, nn.CrossEntropyLoss(), digits_like())
    assert "a copy could not be made" in report.notes[0]


def test_arrays_are_taken_as_they_are_given():
    batch = np.random.rand(16, 8), np.random.randint(0, 3, 16)
    assert codes(cp.doctor.check(network(), nn.CrossEntropyLoss(), batch)) == []


def test_the_report_shows_itself():
    model = nn.Sequential(nn.Linear(4, 1), nn.Softmax(1))
    report = cp.doctor.check(model, nn.MSELoss(), (cp.rand(8, 4), cp.rand(8, 1)))
    page = report._repr_html_()
    assert "B5" in page and "Fix:" in page
    assert "error B5" in str(report)
