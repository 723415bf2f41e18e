"""Sequences of different lengths in one batch: padded to one length, or packed: one time step's
rows below the other's, without the padding.

    a = [a0 a1 a2], b = [b0 b1], c = [c0]    data: a0 b0 c0 | a1 b1 | a2    batch_sizes: 3 2 1
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from clearprop import ops
from clearprop.core import Tensor, local, wrap
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import constant, here, need_tensors

NOT_SORTED = (
    "{op}: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You"
    " can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this"
    " requirement, got {lengths}{here}"
)


class _Parts(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Parts):
    """Sequences of different lengths, the longest first: `data` has one time step's rows below the
    other's, `batch_sizes` says how many rows each step has. `sorted_indices` put the batch in that
    order, `unsorted_indices` put it back. Made by pack_padded_sequence and pack_sequence.
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            if not isinstance(data, tuple | list):
                raise TypeError(
                    "PackedSequence: wants data and batch_sizes; pack_sequence() makes them of a"
                    f" list of tensors{here()}"
                )
            return super().__new__(cls, data[0], data[1], None, None)
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with data of another dtype; the device is always the CPU."""
        return self._replace(data=self.data.to(*args, **kwargs))  # type: ignore[attr-defined]

    def cpu(self) -> PackedSequence:
        """This packed sequence: everything lives on the CPU."""
        return self

    def double(self) -> PackedSequence:
        """The same with float64 data."""
        return self._replace(data=self.data.double())  # type: ignore[attr-defined]

    def float(self) -> PackedSequence:
        """The same with float32 data."""
        return self._replace(data=self.data.float())  # type: ignore[attr-defined]

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that puts back what this one has moved."""
    return None if permutation is None else ops.argsort(permutation)


# ---------------------------------------------------------------------- sizes as Python numbers
def numbers_of(op: str, name: str, x: Any) -> list[int]:
    """Whole numbers, which decide shapes, as Python's: a trace cannot take them from a tensor."""
    if isinstance(x, Tensor):
        known = vars(x).get("sizes_of_trace")  # made while this trace runs
        if known is not None and known[0] is local.c.interpreter:
            return list(known[1])
        x = x.array(f"{op}(): {name}").reshape(-1)
    return [int(n) for n in x]


def _sizes(sizes: list[int]) -> Tensor:
    out = wrap(np.array(sizes, np.int64), None)
    if local.c.interpreter is not None:
        vars(out)["sizes_of_trace"] = (local.c.interpreter, tuple(sizes))
    return out


def runs_of(packed: PackedSequence) -> tuple[tuple[int, int], ...]:
    """(rows, how many time steps in a row have so many)."""
    sizes = numbers_of("PackedSequence", "batch_sizes", packed.batch_sizes)
    return tuple((rows, len(list(same))) for rows, same in itertools.groupby(sizes))


def _rows_of(lengths: Sequence[int], batch: int) -> np.ndarray:
    """Which rows of a (T * B, ...) array the packed one has, in its order."""
    steps = np.arange(max(lengths))[:, None]
    there = np.asarray(lengths)[None] > steps
    return np.flatnonzero(there) if len(lengths) == batch else np.empty(0, np.int64)


# ---------------------------------------------------------------------- packing
def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Pack padded sequences (T, B, ...), or (B, T, ...) with batch_first, of these lengths, which
    decrease unless enforce_sorted=False.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils.rnn import pack_padded_sequence
    >>> packed = pack_padded_sequence(cp.tensor([[1, 4], [2, 5], [3, 0]]), [3, 2])
    >>> packed.data, packed.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """
    op = "pack_padded_sequence"
    need_tensors(op, input)
    if input.ndim < 2:
        raise IndexError(
            f"{op}: Dimension out of range: wants (T, B, ...), got {input.aval}{here()}"
        )
    sizes = numbers_of(op, "lengths", lengths)
    if batch_first:
        input = ops.transpose(input, 0, 1)
    longest, batch = input.shape[:2]
    if len(sizes) != batch:
        raise ShapeError(
            f"{op}: Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)}"
            f" (batch_size={batch}){here()}"
        )
    if not sizes or min(sizes) <= 0:
        raise ShapeError(
            f"{op}: Length of all samples has to be greater than 0, but found an element in"
            f" 'lengths' that is <= 0: {sizes}{here()}"
        )
    if max(sizes) > longest:
        raise ShapeError(
            f"{op}: the longest length is {max(sizes)}, but the sequences have {longest} steps:"
            f" {input.aval}{here()}"
        )
    order = None
    if not enforce_sorted:
        picked = sorted(range(batch), key=lambda i: -sizes[i])
        order = wrap(np.array(picked, np.int64), None)
        input = ops.index_select(input, 1, order)
        sizes = [sizes[i] for i in picked]
    elif any(a < b for a, b in itertools.pairwise(sizes)):
        raise ShapeError(NOT_SORTED.format(op=op, lengths=sizes, here=here()))
    rows = wrap(_rows_of(sizes, batch), None)
    data = ops.index_select(ops.reshape(input, (longest * batch, *input.shape[2:])), 0, rows)
    batch_sizes = [sum(n > t for n in sizes) for t in range(max(sizes))]
    back = None
    if order is not None:
        back = wrap(np.argsort(picked, kind="stable"), None)
    return PackedSequence(data, _sizes(batch_sizes), order, back)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(padded sequences (T, B, ...), their lengths), in the order of before packing.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> packed = pack_sequence([cp.tensor([1, 2, 3]), cp.tensor([4, 5])])
    >>> pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2, 3],
            [4, 5, 0]]), tensor([3, 2]))
    """
    op = "pad_packed_sequence"
    sizes = numbers_of(op, "batch_sizes", sequence.batch_sizes)
    times, batch, data = len(sizes), sizes[0], sequence.data
    if total_length is not None:
        if total_length < times:
            raise ValueError(
                f"{op}: Expected total_length to be at least the length of the longest sequence in"
                f" input, but got total_length={total_length} and max sequence length being"
                f" {times}{here()}"
            )
        times = total_length
    lengths = [sum(n > i for n in sizes) for i in range(batch)]
    where = np.full(times * batch, data.shape[0])  # the row of padding, below the data
    where[_rows_of(lengths, batch)] = np.arange(data.shape[0])
    blank = constant(padding_value, data.value.dtype, (1, *data.shape[1:]))
    padded = ops.index_select(ops.cat([data, blank], 0), 0, wrap(where, None))
    padded = ops.reshape(padded, (times, batch, *data.shape[1:]))
    out = _sizes(lengths)
    if sequence.unsorted_indices is not None:
        padded = ops.index_select(padded, 1, sequence.unsorted_indices)
        out = ops.index_select(out, 0, sequence.unsorted_indices)
    return (ops.transpose(padded, 0, 1) if batch_first else padded), out


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (L, ...), the longest first unless enforce_sorted=False.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils.rnn import pack_sequence
    >>> pack_sequence([cp.tensor([1, 2]), cp.tensor([3])]).data
    tensor([1, 3, 2])
    """
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The list of sequences that was packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


# ---------------------------------------------------------------------- padding
def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """A list of sequences (L, ...) as one tensor (T, B, ...), T the longest L, or (B, T, ...) with
    batch_first; shorter ones are filled up with padding_value.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils.rnn import pad_sequence
    >>> pad_sequence([cp.tensor([1, 2]), cp.tensor([3])], batch_first=True)
    tensor([[1, 2],
            [3, 0]])
    """
    op = "pad_sequence"
    if not isinstance(sequences, Iterable):
        raise ShapeError(
            f"{op}: Expected iterable for input sequences, but got arg of type:"
            f" {type(sequences)}{here()}"
        )
    parts = list(ops.unbind(sequences, 0) if isinstance(sequences, Tensor) else sequences)
    if not parts:
        raise ShapeError(f"{op}: received an empty list of sequences{here()}")
    for i, x in enumerate(parts):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{op}: expected Tensor as element {i} in argument 0, but got"
                f" {type(x).__name__}{here()}"
            )
    if padding_side not in ("left", "right"):
        raise ShapeError(
            f"{op}: Expected padding_side to be one of left or right, but got"
            f" {padding_side}.{here()}"
        )
    longest, rest = max(x.shape[0] for x in parts), parts[0].shape[1:]
    filled = []
    for x in parts:
        if x.shape[1:] != rest:
            raise ShapeError(
                f"{op}: The size of tensor a {list(rest)} must match the size of tensor b"
                f" {list(x.shape[1:])} in all axes but the first{here()}"
            )
        short = longest - x.shape[0]
        if short:
            blank = constant(padding_value, x.value.dtype, (short, *rest))
            x = ops.cat([x, blank] if padding_side == "right" else [blank, x], 0)
        filled.append(x)
    return ops.stack(filled, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of these lengths, as a list; the inverse of pad_sequence."""
    sizes = numbers_of("unpad_sequence", "lengths", lengths)
    rows = ops.unbind(padded_sequences, 0 if batch_first else 1)
    return [ops.narrow(x, 0, 0, n) for x, n in zip(rows, sizes, strict=True)]


__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence",
    "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip
