"""Values, primitives and the tape: what every other part of clearprop stands on."""

from clearprop.core.apply import apply, apply1, apply2, apply_many, apply_view
from clearprop.core.dtypes import (
    DTYPES,
    Aval,
    as_dtype,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    from_numpy_dtype,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote,
    promote_scalar,
    promote_types,
    set_default_dtype,
    uint8,
)
from clearprop.core.node import Leaf, Node, Pick
from clearprop.core.primitive import (
    TABLE,
    Contract,
    Example,
    Map,
    Opaque,
    Primitive,
    Reduce,
    View,
    primitive,
)
from clearprop.core.provenance import Location, locate, module_path, user_location
from clearprop.core.state import Context, Scope, context, local
from clearprop.core.tensor import Parameter, Tensor, ViewOf, bump, refresh, version_cell, wrap

__all__ = [
    "DTYPES", "TABLE", "Aval", "Context", "Contract", "Example", "Leaf", "Location", "Map", "Node", "Opaque", "Parameter",
    "Pick", "Primitive", "Reduce", "Scope", "Tensor", "View", "ViewOf", "apply", "apply1", "apply2", "apply_many",
    "apply_view", "as_dtype", "bool_", "bump", "context", "dtype", "float16", "float32", "float64", "from_numpy_dtype",
    "get_default_dtype", "int16", "int32", "int64", "int8", "local", "locate", "module_path", "primitive", "promote",
    "promote_scalar", "promote_types", "refresh", "set_default_dtype", "uint8", "user_location", "version_cell", "wrap",
]  # fmt: skip
