"""Special functions under the names of `torch.special`; the work is done in `ops.special`.

>>> import clearprop as cp
>>> cp.special.ndtr(cp.tensor([0.0, 1.0]))
tensor([0.5000, 0.8413])
"""

from clearprop.ops.elementwise import erf, expm1, log1p, round
from clearprop.ops.elementwise import sigmoid as expit
from clearprop.ops.reductions import log_softmax, logsumexp, softmax
from clearprop.ops.special import (
    digamma,
    entr,
    erfc,
    erfcx,
    erfinv,
    exp2,
    gammainc,
    gammaincc,
    i0,
    i0e,
    i1,
    i1e,
    log_ndtr,
    logit,
    ndtr,
    ndtri,
    polygamma,
    sinc,
    xlog1py,
    xlogy,
    zeta,
)
from clearprop.ops.special import digamma as psi
from clearprop.ops.special import lgamma as gammaln
from clearprop.ops.special import mvlgamma as multigammaln

__all__ = [
    "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc",
    "gammaincc", "gammaln", "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round", "sinc", "softmax",
    "xlog1py", "xlogy", "zeta",
]  # fmt: skip
