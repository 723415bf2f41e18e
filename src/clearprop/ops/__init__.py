"""Everything that can be done with tensors, as functions; importing this attaches the methods of
Tensor.
"""

from clearprop.ops import (
    composite,
    contract,
    convolve,
    create,
    elementwise,
    index,
    methods,
    movement,
    older_names,
    products,
    reductions,
    shapes,
    special,
)
from clearprop.ops import pooling as pooling
from clearprop.ops.composite import *
from clearprop.ops.contract import *
from clearprop.ops.convolve import *
from clearprop.ops.create import *
from clearprop.ops.einsum import *
from clearprop.ops.elementwise import *
from clearprop.ops.index import *
from clearprop.ops.methods import addcdiv as addcdiv
from clearprop.ops.methods import addcmul as addcmul
from clearprop.ops.older_names import *
from clearprop.ops.products import *
from clearprop.ops.reductions import *
from clearprop.ops.shapes import *
from clearprop.ops.special import *

# PyTorch's other names
absolute, negative = elementwise.abs, elementwise.neg
multiply, subtract, divide = elementwise.mul, elementwise.sub, elementwise.div
greater, less = elementwise.gt, elementwise.lt
greater_equal, less_equal = elementwise.ge, elementwise.le
clip = elementwise.clamp
swapaxes, ravel = shapes.transpose, shapes.flatten
cast = movement.cast

NAMES = sorted(
    {
        *composite.__all__,
        *contract.__all__,
        *convolve.__all__,
        *create.__all__,
        "einsum",
        *elementwise.__all__,
        *index.__all__,
        *methods.__all__,
        *older_names.__all__,
        *products.__all__,
        *reductions.__all__,
        *shapes.__all__,
        *special.__all__,
    }
    | {"absolute", "clip", "swapaxes", "ravel", "multiply", "subtract", "divide", "negative"}
    | {"greater", "less", "greater_equal", "less_equal"}
)
