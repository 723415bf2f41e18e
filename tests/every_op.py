"""Every public op and what it is called with (`calls_of_ops.py`), for the oracle tests and those of
compiled code. Second names, methods and in-place methods have their calls from the function of the
same name. An op without a call is an op that no test knows: `without_a_call()`.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import clearprop as cp
from calls_of_ops import (
    BINARY,
    ELEMENTWISE,
    INTEGERS,
    OTHERS,
    POSITIVE,
    POSITIVE_BINARY,
    POSITIVE_SHAPES,
    PROBABLE,
    REDUCTIONS,
    SHAPES,
)

_RNG = np.random.default_rng(4)


def _real(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Random numbers, none of them near a kink: -1, -0.5, 0, 0.5, 1."""
    x = _RNG.uniform(low, high, shape)
    return np.where(np.abs(x * 2 - np.round(x * 2)) < 0.05, x + 0.07, x)


def _whole(*shape: int, high: int) -> np.ndarray:
    return _RNG.integers(0, high, shape)


_M = _real(3, 3)
ARRAYS: dict[str, np.ndarray] = {
    "X": _real(3, 4), "Y": _real(3, 4), "A": _real(3, 4, low=0.3, high=2.5),
    "P": _real(3, 4, low=0.05, high=0.9), "Z": np.array(0.7), "V": _real(4), "T": _real(3),
    "C": _real(3, 1), "D": _real(1, 4, low=0.6, high=1.9), "M": _M, "N": _real(3, 3),
    "G": _M @ _M.T + np.eye(3), "B": _real(2, 3, 4), "E": _real(2, 4, 5), "W": _real(5),
    "Q": _real(3, 5), "S": np.array([-1.5, -0.6, 0.2, 0.3, 1.6]), "R": np.array([0.1, 0.5, 0.9]),
    "U": np.array([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, -2.5]),
    "SIGN": np.array([1.0, -1.0, 1.0]), "SIGNS": np.sign(_real(3, 4)),
    "I": _whole(3, 4, high=3), "J": np.array([0, 3, 3, 1, 3]), "H": np.array([2, 0, 1]),
    "H4": np.array([1, 0, 3, 2]), "I2": _whole(2, 4, high=3), "CLS": np.array([1, 3, 2]),
    "LABELS": np.array([[1, 3, -1, 2], [0, -1, 1, 1], [3, 2, 1, 0]]), "T3": np.array([0, 2, 2]),
    "K": _real(3, 4) > 0, "L": _real(3, 4) > 0,
    "SIGNAL": _real(2, 2, 6), "IMAGE": _real(2, 2, 4, 6), "IMAGE4": _real(1, 4, 2, 3),
    "VOLUME": _real(1, 2, 4, 4, 4), "K1": _real(3, 2, 2), "K2": _real(3, 2, 3, 3),
    "K2G": _real(4, 1, 2, 2), "K3": _real(2, 2, 2, 2, 2), "K1T": _real(2, 3, 3),
    "K2T": _real(2, 3, 2, 2), "K3T": _real(2, 1, 2, 2, 2), "KBI": _real(2, 4, 4),
    "THETA": _real(2, 2, 3), "FOLDED": _real(1, 8, 6), "GRID": _real(2, 3, 3, 2) * 0.6,
    "KQKV": _real(12, 4), "KOUT": _real(4, 4),
}  # fmt: skip


# ------------------------------------------------------------------------------- calls
@dataclass(frozen=True)
class Call:
    """A call as text; `op` is the public name that it is a case of."""

    op: str
    text: str

    def __str__(self) -> str:
        return self.text


def _op_of(text: str) -> str:
    tree = ast.parse(text, mode="eval").body
    if isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Call):
        tree = tree.value  # one of several results
    match tree:
        case ast.Call(func=f) if _dotted(f) and _dotted(f).split(".")[0] not in ARRAYS:
            return _dotted(f)
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Attribute(attr=name):
            return f"Tensor.{name}"
        case _:
            return f"Tensor.{_operator(tree)}"


def _dotted(tree: ast.AST) -> str:
    """`a.b` of the tree of a.b; "" of one that is not made of names."""
    match tree:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name) if _dotted(value):
            return f"{_dotted(value)}.{name}"
    return ""


_OPERATORS = {
    ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__",
    ast.Pow: "__pow__", ast.FloorDiv: "__floordiv__", ast.Mod: "__mod__",
    ast.MatMult: "__matmul__", ast.BitAnd: "__and__", ast.BitOr: "__or__",
    ast.BitXor: "__xor__", ast.LShift: "__lshift__", ast.RShift: "__rshift__",
    ast.USub: "__neg__", ast.Invert: "__invert__", ast.Lt: "__lt__", ast.GtE: "__ge__",
    ast.Eq: "__eq__", ast.NotEq: "__ne__",
}  # fmt: skip


def _operator(tree: ast.AST) -> str:
    match tree:
        case ast.Subscript():
            return "__getitem__"
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.Compare(ops=[op]):
            return _OPERATORS[type(op)]
    raise ValueError(ast.dump(tree))


def _of_functions() -> list[str]:
    texts = []
    for names, x in ((ELEMENTWISE, "X"), (POSITIVE, "A"), (PROBABLE, "P")):
        texts += [f"{name}({y})" for name in names for y in (x, "Z")]
    for names, shapes in ((BINARY, SHAPES), (POSITIVE_BINARY, POSITIVE_SHAPES)):
        for name in names:
            for x, y in shapes:
                number = y[0].isdigit()
                if number and name not in TAKES_A_NUMBER:
                    continue
                texts.append(f"{name}({x}, {y})")
    texts += [f"{name}({args})" for name in INTEGERS for args in ("I, I2[:1]", "I, J[0]", "J, J")]
    for name in REDUCTIONS:
        texts += [f"{name}({x})" for x in ("X", "Z") if name != "logsumexp"]
        texts += [f"{name}(X, dim={d}, keepdim=True)" for d in (0, -1) if name != "count_nonzero"]
        texts += [f"{name}(X, 1)", f"{name}(B, dim=1)"]
    return texts


TAKES_A_NUMBER = """
    add sub mul rsub div floor_divide fmod remainder pow float_power xlogy special.xlogy
    special.xlog1py special.zeta eq ne ge gt le lt
""".split()


def _as_method(text: str, method: str) -> str | None:
    """`f(x, ...)` as `x.method(...)`; None if x is no tensor."""
    tree = ast.parse(text, mode="eval").body
    if not isinstance(tree, ast.Call) or not tree.args:
        return None
    first = tree.args[0]
    if isinstance(first, ast.Constant | ast.List | ast.Tuple | ast.Starred):
        return None
    x = ast.unparse(first)
    x = x if isinstance(first, ast.Name | ast.Call | ast.Subscript) else f"({x})"
    rest = [*map(ast.unparse, tree.args[1:]), *map(ast.unparse, tree.keywords)]
    return f"{x}.{method}({', '.join(rest)})"


def public_methods() -> list[str]:
    return [name for name in dir(cp.Tensor) if not name.startswith("_")]


@cache
def own_calls() -> tuple[Call, ...]:
    """The calls that stand in the table."""
    return tuple(Call(_op_of(text), text) for text in (*_of_functions(), *OTHERS))


@cache
def derived_calls() -> tuple[Call, ...]:
    """Second names, methods and in-place methods: one or two calls of each."""
    known: dict[str, list[str]] = {}
    for call in own_calls():
        known.setdefault(call.op, []).append(call.text)
    out = []
    for name in sorted(cp.ops.NAMES):
        if name not in known and not name.endswith("_"):
            for own in _same_function(name, known):
                out += [Call(name, name + text[len(own) :]) for text in known[own][:2]]
    by_name = {**known}
    for call in out:
        by_name.setdefault(call.op, []).append(call.text)
    for method in public_methods():
        if f"Tensor.{method}" not in known:
            name = method.rstrip("_")
            texts = by_name.get(name, [])
            copied = "clone()." if method.endswith("_") else ""
            made = [_as_method(text, copied + method) for text in texts]
            out += [Call(f"Tensor.{method}", text) for text in made if text][:2]
    for name in sorted((*cp.ops.NAMES, *(f"F.{n}" for n in cp.nn.functional.__all__))):
        if name.endswith("_"):
            made = [_of_a_copy(text, name) for text in by_name.get(name[:-1], [])]
            out += [Call(name, text) for text in made if text][:1]
    return tuple(out)


def _of_a_copy(text: str, name: str) -> str | None:
    """`f(x, ...)` as `name(x.clone(), ...)`."""
    method = _as_method(text, "clone")
    if method is None:
        return None
    tree = ast.parse(text, mode="eval").body
    x = ast.unparse(tree.args[0])
    return text.replace(f"({x}", f"(({x}).clone()", 1).replace(text[: text.index("(")], name, 1)


def _same_function(name: str, known: dict[str, list[str]]) -> list[str]:
    f = getattr(cp, name)
    return [own for own in known if "." not in own and getattr(cp, own, None) is f][:1]


def public_ops() -> set[str]:
    """Every function and method that is to have a call."""
    names = set(cp.ops.NAMES)
    names |= {f"linalg.{n}" for n in cp.linalg.__all__ if n != "LinAlgError"}
    names |= {f"special.{n}" for n in cp.special.__all__}
    names |= {f"F.{n}" for n in cp.nn.functional.__all__}
    return names | {f"Tensor.{n}" for n in public_methods()}


# Not compared by calls of this table, each with the place that does it.
ELSEWHERE = {
    **dict.fromkeys(
        """
        bernoulli binomial multinomial normal poisson rand rand_like randint randint_like randn
        randn_like randperm F.gumbel_softmax F.rrelu_ Tensor.bernoulli Tensor.bernoulli_
        Tensor.cauchy_ Tensor.exponential_ Tensor.geometric_ Tensor.log_normal_ Tensor.multinomial
        Tensor.normal_ Tensor.random_ Tensor.uniform_
        """.split(),
        "random numbers: tests/oracle/test_ops_against_torch.py, tests/ops/",
    ),
    **dict.fromkeys(
        """
        BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor
        ShortTensor detach set_default_tensor_type typename Tensor.is_shared Tensor.share_memory_
        Tensor.storage_offset
        """.split(),
        "PyTorch's older names: tests/test_torch_faces.py",
    ),
    **dict.fromkeys(
        "from_dlpack from_numpy frombuffer Tensor.numpy Tensor.array".split(),
        "needs NumPy's arrays",
    ),
    **dict.fromkeys(
        """
        Tensor.backward Tensor.grad Tensor.grad_fn Tensor.register_hook Tensor.requires_grad_
        Tensor.register_post_accumulate_grad_hook Tensor.retain_grad Tensor.retains_grad
        detach_ Tensor.detach_
        """.split(),
        "the tape: tests/autograd/",
    ),
    **dict.fromkeys(
        "Tensor.aval Tensor.cell Tensor.name Tensor.node Tensor.value Tensor.view_of".split(),
        "not of PyTorch",
    ),
    **dict.fromkeys("empty empty_like Tensor.new_empty".split(), "memory as it is: tests/ops/"),
    "Tensor.data_ptr": "an address",
    "Tensor.device": "a class of its own",
    "Tensor.type": "the name of the library is in it",
    "Tensor.pin_memory": "wants an accelerator in PyTorch",
    "Tensor.cuda": "an error here: tests/core/",
    "getitem": "Tensor.__getitem__",
    "special.multigammaln": "mvlgamma",
}


def all_calls() -> tuple[Call, ...]:
    return own_calls() + derived_calls()


def without_a_call(names: set[str]) -> set[str]:
    return names - {call.op for call in all_calls()} - set(ELSEWHERE)


# -------------------------------------------------------------------------- evaluation
def names_in(text: str) -> list[str]:
    """The arrays that a call uses, in the order of the table."""
    used = {
        node.id for node in ast.walk(ast.parse(text, mode="eval")) if isinstance(node, ast.Name)
    }
    return [name for name in ARRAYS if name in used]


class _Names(dict):  # type: ignore[type-arg]
    """The names of a library as global names."""

    def __init__(self, lib: Any) -> None:
        super().__init__(__builtins__=__builtins__)
        self.lib = lib
        functional = importlib.import_module(f"{lib.__name__}.nn.functional")
        self.update(F=functional, linalg=lib.linalg, special=lib.special)
        for name in {call.op for call in all_calls()} | {"float32", "float64", "int64"}:
            if "." not in name:
                for home in (lib, functional, lib.Tensor):
                    if hasattr(home, name):
                        self[name] = getattr(home, name)
                        break


@cache
def namespace(lib: Any) -> dict[str, Any]:
    return _Names(lib)


@cache
def code(text: str) -> Any:
    return compile(text, "a_program.py", "eval")


def evaluate(lib: Any, text: str, tensors: dict[str, Any]) -> Any:
    # eval looks locals up for names only outside lambdas, which is all that the calls need
    return eval(code(text), namespace(lib), tensors)
