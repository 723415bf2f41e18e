"""The chain rule on a graph: z = 3 y1 + y2²,  y1 = 2x² + e^{2x},  y2 = e^x.

x reaches z on three paths. The derivative is the sum over the paths of the product of the local
derivatives along the path:

    z ← y1 ← a = 2x²      3 · 1 · 4x
    z ← y1 ← b = e^{2x}   3 · 1 · 2e^{2x}
    z ← y2 = e^x          2 y2 · e^x
                          sum: 12x + 8e^{2x}
"""

import clearprop as cp

x = cp.linspace(-2, 2, 9, dtype=cp.float64).requires_grad_()
a = 2 * x**2
b = cp.exp(2 * x)
y1 = a + b
y2 = cp.exp(x)
z = 3 * y1 + y2**2


def local(output, by):
    """d output / d by, for each x on its own (the sum has no mixed terms)."""
    (derivative,) = cp.autograd.grad(output.sum(), by, retain_graph=True)
    return derivative


# Each path is the list of its edges, from z back to x.
PATHS = {
    "z←y1←2x²": [(z, y1), (y1, a), (a, x)],
    "z←y1←e^{2x}": [(z, y1), (y1, b), (b, x)],
    "z←y2": [(z, y2), (y2, x)],
}
contribution = {}
for name, edges in PATHS.items():
    product = cp.ones_like(x)
    for output, by in edges:
        product = product * local(output, by)
    contribution[name] = product.detach()

z.sum().backward()  # all paths at once
formula = (12 * x + 8 * cp.exp(2 * x)).detach()

print(f"{'x':>6}" + "".join(f"{name:>15}" for name in [*PATHS, "sum", "backward", "12x+8e^{2x}"]))
total = sum(contribution.values())
for row in zip(x.tolist(), *(c.tolist() for c in contribution.values()),
               total.tolist(), x.grad.tolist(), formula.tolist(), strict=True):  # fmt: skip
    print(f"{row[0]:6.2f}" + "".join(f"{value:15.6f}" for value in row[1:]))

paths_error = (total - formula).abs().max().item()
error = (x.grad - formula).abs().max().item()
print(f"\nlargest |sum over paths - (12x + 8e^{{2x}})|: {paths_error:.1e}")
print(f"largest |backward       - (12x + 8e^{{2x}})|: {error:.1e}")
assert error <= 1e-12 and paths_error <= 1e-12

# Backward visits every edge once, newest node first: with n diamonds in a row there are 2^n paths,
# and still only 4n edges.
y = u = cp.tensor(1.0, dtype=cp.float64, requires_grad=True)
for _ in range(50):
    y = 0.5 * y + 0.5 * y
y.backward()
print(f"\n50 diamonds in a row, 2^50 = {2**50:.1e} paths: dy/du = {u.grad.item()} in one walk")
assert u.grad.item() == 1.0
