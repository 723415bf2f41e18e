"""Attributes of a module that are computed whenever they are asked for: the weight of a layer as a
function of other parameters.

Such a module gets a class of its own, below its old one, that has a property for each of them. The
rule behind a property is kept in `module._computed`.
"""

from __future__ import annotations

from typing import Any, Protocol

from clearprop.nn.module import Module


class Rule(Protocol):
    """Computes an attribute of a module, and takes what is assigned to it."""

    prefix: str  # of the class's name

    def get(self, module: Module) -> Any:
        """The value now."""
        ...

    def set(self, module: Module, value: Any) -> None:
        """What `module.name = value` does."""
        ...


def rules_of(module: Module) -> dict[str, Any]:
    """The rules of a module by the names of its attributes."""
    return module.__dict__.get("_computed", {})  # type: ignore[no-any-return]


def base_of(module: Module) -> type:
    """The class that the module had before."""
    return getattr(type(module), "_computed_base", type(module))


def compute(module: Module, name: str, rule: Rule) -> None:
    """Let `module.name` be computed by a rule from now on; the name must be free."""
    _become(module, rules_of(module) | {name: rule})


def uncompute(module: Module, name: str) -> None:
    """Let `module.name` be free again."""
    _become(module, {k: v for k, v in rules_of(module).items() if k != name})


def _become(module: Module, rules: dict[str, Any]) -> None:
    base = base_of(module)
    if rules:
        module.__dict__["_computed"] = rules
        prefix = max(rule.prefix for rule in rules.values())
        module.__class__ = _class(base, tuple(rules), prefix)
    else:
        module.__dict__.pop("_computed", None)
        module.__class__ = base


def _class(base: Any, names: tuple[str, ...], prefix: str) -> Any:
    """The class of a module with these attributes. Each module has one of its own."""

    def reduce(self: Module, protocol: Any = None) -> Any:
        return _rebuilt, (base, names, prefix), self.__getstate__()

    def assign(self: Module, name: str, value: Any) -> None:
        rule = rules_of(self).get(name)
        if rule is None:
            base.__setattr__(self, name, value)
        else:
            rule.set(self, value)

    body: dict[str, Any] = {name: _property(name) for name in names}
    body |= {"_computed_base": base, "__reduce_ex__": reduce, "__setattr__": assign}
    return type(prefix + base.__name__, (base,), body | {"__module__": base.__module__})


def _property(name: str) -> property:
    def get(self: Module) -> Any:
        return rules_of(self)[name].get(self)

    return property(get)


def _rebuilt(base: type, names: tuple[str, ...], prefix: str) -> Any:
    """An empty module of such a class, for copies and for pickle."""
    cls = _class(base, names, prefix)
    return cls.__new__(cls)
