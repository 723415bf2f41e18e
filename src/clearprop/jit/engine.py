"""From LLVM IR as text to machine code in this process, through the cache on disk.

Nothing in the text may depend on the process: addresses come in as arguments or as names that
`provide` has given.
"""

from __future__ import annotations

import itertools
import threading
from functools import cache
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from clearprop._version import __version__
from clearprop.jit import cache as disk
from clearprop.jit.target import Target, host

_lock = threading.RLock()


class Code:
    """Machine code that stays as long as this object."""

    __slots__ = ("_tracker", "cached", "name", "size")

    def __init__(self, name: str, tracker: Any, size: int, cached: bool) -> None:
        self.name = name  # of its entry in the cache
        self._tracker = tracker
        self.size = size
        self.cached = cached

    def address(self, name: str) -> int:
        """Where the function of that name, one of those asked for, begins."""
        found: int = self._tracker[name]
        return found


@cache
def _start() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def machine(target: Target, level: int = 1) -> Any:
    """LLVM's target machine."""
    _start()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="small"
    )


def provide(name: str, address: int) -> None:
    """Let code refer to an address of this process by name."""
    _provided[name] = address


_provided: dict[str, int] = {}


def module_text(text: str, target: Target) -> str:
    """The text of a whole module: what is needed in front of functions."""
    return f'target triple = "{target.triple}"\n{text}\nattributes #0 = {{ {target.attributes} }}\n'


def compile_text(text: str, *names: str, target: Target | None = None) -> Code:
    """Code for a module of functions (which refer to attributes as #0), of which `names` are called
    from outside.

    Errors: RuntimeError of LLVM for text that is no IR.
    """
    target = target or host()
    whole = module_text(text, target)
    name = disk.key(
        whole, target.triple, target.cpu, target.features, __version__, llvmlite.__version__,
        ".".join(map(str, llvm.llvm_version_info)),
    )  # fmt: skip
    with _lock:
        body = disk.load(name)
        if body is not None:
            return Code(name, _load(body, names), len(body), cached=True)
        body = object_of(whole, target)
        disk.store(name, body)
        return Code(name, _load(body, names), len(body), cached=False)


def load_code(name: str, *names: str) -> Code | None:
    """Code from the cache, by the name of its entry."""
    with _lock:
        body = disk.load(name)
        return None if body is None else Code(name, _load(body, names), len(body), cached=True)


def object_of(whole: str, target: Target) -> bytes:
    """The object file of a module."""
    _start()
    module = llvm.parse_assembly(whole)
    found: bytes = machine(target).emit_object(module)
    return found


def assembly_of(text: str, target: Target | None = None) -> str:
    """What the code looks like in assembly language."""
    target = target or host()
    found: str = machine(target).emit_assembly(llvm.parse_assembly(module_text(text, target)))
    return found


@cache
def _linker() -> Any:
    """LLVM's linker of this process: it puts all parts of an object next to each other."""
    return llvm.create_lljit_compiler(machine(host()), use_jit_link=True)


def _load(body: bytes, names: tuple[str, ...]) -> Any:
    """A tracker that holds the linked object."""
    _start()
    library = llvm.JITLibraryBuilder().add_object_img(body).add_current_process()
    for name, address in _provided.items():
        library.import_symbol(name, address)
    for name in names:
        library.export_symbol(name)
    return library.link(_linker(), f"clearprop{next(_count)}")


_count = itertools.count()
