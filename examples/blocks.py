"""A block of one's own: T.forward(x; params) and T.backward(g; params, x), used like any layer.

The block is a row of Gaussian bumps, one per entry:  T(x; c, s) = e^{-u²},  u = (x - c) / s

    ∂T/∂x = -2u/s · T      ∂T/∂c = 2u/s · T      ∂T/∂s = 2u²/s · T

`backward` gets g = ∂L/∂T and gives the gradient of L with respect to every argument of `forward`.
gradcheck compares it with finite differences, and notices if a sign is wrong.
"""

import clearprop as cp
from clearprop import nn


class T(cp.autograd.Function):
    @staticmethod
    def forward(ctx, x, c, s):
        u = (x - c) / s
        out = cp.exp(-(u**2))
        ctx.save_for_backward(u, s, out)
        return out

    @staticmethod
    def backward(ctx, g):
        u, s, out = ctx.saved_tensors
        dx = g * (-2 * u / s) * out
        # c and s are shared by all rows of the batch: their gradients are sums over the rows.
        return dx, -dx.sum(dim=0), (-dx * u).sum(dim=0)


class WrongT(T):
    """The same block with the sign of ∂T/∂c forgotten."""

    @staticmethod
    def backward(ctx, g):
        dx, dc, ds = T.backward(ctx, g)
        return dx, -dc, ds


class Bumps(nn.Module):
    """T as a layer with its parameters c and s."""

    def __init__(self, n):
        super().__init__()
        self.c = nn.Parameter(cp.linspace(-1.5, 1.5, n))
        self.s = nn.Parameter(cp.ones(n))

    def forward(self, x):
        return T.apply(x, self.c, self.s)


def example(*shape):
    return cp.randn(*shape, dtype=cp.float64).requires_grad_()


cp.manual_seed(0)
inputs = (example(5, 3), example(3), (example(3) ** 2 + 0.5).detach().requires_grad_())
print("gradcheck of T:     ", cp.autograd.gradcheck(T.apply, inputs))
try:
    cp.autograd.gradcheck(WrongT.apply, inputs)
    raise AssertionError("gradcheck missed the wrong sign")
except cp.autograd.GradcheckError as error:
    print("gradcheck of WrongT:", str(error).split(";")[0])

network = nn.Sequential(nn.Linear(1, 12), Bumps(12), nn.Linear(12, 1))
print(f"\n{network}")
x = cp.linspace(-3, 3, 100).reshape(-1, 1)
y = cp.sin(2 * x) * cp.exp(-x.abs() / 3)
optimizer = cp.optim.Adam(network.parameters(), lr=0.02)
print("\nstep   mean square error")
for step in range(601):
    loss = nn.functional.mse_loss(network(x), y)
    if step % 200 == 0:
        print(f"{step:4}   {loss.item():.6f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert loss.item() < 1e-3
