"""A derivation in writing: as text, as LaTeX, and as HTML with MathML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape, unescape
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.errors import optional_import

if TYPE_CHECKING:
    from clearprop.explanation.derivation import Derivation, Factor, Path, Value

MOST_VALUES = 24  # lines of definitions


def number(x: Any) -> str:
    """Six digits; of an array its norm."""
    if isinstance(x, np.ndarray):
        return f"‖·‖ = {np.linalg.norm(x):.6g}"
    return f"{x:.6g}"


def derivative(factor: Factor, head: str = "∂") -> str:
    return f"{head}{factor.out}/{head}{factor.of}"


def summary(d: Derivation) -> str:
    """How many paths there are, and how much is shown."""
    many = f"{d.count:,} path{'s' if d.count > 1 else ''}"
    if d.count == len(d.paths):
        return many
    return f"{many}; the {len(d.paths)} strongest carry {percent(d.carried)} of the gradient"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# ---------------------------------------------------------------------- text
def text(d: Derivation) -> str:
    """Aligned columns of plain text."""
    at = f" at {d.x} = {number(d.values[0].number)}" if d.values[0].number is not None else ""
    lines = [f"d{d.z}/d{d.x}{at} · {summary(d)}", ""]
    shown = d.values[1:] if len(d.values) <= MOST_VALUES else []
    values = [
        (v.name, _definition(v), number(v.number) if v.number is not None else "") for v in shown
    ]
    lines += [f"  {a} = {b}" + (f" = {c}" if c.strip() else "") for a, b, c in _columns(values)]
    sum_ = " + ".join(_product(p) for p in d.paths) + (" + …" if d.count > len(d.paths) else "")
    lines += [""] if shown else []
    lines += [f"  d{d.z}/d{d.x} = {sum_}", ""] if len(sum_) < 200 else []
    rows = []
    for p in d.paths:
        formula = " · ".join(_bracketed(f.formula) for f in p.factors) if _symbolic(p) else ""
        numbers = " · ".join(_signed(f.number) for f in p.factors) if len(p.factors) <= 12 else ""
        rows.append((steps(p), formula, numbers, number(p.value), percent(p.share)))
    for way, formula, numbers, value, share in _columns(rows):
        parts = [x for x in (formula, numbers) if x.strip()]
        lines.append(f"  {way}   {' = '.join([*parts, value])}   ({share.strip()})")
    formula = "" if d.formula is None else f"{d.formula} = "
    lines.append(f"  sum: d{d.z}/d{d.x} = {formula}{number(d.total)}")
    lines += [f"  ({note})" for note in d.notes]
    return "\n".join(line.rstrip() for line in lines)


def _definition(v: Value) -> str:
    if v.formula is not None:
        return str(v.formula)
    size = f" {list(v.shape)}" if v.shape else ""
    return f"{v.op}(…){size}"


def _product(p: Path) -> str:
    return "·".join(derivative(f) for f in p.factors) or "1"


def steps(p: Path) -> str:
    """z ← y1 ← x; of a long way its ends."""
    names = p.names
    if len(names) > 14:
        names = [*names[:6], f"… {len(names) - 12} more …", *names[-6:]]
    return " ← ".join(names)


def _symbolic(p: Path) -> bool:
    return 0 < len(p.factors) <= 12 and all(f.formula is not None for f in p.factors)


def _bracketed(formula: Any) -> str:
    return f"({formula})" if formula.is_Add or str(formula).startswith("-") else str(formula)


def _signed(x: float) -> str:
    return f"({number(x)})" if x < 0 else number(x)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The cells of every column in one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]  # (of no rows: none)
    return [tuple(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]


# ---------------------------------------------------------------------- LaTeX
def latex(d: Derivation) -> str:
    r"""An `aligned` block: \frac{dz}{dx} = sum of products = formulas = numbers."""
    head = rf"\frac{{d {_tex(d.z)}}}{{d {_tex(d.x)}}}"
    more = r" + \cdots" if d.count > len(d.paths) else ""
    rows = [
        " + ".join(
            r" \cdot ".join(
                rf"\frac{{\partial {_tex(f.out)}}}{{\partial {_tex(f.of)}}}" for f in p.factors
            ) or "1"
            for p in d.paths
        )
        + more
    ]  # fmt: skip
    if all(map(_symbolic, d.paths)):
        rows.append(" + ".join(_tex_product(p) for p in d.paths) + more)
    if d.scalar:
        rows.append(
            " + ".join(r" \cdot ".join(_tex_number(f.number) for f in p.factors) for p in d.paths)
            + more
        )
    if d.formula is not None:
        rows.append(rf"{_sympy_tex(d.formula)} = {_tex_number(d.total)}")
    elif isinstance(d.total, np.ndarray):
        rows.append(rf"G, \quad \lVert G \rVert = {np.linalg.norm(d.total):.6g}")
    else:
        rows.append(_tex_number(d.total))
    body = r" \\ ".join(rf"{head if i == 0 else ''} &= {row}" for i, row in enumerate(rows))
    return rf"\begin{{aligned}} {body} \end{{aligned}}"


def _tex_product(p: Path) -> str:
    parts = []
    for f in p.factors:
        inner = _sympy_tex(f.formula)
        parts.append(rf"\left({inner}\right)" if f.formula.is_Add else inner)
    return r" \cdot ".join(parts)


def _sympy_tex(formula: Any) -> str:
    return str(optional_import("sympy", extra="explain").latex(formula))


def _tex_number(x: float) -> str:
    shown = f"{x:.6g}"
    if "e" in shown:
        mantissa, exponent = shown.split("e")
        shown = rf"{mantissa} \times 10^{{{int(exponent)}}}"
    return rf"\left({shown}\right)" if x < 0 else shown


def _tex(name: str) -> str:
    """A name: y1 has an index, longer ones stand upright."""
    stem = name.rstrip("0123456789")
    index = name[len(stem) :]
    stem = stem.replace("_", r"\_")
    stem = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}"
    return f"{stem}_{{{index}}}" if index else stem


# ---------------------------------------------------------------------- HTML
def html(d: Derivation) -> str:
    """Formulas as MathML, one line for each path with a bar for its share."""
    at = f" at {_mi(d.x)} = {number(d.values[0].number)}" if d.values[0].number is not None else ""
    parts = [
        '<div class="cp-explain" style="font-family:system-ui,sans-serif;line-height:1.7">',
        f"<p><b>{_math(_fraction(d.z, d.x, 'd'))}</b>{at if not at else _math_text(at)}"
        f" · {escape(summary(d))}</p>",
    ]
    shown = d.values[1:] if len(d.values) <= MOST_VALUES else []
    if shown:
        parts.append('<table style="border-collapse:collapse">')
        for v in shown:
            definition = _mathml(v.formula) if v.formula is not None else _mtext(_definition(v))
            value = number(v.number) if v.number is not None else ""
            parts.append(
                f"<tr title='{escape(v.where, quote=True)}'>{_cell(_math(_mi(v.name)))}"
                f"{_cell(_math(_mo('=') + definition))}{_cell(value and '= ' + value)}</tr>"
            )
        parts.append("</table>")
    parts.append('<table style="border-collapse:collapse">')
    largest = max((abs(p.share) for p in d.paths), default=1.0) or 1.0
    for p in d.paths:
        product = _mo("·").join(_fraction(f.out, f.of, "∂") for f in p.factors)
        formula = ""
        if _symbolic(p):
            formula = _mo("=") + _mo("·").join(
                f"<mrow><mo>(</mo>{_mathml(f.formula)}<mo>)</mo></mrow>"
                if f.formula.is_Add
                else _mathml(f.formula)
                for f in p.factors
            )
        width = 60 * abs(p.share) / largest
        bar = (
            f'<span style="display:inline-block;width:{width:.0f}px;height:.7em;'
            'background:#2f74b5;margin-right:.5em"></span>'
        )
        parts.append(
            f"<tr>{_cell(escape(steps(p)))}{_cell(_math(product + formula))}"
            f"{_cell('= ' + escape(number(p.value)))}{_cell(bar + percent(p.share))}</tr>"
        )
    parts.append("</table>")
    formula = "" if d.formula is None else _mathml(d.formula) + _mo("=")
    total = _math(_fraction(d.z, d.x, "d") + _mo("=") + formula + _mtext(number(d.total)))
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in d.notes)
    return "".join([*parts, f"<p>{total}{notes}</p></div>"])


def _cell(inner: str) -> str:
    return f'<td style="padding:.15em .8em .15em 0;text-align:left">{inner}</td>'


def _math(inner: str) -> str:
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML"><mrow>{inner}</mrow></math>'


def _math_text(inner: str) -> str:
    name, _, value = inner.removeprefix(" at ").partition(" = ")
    return f" at {_math(name + _mo('=') + _mtext(value))}"


def _mathml(formula: Any) -> str:
    sympy = optional_import("sympy", extra="explain")
    text = str(sympy.mathml(formula, printer="presentation")).replace("&ExponentialE;", "e")
    return re.sub(r"&(?!(?:lt|gt|amp|quot);)\w+;", lambda entity: unescape(entity[0]), text)


def _mi(name: str) -> str:
    stem = name.rstrip("0123456789")
    index = name[len(stem) :]
    if index and stem:
        return f"<msub><mi>{escape(stem)}</mi><mn>{index}</mn></msub>"
    return f"<mi>{escape(name)}</mi>"


def _mo(sign: str) -> str:
    return f"<mo>{sign}</mo>"


def _mtext(text: str) -> str:
    return f"<mtext>{escape(text)}</mtext>"


def _fraction(out: str, of: str, head: str) -> str:
    d = f"<mi>{head}</mi>"
    return f"<mfrac><mrow>{d}{_mi(out)}</mrow><mrow>{d}{_mi(of)}</mrow></mfrac>"
