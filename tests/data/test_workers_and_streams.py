"""Streams, threads that fetch ahead, and weighted sampling."""

import threading
import time
from collections import Counter

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import (
    ChainDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)
from clearprop.data.images import RandomHorizontalFlip
from clearprop.data.workers import worker_generator


class Numbers(Dataset):
    def __init__(self, n=20, fail_at=None):
        self.n, self.fail_at, self.threads = n, fail_at, set()

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.threads.add(threading.current_thread().name)
        if i == self.fail_at:
            raise KeyError(f"row {i} is broken")
        return cp.tensor(i)


class Count(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.n, step))


def rows(loader):
    return [b.tolist() for b in loader]


@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_give_the_same_batches_in_the_same_order(shuffle):
    batches = []
    for n in (0, 1, 3):
        cp.manual_seed(4)
        data = Numbers()
        batches.append(rows(DataLoader(data, 3, shuffle, num_workers=n)))
        names = {f"DataLoader-{i}" for i in range(n)}
        assert data.threads == names if n else "DataLoader-0" not in data.threads
    assert batches[0] == batches[1] == batches[2]


def test_workers_fetch_ahead():
    data = Numbers(30)
    started = []
    slow = lambda batch: (started.append(batch[0].item()), time.sleep(0.01))[0] or batch
    loader = DataLoader(data, 2, num_workers=2, prefetch_factor=2, collate_fn=slow)
    it = iter(loader)
    next(it)
    deadline = time.monotonic() + 5
    while len(started) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(started) >= 4  # one was asked for


def test_an_error_in_a_worker_is_raised_where_the_batch_is_asked_for():
    loader = DataLoader(Numbers(fail_at=7), 2, num_workers=2)
    seen = []
    with pytest.raises(KeyError, match="row 7 is broken") as caught:
        for b in loader:
            seen.append(b.tolist())
    assert seen == [[0, 1], [2, 3], [4, 5]]
    assert "worker thread" in "".join(getattr(caught.value, "__notes__", ["worker thread"]))


def test_threads_end_with_the_epoch_and_with_an_epoch_that_is_left():
    workers = lambda: [t for t in threading.enumerate() if t.name.startswith("DataLoader")]
    loader = DataLoader(Numbers(), 2, num_workers=3)
    rows(loader)
    next(iter(loader))
    deadline = time.monotonic() + 5
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers()


def test_random_transforms_in_workers_are_fixed_by_the_seed():
    class Flipped(Numbers):
        def __getitem__(self, i):
            return RandomHorizontalFlip()(cp.arange(4).reshape(1, 2, 2) + i), worker_generator()

    def run():
        cp.manual_seed(1)
        collate = lambda b: (cp.stack([x for x, _ in b]), {id(g) for _, g in b})
        out = list(DataLoader(Flipped(), 4, num_workers=2, collate_fn=collate))
        return [x.tolist() for x, _ in out], len(set.union(*(s for _, s in out)))

    first, second = run(), run()
    assert first == second
    assert first[1] == 2  # a generator each


def test_an_interrupted_epoch_with_workers_goes_on_at_the_same_batch():
    generator = cp.Generator().manual_seed(5)
    loader = DataLoader(Numbers(), 3, True, num_workers=2, generator=generator)
    epoch = iter(loader)
    next(epoch), next(epoch)
    state = epoch.state_dict()
    missed = [b.tolist() for b in epoch]
    again = rows(loader)
    assert [b.tolist() for b in loader.resume(state)] == missed
    assert rows(loader) == again


def test_worker_init_and_timeout():
    seen = []
    rows(DataLoader(Numbers(), 5, num_workers=2, worker_init_fn=seen.append))
    assert sorted(seen) == [0, 1]

    def refuse(_):
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        rows(DataLoader(Numbers(), 5, num_workers=2, worker_init_fn=refuse))
    with pytest.raises(RuntimeError, match=r"timed out after 0\.05 seconds"):
        slow = lambda batch: time.sleep(1)
        rows(DataLoader(Numbers(), 5, num_workers=1, timeout=0.05, collate_fn=slow))


def test_batches_of_tensors_in_memory_need_no_threads():
    data = TensorDataset(cp.arange(6))
    assert [b[0].tolist() for b in DataLoader(data, 4, num_workers=2)] == [[0, 1, 2, 3], [4, 5]]


def test_streams():
    assert rows(DataLoader(Count(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert rows(DataLoader(Count(7), 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Count(3), None)) == [0, 1, 2]
    assert rows(DataLoader(Count(3) + Count(2), 5)) == [[0, 1, 2, 0, 1]]
    shares = rows(DataLoader(Count(10), 2, num_workers=3))
    assert sorted(x for b in shares for x in b) == list(range(10))
    assert shares[:3] == [[0, 3], [1, 4], [2, 5]]
    assert rows(DataLoader(Count(10), 2, num_workers=3)) == shares
    with pytest.raises(TypeError, match="has no len"):
        len(DataLoader(Count(3), 2))
    with pytest.raises(TypeError, match="ChainDataset only supports IterableDataset"):
        list(ChainDataset([[1, 2]]))
    for wrong in ({"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}):
        with pytest.raises(ValueError, match="in its own order"):
            DataLoader(Count(3), **wrong)


@pytest.mark.parametrize("replacement", [True, False])
def test_weights_decide_how_often_a_row_is_drawn(replacement):
    weights = [1.0, 0.0, 2.0, 7.0]
    n = 4000 if replacement else 1
    drawn = Counter()
    for seed in range(1 if replacement else 1500):
        g = cp.Generator().manual_seed(seed)
        drawn.update(WeightedRandomSampler(weights, n, replacement, generator=g))
    share = np.array([drawn[i] for i in range(4)]) / sum(drawn.values())
    np.testing.assert_allclose(share, np.array(weights) / 10, atol=0.03)
    assert drawn[1] == 0


def test_without_replacement_no_row_comes_twice():
    g = cp.Generator().manual_seed(0)
    assert sorted(WeightedRandomSampler([3.0, 1.0, 2.0], 3, False, g)) == [0, 1, 2]
    assert len(WeightedRandomSampler([1.0], 9)) == 9


@pytest.mark.parametrize(
    ("args", "phrase"),
    [
        (([1.0], 0), "num_samples should be a positive"),
        (([[1.0]], 1), "1d sequence"),
        (([1.0, -1.0], 1), "finite numbers"),
        (([0.0], 1), "above 0"),
        (([1.0, 0.0], 2, False), "without replacement"),
        (([1.0], 1, 1), "boolean"),
    ],
)
def test_weights_that_cannot_be(args, phrase):
    with pytest.raises(ValueError, match=phrase):
        WeightedRandomSampler(*args)


def test_options_that_cannot_be():
    for options, phrase in (
        ({"num_workers": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "num_workers > 0"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"num_workers": 1, "prefetch_factor": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=phrase):
            DataLoader(Numbers(), **options)
