"""A square of lanes x lanes in registers, transposed by what processors have instructions for.

Within 128 bits vectors are interleaved (unpack, zip), then pairs of vectors are parted into their
even and their odd blocks of 128 bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from clearprop.jit.writer import SIZES, Writer, vector


def transposed(w: Writer, dtype: str, rows: Sequence[str]) -> list[str]:
    """The columns of a square; a row that does not matter is poison."""
    lanes = len(rows)
    block = min(lanes, 16 // SIZES[dtype])
    kind = vector(dtype, lanes)
    square = list(rows)

    def mixed(x: str, y: str, picks: list[int]) -> str:
        if x == y == "poison":
            return x
        chosen = ", ".join(f"i32 {e}" for e in picks)
        return w.emit(f"shufflevector {kind} {x}, {kind} {y}, <{lanes} x i32> <{chosen}>")

    # in each group of `block` rows: row i with row i + block/2, the lower halves and the upper ones
    low = [b + e // 2 + (e % 2) * lanes for b in range(0, lanes, block) for e in range(block)]
    high = [e + block // 2 for e in low]
    half = block // 2
    for _ in range(block.bit_length() - 1):
        square = [
            mixed(square[b + i], square[b + i + half], picks)
            for b in range(0, lanes, block)
            for i in range(half)
            for picks in (low, high)
        ]
    # of what stands at one place of two groups that follow each other
    blocks = lanes // block
    even = [b + e for b in range(0, 2 * lanes, 2 * block) for e in range(block)]
    odd = [e + block for e in even]
    for _ in range(blocks.bit_length() - 1):
        square = [
            mixed(square[g + c], square[g + block + c], picks)
            for picks in (even, odd)
            for g in range(0, lanes, 2 * block)
            for c in range(block)
        ]
    return square
