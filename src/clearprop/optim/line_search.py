"""A step length that satisfies the strong Wolfe conditions: bracket it, then narrow the bracket.

f(t) <= f(0) + c1 t f'(0) and |f'(t)| <= c2 |f'(0)|, by cubic interpolation (Nocedal and Wright,
algorithms 3.5 and 3.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from clearprop.core import Tensor


class Point(NamedTuple):
    """A step length, the loss there, its gradient, and the slope along the direction."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def cubic_minimum(p: Point, q: Point, least: float, most: float) -> float:
    """Where the cubic through two points with their slopes is lowest, limited to [least, most]."""
    if p.t > q.t:
        p, q = q, p
    with np.errstate(all="ignore"):
        width = np.float64(p.t) - q.t
        bend = p.slope + q.slope - 3 * (p.loss - q.loss) / width
        square = bend**2 - p.slope * q.slope
        if not square >= 0:
            return (least + most) / 2
        root = np.sqrt(square)
        t = q.t + width * ((q.slope + root - bend) / (q.slope - p.slope + 2 * root))
    return min(max(float(t), least), most)


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    tolerance_change: float = 1e-9,
    max_evaluations: int = 25,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[Point, int]:
    """The point found from step length t on, and how often the loss was evaluated.

    `start` is the point at t = 0, `size` the largest element of the direction.
    """

    def too_high(p: Point) -> bool:
        return p.loss > start.loss + c1 * p.t * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    # bracket: go on while the loss falls steeply
    before, now, tries = start, evaluate(t), 0
    bracket = None
    while tries < max_evaluations:
        if not too_high(now) and not (tries > 1 and now.loss >= before.loss) and flat(now):
            return now, tries + 1
        if too_high(now) or (tries > 1 and now.loss >= before.loss) or now.slope >= 0:
            bracket = [before, now]
            break
        nearest, farthest = now.t + 0.01 * (now.t - before.t), now.t * 10
        t = cubic_minimum(before, now, nearest, farthest)
        before, now = now, evaluate(t)
        tries += 1
    if bracket is None:
        bracket = [start, now]
    # zoom: the bracket contains such a point
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    near_end = False
    evaluations = tries + 1
    while tries < max_evaluations:
        left, right = sorted(p.t for p in bracket)
        if (right - left) * size < tolerance_change:
            break
        t = cubic_minimum(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if near_end or t >= right or t <= left:
                t = right - margin if right - t < t - left else left + margin
                near_end = False
            else:
                near_end = True
        else:
            near_end = False
        now = evaluate(t)
        tries += 1
        evaluations += 1
        if too_high(now) or now.loss >= bracket[low].loss:
            bracket[1 - low] = now
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        done = flat(now)
        if not done and now.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = now
        if done:
            break
    return bracket[low], evaluations
