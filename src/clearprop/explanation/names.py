"""What values are called in the user's program: by the variables of the frame that asks, and by the
assignment on the line that made them.
"""

from __future__ import annotations

import ast
import itertools
import linecache
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from types import CodeType, FrameType
from typing import Any

from clearprop.core import Node, Pick, Tensor
from clearprop.nn import Module

Span = tuple[int, int, int, int]  # line, last line, column, last column


def of_variables(frame: FrameType | None) -> dict[int, str]:
    """Names of the tensors among the variables of a frame: by id of the node, the first name."""
    found: dict[int, str] = {}
    if frame is not None:
        for name, value in (*frame.f_locals.items(), *frame.f_globals.items()):
            if name.startswith("_"):
                continue
            if isinstance(value, Tensor) and value.node is not None:
                found.setdefault(id(value.node), name)
            elif isinstance(value, Module):
                for path, p in value.named_parameters():
                    found.setdefault(id(p.node), f"{name}.{path}")
    return found


def tensors_of(frame: FrameType | None) -> dict[int, Tensor]:
    """The tensors among the variables of a frame, by id of the node."""
    if frame is None:
        return {}
    every = (*frame.f_globals.values(), *frame.f_locals.values())
    return {id(t.node): t for t in every if isinstance(t, Tensor) and t.node is not None}


def assigned_name(node: Any) -> str | None:
    """The variable that the result of this node was assigned to, where the node is the outermost
    call or operator of the right side.
    """
    span, text = _at(node.main if type(node) is Pick else node)
    return text.names.get(span)


def name_of(node: Any, users: Iterable[Any]) -> str | None:
    """`assigned_name`, but None for a value inside a call, whose `users` were made by the same
    call.
    """
    main = node.main if type(node) is Pick else node
    for user in users:
        user = user.main if type(user) is Pick else user
        # (h = sin(h) in a loop is no such value, although the place is the same)
        if (user.code, user.lasti) == (main.code, main.lasti) and user.prim is not main.prim:
            return None
    return assigned_name(node)


def literal_operand(node: Any) -> float | None:
    """The number in the user's `x + 5` or `5 - x`, if that made this node."""
    span, text = _at(node)
    return text.literals.get(span)


def _at(node: Any) -> tuple[Span | None, Text]:
    """Where the expression of a node stands, and in what text."""
    if not isinstance(node, Node) or node.code is None:
        return None, Text()
    text = _parsed("".join(linecache.getlines(node.code.co_filename)))
    return span_of(node.code, node.lasti), text


def span_of(code: CodeType, lasti: int) -> Span | None:
    """Where the expression stands that instruction `lasti` belongs to."""
    found = next(itertools.islice(code.co_positions(), lasti // 2, None), None)
    if found is None or None in found:
        return None
    return found  # type: ignore[return-value]


@dataclass
class Text:
    """By place: the names that right sides are assigned to, the numbers that are operands."""

    names: dict[Span | None, str] = field(default_factory=dict)
    literals: dict[Span | None, float] = field(default_factory=dict)


@cache
def _parsed(source: str) -> Text:
    found = Text()
    try:
        tree = ast.parse(source)
    except SyntaxError:  # of a notebook's magic, or a template
        return found
    for part in ast.walk(tree):
        if isinstance(part, ast.BinOp):
            for side in (part.left, part.right):
                if isinstance(side, ast.Constant) and type(side.value) in (int, float):
                    found.literals[_span(part)] = float(side.value)  # type: ignore[arg-type]
            continue
        if isinstance(part, ast.Assign) and len(part.targets) == 1:
            pairs = _pairs(part.targets[0], part.value)
        elif isinstance(part, ast.AnnAssign | ast.NamedExpr) and part.value is not None:
            pairs = [(part.target, part.value)]
        elif isinstance(part, ast.AugAssign):
            pairs = [(part.target, part)]
        else:
            continue
        for target, value in pairs:
            name = _plain_name(target)
            if name is not None:
                found.names[_span(value)] = name
    return found


def _pairs(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.AST]]:
    """(name, right side), of `a, b = x, y` both."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        return list(zip(target.elts, value.elts, strict=False))
    return [(target, value)]


def _span(part: Any) -> Span:
    return part.lineno, part.end_lineno, part.col_offset, part.end_col_offset


def _plain_name(target: ast.AST) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr
    return None


def distinct(wanted: Iterable[str | None], letter: str = "v") -> list[str]:
    """Different names: a name that comes again gets a number, None becomes v1, v2, ..."""
    given = list(wanted)
    often = {n for n in given if n is not None and given.count(n) > 1}
    taken = {n for n in given if n is not None}
    counts: dict[str, itertools.count[int]] = {}
    out = []
    for name in given:
        if name is not None and name not in often:
            out.append(name)
            continue
        stem = letter if name is None else name
        numbers = counts.setdefault(stem, itertools.count(1))
        new = next(f"{stem}{i}" for i in numbers if f"{stem}{i}" not in taken)
        taken.add(new)
        out.append(new)
    return out
