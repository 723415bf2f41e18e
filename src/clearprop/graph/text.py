"""Graphs as text, and back.

    graph    = "graph" NAME "(" [input {"," input}] ")" "{" {line} "}"
    input    = VAR ":" aval
    line     = constant | equation | write | return
    constant = VAR ":" aval "=" "const" value
    equation = VAR ":" aval {"," VAR ":" aval} "=" PRIMITIVE arguments
    arguments = "(" [VAR {"," VAR}] ")" ["{" params "}"]
    write    = "write" VAR "<-" VAR             the memory of an input, and what it holds afterwards
    return   = "return" [VAR {"," VAR}]         the last line
    params   = NAME "=" value {"," NAME "=" value}
    value    = a Python literal, or inf, nan, or a dtype (f32, f64, i64, bool, ...)
    aval     = dtype "[" [INT {"," INT}] "]"

VAR is `%` and a name. What follows `#` is a comment: the printer puts the module and the user's
line there. `text` and `parse` are inverse to each other up to the names of Vars and to comments.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from typing import Any

import numpy as np

from clearprop.core import DTYPES, TABLE, Aval, dtype
from clearprop.errors import did_you_mean
from clearprop.graph.ir import Equation, Graph, Var, printer

_FEW = 16
_SHORT = {d.short: d for d in DTYPES}
_NAME = re.compile(r"[\w.]*[A-Za-z_][\w.]*")  # numbers are for those without a name


# ---------------------------------------------------------------------- out
def text(graph: Graph, *, origins: bool = False, full: bool = True) -> str:
    """The graph as text; `origins` adds where each equation came from, `full=False` shortens large
    constants (`parse` refuses those).
    """
    names = _names(graph)

    def typed(v: Var) -> str:
        return f"{names[v]}: {v.aval}"

    lines = [f"graph {graph.name}({', '.join(map(typed, graph.inputs))}) {{"]
    for v, array in graph.constants.items():
        shown = _literal(array.tolist()) if full or array.size <= _FEW else "..."
        lines.append(f"  {typed(v)} = const {shown}")
    for e in graph.equations:
        line = f"  {', '.join(map(typed, e.outputs))} = {e.prim.name}"
        line += f"({', '.join(names[v] for v in e.inputs)})"
        if e.params:
            line += f" {{{', '.join(f'{k}={_literal(p)}' for k, p in e.params.items())}}}"
        if origins and str(e.origin):
            line += f"  # {e.origin}"
        lines.append(line)
    lines += [f"  write {names[x]} <- {names[v]}" for x, v in graph.writes.items()]
    lines.append(f"  return {', '.join(names[v] for v in graph.outputs)}".rstrip())
    return "\n".join([*lines, "}"])


def _names(graph: Graph) -> dict[Var, str]:
    """A name for every Var: its hint where that is a name and free, else a number."""
    out: dict[Var, str] = {}
    taken: set[str] = set()
    numbers = itertools.count()
    made = (*graph.inputs, *graph.constants, *(v for e in graph.equations for v in e.outputs))
    for v in made:
        named = _NAME.fullmatch(v.hint) and v.hint not in taken
        name = v.hint if named else str(next(numbers))
        taken.add(name)
        out[v] = f"%{name}"
    return out


def _literal(value: Any) -> str:
    if isinstance(value, dtype):
        return value.short
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value)


printer[0] = lambda graph: text(graph, full=False)


# ---------------------------------------------------------------------- in
_LINE = re.compile(r"(?P<made>%.*?) = (?P<what>\w+)(?P<rest>.*)")
_CALL = re.compile(r"\((?P<args>[^)]*)\)\s*(?:\{(?P<params>.*)\})?")
_TYPED = re.compile(r"(%[\w.]+): (\w+)\[([\d,]*)\]")


def parse(source: str) -> Graph:
    """The graph that `text` printed.

    Errors: ValueError with the line that does not follow the grammar, or that names a Var or a
    primitive which does not exist.
    """
    vars_: dict[str, Var] = {}
    graph: Graph | None = None
    done = False
    for number, raw in enumerate(source.splitlines(), 1):
        line = raw.split("#")[0].strip()
        if not line or done:
            if line:
                raise _wrong(number, raw, "nothing may follow the closing brace")
            continue
        try:
            if graph is None:
                graph = _header(line, vars_)
            elif line == "}":
                done = True
            else:
                _body(line, graph, vars_)
        except _Unreadable as e:
            raise _wrong(number, raw, str(e)) from None
    if graph is None or not done:
        raise ValueError("parse: the text ends before the graph does")
    return graph


class _Unreadable(Exception):
    pass


def _wrong(number: int, line: str, why: str) -> ValueError:
    return ValueError(f"parse: line {number}: {why}: {line.strip()!r}")


def _header(line: str, vars_: dict[str, Var]) -> Graph:
    found = re.fullmatch(r"graph ([\w.<>]+)\((.*)\) \{", line)
    if found is None:
        raise _Unreadable("wanted 'graph NAME(inputs) {'")
    return Graph(found[1], tuple(_made(found[2], vars_)))


def _made(listed: str, vars_: dict[str, Var]) -> list[Var]:
    out = []
    if re.sub(_TYPED, "", listed).strip(", "):
        raise _Unreadable("wanted '%name: dtype[shape]'")
    for name, short, sizes in _TYPED.findall(listed):
        if short not in _SHORT:
            raise _Unreadable(f"no dtype {short!r}{did_you_mean(short, _SHORT)}")
        if name in vars_:
            raise _Unreadable(f"{name} is made twice")
        shape = tuple(int(n) for n in sizes.split(",") if n)
        hint = name[1:] if not name[1:].isdigit() else ""
        vars_[name] = Var(Aval(shape, _SHORT[short]), hint)
        out.append(vars_[name])
    return out


def _read(listed: str, vars_: dict[str, Var]) -> tuple[Var, ...]:
    names = [n.strip() for n in listed.split(",") if n.strip()]
    for name in names:
        if name not in vars_:
            raise _Unreadable(f"{name} is read, but never made{did_you_mean(name, vars_)}")
    return tuple(vars_[name] for name in names)


def _body(line: str, graph: Graph, vars_: dict[str, Var]) -> None:
    if line == "return" or line.startswith("return "):
        graph.outputs = _read(line[6:], vars_)
        return
    if line.startswith("write "):
        target, arrow, source = line[6:].partition("<-")
        if not arrow:
            raise _Unreadable("wanted 'write %input <- %value'")
        graph.writes[_read(target, vars_)[0]] = _read(source, vars_)[0]
        return
    found = _LINE.fullmatch(line)
    if found is None:
        raise _Unreadable("wanted a constant, an equation, a write or the return")
    if found["what"] == "const":
        (v,) = _made(found["made"], vars_)
        value = np.array(_value(found["rest"]), v.aval.dtype.np)
        graph.constants[v] = value.reshape(v.aval.shape)
        return
    call = _CALL.fullmatch(found["rest"].strip())
    if call is None:
        raise _Unreadable("wanted 'primitive(inputs) {params}'")
    if found["what"] not in TABLE:
        name = found["what"]
        raise _Unreadable(f"no primitive {name!r}{did_you_mean(name, TABLE)}")
    inputs = _read(call["args"], vars_)
    params = _value(f"dict({call['params']})") if call["params"] else {}
    outputs = tuple(_made(found["made"], vars_))
    graph.equations.append(Equation(TABLE[found["what"]], inputs, params, outputs))


_NAMES: dict[str, Any] = {"inf": math.inf, "nan": math.nan, **_SHORT}


def _value(source: str) -> Any:
    try:
        return _evaluated(ast.parse(source.strip(), mode="eval").body)
    except SyntaxError:
        raise _Unreadable(f"{source.strip()!r} is no value") from None


def _evaluated(node: ast.expr) -> Any:
    """A literal, one of _NAMES, or dict(name=literal, ...): nothing is ever called."""
    match node:
        case ast.Constant(value=value) if value is ...:
            raise _Unreadable("the constant was shortened; print with full=True")
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in _NAMES:
            return _NAMES[node.id]
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand)
        case ast.Tuple():
            return tuple(map(_evaluated, node.elts))
        case ast.List():
            return list(map(_evaluated, node.elts))
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            return {str(k.arg): _evaluated(k.value) for k in node.keywords}
    raise _Unreadable(f"{ast.unparse(node)!r} is no literal")
