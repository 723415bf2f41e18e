"""Everything that can be done with tensors, as functions; importing this attaches the methods of
Tensor.
"""

from clearprop.ops import composite, contract, create, elementwise, index, methods, movement
from clearprop.ops.broadcasting import TensorLike, constant, here
from clearprop.ops.composite import *
from clearprop.ops.contract import *
from clearprop.ops.create import *
from clearprop.ops.elementwise import *
from clearprop.ops.index import *
from clearprop.ops.methods import addcdiv, addcmul

absolute, clip, swapaxes, ravel = (
    elementwise.abs,
    elementwise.clamp,
    composite.transpose,
    composite.flatten,
)
multiply, subtract, divide, negative = (
    elementwise.mul,
    elementwise.sub,
    elementwise.div,
    elementwise.neg,
)
greater, less, greater_equal, less_equal = (
    elementwise.gt,
    elementwise.lt,
    elementwise.ge,
    elementwise.le,
)
cast = movement.cast

NAMES = sorted(
    {
        *composite.__all__,
        *contract.__all__,
        *create.__all__,
        *elementwise.__all__,
        *index.__all__,
        *methods.__all__,
    }
    | {"absolute", "clip", "swapaxes", "ravel", "multiply", "subtract", "divide", "negative"}
    | {"greater", "less", "greater_equal", "less_equal"}
)
