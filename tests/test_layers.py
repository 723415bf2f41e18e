"""The packages import downwards only, at the top of a file, and core stays small."""

import ast
from pathlib import Path

import pytest

import clearprop

ROOT = Path(clearprop.__file__).parent
LAYERS = [
    {"_version", "flags", "errors"},
    {"core"},
    {"ops"},
    {"autograd", "graph", "amp", "backends"},
    {"jit"},
    {"nn", "data", "func", "linalg", "special", "accelerator", "cuda", "mps", "random"},
    {"settings", "testing", "version", "xpu"},
    {"optim", "distributions", "explanation", "serialization", "utils"},
    {"doctor"},
    {"train", "onnx"},
    {"sklearn"},
    {"cli"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FILES = [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT or p.stem in LAYER]


def package(path):
    """The package of clearprop that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(tree):
    """(package of clearprop, import statement) of every import that is carried out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "clearprop":
            parts = node.module.split(".")[1:]
            for name in [parts[0]] if parts else [a.name for a in node.names]:
                yield name, node
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "clearprop":
                    yield parts[1] if len(parts) > 1 else "clearprop", node


def only_for_types(tree):
    """The statements under `if TYPE_CHECKING:`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def mistakes(path, text):
    """What a file does against the rules."""
    tree = ast.parse(text)
    skip = only_for_types(tree)
    mine = package(path)
    found = []
    for name, node in imported(tree):
        if node in skip or name == mine:
            continue
        if name not in LAYER or LAYER[name] >= LAYER[mine]:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {mine} imports {name}")
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found += [
                f"{path.relative_to(ROOT)}:{inner.lineno}: an import inside {outer.name}"
                for inner in ast.walk(outer)
                if isinstance(inner, ast.Import | ast.ImportFrom)
            ]
    return found


def test_every_package_has_a_layer():
    packages = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    assert packages <= set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    assert mistakes(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "from clearprop.nn import Module",
        "import clearprop.train",
        "from clearprop import ops",
        "import clearprop",
        "def f():\n    import json",
    ],
)
def test_an_import_against_the_rules_is_found(line):
    assert len(mistakes(ROOT / "core" / "tensor.py", line)) == 1


def test_an_import_for_types_only_is_allowed():
    text = "if TYPE_CHECKING:\n    from clearprop.nn import Module\nfrom clearprop.core import Node"
    assert mistakes(ROOT / "core" / "tensor.py", text) == []


def test_test_files_have_names_of_their_own():
    """pytest takes two files of one name in different folders for one module."""
    files = Path(__file__).parent.rglob("test_*.py")
    names = [p.name for p in files]
    assert sorted(set(names)) == sorted(names)
