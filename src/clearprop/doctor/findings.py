"""What the doctor says: findings, most likely cause first, as text, JSON and HTML."""

from __future__ import annotations

import dataclasses
import html
import linecache
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from clearprop.core import Location
from clearprop.doctor.faults import FAULTS

Severity = Literal["error", "warn", "info"]
RANK = {"error": 0, "warn": 1, "info": 2}
_SILENT = re.compile(r"#.*doctor:\s*ok((?:[\s,]+[A-G]\d{1,2})+)")


@dataclass
class Finding:
    """One fault: `code` is a row of docs/doctor.md; `message` says what is wrong and why with the
    measured numbers, `fix` what to do. `weight` orders findings of one severity: a cause comes
    before its consequences.
    """

    code: str
    severity: Severity
    message: str
    fix: str
    location: Location | None = None
    module: str = ""
    op: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    weight: float = 0.0
    when: str = ""  # "batch 1", "step 200", "the whole run"

    @property
    def title(self) -> str:
        return FAULTS[self.code].title

    @property
    def file(self) -> str:
        return "" if self.location is None else self.location.file

    @property
    def line(self) -> int:
        return 0 if self.location is None else self.location.line

    @property
    def source(self) -> str:
        return "" if self.location is None else self.location.text

    def silenced(self) -> bool:
        """Whether the line says `# doctor: ok CODE`."""
        text = linecache.getline(self.file, self.line) if self.line else ""
        found = _SILENT.search(text)
        return found is not None and self.code in re.findall(r"[A-G]\d{1,2}", found[1])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "code": self.code, "severity": self.severity, "title": self.title,
            "file": self.file or None, "line": self.line or None, "source": self.source,
            "module": self.module or None, "op": self.op or None, "message": self.message,
            "fix": self.fix, "numbers": self.numbers, "when": self.when,
            "help": f"docs/doctor.md#{self.code.lower()}",
        }  # fmt: skip

    def text(self) -> str:
        """As it is printed."""
        head = f"clearprop doctor · {self.severity} {self.code} {self.title}"
        lines = [f"{head:<66}{self.when}".rstrip()]
        if self.line:
            where = f"{os.path.basename(self.file)}:{self.line}"
            place = " → ".join(p for p in (self.module, f"op {self.op}" if self.op else "") if p)
            lines.append(f"  {where}   {self.source}" + (f"      [{place}]" if place else ""))
        lines += [f"  {part}" for part in self.message.splitlines()]
        lines.append(f"  Fix: {self.fix}")
        lines.append(f"  (intended? add the comment  # doctor: ok {self.code}  to the line)")
        return "\n".join(lines)


class Report:
    """The findings of one examination, in the order in which to read them."""

    def __init__(self, findings: Iterable[Finding] = (), notes: Iterable[str] = ()) -> None:
        kept: dict[tuple[str, str, int], Finding] = {}
        for f in findings:
            if f.silenced() or is_silenced(f):
                continue
            f = dataclasses.replace(f)
            key = (f.code, f.file, f.line)
            if key not in kept or RANK[f.severity] < RANK[kept[key].severity]:
                kept[key] = f
        _demote(list(kept.values()))
        self.findings = sorted(kept.values(), key=lambda f: (RANK[f.severity], -f.weight))
        self.notes = list(notes)

    @property
    def errors(self) -> list[Finding]:
        return [f for f in self.findings if f.severity == "error"]

    @property
    def alarms(self) -> list[Finding]:
        """Errors and warnings."""
        return [f for f in self.findings if f.severity != "info"]

    def as_dict(self) -> dict[str, Any]:
        return {"findings": [f.as_dict() for f in self.findings], "notes": self.notes}

    def __str__(self) -> str:
        if not self.findings:
            return "\n".join(["clearprop doctor · nothing found", *self.notes])
        return "\n\n".join([*(f.text() for f in self.findings), *self.notes])

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self.alarms)

    def __iter__(self) -> Any:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def _repr_html_(self) -> str:
        colors = {"error": "#b3261e", "warn": "#8a5a00", "info": "#38618c"}
        rows = []
        for f in self.findings:
            e = html.escape
            where = f"{e(os.path.basename(f.file))}:{f.line}" if f.line else ""
            rows.append(
                f'<div style="border-left:4px solid {colors[f.severity]};padding:.4em .8em;'
                f'margin:.6em 0"><b style="color:{colors[f.severity]}">{f.severity} {f.code}</b>'
                f" {e(f.title)} <small>{e(f.when)}</small><br><code>{where} {e(f.source)}</code>"
                f"<p>{e(f.message)}</p><p><b>Fix:</b> {e(f.fix)}</p></div>"
            )
        return "".join(rows) or "<p>The doctor found nothing.</p>"


# A cause explains these others: they are told, and raise no alarm of their own.
CONSEQUENCES = {
    "A1": "A2 A4 A8 F4 G7",
    "A2": "A1 A4 A8 F4 G7",
    "A3": "D1 G7",
    "A5": "G7 A3 A4",
    "A6": "A2",
    "B1": "B2 F4 D1 G7",
    "B2": "B3 B4 E5",
    "B3": "F4 G7",
    "B5": "E4 E7 F4 C2 D1 G7 E5",
    "B7": "B1",
    "C6": "C1 C3",
    "C10": "C2 C3",
    "D1": "G7 B4 F4",
    "D2": "B3 D5 D7 G6 C4",
    "D3": "D2 D7 G6 C4 B3",
    "D5": "D7 D1 B3 B4 F4 G7",
    "D8": "D2 D5 D7 B3 B4 D1 G6 C4",
    "D9": "D2 D7 G6 G7 B3",
    "E1": "E4 G7",
    "E3": "C2 E10 B2",
    "E4": "B2 B3 E1",
    "E6": "D7 G7",
    "E7": "G6 D2 F2 E3 D7 B3 C4 C3",
    "E8": "E10 D7 C2",
    "E9": "G6 D2 G9",
    "E10": "D2 C2 G8 G6 B4 C4",
    "F1": "E7",
    "G1": "G6 D2 B3 C4 D3",
    "G3": "G1 G2",
    "G5": "F4",
    "G6": "D2 D7 C2 C3 C4 B4 D3 D1",
    "G8": "D2 C2 C4 B4 G6 G7",
    "G9": "G6 G7 D1 D2 F4",
    "G10": "G7",
    "G11": "A6 G12",
}


def _demote(findings: list[Finding]) -> None:
    """What follows from another finding becomes information."""
    alarms = [f for f in findings if f.severity != "info"]
    alarms.sort(key=lambda f: (RANK[f.severity], -f.weight))
    demoted: dict[int, list[str]] = {}
    for cause in alarms:
        if id(cause) in demoted:
            continue
        for f in alarms:
            if f.code in CONSEQUENCES.get(cause.code, "").split() and not _stronger(f, cause):
                demoted.setdefault(id(f), []).append(cause.code)
    for f in alarms:
        if id(f) in demoted:
            f.severity = "info"
            f.message += f" (It follows from {', '.join(sorted(set(demoted[id(f)])))}.)"


def _stronger(f: Finding, cause: Finding) -> bool:
    """An error does not follow from a mere warning: but data, targets and what is written in the
    program come before what they lead to.
    """
    return RANK[cause.severity] > RANK[f.severity] and cause.code not in (
        "D8", "D9", "A5", "B7", "C10", "E4", "E9", "G9", "D5"
    )  # fmt: skip


# ---------------------------------------------------------------------- what is intended
_silences: list[tuple[frozenset[str], str | None]] = []


def silence(*codes: str, where: str | None = None) -> None:
    """Do not report these faults any more: everywhere, or `where` a module path or a file name says
    ('Net.gate', 'train.py', 'train.py:31').

    >>> import clearprop as cp
    >>> cp.doctor.silence("A2", where="Net.target")
    """
    for code in codes:
        if code not in FAULTS:
            raise ValueError(f"silence: there is no fault {code!r}; docs/doctor.md lists them")
    _silences.append((frozenset(codes), where))


def is_silenced(f: Finding) -> bool:
    places = {f.module, f.file, os.path.basename(f.file), f"{os.path.basename(f.file)}:{f.line}"}
    return any(
        f.code in codes and (where is None or where in places or f.module.startswith(f"{where}."))
        for codes, where in _silences
    )
