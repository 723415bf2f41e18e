"""Everything that can be done with tensors, as functions; importing this attaches the methods of
Tensor.
"""

from clearprop.core import Tensor
from clearprop.ops import (
    arithmetic,
    arrange,
    contract,
    convolve,
    counting,
    create,
    cumulative,
    diagonals,
    elementwise,
    index,
    methods,
    movement,
    older_names,
    products,
    queries,
    rearrange,
    reductions,
    scattering,
    shapes,
    signal_windows,
    sorting,
    special,
    statistics,
    typed,
)
from clearprop.ops import pooling as pooling
from clearprop.ops import quantiles as quantiles  # entries of the table without names here
from clearprop.ops.arithmetic import *
from clearprop.ops.arrange import *
from clearprop.ops.contract import *
from clearprop.ops.convolve import *
from clearprop.ops.counting import *
from clearprop.ops.create import *
from clearprop.ops.cumulative import *
from clearprop.ops.diagonals import *
from clearprop.ops.einsum import *
from clearprop.ops.elementwise import *
from clearprop.ops.index import *
from clearprop.ops.methods import addcdiv as addcdiv
from clearprop.ops.methods import addcmul as addcmul
from clearprop.ops.names import ALIASES, FUNCTION_ALIASES, INPLACE_FUNCTIONS, TAKES_OUT
from clearprop.ops.older_names import *
from clearprop.ops.out import takes_out
from clearprop.ops.products import *
from clearprop.ops.queries import *
from clearprop.ops.rearrange import *
from clearprop.ops.reductions import *
from clearprop.ops.scattering import *
from clearprop.ops.shapes import *
from clearprop.ops.signal_windows import *
from clearprop.ops.sorting import *
from clearprop.ops.special import *
from clearprop.ops.statistics import *
from clearprop.ops.typed import *

cast, detach = movement.cast, Tensor.detach

_here = globals()
_here.update({name: takes_out(_here[name]) for name in TAKES_OUT if name in _here})
_here.update({alias: _here[name] for alias, name in (ALIASES | FUNCTION_ALIASES).items()})
_same = [alias for alias, name in ALIASES.items() if name in INPLACE_FUNCTIONS]
_in_place = {f"{name}_": getattr(Tensor, f"{name}_") for name in [*INPLACE_FUNCTIONS, *_same]}
_in_place |= {name: getattr(Tensor, name) for name in ("detach_", "fill_", "zero_")}
_here.update(_in_place)

NAMES = sorted(
    {
        *arithmetic.__all__, *arrange.__all__, *contract.__all__, *convolve.__all__,
        *counting.__all__, *create.__all__, *cumulative.__all__, *diagonals.__all__,
        *elementwise.__all__, *index.__all__, *methods.__all__, *older_names.__all__,
        *products.__all__, *queries.__all__, *rearrange.__all__,
        *reductions.__all__, *scattering.__all__, *shapes.__all__, *sorting.__all__,
        *special.__all__, *statistics.__all__, *signal_windows.__all__, *ALIASES, *FUNCTION_ALIASES,
        *_in_place, *typed.__all__, "detach", "einsum",
    }
)  # fmt: skip
