"""Random numbers: PyTorch's streams, generators and their state."""

import numpy as np
import pytest

import clearprop as cp

SEEDS = [0, 1, 1234, 2**31 + 5, -3]


def words(seed, n):
    """The raw 32-bit words of Mersenne Twister with legacy seeding."""
    bits = np.random.MT19937()
    bits._legacy_seeding(seed & 0xFFFFFFFF)
    return bits.random_raw(n)


@pytest.mark.parametrize("seed", SEEDS)
def test_rand_takes_24_bits_of_each_word(seed):
    cp.manual_seed(seed)
    expected = (words(seed, 100) & 0xFFFFFF) / 2.0**24
    np.testing.assert_array_equal(cp.rand(100).numpy(), expected.astype(np.float32))


@pytest.mark.parametrize("seed", SEEDS)
def test_float64_rand_takes_53_bits_of_two_words(seed):
    cp.manual_seed(seed)
    w = words(seed, 20).astype(np.uint64)
    wide = (w[0::2] << np.uint64(32)) | w[1::2]
    expected = (wide & np.uint64(2**53 - 1)) / 2.0**53
    np.testing.assert_array_equal(cp.rand(10, dtype=cp.float64).numpy(), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_uniform_scales_with_one_rounding(seed):
    cp.manual_seed(seed)
    x = cp.empty(1000).uniform_(-0.1, 0.3)
    u = (words(seed, 1000) & 0xFFFFFF) / 2.0**24
    low, high = np.float32(-0.1), np.float32(0.3)
    expected = (u * np.float64(high - low) + np.float64(low)).astype(np.float32)
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_randint_is_the_word_modulo_the_range(seed):
    cp.manual_seed(seed)
    expected = words(seed, 50).astype(np.int64) % 7 - 3
    assert cp.randint(-3, 4, (50,)).tolist() == expected.tolist()


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_randperm_swaps_forward(n):
    cp.manual_seed(5)
    w, expected = words(5, max(1, n)), list(range(n))
    for i in range(n - 1):
        j = i + int(w[i]) % (n - i)
        expected[i], expected[j] = expected[j], expected[i]
    assert cp.randperm(n).tolist() == expected


def test_numbers_of_pytorch_for_seed_0():
    cp.manual_seed(0)
    np.testing.assert_allclose(
        cp.rand(4).numpy(), [0.49625659, 0.76822180, 0.08847743, 0.13203049], atol=5e-9
    )
    cp.manual_seed(0)
    np.testing.assert_allclose(cp.randn(3).numpy(), [1.5409961, -0.2934289, -2.1787894], rtol=1e-6)


@pytest.mark.parametrize("n", [16, 17, 40])
def test_randn_of_16_or_more_works_in_blocks(n):
    cp.manual_seed(3)
    w = (words(3, n + 16) & 0xFFFFFF) / 2.0**24

    def block(u):
        r, angle = np.sqrt(-2 * np.log(1 - u[:8])), 2 * np.pi * u[8:]
        return np.concatenate([r * np.cos(angle), r * np.sin(angle)])

    expected = np.zeros(n)
    for start in range(0, n // 16 * 16, 16):
        expected[start : start + 16] = block(w[start : start + 16])
    if n % 16:
        expected[-16:] = block(w[n : n + 16])
    np.testing.assert_allclose(cp.randn(n).numpy(), expected, atol=1e-6)


def test_short_randn_keeps_the_second_number_of_a_pair():
    cp.manual_seed(3)
    together = cp.randn(5).tolist()
    cp.manual_seed(3)
    assert cp.randn(2).tolist() + cp.randn(1).tolist() + cp.randn(2).tolist() == together


@pytest.mark.parametrize(
    "draw",
    [
        lambda g: cp.rand(5, generator=g),
        lambda g: cp.randn(3, generator=g),
        lambda g: cp.randn(20, generator=g),
        lambda g: cp.randint(9, (5,), generator=g),
        lambda g: cp.randperm(9, generator=g),
        lambda g: cp.bernoulli(cp.full((20,), 0.5), generator=g),
        lambda g: cp.multinomial(cp.ones(9), 5, generator=g),
        lambda g: cp.empty(5).normal_(1, 2, generator=g),
        lambda g: cp.empty(5).exponential_(generator=g),
    ],
)
def test_a_generator_repeats_itself_and_leaves_the_default_alone(draw):
    before = cp.default_generator.get_state()
    g = cp.Generator().manual_seed(7)
    first, second = draw(g).tolist(), draw(g).tolist()
    assert first != second
    assert draw(g.manual_seed(7)).tolist() == first
    np.testing.assert_array_equal(cp.default_generator.get_state(), before)


@pytest.mark.parametrize("n", [0, 1, 3, 700])
def test_a_state_continues_the_stream_exactly(n):
    g = cp.Generator().manual_seed(1)
    g.normal((n,))
    state = g.get_state()
    expected = g.normal((5,)).tolist()
    other = cp.Generator().set_state(state)
    assert other.normal((5,)).tolist() == expected
    assert other.initial_seed() == 1


@pytest.mark.parametrize(
    "state",
    [
        np.zeros(10, np.uint8),
        np.zeros(2600, np.float32),
        np.zeros(2600, np.uint8),
        np.zeros((2, 2600), np.uint8),
    ],
)
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="set_state"):
        cp.Generator().set_state(state)


def test_the_seed_is_remembered_and_only_32_bits_count():
    assert cp.manual_seed(12) is cp.default_generator
    assert cp.initial_seed() == 12
    first = cp.rand(3).tolist()
    cp.manual_seed(12 + 2**32)
    assert cp.rand(3).tolist() == first


def test_bernoulli_compares_uniform_numbers_with_p():
    cp.manual_seed(2)
    p = cp.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    u = (words(2, 5) & 0xFFFFFF) / 2.0**24
    assert cp.bernoulli(p).tolist() == (u < p.numpy()).astype(float).tolist()


def test_multinomial_draws_by_weight_and_each_once_without_replacement():
    weights = cp.tensor([[0.0, 1.0, 3.0], [5.0, 0.0, 0.0]])
    drawn = cp.multinomial(weights, 4000, replacement=True).numpy()
    assert set(drawn[1].tolist()) == {0}
    assert 0 not in drawn[0]
    # 3000 expected, standard deviation 27
    assert abs((drawn[0] == 2).sum() - 3000) < 110
    assert sorted(cp.multinomial(cp.ones(6), 6).tolist()) == list(range(6))


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: cp.bernoulli(cp.tensor([1.5])), "p_in >= 0 && p_in <= 1"),
        (lambda: cp.multinomial(cp.ones(2), 3), "without replacement"),
        (lambda: cp.multinomial(cp.zeros(2), 1), "sum of probabilities <= 0"),
        (lambda: cp.multinomial(cp.tensor([-1.0, 2.0]), 1), "element < 0"),
        (lambda: cp.empty(2).exponential_(0), "lambda > 0"),
    ],
)
def test_impossible_distributions_are_refused(draw, message):
    with pytest.raises(RuntimeError, match=message):
        draw()


def test_normal_takes_numbers_or_tensors():
    cp.manual_seed(0)
    z = cp.randn(4)
    cp.manual_seed(0)
    np.testing.assert_allclose(cp.normal(1.0, 2.0, (4,)).numpy(), (z * 2 + 1).numpy(), rtol=1e-6)
    cp.manual_seed(0)
    spread = cp.normal(cp.zeros(4), cp.tensor([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(spread.numpy(), z.numpy() * [0, 1, 2, 3], rtol=1e-6)
