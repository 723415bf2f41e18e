"""Family A: does the gradient reach what should learn?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clearprop.core import Location, Tensor
from clearprop.doctor.findings import Finding
from clearprop.doctor.log import Log, Record, Use
from clearprop.doctor.measure import norm
from clearprop.doctor.session import Pass, Session, on_pass, on_session
from clearprop.doctor.slices import Cut, Slice

INTENDED = "; where the cut is meant, say so on the line"
HOW = {
    "no_grad": "it was computed under no_grad(), which records nothing",
    "detached": "{how} ends its history",
    "outside": "it left through {how} and came back as a new tensor, which has no history",
}


def first_use(log: Log, p: Tensor) -> Record | None:
    """The first record that reads this tensor."""
    return next((r for r in log.records if any(u.value.array is p.value for u in r.uses)), None)


@on_pass
def parameters_that_nobody_updates(seen: Pass) -> Iterator[Finding]:
    """A3: a leaf that the gradient reaches, and no optimizer moves, though there is one."""
    for p in seen.flow.tensors:
        record = first_use(seen.log, p)
        if record is not None:
            seen.session.candidates["A3"].append((p, seen.name(p), record, seen.when))
    return
    yield


@on_session
def reached_and_never_moved(session: Session) -> Iterator[Finding]:
    """A3, when all optimizers are known. Inputs that ask for a gradient (adversarial examples,
    penalties) are no parameters: at least one other tensor of their module is moved, or they are
    Parameters.
    """
    optimized = session.optimized()
    if not optimized:
        return
    done: set[int] = set()
    for p, name, record, when in session.candidates["A3"]:
        if id(p) in optimized or id(p) in done or type(p) is Tensor:
            continue
        done.add(id(p))
        registered = "registered" not in name
        yield Finding(
            "A3", "error",
            f"{name}, {p.aval}, takes part in the loss and gets a gradient, but no optimizer has"
            " it: it keeps its initial values.",
            "make the optimizer after the model is complete, or add_param_group the new parameters"
            if registered
            else "keep modules and parameters in nn.ModuleList, nn.ModuleDict or nn.ParameterList"
            " instead of a list or dict, so that model.parameters() finds them",
            location=_where(session, record),
            module=record.path, op=record.name, when=when, weight=20,
        )  # fmt: skip


def _where(session: Session, record: Record) -> Location | None:
    """The line that made a module which its parent has not registered; else where it is used."""
    hidden = record.scope is not None and "[" in record.path
    built = session.built.get(id(record.scope.module)) if hidden and record.scope else None
    return built or record.location


# ---------------------------------------------------------------------- the tape is cut
@on_pass
def leaves_that_data_flows_from(seen: Pass) -> Iterator[Finding]:
    """A1, A2: remember the leaves from which data flows to the loss, and the tape does not."""
    if seen.flow.error is not None:
        return
    part = Slice(seen.log, seen.loss, guessing=True)
    wrapped = seen.loss.hint or seen.loss.source
    for p in part.leaves():
        if id(p) not in seen.flow.leaves:
            cut = next(part.cuts(p), None)
            if cut is None and wrapped is not None and wrapped.maker is not None:
                cut = Cut(wrapped.maker, Use(seen.loss, True), "outside")
            if cut is not None:
                how = _how(seen, cut)
                seen.session.candidates["cut"].append((p, seen.name(p), cut, how, seen.when))
    return
    yield


def _how(seen: Pass, cut: Cut) -> tuple[str, Location | None]:
    """How the value left the tape, and where."""
    value = cut.use.value if cut.why != "outside" else cut.use.value.source or cut.use.value.hint
    for event in reversed(seen.session.events):
        if event.kind in ("detach", "export") and event.facts["value"] is value:
            return event.facts.get("how") or event.facts.get("what", ""), event.location
    return "detach()", None


@on_session
def the_tape_is_cut(session: Session) -> Iterator[Finding]:
    """A1, A2, for parameters that no backward pass reached. (In a GAN, or with a target network,
    another pass reaches them, or no optimizer holds them.)
    """
    optimized = session.optimized()
    groups: dict[Any, list[tuple[str, Tensor]]] = {}
    found: dict[Any, tuple[Cut, Any, str]] = {}
    for p, name, cut, how, when in session.candidates["cut"]:
        if id(p) in session.reached or (optimized and id(p) not in optimized):
            continue
        key = (cut.why, cut.record.code, cut.record.lasti, cut.record.prim.name)
        names = groups.setdefault(key, [])
        if not any(q is p for _, q in names):
            names.append((name, p))
        found.setdefault(key, (cut, how, when))
    for key, names in groups.items():
        cut, (how, where), when = found[key]
        record = cut.record
        n = sum(p.numel() for _, p in names)
        behind = f"All {n} numbers of {_listed([name for name, _ in names])} get no gradient."
        if cut.why == "op":
            yield Finding(
                "A1", "error",
                f"{record.name} has no derivative (it is 0 wherever it exists), and every path from"
                f" the loss to these parameters goes through it. {behind}",
                "use a smooth value in the loss (softmax, log_softmax, sigmoid, the logits), and"
                f" keep {record.name} for metrics and predictions",
                location=record.location, module=record.path, op=record.name, when=when,
                weight=100 + n, numbers={"parameters": n},
            )  # fmt: skip
            continue
        reason = HOW[cut.why].format(how=how)
        yield Finding(
            "A2", "error",
            f"The value {cut.use.value.shape} is used here, but {reason}: the tape is cut, and the"
            f" loss depends on these parameters only through it. {behind}",
            {
                "no_grad": "compute it outside of no_grad()",
                "detached": f"leave {how} out" + INTENDED,
                "outside": "compute this step with clearprop's ops instead of NumPy or .item()",
            }[cut.why],
            location=where or record.location, module=record.path,
            op=how if cut.why != "no_grad" else record.name, when=when, weight=100 + n,
            numbers={"parameters": n},
        )  # fmt: skip


STEPS = ("round", "floor", "ceil", "trunc", "sign", "heaviside", "floor_divide")


@on_pass
def steps_in_the_path(seen: Pass) -> Iterator[Finding]:
    """A1: an op whose derivative is 0 wherever it exists, which the tape holds all the same, and
    through which all paths to some parameters go.
    """
    for node in seen.flow.order:
        record = seen.flow.record(node)
        if record is None or record.prim.name not in STEPS or record.block is not None:
            continue
        g, parts = seen.flow.g(node), seen.flow.passed.get(node)
        if g is None or parts is None or not g.any():
            continue
        if any(part is not None and part.any() for part in parts):
            continue
        learning = seen.session.optimized()
        behind = [p for p in seen.flow.only_through(node) if not learning or id(p) in learning]
        if not behind:
            continue
        n = sum(p.numel() for p in behind)
        yield Finding(
            "A1", "error",
            f"{record.name} is constant between its jumps, so its derivative is 0: a gradient of"
            f" size {norm(g):.2g} arrives, and nothing leaves. All {n} numbers of"
            f" {_listed([seen.name(p) for p in behind])} get no gradient.",
            "use the smooth value in the loss, or pass the gradient straight through:"
            f" x + ({record.name}(x) - x).detach()",
            location=record.location, module=record.path, op=record.name, when=seen.when,
            weight=100 + n, numbers={"parameters": n, "arriving": norm(g)},
        )  # fmt: skip


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# ---------------------------------------------------------------------- not used, or frozen
@on_pass
def what_is_used(seen: Pass) -> Iterator[Finding]:
    """A4: remember which parameters the loss of this pass is made of."""
    used = {id(u.value.array) for r in Slice(seen.log, seen.loss).records for u in r.uses}
    session = seen.session
    for root in session.modules():
        if not any(id(p.value) in used for p in root.parameters()):
            continue
        known = session.unused.setdefault(id(root), (root, {}, []))
        known[2].append(seen.number)
        for p in root.parameters():
            if id(p.value) in used or id(p) in seen.flow.leaves:
                known[1][id(p)] = known[1].get(id(p), 0) + 1
    return
    yield


@on_session
def never_used(session: Session) -> Iterator[Finding]:
    """A4: parameters of a model that ran, in an optimizer, which no observed pass has used."""
    optimized = session.optimized()
    for root, counts, passes in session.unused.values():
        if len(passes) < 3:
            continue
        groups: dict[str, list[Any]] = {}
        for name, p in root.named_parameters():
            if counts.get(id(p)) or id(p) in session.reached or not p.requires_grad:
                continue
            if id(p) in optimized:
                groups.setdefault(name.rpartition(".")[0], []).append((name, p))
        for path, found in list(groups.items())[:2]:
            owner = root.get_submodule(path) if path else root
            if _has_a_choice(root, path):
                continue
            n = sum(p.numel() for _, p in found)
            top = type(root).__name__
            yield Finding(
                "A4", "warn",
                f"{top}.{path or found[0][0]} ({type(owner).__name__}) is registered and the"
                f" optimizer has its {n} numbers, but none of the losses of {len(passes)} observed"
                " passes is made of it: no path leads from it to a loss, and its .grad stays None.",
                "use it in forward() (a name that was mistyped, or a result that was dropped?), or"
                " delete it",
                location=session.built.get(id(owner)), module=f"{top}.{path}".rstrip("."),
                when="the whole run", weight=30, numbers={"parameters": n},
            )  # fmt: skip


def _has_a_choice(root: Any, path: str) -> bool:
    """Whether the module is one of a ModuleDict: heads and branches that are chosen by name."""
    parts = path.split(".")
    above = [root.get_submodule(".".join(parts[:i])) for i in range(len(parts))]
    return any(type(m).__name__ in ("ModuleDict", "ParameterDict") for m in above)


@on_pass
def frozen_last_layers(seen: Pass) -> Iterator[Finding]:
    """A5: remember passes in which the last weights before the loss are frozen, and earlier ones
    of the same model learn.
    """
    session = seen.session
    if not session.frozen or seen.number < 1:
        return
    by_array = {
        id(p.value): (p, name, root)
        for root in session.modules() for name, p in root.named_parameters()
    }  # fmt: skip
    order: list[Any] = []
    part = Slice(seen.log, seen.loss)
    for record in part.records:
        for use in record.uses:
            known = by_array.get(id(use.value.array))
            if known is not None and not any(q is known[0] for q, *_ in order):
                order.append(known)
    weights = [(p, n, r) for p, n, r in order if p.ndim >= 2]
    trained = [(p, n, r) for p, n, r in order if id(p) in seen.flow.leaves]
    if not weights or not trained:
        return
    last, name, root = weights[-1]
    if last.requires_grad or id(last) in session.moved or id(last) not in session.frozen:
        return
    if not any(r is root for _, _, r in trained) or id(last) in session.reached:
        return
    owner = name.rpartition(".")[0]
    if any(r is root and n.startswith(f"{owner}.") for _, n, r in trained):
        return  # something of the layer learns (an adapter)
    frozen = sum(p.numel() for p, *_ in order if not p.requires_grad)
    session.candidates["A5"].append((last, name, root, frozen, sum(p.numel() for p, *_ in order)))
    return
    yield


@on_session
def frozen_by_mistake(session: Session) -> Iterator[Finding]:
    found = session.candidates["A5"]
    if len(found) < 2 or any(id(p) in session.moved or p.requires_grad for p, *_ in found):
        return
    last, name, root, frozen, total = found[-1]
    event = session.frozen[id(last)]
    yield Finding(
        "A5", "warn",
        f"{type(root).__name__}.{name}, {last.aval}, the last weights before the loss, has"
        " requires_grad=False and has never been trained, while earlier layers learn:"
        f" {frozen} of {total} numbers are frozen, among them a last layer that is as random as it"
        " was made.",
        "unfreeze the new layers: for p in model.head.parameters(): p.requires_grad = True",
        location=event.location, module=f"{type(root).__name__}.{name.rpartition('.')[0]}",
        when="the whole run", weight=35, numbers={"frozen": frozen, "of": total},
    )  # fmt: skip


# ---------------------------------------------------------------------- one module twice
@on_session
def one_module_in_several_places(session: Session) -> Iterator[Finding]:
    """A7: siblings in one container that are the same object, with parameters."""
    for root in session.modules():
        for name, parent in root.named_modules():
            seen: dict[int, list[str]] = {}
            for key, child in parent._modules.items():
                if child is not None and any(True for _ in child.parameters()):
                    seen.setdefault(id(child), []).append(key)
            for keys in seen.values():
                if len(keys) < 2:
                    continue
                child = parent._modules[keys[0]]
                n = sum(p.numel() for p in child.parameters())
                path = f"{type(root).__name__}.{name}" if name else type(root).__name__
                yield Finding(
                    "A7", "warn",
                    f"{path}[{', '.join(keys)}] are one {type(child).__name__} object: {len(keys)}"
                    f" places share its {n} parameters, and their gradients add up in them. Layers"
                    " that should differ cannot.",
                    f"make a new module for every place: [{type(child).__name__}(...) for _ in"
                    " range(n)]",
                    location=session.built.get(id(parent)), module=path, weight=10,
                    numbers={"places": len(keys), "parameters": n},
                )  # fmt: skip
