"""Runs a piece of a program under both libraries and compares what it returns."""

import inspect


def same(a, b):
    """Whether two results agree: numbers up to 1e-3, lists element by element, others exactly."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-3 * (1 + abs(b))
    return a == b


def run(idiom, t):
    """The results of a function of t, nn, F and optim, which are those of the library t."""
    parts = {"t": t, "nn": t.nn, "F": t.nn.functional, "optim": t.optim}
    return idiom(*(parts[name] for name in inspect.signature(idiom).parameters))


def check(idiom, ours, theirs):
    """The results agree one by one."""
    mine, others = run(idiom, ours), run(idiom, theirs)
    assert len(mine) == len(others) > 0
    for a, b in zip(mine, others, strict=True):
        assert same(a, b), (a, b)
