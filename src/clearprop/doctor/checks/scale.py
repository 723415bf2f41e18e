"""Family D, with dead and saturated units: does the size of the gradient survive the way?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from clearprop.core import Location, Tensor
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Record
from clearprop.doctor.measure import finite, gain, norm
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Slice


def rms(a: Any) -> float:
    return norm(a) / math.sqrt(max(np.size(a), 1))


def weights_in_order(seen: Pass) -> list[tuple[Tensor, Record]]:
    """The weight matrices that got a gradient, in the order in which they were used first."""
    out, known = [], set()
    for record in seen.log.records:
        for use in record.uses:
            leaf = use.value.leaf() if use.value.leaf is not None else None
            if (
                leaf is not None
                and leaf.ndim >= 2
                and id(leaf) not in known
                and id(leaf) in seen.flow.leaves
                and seen.learns(leaf)
            ):
                known.add(id(leaf))
                out.append((leaf, record))
    return out


def built(seen: Pass, record: Record) -> Location | None:
    """Where the module that ran was made, if it is one of clearprop's; else the record's line."""
    scope = record.scope
    if scope is not None and type(scope.module).__module__.startswith("clearprop."):
        return seen.session.built.get(id(scope.module)) or record.location
    return record.location


def attenuation(seen: Pass) -> list[tuple[float, Record, int]]:
    """(decades lost, record, how often) by the line and op where it happens, worst first."""
    by_place: dict[Any, list[Any]] = {}
    for node in seen.flow.order:
        record = seen.flow.record(node)
        if record is None:
            continue
        edges = [i for i, e in enumerate(node.edges) if e is not None and len(e.edges) > 0]
        if not edges:
            continue
        g = gain(seen.flow, node, edges[0])
        if not g > 0:
            continue
        entry = by_place.setdefault((record.code, record.lasti, record.name), [0.0, record, 0])
        entry[0] -= math.log10(g)
        entry[2] += 1
    return sorted((tuple(e) for e in by_place.values()), key=lambda e: -e[0])  # type: ignore[misc]


def adam_like(seen: Pass) -> float | None:
    """The epsilon of the optimizer, if it divides by the size of the gradient."""
    for o in seen.session.known_optimizers():
        eps = o.param_groups[0].get("eps")
        if eps is not None:
            return float(eps)
    return None


@on_pass
def vanishing_and_exploding(seen: Pass) -> Iterator[Finding]:
    """D1, D2: the gradients of the weight matrices, from the first to the last."""
    if not finite(seen.loss.array):
        return
    weights = weights_in_order(seen)
    if len(weights) < 3:
        return
    seen.session.candidates["D1 looked"].append(seen.number)
    sizes = [rms(seen.flow.leaves[id(w)]) for w, _ in weights]
    first, last = sizes[0], sizes[-1]
    if not all(map(math.isfinite, sizes)) or last == 0 or first == 0:
        return
    eps = adam_like(seen)
    if last / first > 1e3 and (eps is None or first < 10 * eps):
        worst = attenuation(seen)
        lost = math.log10(last / first)
        named = "; ".join(
            f"{w[0]:.1f} in {w[1].name} ({w[2]} times)" for w in worst[:2] if w[0] > 0.1
        )
        record = worst[0][1]
        found = Finding(
            "D1", "error" if last / first > 1e4 else "warn",
            f"The gradient loses {lost:.1f} decades from {seen.name(weights[-1][0])}"
            f" ({last:.1e} per weight) to {seen.name(weights[0][0])} ({first:.1e}): {named}. The"
            " first layers stay as they were initialised.",
            "use ReLU (He initialisation) or tanh (Xavier), residual connections, or normalisation",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=70, numbers={"decades": lost, "first": first, "last": last},
        )  # fmt: skip
        seen.session.candidates["D1"].append((seen.number, lost, found))
    elif first / last > 1e4:
        worst = attenuation(seen)[::-1]
        grown = math.log10(first / last)
        record = worst[0][1]
        yield Finding(
            "D2", "error",
            f"The gradient grows by {grown:.1f} decades from {seen.name(weights[-1][0])} to"
            f" {seen.name(weights[0][0])}: most of it in {record.name}.",
            "lower the initial weights (He, Xavier), add normalisation, clip the gradient's norm",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=70, numbers={"decades": grown},
        )  # fmt: skip


@on_session
def vanishing_stays(session: Session) -> Iterator[Finding]:
    """D1, in all of the first observed passes: what begins at 0 on purpose (adapters, gates, a last
    layer) lets the gradient through after a few steps.
    """
    found, looked = session.candidates["D1"], session.candidates["D1 looked"]
    if not found or {n for n, *_ in found} < set(looked[: max(len(found), 5)]):
        return
    _, least, finding = min(found[:5], key=lambda e: e[1])
    finding.severity = "error" if least > 4 else "warn"
    yield finding


# ---------------------------------------------------------------------- through time
def repeated_calls(seen: Pass) -> dict[int, list[Record]]:
    """For each module that was called at least 8 times: the last record of each call."""
    calls: dict[int, dict[int, Record]] = {}
    for record in seen.log.records:
        scope = record.scope
        if scope is not None and any(True for _ in scope.module.parameters()):
            calls.setdefault(id(scope.module), {})[id(scope)] = record
    return {key: list(c.values()) for key, c in calls.items() if len(c) >= 8}


@on_pass
def through_time(seen: Pass) -> Iterator[Finding]:
    """D3, D4: the gradient at the output of one module, call by call."""
    if seen.number > 3:
        return
    nodes = {id(seen.flow.record(n)): n for n in seen.flow.order if seen.flow.record(n)}
    best: tuple[float, list[Record], list[float]] | None = None
    for records in repeated_calls(seen).values():
        sizes = []
        for record in records:
            node = nodes.get(id(record))
            g = seen.flow.g(node) if node is not None else None
            sizes.append(norm(g) if g is not None else 0.0)
        logs = [math.log10(s) if s > 0 and math.isfinite(s) else None for s in sizes]
        known = [(i, v) for i, v in enumerate(logs) if v is not None]
        if len(known) < 8:
            continue
        i, v = zip(*known, strict=True)
        slope = -float(np.polyfit(i, v, 1)[0])  # decades per step back
        total = slope * (len(records) - 1)
        if best is None or abs(total) > abs(best[0]):
            best = (total, records, sizes)
    if best is None:
        return
    total, records, sizes = best
    record = records[0]
    there: dict[str, Any] = {
        "location": record.location, "module": record.path, "op": record.name, "when": seen.when,
        "weight": 75.0, "numbers": {"decades": total, "steps": len(records)},
    }  # fmt: skip
    if total > 4:
        yield Finding(
            "D3", "error",
            f"Going back through {len(records)} calls of one module, the gradient grows by"
            f" {total:.1f} decades ({10 ** (total / (len(records) - 1)):.2f} times per step): ρᵀ"
            " with ρ > 1.",
            "initialise the recurrent weights orthogonally (scale 1), clip the gradient's norm, or"
            " use an LSTM or GRU",
            **there,
        )  # fmt: skip
    elif total < -6 and seen.number == 1:
        seen.session.candidates["D4"].append(Finding(
            "D4", "warn",
            f"Going back through {len(records)} calls of one module, the gradient shrinks by"
            f" {-total:.1f} decades ({10 ** (total / (len(records) - 1)):.2f} times per step): what"
            " the first steps put in has no influence on what is learnt.",
            "use an LSTM or GRU (with a forget bias of 1), attention, or shorter windows",
            **there,
        ))  # fmt: skip


@on_session
def what_came_first_is_lost(session: Session) -> Iterator[Finding]:
    """D4, where nothing is learnt: what counts may well be at the end of a sequence."""
    gained = session.improvement()
    if gained is not None and gained < 0.15:
        yield from session.candidates["D4"][:1]


# ---------------------------------------------------------------------- units
@on_pass
def symmetric_units(seen: Pass) -> Iterator[Finding]:
    """D6: hidden units with equal weights and equal gradients, that stay so."""
    if seen.number > 5:
        return
    weights = weights_in_order(seen)
    for i, (w, record) in enumerate(weights):
        a, g = w.value, seen.flow.leaves[id(w)]
        last = i == len(weights) - 1
        if a.ndim != 2 or a.shape[0] < 2 or last or not g.any():
            continue
        if (a == a[:1]).all() and np.allclose(g, g[:1], rtol=1e-4, atol=0):
            known = seen.session.candidates["D6"]
            known.append(
                (
                    id(w),
                    seen.number,
                    seen.name(w),
                    built(seen, record),
                    record,
                    a.shape,
                    id(w.value),
                )
            )
    return
    yield


@on_session
def still_symmetric(session: Session) -> Iterator[Finding]:
    passes: dict[int, list[Any]] = {}
    for entry in session.candidates["D6"]:
        passes.setdefault(entry[0], []).append(entry)
    for entries in passes.values():
        if len(entries) < 2:
            continue
        _, _, name, location, record, shape, _ = entries[0]
        location = session.written.get(entries[0][6]) or location
        yield Finding(
            "D6", "error",
            f"All {shape[0]} units of {name} have the same weights and get the same gradient, in"
            f" {len(entries)} observed steps: they stay copies of one unit.",
            "initialise with random numbers: nn.init.xavier_uniform_ or kaiming_normal_",
            location=location, module=record.path, op=record.name, when="batch 1", weight=78,
            numbers={"units": shape[0]},
        )  # fmt: skip


def awake(a: np.ndarray) -> np.ndarray:
    """Which units (last axis, or channels) are not 0 for some example."""
    axes = (0, *range(2, a.ndim)) if a.ndim >= 4 else tuple(range(a.ndim - 1))
    return np.asarray(a.max(axis=axes) > 0)


@on_pass
def dead_units(seen: Pass) -> Iterator[Finding]:
    """B3: remember which ReLU units no example of a batch activates, by line and module; the calls
    of one line in one pass (time steps) count together.
    """
    places: dict[Any, list[Any]] = {}
    for record in seen.log.records:
        a = record.out.array
        if record.prim.name != "relu" or not record.recording or a.ndim < 2 or a.shape[0] < 2:
            continue
        module = id(record.scope.module) if record.scope is not None else 0
        key = (record.code, record.lasti, module, a.shape[-1] if a.ndim < 4 else a.shape[1])
        active = awake(a)
        if key in places:
            places[key][0] = places[key][0] | active
            places[key][1] += a.shape[0]
        else:
            mean = float(record.uses[0].value.array.mean())
            places[key] = [active, a.shape[0], mean, seen.line(record), record.path]
    for key, found in places.items():
        seen.session.candidates["B3"].append((key, seen.number, *found))
    return
    yield


@on_session
def units_that_died(session: Session) -> Iterator[Finding]:
    """B3: units that no example of the last observed batches has activated: nearly all of a layer,
    or most of it, and many more than at the start.
    """
    layers: dict[Any, list[Any]] = {}
    for key, *entry in session.candidates["B3"]:
        layers.setdefault(key, []).append(entry)
    for entries in layers.values():
        late = entries[-4:]
        if len(late) < 3 or sum(e[2] for e in late) < 64:
            continue
        start = 1 - float(entries[0][1].mean())
        ever = np.logical_or.reduce([e[1] for e in late])
        share = 1 - float(ever.mean())
        if share < 0.7 or (share < 0.9 and share < start + 0.3):
            continue
        number, _, _, mean, location, path = late[-1]
        yield Finding(
            "B3", "error" if share >= 0.9 else "warn",
            f"{share:.0%} of the {ever.size} ReLU units of {path or 'this line'} are 0 for all"
            f" {sum(e[2] for e in late)} examples of the last {len(late)} observed batches (in the"
            f" first batch {start:.0%}); the mean of their inputs is {mean:.3g}. relu' = 0 for"
            " z < 0: no gradient comes through them, and nothing brings them back.",
            "lower the learning rate, use LeakyReLU or He initialisation, normalise the input",
            location=location, module=path, op="relu", when=f"batch {number}",
            weight=97 if share >= 0.9 else 72, numbers={"dead": share, "at the start": start},
        )  # fmt: skip


LIMITS = {"sigmoid": (6.0, "σ'(z) = σ(1 − σ)"), "tanh": (2.99, "tanh'(z) = 1 − tanh²")}


@on_pass
def saturated_units(seen: Pass) -> Iterator[Finding]:
    """B4, D8: sigmoids and tanhs whose derivative is under 1 % of its largest for most inputs; the
    cause is named if it is the size of the data.
    """
    if seen.number > 3:
        return
    head = Slice(seen.log, seen.loss)
    for record in head.records:
        limit = LIMITS.get(record.prim.name)
        if limit is None or record.out.array.ndim < 2 or not record.tracked:
            continue
        z = record.uses[0].value.array
        share = float((np.abs(z) > limit[0]).mean())
        if share <= 0.5 or not _has_weights_after(seen, record):
            continue
        y = np.abs(record.out.array.astype(np.float64))
        slope = float((y * (1 - y)).mean() if record.prim.name == "sigmoid" else (1 - y * y).mean())
        data = _data_behind(record)
        measured = (
            f"{share:.0%} of the inputs of {record.name} lie beyond ±{limit[0]:g}, where {limit[1]}"
            f" is under 1 % of its largest; here it is {slope:.2g} in the mean."
        )
        if data is not None and np.abs(data[0].array).max() > 30:
            a = data[0].array
            yield Finding(
                "D8", "warn",
                f"The data reach from {a.min():.3g} to {a.max():.3g} and go into the first layer as"
                f" they are. {measured}",
                "standardise the inputs: (x - mean) / std, or divide pixels by 255",
                location=data[0].born or data[1].location, module=record.path, op=record.name,
                when=seen.when, weight=71, numbers={"saturated": share, "largest": _largest(a)},
            )  # fmt: skip
            return
        yield Finding(
            "B4", "warn" if share < 0.9 else "error", measured,
            "scale the initial weights or the input down, normalise (BatchNorm, LayerNorm), or use"
            " ReLU",
            location=seen.line(record), module=record.path, op=record.name, when=seen.when,
            weight=68, numbers={"saturated": share, "slope": slope},
        )  # fmt: skip
        return


def _largest(a: np.ndarray) -> float:
    return float(np.abs(a).max())


def _has_weights_after(seen: Pass, record: Record) -> bool:
    after = seen.log.records[seen.log.records.index(record) + 1 :]
    return any(u.value.leaf is not None for r in after for u in r.uses)


def _data_behind(record: Record) -> tuple[Any, Record] | None:
    """The data that the first layer reads, if this activation follows it."""
    stack, steps = [record.uses[0].value], 0
    while stack and steps < 12:
        value = stack.pop()
        steps += 1
        if value.maker is None:
            if value.leaf is None and value.is_float and value.array.ndim >= 2:
                return value, record
            continue
        stack.extend(u.value for u in value.maker.uses)
    return None


# ---------------------------------------------------------------------- the start
def untrained(session: Session) -> bool:
    """Whether no step has been made and nothing was loaded."""
    return session.steps == 0


@on_pass
def scale_of_the_logits(seen: Pass) -> Iterator[Finding]:
    """D5, D7: what the untrained model gives."""
    if seen.number > 1 or not untrained(seen.session):
        return
    for call in seen.log.all_calls("cross_entropy", "binary_cross_entropy_with_logits"):
        x = call.args.get("input")
        many = call.short == "cross_entropy"
        if not isinstance(x, Tensor) or x.ndim != 2 or x.shape[0] < 8 or (many and x.shape[1] < 2):
            continue
        a = x.value.astype(np.float64)
        value = seen.log.value(x)
        record = value.maker
        if record is None or not np.isfinite(a).all():
            continue
        spread = float(a.std(axis=0).mean())
        loss = float(seen.loss.array.reshape(-1)[0])
        guess = math.log(a.shape[1]) if many else math.log(2)
        text = f"ln {a.shape[1]}" if many else "ln 2"
        there: dict[str, Any] = {
            "module": record.path, "op": record.name, "when": seen.when, "weight": 40,
        }  # fmt: skip
        if spread > 10:
            wide = _widest(seen)
            yield Finding(
                "D5", "error" if spread > 30 else "warn",
                f"Before any training the scores differ by ±{spread:.3g} between examples; a fresh"
                f" model should be unsure (±1). The loss starts at {loss:.3g}, a random guess has"
                f" {text} = {guess:.2f}.{wide[1] if wide else ''}",
                "initialise with Xavier or He, scale the last layer down, and standardise the"
                " inputs",
                location=wide[0] if wide else seen.line(record), numbers={"spread": spread},
                **there,
            )  # fmt: skip
        elif loss > 3 * guess + 1 and spread < 3:
            offset = a.mean(axis=0)
            yield Finding(
                "D7", "warn",
                f"The loss starts at {loss:.3g}, and a random guess has {text} = {guess:.2f}. The"
                f" scores differ little between examples (±{spread:.2g}), but their means are"
                f" {offset.min():.3g} to {offset.max():.3g}: the model begins with a firm opinion"
                " that has nothing to do with the input.",
                "set the bias of the last layer to 0, or to the logarithm of the classes' shares",
                location=_bias(seen) or seen.line(record),
                numbers={"loss": loss, "guess": guess, "spread": spread}, **there,
            )  # fmt: skip


def _bias(seen: Pass) -> Location | None:
    """The line that set the last bias to large numbers, or made its layer."""
    biases = [
        (use.value, r) for r in seen.log.records for use in r.uses
        if use.value.leaf is not None and use.value.array.ndim == 1
    ]  # fmt: skip
    if not biases:
        return None
    written = seen.session.written.get(id(biases[-1][0].array))
    return written or built(seen, biases[-1][1])


def _widest(seen: Pass) -> tuple[Location | None, str] | None:
    """Where a weight matrix that multiplies sizes by more than 5 was made or filled."""
    factors = []
    for record, w, factor in layer_gains(seen):
        if factor > 4:
            factors.append((factor, record, w))
    if not factors:
        return None
    factor, record, w = factors[0]
    where = seen.session.written.get(id(w.value)) or built(seen, record)
    text = f" {seen.name(w)} multiplies the size of what comes in by {factor:.3g}."
    return where, text


def layer_gains(seen: Pass) -> list[tuple[Record, Tensor, float]]:
    """(record, weight, rms out / rms in) of the matrix products with weights, in order."""
    out = []
    for record in seen.log.records:
        if record.prim.name not in ("matmul", "linear") or len(record.uses) < 2:
            continue
        w = record.uses[1].value
        while (
            w.maker is not None and w.leaf is None and w.maker.prim.name in ("permute", "reshape")
        ):
            w = w.maker.uses[0].value
        leaf = w.leaf() if w.leaf is not None else None
        x = record.uses[0].value.array
        if leaf is None or not rms(x) > 0:
            continue
        out.append((record, leaf, rms(record.out.array) / rms(x)))
    return out


@on_pass
def weights_too_small(seen: Pass) -> Iterator[Finding]:
    """D5: several layers that shrink everything, so that all examples get the same output. (A last
    layer of zeros is one layer.)
    """
    if seen.number > 1 or not untrained(seen.session):
        return
    gains = layer_gains(seen)
    small = [(r, w, f) for r, w, f in gains if 0 < f < 0.1]
    if len(small) < 2 or not gains or any(r.prim.name in NORMALISES for r in seen.log.records):
        return
    last = gains[-1][0].out.array.astype(np.float64)
    if last.ndim != 2 or last.shape[0] < 4 or last.std(axis=0).max() > 1e-3:
        return
    record, w, factor = small[0]
    sizes = [rms(seen.flow.leaves[id(w)]) for _, w, _ in gains if id(w) in seen.flow.leaves]
    yield Finding(
        "D5", "error",
        f"{len(small)} of {len(gains)} layers multiply sizes by less than 0.1"
        f" ({seen.name(w)}: {factor:.1g}), so the output is the same for all examples: its standard"
        f" deviation over the batch is {last.std(axis=0).max():.1g}. The gradient shrinks by the"
        f" same factors on its way back (the weights get {min(sizes, default=0):.1g} to"
        f" {max(sizes, default=0):.1g}).",
        "initialise with Xavier or He: the standard deviation of a weight is about 1/√fan_in,"
        f" here {1 / math.sqrt(w.shape[-1]):.2g}, not {np.std(w.value):.1g}",
        location=seen.session.written.get(id(w.value)) or built(seen, record), module=record.path,
        op=record.name, when=seen.when, weight=73, numbers={"layers": len(small), "gain": factor},
    )  # fmt: skip


NORMALISES = ("standardise", "layer_norm", "rms_norm", "group_norm")


@on_pass
def activations_explode(seen: Pass) -> Iterator[Finding]:
    """D2: sizes grow from layer to layer, forwards, and the outputs have nothing to do with the
    targets any more.
    """
    if seen.number > 1 or not untrained(seen.session):
        return
    gains = [(r, w, f) for r, w, f in layer_gains(seen) if id(w) in seen.flow.leaves]
    if len(gains) < 4 or len({id(w) for _, w, _ in gains}) < 4:
        return
    first, last = rms(gains[0][0].uses[0].value.array), rms(gains[-1][0].out.array)
    grown = math.log10(last / first) if first > 0 and 0 < last < math.inf else 0.0
    if grown < 3:
        return
    mean = 10 ** (grown / len(gains))
    _, w, _ = max(gains, key=lambda g: g[2])
    total = math.sqrt(sum(norm(g) ** 2 for g in seen.flow.leaves.values()))
    record = gains[0][0]
    yield Finding(
        "D2", "error",
        f"Sizes grow by {grown:.1f} decades from the input ({first:.2g}) to the output"
        f" ({last:.2g}), ×{mean:.3g} in each of {len(gains)} layers, and the gradient by the same"
        f" factors on its way back: its norm is {total:.3g}.",
        "initialise with He or Xavier: the standard deviation of a weight is about √(2/fan_in),"
        " here"
        f" {math.sqrt(2 / w.shape[-1]):.2g}, not {np.std(w.value):.2g}; or normalise between"
        " layers",
        location=seen.session.written.get(id(gains[1][1].value)) or built(seen, record),
        module=record.path, op=record.name, when=seen.when, weight=102,
        numbers={"decades": grown, "per layer": mean},
    )  # fmt: skip
