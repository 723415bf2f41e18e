"""Random numbers with PyTorch's streams: the same seed gives the same `rand`, `randn`, `randint`,
`randperm` and weights.

The source is MT19937 with legacy seeding; every distribution draws 32-bit words from it in
PyTorch's order. Dropout masks of PyTorch come from another library's stream and cannot be
reproduced; clearprop draws them from this one.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.core.dtypes import Aval, dtype
from clearprop.core.state import local
from clearprop.flags import flags

FIRST_SEED = 67280421310721

FROZEN = (
    "the same numbers would come out at every run of the traced function; draw them with rand(),"
    " randn(), randint() or randperm(), or outside"
)


class Generator:
    """A source of random numbers with its own seed and state.

    >>> from clearprop.core.random import Generator
    >>> Generator().manual_seed(0).randperm(4).tolist()
    [0, 1, 3, 2]
    """

    def __init__(self, device: str = "cpu") -> None:
        self._lock = threading.RLock()
        self.manual_seed(FIRST_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` (only its lowest 32 bits count)."""
        with self._lock:
            self._seed = int(seed)
            self._bits = np.random.MT19937()
            self._bits._legacy_seeding(int(seed) & 0xFFFFFFFF)  # type: ignore[attr-defined]
            self._spare: float | None = None
        return self

    def seed(self) -> int:
        """Start from a seed of the operating system, and return it."""
        seed = secrets.randbits(53)
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        return self._seed

    # ------------------------------------------------------------------ state
    def get_state(self) -> np.ndarray:
        """The whole state as bytes (uint8); `set_state` continues the stream exactly there."""
        with self._lock:
            state = self._bits.state["state"]
            record = {
                "seed": self._seed,
                "spare": None if self._spare is None else float(self._spare).hex(),
                "pos": int(state["pos"]),
            }
            head = json.dumps(record).encode()
            key = np.asarray(state["key"], "<u4").tobytes()
        return np.frombuffer(key + head, np.uint8).copy()

    def set_state(self, state: Any) -> Generator:
        """Continue where `get_state` was called. Raises ValueError for anything else than such a
        state.
        """
        raw = np.asarray(getattr(state, "value", state))
        if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size <= 2496:
            raise ValueError(
                "set_state: a uint8 vector from get_state() wanted, got"
                f" {raw.dtype}{list(raw.shape)}"
            )
        data = raw.tobytes()
        try:
            record = json.loads(data[2496:])
            seed, pos, spare = int(record["seed"]), int(record["pos"]), record["spare"]
            number = None if spare is None else float.fromhex(spare)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"set_state: this is not a state that get_state() made: {error}"
            ) from None
        if not 0 <= pos <= 624:
            raise ValueError(f"set_state: position {pos} is outside 0..624")
        with self._lock:
            key = np.frombuffer(data[:2496], "<u4").astype(np.uint32)
            bits = np.random.MT19937()
            bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": pos}}
            self._bits, self._seed, self._spare = bits, seed, number
        return self

    # ------------------------------------------------------------------ draws
    def words(self, n: int) -> np.ndarray:
        """The next n raw 32-bit words."""
        if local.c.interpreter is not None:
            local.c.interpreter.refuse("drawing random numbers", FROZEN)
        with self._lock:
            return self._bits.random_raw(int(n)).astype(np.uint32)

    def _wide(self, n: int) -> np.ndarray:
        """The next n 64-bit words, the high half drawn first."""
        w = self.words(2 * n).astype(np.uint64)
        return (w[0::2] << np.uint64(32)) | w[1::2]

    def random_seed64(self) -> int:
        """A 63-bit seed from two words, as a DataLoader draws it."""
        return int(self._wide(1)[0]) & ((1 << 63) - 1)

    def _unit53(self, n: int) -> np.ndarray:
        return (self._wide(n) & np.uint64((1 << 53) - 1)).astype(np.float64) / (1 << 53)

    def uniform(
        self, shape: Sequence[int], dtype: Any = np.float32, low: float = 0.0, high: float = 1.0
    ) -> np.ndarray:
        """Uniform numbers in [low, high): 24 bits each for float32, 53 for float64."""
        n, d = int(np.prod(shape, dtype=np.int64)), np.dtype(dtype)
        if d == np.float64:
            u = self._unit53(n)
        else:
            u = (self.words(n) & np.uint32(0xFFFFFF)).astype(np.float64) / (1 << 24)
        if (low, high) != (0.0, 1.0):
            if d == np.float32:  # fused multiply-add: one rounding
                a, b = np.float32(low), np.float32(high)
                u = u * np.float64(b - a) + np.float64(a)
            elif d == np.float64:
                u = _fused_multiply_add(u, float(high) - float(low), float(low))
            else:
                u = u * (high - low) + low
        return u.astype(d).reshape(tuple(shape))

    def normal(
        self, shape: Sequence[int], dtype: Any = np.float32, mean: float = 0.0, std: float = 1.0
    ) -> np.ndarray:
        """Normal numbers by Box-Muller: in blocks of 16 from 16 numbers on, in pairs below."""
        n, d = int(np.prod(shape, dtype=np.int64)), np.dtype(dtype)
        with self._lock:
            z = self._blocks(n, d) if n >= 16 else self._pairs(n)
        if z.dtype == np.float64:
            z = _fused_multiply_add(z, float(std), float(mean))
        else:
            z = z * d.type(std) + d.type(mean)
        return z.astype(d).reshape(tuple(shape))

    def _blocks(self, n: int, d: np.dtype) -> np.ndarray:
        work = np.float64 if d == np.float64 else np.float32
        u = self.uniform((n,), work)
        out = np.empty(n, work)
        whole = n // 16 * 16
        out[:whole] = _box_muller(u[:whole].reshape(-1, 16)).reshape(-1)
        if n % 16:  # the last 16 are drawn again
            out[n - 16 :] = _box_muller(self.uniform((16,), work).reshape(1, 16)).reshape(-1)
        return out

    def _pairs(self, n: int) -> np.ndarray:
        out = np.empty(n)
        for i in range(n):
            if self._spare is not None:
                out[i], self._spare = self._spare, None
                continue
            u1, u2 = self._unit53(2)
            r, angle = np.sqrt(-2.0 * np.log1p(-u2)), 2.0 * np.pi * u1
            out[i], self._spare = r * np.cos(angle), float(r * np.sin(angle))
        return out

    def randint(self, low: int, high: int, shape: Sequence[int]) -> np.ndarray:
        """Integers in [low, high): word % range; two words each from a range of 2^28 on."""
        low, high = int(low), int(high)
        if high <= low:
            raise RuntimeError(
                f"randint: random_ expects 'from' to be less than 'to', but got from={low} >="
                f" to={high}"
            )
        n, span = int(np.prod(shape, dtype=np.int64)), high - low
        drawn = self._wide(n) if span >= 1 << 28 else self.words(n).astype(np.uint64)
        return ((drawn % np.uint64(span)).astype(np.int64) + low).reshape(tuple(shape))

    def randperm(self, n: int) -> np.ndarray:
        """A random permutation of 0..n-1 (forward Fisher-Yates)."""
        if n < 0:
            raise RuntimeError(f"randperm: n must be non-negative, got {n}")
        order = list(range(n))
        if n > 1:
            jumps = self.words(n - 1).astype(np.int64) % np.arange(n, 1, -1)
            for i, k in enumerate(jumps.tolist()):
                j = i + k
                order[i], order[j] = order[j], order[i]
        return np.array(order, np.int64)

    def bernoulli(self, p: Any, shape: Sequence[int]) -> np.ndarray:
        """True with probability p (a number or an array), elementwise."""
        chance = np.asarray(p, np.float64)
        if chance.size and not ((chance >= 0) & (chance <= 1)).all():
            raise RuntimeError(
                "bernoulli: Expected p_in >= 0 && p_in <= 1 to be true, but got a p outside [0, 1]"
            )
        return self.uniform(shape, np.float32) < np.broadcast_to(chance, tuple(shape))

    def exponential(
        self, shape: Sequence[int], dtype: Any = np.float32, lambd: float = 1.0
    ) -> np.ndarray:
        """Exponentially distributed numbers of rate lambd."""
        if lambd <= 0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
        n = int(np.prod(shape, dtype=np.int64))
        return (-np.log1p(-self._unit53(n)) / lambd).astype(dtype).reshape(tuple(shape))

    def _derived(self) -> np.random.Generator:
        """A generator of NumPy that two words seed, for distributions drawn by rejection."""
        return np.random.Generator(np.random.PCG64([int(w) for w in self.words(2)]))

    def poisson(self, rates: Any) -> np.ndarray:
        """Poisson-distributed numbers, elementwise."""
        if (np.asarray(rates) < 0).any():
            raise RuntimeError("poisson: invalid Poisson rate, expected rate to be non-negative")
        return np.asarray(self._derived().poisson(rates))

    def binomial(self, count: Any, prob: Any) -> np.ndarray:
        """Numbers of successes in `count` trials of probability `prob`, elementwise."""
        if not ((np.asarray(prob) >= 0) & (np.asarray(prob) <= 1)).all():
            raise RuntimeError("binomial: expected probabilities in [0, 1]")
        return np.asarray(self._derived().binomial(np.asarray(count).astype(np.int64), prob))

    def geometric(self, shape: Sequence[int], p: float) -> np.ndarray:
        """The number of trials until the first success of probability p."""
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
        u = self._unit53(int(np.prod(shape, dtype=np.int64)))
        return np.ceil(np.log(u) / np.log1p(-p)).reshape(tuple(shape))

    def cauchy(self, shape: Sequence[int], median: float = 0.0, sigma: float = 1.0) -> np.ndarray:
        """Cauchy-distributed numbers."""
        if sigma <= 0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
        u = self._unit53(int(np.prod(shape, dtype=np.int64)))
        return (median + sigma * np.tan(np.pi * (u - 0.5))).reshape(tuple(shape))

    def log_normal(self, shape: Sequence[int], mean: float = 1.0, std: float = 2.0) -> np.ndarray:
        """e to the power of normal numbers."""
        if std <= 0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
        n = int(np.prod(shape, dtype=np.int64))
        with self._lock:
            z = self._pairs(n)
        return np.exp(mean + std * z).reshape(tuple(shape))

    def multinomial(
        self, probs: np.ndarray, num_samples: int, replacement: bool = False
    ) -> np.ndarray:
        """Indices drawn with unnormalised probabilities from each row: inverse cumulative sum, or
        exponential races without replacement (and, as in PyTorch, for one index).
        """
        p = np.atleast_2d(np.asarray(probs, np.float64))
        if not np.isfinite(p).all() or (p < 0).any():
            raise RuntimeError(
                "multinomial: probability tensor contains either `inf`, `nan` or element < 0"
            )
        if (p.sum(1) <= 0).any():
            raise RuntimeError(
                "multinomial: invalid multinomial distribution (sum of probabilities <= 0)"
            )
        if not replacement and num_samples > p.shape[1]:
            raise RuntimeError(
                "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without"
                " replacement"
            )
        if replacement and num_samples != 1:
            steps = np.cumsum(p, 1) / p.sum(1, keepdims=True)
            u = self.uniform((p.shape[0], num_samples), np.float64)
            out = np.stack(
                [np.searchsorted(row, x, side="right") for row, x in zip(steps, u, strict=True)]
            )
        else:
            race = self.exponential(p.shape, np.float64)
            with np.errstate(divide="ignore"):
                out = np.argsort(np.where(p > 0, race / p, np.inf), 1, kind="stable")[
                    :, :num_samples
                ]
        return out.reshape((*np.shape(probs)[:-1], num_samples)).astype(np.int64)


def _box_muller(u: np.ndarray) -> np.ndarray:
    """Rows of 16 uniforms as rows of 16 normals."""
    r = np.sqrt(-2 * np.log(1 - u[:, :8]))
    angle = (2 * np.pi * u[:, 8:]).astype(u.dtype)
    return np.concatenate([r * np.cos(angle), r * np.sin(angle)], 1)


def _fused_multiply_add(x: np.ndarray, factor: float, addend: float) -> np.ndarray:
    """x * factor + addend, rounded once: product and sum with their rounding errors (Dekker 1971,
    Knuth 1969).
    """
    with np.errstate(all="ignore"):
        (x_high, x_low), (f_high, f_low) = _halves(x), _halves(np.float64(factor))
        product = x * factor
        product_error = x_high * f_high - product + x_high * f_low + x_low * f_high + x_low * f_low
        total = product + addend
        rest = total - product
        total_error = (product - (total - rest)) + (addend - rest)
        exact = total + (total_error + product_error)
    return np.where(np.isfinite(exact), exact, total)  # the halves of a huge number overflow


def _halves(x: Any) -> tuple[Any, Any]:
    """x as a sum of two numbers of 26 bits, whose products are exact."""
    scaled = x * 134217729.0  # 2^27 + 1
    high = scaled - (scaled - x)
    return high, x - high


default_generator = Generator()
if int(flags.seed) >= 0:
    default_generator.manual_seed(int(flags.seed))


def drawn(
    shape: tuple[int, ...],
    d: dtype,
    draw: Callable[[Generator], Any],
    generator: Generator | None = None,
) -> Any:
    """The value of a tensor of random numbers: draw(generator) as an array of this shape and type
    now, or at every run of a trace. `draw` must not hold on to a tensor.
    """

    def again() -> np.ndarray:
        source = default_generator if generator is None else generator
        return np.asarray(draw(source)).astype(d.np, copy=False).reshape(shape)

    interpreter = local.c.interpreter
    return again() if interpreter is None else interpreter.drawn(Aval(shape, d), again)


def manual_seed(seed: int) -> Generator:
    """Seed the default generator (weights, dropout, shuffles); returns it."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator.initial_seed()
