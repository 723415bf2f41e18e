"""The same seed gives PyTorch's order of rows and leaves the generator where PyTorch leaves it."""

import pytest

import clearprop as cp
from clearprop.data import (
    ConcatDataset,
    DataLoader,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    random_split,
)

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

SEEDS = [0, 1, 1234, 2**31 + 5, -3]


def both(seed, own):
    """A seeded generator of each side, or None and the default ones seeded."""
    if own:
        return cp.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    cp.manual_seed(seed)
    torch.manual_seed(seed)
    return None, None


def loaders(n, seed, own, **options):
    ours_from, theirs_from = both(seed, own)
    return (
        DataLoader(TensorDataset(cp.arange(n)), generator=ours_from, **options),
        theirs.DataLoader(theirs.TensorDataset(torch.arange(n)), generator=theirs_from, **options),
        (ours_from, theirs_from),
    )


def batches(loader):
    return [x.tolist() for (x,) in loader]


def drawn_next(generators):
    ours, other = generators
    return cp.rand(3, generator=ours).tolist(), torch.rand(3, generator=other).tolist()


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
@pytest.mark.parametrize("seed", SEEDS)
def test_shuffle_order_over_epochs(seed, own):
    ours, other, generators = loaders(23, seed, own, batch_size=4, shuffle=True)
    for _ in range(3):
        assert batches(ours) == batches(other)
    a, b = drawn_next(generators)
    assert a == b


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (8, 4), (10, 4), (3, 7), (2000, 64)])
def test_an_epoch_takes_as_many_random_numbers(n, size, drop_last, shuffle, own):
    options = {"batch_size": size, "shuffle": shuffle, "drop_last": drop_last}
    ours, other, generators = loaders(n, 5, own, **options)
    assert batches(ours) == batches(other)
    a, b = drawn_next(generators)
    assert a == b


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_random_numbers_are_taken_when_pytorch_takes_them(k, own):
    ours, other, generators = loaders(10, 5, own, batch_size=4, shuffle=True)
    mine, its = iter(ours), iter(other)
    for _ in range(k):
        assert next(mine)[0].tolist() == next(its)[0].tolist()
    a, b = drawn_next(generators)
    assert a == b


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
def test_single_rows_without_batches(own):
    ours, other, _ = loaders(10, 3, own, batch_size=None, shuffle=True)
    assert [x.item() for (x,) in ours] == [x.item() for (x,) in other]


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
@pytest.mark.parametrize("options", [
    {"replacement": True, "num_samples": 100},
    {"replacement": True, "num_samples": 64},
    {"num_samples": 25},
    {"num_samples": 7},
    {},
])  # fmt: skip
def test_random_sampler(options, own):
    ours_from, theirs_from = both(11, own)
    ours = RandomSampler(range(10), generator=ours_from, **options)
    other = theirs.RandomSampler(range(10), generator=theirs_from, **options)
    for _ in range(2):
        assert list(ours) == list(other)
    a, b = drawn_next((ours_from, theirs_from))
    assert a == b


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
def test_subset_random_sampler_in_a_loader(own):
    ours_from, theirs_from = both(2, own)
    rows = list(range(5, 30, 2))
    ours = DataLoader(range(40), 5, sampler=SubsetRandomSampler(rows, ours_from))
    other = theirs.DataLoader(range(40), 5, sampler=theirs.SubsetRandomSampler(rows, theirs_from))
    for _ in range(2):
        assert [b.tolist() for b in ours] == [b.tolist() for b in other]


@pytest.mark.parametrize("own", [False, True], ids=["default", "own generator"])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lengths", [[30, 7], [0.5, 0.5], [0.33, 0.33, 0.34], [0.1] * 10, [37]])
def test_random_split(lengths, seed, own):
    ours_from, theirs_from = both(seed, own)
    ours = random_split(range(37), lengths, generator=ours_from)
    extra = {} if theirs_from is None else {"generator": theirs_from}
    other = theirs.random_split(range(37), lengths, **extra)
    assert [p.indices for p in ours] == [p.indices for p in other]
    a, b = drawn_next((ours_from, theirs_from))
    assert a == b


def test_split_shuffled_and_concatenated():
    cp.manual_seed(4)
    torch.manual_seed(4)
    parts = random_split(TensorDataset(cp.arange(50)), [20, 30])
    other = theirs.random_split(theirs.TensorDataset(torch.arange(50)), [20, 30])
    ours = DataLoader(ConcatDataset([parts[1], Subset(parts[0], [3, 1])]), 8, shuffle=True)
    its = theirs.DataLoader(
        theirs.ConcatDataset([other[1], theirs.Subset(other[0], [3, 1])]), 8, shuffle=True
    )
    assert batches(ours) == batches(its)


@pytest.mark.parametrize(
    "rows",
    [[1, 2], [True, False], [0.5, 1.5], [1.5, 2], [1, 2.5], [True, 2], ["a", "b"],
     [(1, 0.5), (2, 1.5)], [{"a": 1}, {"a": 2}], [[1, [2]], [3, [4]]]],
)  # fmt: skip
def test_collate_gives_the_same_types_and_values(rows):
    def plain(batch):
        match batch:
            case dict():
                return {k: plain(v) for k, v in batch.items()}
            case list() | tuple():
                return [type(batch).__name__, *map(plain, batch)]
            case str():
                return batch
        return str(batch.dtype).rpartition(".")[2], batch.tolist()

    assert plain(default_collate(rows)) == plain(theirs.default_collate(rows))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda d, t: d.DataLoader([], shuffle=True),
        lambda d, t: d.DataLoader([1], batch_size=0),
        lambda d, t: d.DataLoader([1], num_workers=-1),
        lambda d, t: d.DataLoader([1], sampler=[0], shuffle=True),
        lambda d, t: d.DataLoader([1], batch_sampler=[[0]], drop_last=True),
        lambda d, t: d.DataLoader([1], batch_size=None, drop_last=True),
        lambda d, t: d.TensorDataset(t.zeros(2), t.zeros(3)),
        lambda d, t: d.TensorDataset(t.tensor(1.0)),
        lambda d, t: d.TensorDataset(t.zeros(3))[5],
        lambda d, t: d.random_split(range(4), [1, 2]),
        lambda d, t: d.random_split(range(4), [-0.5, 1.5]),
        lambda d, t: d.ConcatDataset([]),
        lambda d, t: d.ConcatDataset([range(2)])[-5],
        lambda d, t: d.ConcatDataset([range(2)])[5],
        lambda d, t: d.default_collate([t.zeros(2), t.zeros(3)]),
        lambda d, t: d.default_collate([(1,), (1, 2)]),
        lambda d, t: d.default_collate([object()]),
    ],
)
def test_a_mistake_raises_the_same_type(mistake):
    with pytest.raises(Exception) as wanted:
        mistake(theirs, torch)
    with pytest.raises(type(wanted.value)):
        mistake(cp.data, cp)
