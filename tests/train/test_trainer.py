"""The training loop: what it gives, when it stops, what it refuses."""

import math
import signal

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import clearprop as cp
from clearprop import nn, optim
from clearprop.data import DataLoader, TensorDataset
from clearprop.train import (
    Callback,
    CSVLog,
    EarlyStopping,
    GradientLog,
    Schedule,
    Trainer,
    TrainingError,
)
from clearprop.train.early_stopping import MonitorError


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_fit_start(self, trainer):
        self.events.append("fit")

    def on_epoch_start(self, trainer):
        self.events.append("epoch")

    def on_backward_end(self, trainer):
        self.events.append("backward")

    def on_batch_end(self, trainer):
        self.events.append("batch")

    def on_epoch_end(self, trainer):
        self.events.append("end of epoch")

    def on_fit_end(self, trainer):
        self.events.append("end")

    def on_fit_exit(self, trainer):
        self.events.append("exit")


def weights(model):
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}


def test_fit_learns_a_line():
    cp.manual_seed(0)
    x = cp.rand(64, 1)
    model = nn.Linear(1, 1)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.5))
    history = trainer.fit((x, 2 * x - 1), epochs=60, batch_size=16, seed=0)
    assert model.weight.item() == pytest.approx(2, abs=1e-2)
    assert history["train_loss"][-1] < 1e-4


def test_history_has_a_row_for_each_epoch_with_loss_rate_time_and_metrics(make, problem):
    history = make().fit(*problem, epochs=2, seed=0)
    assert list(history.last) == [
        "epoch", "train_loss", "val_loss", "lr", "seconds",
        "train_accuracy", "train_f1", "val_accuracy", "val_f1",
    ]  # fmt: skip
    assert history["epoch"] == [1, 2]
    assert history["lr"][0] == 0.01 > history["lr"][1]


def test_history_says_which_columns_there_are(make, problem):
    history = make().fit(*problem, epochs=1)
    with pytest.raises(KeyError, match="train_loss"):
        history["loss"]


def test_train_loss_is_the_mean_over_rows_not_over_batches():
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    x = cp.arange(5.0).reshape(5, 1)
    history = Trainer(model, nn.MSELoss(), optimizer).fit((x, x * 0), epochs=1, batch_size=4)
    expected = np.square(model(x).detach().numpy()).mean()
    assert history["train_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(make, problem):
    runs = []
    for _ in range(2):
        trainer = make()
        trainer.fit(*problem, epochs=2, seed=5)
        runs.append(weights(trainer.model))
    for name in runs[0]:
        np.testing.assert_array_equal(runs[0][name], runs[1][name])


def test_another_seed_gives_other_weights(make, problem):
    runs = []
    for seed in (0, 1):
        trainer = make()
        trainer.fit(*problem, epochs=1, seed=seed)
        runs.append(weights(trainer.model)["0.weight"])
    assert not np.array_equal(*runs)


def test_callbacks_are_called_in_order(problem):
    recorder = Recorder()
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[recorder])
    trainer.fit(problem[0], epochs=2, batch_size=45)
    epoch = ["epoch", "backward", "batch", "backward", "batch", "end of epoch"]
    assert recorder.events == ["fit", *epoch, *epoch, "end", "exit"]


def test_on_fit_exit_is_called_after_an_error(problem):
    recorder = Recorder()
    model = nn.Linear(3, 2)  # the rows have two columns
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[recorder])
    with pytest.raises(RuntimeError):
        trainer.fit(problem[0], epochs=1)
    assert recorder.events == ["fit", "epoch", "exit"]


def test_data_loader_data_set_and_arrays_are_the_same(make, problem):
    (x, y), _ = problem
    runs = []
    for data, options in [
        ((x.numpy().astype(np.float64), y.numpy()), {"batch_size": 30}),
        (TensorDataset(x, y), {"batch_size": 30}),
        (DataLoader(TensorDataset(x, y), batch_size=30), {}),
    ]:
        trainer = make()
        cp.manual_seed(1)
        trainer.fit(data, epochs=1, shuffle=False, **options)
        runs.append(weights(trainer.model)["3.weight"])
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


def test_batch_size_beside_a_loader_is_refused(make, problem):
    loader = DataLoader(TensorDataset(*problem[0]), batch_size=30)
    with pytest.raises(ValueError, match="batch_size belongs to the DataLoader"):
        make().fit(loader, epochs=1, batch_size=8)


def test_evaluate_uses_eval_mode_and_gives_the_mode_back(make, problem):
    trainer = make()
    trainer.model.train()
    assert trainer.evaluate(problem[1]) == trainer.evaluate(problem[1], batch_size=30)
    assert trainer.model.training


def test_early_stopping_stops_and_restores_the_best_weights(problem):
    class Spoil(Callback):
        """Ruin the weights from epoch 3 on, and keep those of epoch 2."""

        def on_epoch_start(self, trainer):
            if trainer.epoch == 3:
                self.best = weights(trainer.model)
                trainer.optimizer.param_groups[0]["lr"] = 100.0

    cp.manual_seed(0)
    model = nn.Linear(2, 2)
    spoil, stopping = Spoil(), EarlyStopping(patience=3)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters(), lr=0.01),
        callbacks=[spoil, stopping],
    )
    history = trainer.fit(problem[0], problem[0], epochs=50, seed=0)
    assert history.stopped == "early stopping"
    assert (len(history), stopping.best_epoch) == (5, 2)
    for name, value in weights(model).items():
        np.testing.assert_array_equal(value, spoil.best[name])


def test_early_stopping_names_the_columns_there_are(problem):
    model = nn.Linear(2, 2)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.SGD(model.parameters()),
        callbacks=[EarlyStopping(monitor="val_acc")],
    )
    with pytest.raises(MonitorError, match="train_loss"):
        trainer.fit(problem[0], epochs=1)


def test_diverged_loss_says_where():
    model = nn.Linear(1, 1)
    optimizer = optim.SGD(model.parameters(), lr=1e30)
    x = cp.rand(8, 1)
    with pytest.raises(TrainingError, match=r"epoch \d+, batch \d+; a lower learning rate"):
        Trainer(model, nn.MSELoss(), optimizer).fit((x, x), epochs=50, batch_size=4)


def test_clip_norm_bounds_the_step(problem):
    model = nn.Linear(2, 2)
    before = weights(model)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, clip_norm=1e-3)
    trainer.fit(problem[0], epochs=1, batch_size=90)
    after = weights(model)
    moved = math.sqrt(sum(np.square(after[k] - before[k]).sum() for k in before))
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_schedule_by_batch_moves_the_rate_in_every_batch(problem):
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    halve = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, callbacks=[Schedule(halve, every="batch")]
    )
    trainer.fit(problem[0], epochs=1, batch_size=30)
    assert trainer.lr == 0.125


def test_schedule_on_plateau_is_given_the_validation_loss(problem):
    model = nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    plateau.best = -1.0  # nothing is better
    optimizer.param_groups[0]["lr"] = 1e-3
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=plateau)
    trainer.fit(*problem, epochs=1)
    assert trainer.lr == pytest.approx(1e-4)


def test_gradient_log_has_a_row_for_each_layer_and_epoch():
    x = cp.tensor([[1.0], [2.0]])
    model = nn.Linear(1, 1)
    with cp.no_grad():
        model.weight.fill_(1.0)
        model.bias.fill_(0.0)
    log = GradientLog()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, nn.MSELoss(), optimizer, callbacks=[log])
    trainer.fit((x, x * 0), epochs=1, batch_size=2)
    # loss = (w² + 4 w²) / 2, so dw = 5; the bias: dL/db = 2 (1 + 2) / 2 = 3.
    size = math.sqrt(5**2 + 3**2)
    (row,) = log.rows
    assert row["grad_norm"] == pytest.approx(size)
    assert row["update_ratio"] == pytest.approx(0.1 * size)
    assert row["weight_norm"] == pytest.approx(math.hypot(0.5, 0.3))


def test_csv_log_writes_what_the_history_holds(make, problem, tmp_path):
    log = CSVLog(tmp_path / "metrics.csv")
    history = make([log]).fit(*problem, epochs=3)
    header, *lines = log.path.read_text().splitlines()
    assert header.split(",") == list(history.last)
    assert [float(line.split(",")[1]) for line in lines] == history["train_loss"]


class Interrupt(Callback):
    """Ctrl-C in a batch of an epoch."""

    def __init__(self, epoch, batch, number=signal.SIGINT):
        self.at, self.number = (epoch, batch), number

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at:
            signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_after_the_step_and_the_handler_is_given_back(make, problem, number):
    before = signal.getsignal(number)
    trainer = make([Interrupt(2, 1, number)])
    history = trainer.fit(*problem, epochs=6)
    assert history.stopped == "interrupted"
    assert trainer.interrupted == number
    assert (trainer.epoch, trainer.batch) == (2, 2)  # seen after the step that follows
    assert signal.getsignal(number) is before


def test_an_empty_training_set_is_an_error():
    model = nn.Linear(1, 1)
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.parameters()))
    with pytest.raises(TrainingError, match="gave no batch"):
        trainer.fit((cp.zeros(0, 1), cp.zeros(0, 1)), epochs=1, shuffle=False)


def blas_threads():
    """How many threads each linear-algebra library has now."""
    return [m["num_threads"] for m in threadpool_info() if m["user_api"] == "blas"]


def test_small_networks_train_with_one_blas_thread_and_restore_the_rest(make, problem):
    seen = []

    class Look(Callback):
        def on_batch_end(self, trainer):
            seen.extend(blas_threads())

    before = blas_threads()
    make([Look()]).fit(*problem, epochs=1)
    assert set(seen) <= {1}
    assert blas_threads() == before
