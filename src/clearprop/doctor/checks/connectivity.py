"""Family A: does the gradient reach what should learn?"""

from __future__ import annotations

from collections.abc import Iterator

from clearprop.doctor.findings import Finding
from clearprop.doctor.session import Pass, on_pass


@on_pass
def parameters_that_nobody_updates(seen: Pass) -> Iterator[Finding]:
    """A3: a leaf that the gradient reaches, and no optimizer moves, though there is one."""
    optimized = seen.session.optimized()
    if not optimized:
        return
    for p in seen.flow.tensors:
        if id(p) in optimized:
            continue
        users = (r for r in seen.log.records if any(u.value.array is p.value for u in r.uses))
        record = next(users, None)
        yield Finding(
            "A3", "error",
            f"{seen.name(p)} {p.aval} takes part in the loss and gets a gradient, but no optimizer"
            " has it.",
            "keep modules in nn.ModuleList or nn.ModuleDict rather than in a list or dict, and make"
            " the optimizer after the model is complete",
            location=record.location if record else None,
            module=record.path if record else "",
            op=record.name if record else "",
            when=seen.when,
        )  # fmt: skip
