"""Feature transforms φ(x): with them a linear model on φ(x) fits what is not linear in x.

Each is called on x of shape (..., in) and gives (..., out): a Tensor for a Tensor, with derivatives
with respect to x, and an array for an array. `fit(x)` learns what there is to learn from the
training rows (and returns the transform); without it there is nothing to learn.

    phi = Polynomial(3)
    model = nn.Linear(phi.width(1), 1)
    y = model(phi(x))
"""

from clearprop.data.transforms.base import Compose, Transform
from clearprop.data.transforms.bumps import RBF
from clearprop.data.transforms.fixed import Fourier, Polynomial, Sine
from clearprop.data.transforms.scale import OneHot, Standardize

__all__ = ["RBF", "Compose", "Fourier", "OneHot", "Polynomial", "Sine", "Standardize", "Transform"]
