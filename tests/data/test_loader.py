"""The DataLoader: batches, order, and going on in the middle of an epoch."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)


class Counting(Dataset):
    """A data set that notes which rows were asked for."""

    def __init__(self, n):
        self.n = n
        self.asked = []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return i


def numbers(n):
    return TensorDataset(cp.arange(n), cp.arange(n) * 10)


def order(loader):
    return [
        i for batch in loader for i in (batch[0] if isinstance(batch, list) else batch).tolist()
    ]


# ---------------------------------------------------------------------- batches
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [1, 4, 10])
def test_batches_cover_the_rows(n, drop_last):
    loader = DataLoader(numbers(n), batch_size=4, drop_last=drop_last)
    sizes = [len(x) for x, _ in loader]
    assert sizes == [4] * (n // 4) + ([n % 4] if n % 4 and not drop_last else [])
    assert len(loader) == len(sizes)


def test_batches_of_tensors_keep_rows_together():
    for x, y in DataLoader(numbers(10), batch_size=3, shuffle=True):
        assert (x * 10).tolist() == y.tolist()


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_is_a_copy(shuffle):
    data = cp.tensor([1.0, 2.0, 3.0])
    for (x,) in DataLoader(TensorDataset(data), batch_size=2, shuffle=shuffle):
        x.fill_(0.0)
    assert data.tolist() == [1.0, 2.0, 3.0]


class Watched:
    """Makes TensorDataset.__getitem__ an error, so that a loop over rows cannot hide."""

    def __init__(self, monkeypatch):
        def never(self, index):
            raise AssertionError("a row was fetched by itself")

        monkeypatch.setattr(TensorDataset, "__getitem__", never)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: DataLoader(d, batch_size=4),
        lambda d: DataLoader(d, batch_size=4, shuffle=True),
        lambda d: DataLoader(d, batch_size=4, sampler=[3, 1, 2]),
        lambda d: DataLoader(d, batch_sampler=[[0, 1], [2]]),
        lambda d: DataLoader(Subset(Subset(d, [9, 8, 7, 6]), [0, 2]), batch_size=4, shuffle=True),
    ],
    ids=["slices", "shuffle", "sampler", "batch_sampler", "subset"],
)
def test_no_loop_over_rows_of_tensors(make, monkeypatch):
    loader = make(numbers(10))
    Watched(monkeypatch)
    assert all(isinstance(x, cp.Tensor) for x, _ in loader)


def test_fast_and_slow_path_agree():
    class Slow(TensorDataset):
        def __getitem__(self, i):
            return super().__getitem__(i)

    for kind in (TensorDataset, Slow):
        cp.manual_seed(3)
        rows = kind(cp.arange(23), cp.arange(23) * 2)
        got = [[t.tolist() for t in b] for b in DataLoader(Subset(rows, range(1, 20)), 4, True)]
        if kind is TensorDataset:
            fast = got
    assert fast == got


def test_a_subclass_with_its_own_rows_is_asked_for_them():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return super().__getitem__(i)[0] * 2

    assert order(DataLoader(Doubled(cp.arange(4)), batch_size=3)) == [0, 2, 4, 6]


def test_a_batch_of_tensors_that_require_grad_has_a_gradient():
    data = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    for (x,) in DataLoader(TensorDataset(data), batch_size=2):
        (x * x).sum().backward()
    assert data.grad.tolist() == [2.0, 4.0, 6.0]


def test_collate_fn_gets_the_rows():
    loader = DataLoader(numbers(3), batch_size=2, collate_fn=len)
    assert list(loader) == [2, 1]


def test_getitems_is_used():
    class Many(Counting):
        def __getitems__(self, rows):
            return [i + 100 for i in rows]

    assert order(DataLoader(Many(3), batch_size=2)) == [100, 101, 102]


def test_getitems_of_a_tensor_data_set_is_used():
    class Many(TensorDataset):
        def __getitems__(self, rows):
            return [self[i][0] + 100 for i in rows]

    assert order(DataLoader(Many(cp.arange(3)), batch_size=2)) == [100, 101, 102]


def test_a_list_is_a_data_set():
    assert [b.tolist() for b in DataLoader([5, 6, 7], batch_size=2)] == [[5, 6], [7]]


def test_an_empty_data_set_gives_no_batches():
    assert list(DataLoader([])) == []
    assert list(DataLoader(TensorDataset(cp.zeros(0, 3)), batch_size=4)) == []


def test_pin_memory_has_no_effect():
    assert order(DataLoader(numbers(3), batch_size=2, pin_memory=True)) == [0, 1, 2]


# ---------------------------------------------------------------------- order
def test_shuffle_gives_a_new_order_each_epoch_and_the_same_for_a_seed():
    def epochs():
        cp.manual_seed(7)
        loader = DataLoader(numbers(50), batch_size=8, shuffle=True)
        return [order(loader) for _ in range(3)]

    a, b = epochs(), epochs()
    assert a == b
    assert a[0] != a[1] != a[2]
    assert sorted(a[2]) == list(range(50))


def test_random_sampler_with_replacement_and_count():
    sampler = RandomSampler(range(5), replacement=True, num_samples=100, generator=cp.Generator())
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 100
    assert set(drawn) == set(range(5))


def test_random_sampler_of_more_than_all_repeats_permutations():
    drawn = list(RandomSampler(range(5), num_samples=12, generator=cp.Generator()))
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == list(range(5))
    assert len(drawn) == 12


def test_subset_random_sampler_gives_its_rows():
    assert sorted(SubsetRandomSampler([4, 7, 9], generator=cp.Generator())) == [4, 7, 9]


def test_batches_over_several_permutations():
    sampler = RandomSampler(range(5), num_samples=12, generator=cp.Generator().manual_seed(0))
    by_block = list(BatchSampler(sampler, 4, False).slices())
    sampler.generator.manual_seed(0)
    by_row = list(BatchSampler(sampler, 4, False))
    assert [b.tolist() for b in by_block] == by_row


def test_own_sampler_sets_the_order():
    class Backwards(Sampler):
        def __iter__(self):
            return iter([2, 1, 0])

        def __len__(self):
            return 3

    assert order(DataLoader(numbers(3), batch_size=2, sampler=Backwards())) == [2, 1, 0]


def test_sampler_base_class_says_what_to_define():
    with pytest.raises(NotImplementedError, match="Sampler: define __iter__"):
        iter(Sampler())


def test_a_sampler_with_a_row_that_is_not_there_raises():
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        order(DataLoader(numbers(3), batch_size=2, sampler=[0, 3]))


# ---------------------------------------------------------------------- going on
@pytest.mark.parametrize("k", [0, 1, 4, 5, 6])
@pytest.mark.parametrize("own", [False, True], ids=["default generator", "own generator"])
def test_resume_gives_the_rest_of_the_epoch_and_the_next(k, own):
    cp.manual_seed(1)
    generator = cp.Generator().manual_seed(2) if own else None
    loader = DataLoader(numbers(23), batch_size=4, shuffle=True, generator=generator)
    order(loader)
    epoch = iter(loader)
    for _ in range(k):
        next(epoch)
        cp.rand(3)  # dropout, say
    state = epoch.state_dict()
    rest = [order(epoch), cp.rand(2).tolist(), order(loader)]

    cp.manual_seed(99)
    cp.rand(5)
    fresh = cp.Generator() if own else None
    again = DataLoader(numbers(23), batch_size=4, shuffle=True, generator=fresh)
    resumed = again.resume(state)
    assert resumed.position == k
    assert [order(resumed), cp.rand(2).tolist(), order(again)] == rest


def test_resume_restores_the_samplers_generator():
    def loader():
        sampler = SubsetRandomSampler(range(10), generator=cp.Generator().manual_seed(5))
        return DataLoader(numbers(10), batch_size=3, sampler=sampler)

    first = loader()
    order(first)
    epoch = iter(first)
    next(epoch)
    state = epoch.state_dict()
    rest = order(epoch)
    assert order(loader().resume(state)) == rest


def test_resume_fetches_no_row_that_was_given():
    epoch = iter(DataLoader(Counting(6), batch_size=2))
    next(epoch), next(epoch)
    rows = Counting(6)
    assert order(DataLoader(rows, batch_size=2).resume(epoch.state_dict())) == [4, 5]
    assert rows.asked == [4, 5]


def test_resume_with_a_shorter_data_set_raises():
    epoch = iter(DataLoader(numbers(10), batch_size=2))
    list(epoch)
    with pytest.raises(ValueError, match="cannot skip 5 batches: the epoch ended after 2"):
        DataLoader(numbers(4), batch_size=2).resume(epoch.state_dict())


def test_resume_with_other_generators_raises():
    state = iter(DataLoader(numbers(4))).state_dict()
    sampler = SubsetRandomSampler(range(4), generator=cp.Generator())
    with pytest.raises(ValueError, match="the state has 1 generators and this loader 2"):
        DataLoader(numbers(4), sampler=sampler).resume(state)


def test_position_counts_batches():
    epoch = iter(DataLoader(numbers(5), batch_size=2))
    next(epoch)
    assert (epoch.position, len(epoch)) == (1, 3)


# ---------------------------------------------------------------------- mistakes
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
        ({"batch_size": 0}, ValueError, "batch_size should be a positive.*batch_size=0"),
        ({"batch_size": 2.0}, ValueError, "batch_size should be a positive integer"),
        ({"batch_size": True}, ValueError, "batch_size should be a positive integer"),
        ({"drop_last": 1}, ValueError, "drop_last should be a boolean"),
        ({"sampler": [1], "shuffle": True}, ValueError, "sampler option is mutually exclusive"),
        ({"batch_sampler": [[1]], "shuffle": True}, ValueError, "batch_sampler option is mutually"),
        ({"batch_size": None, "drop_last": True}, ValueError, "batch_size=None option disables"),
    ],
)  # fmt: skip
def test_wrong_options_raise(options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(numbers(4), **options)


def test_shuffling_an_empty_set_raises():
    with pytest.raises(ValueError, match=r"num_samples should be a positive integer.*=0.*empty"):
        DataLoader([], shuffle=True)


def test_a_generator_is_not_a_data_set():
    with pytest.raises(TypeError, match="dataset needs __getitem__ and __len__, got generator"):
        DataLoader(i for i in range(3))


def test_random_sampler_replacement_must_be_a_bool():
    with pytest.raises(TypeError, match="replacement should be a boolean value"):
        RandomSampler(range(3), replacement=1)


def test_sequential_sampler_counts():
    assert list(SequentialSampler("abc")) == [0, 1, 2]


def test_batches_may_be_of_a_read_only_array():
    a = np.arange(4.0)
    a.flags.writeable = False
    (x,) = next(iter(DataLoader(TensorDataset(cp.from_numpy(a)), batch_size=2)))
    assert x.tolist() == [0.0, 1.0]
