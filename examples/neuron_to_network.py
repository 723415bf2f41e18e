"""From one neuron to a network: sums over scalars first, then the same as vectors and matrices.

One neuron:   z = Σ_i w_i x_i + b,   x' = σ(z)
One layer:    z_j^l = Σ_i W_ij^l x_i^{l-1} + b_j^l,   x_j^l = σ(z_j^l)
As vectors:   z^l = (W^l)ᵀ x^{l-1} + b^l,   x^l = σ(z^l)

W^l is [in, out] as in the lecture: column j holds the weights of neuron j. `nn.Linear` keeps the
transpose, [out, in]: row j holds the weights of neuron j.
"""

import math
from itertools import pairwise

import clearprop as cp
from clearprop import nn

SIZES = [3, 4, 2]  # x^0 has 3 entries, x^1 has 4, x^2 has 2


def sigma(z):
    return 1 / (1 + math.exp(-z))


def neuron(x, w, b):
    """One neuron: plain numbers, nothing else."""
    z = b
    for x_i, w_i in zip(x, w, strict=True):
        z += w_i * x_i
    return sigma(z)


def layer(x, W, b):
    """One neuron after the other; neuron j reads column j of W."""
    return [neuron(x, [row[j] for row in W], b[j]) for j in range(len(b))]


cp.manual_seed(0)
x0 = cp.randn(SIZES[0], dtype=cp.float64)
W = [cp.randn(n_in, n_out, dtype=cp.float64) for n_in, n_out in pairwise(SIZES)]
b = [cp.randn(n_out, dtype=cp.float64) for n_out in SIZES[1:]]

# ------------------------------------------------------------- 1. scalar sums
scalars = [x0.tolist()]
for W_l, b_l in zip(W, b, strict=True):
    scalars.append(layer(scalars[-1], W_l.tolist(), b_l.tolist()))

# ------------------------------------------------------------- 2. vectors
vectors = [x0]
for W_l, b_l in zip(W, b, strict=True):
    vectors.append(cp.sigmoid(W_l.T @ vectors[-1] + b_l))

# ------------------------------------------------------------- 3. modules
network = nn.Sequential()
for W_l, b_l in zip(W, b, strict=True):
    linear = nn.Linear(*W_l.shape).double()
    linear.load_state_dict({"weight": W_l.T, "bias": b_l})  # [in, out] -> [out, in]
    network.extend([linear, nn.Sigmoid()])

print(network)
print(f"\n{'':8}{'scalar sums':>22}{'vectors':>22}")
worst = 0.0
for l, (by_sums, by_vectors) in enumerate(zip(scalars, vectors, strict=True)):
    for j, (s, v) in enumerate(zip(by_sums, by_vectors.tolist(), strict=True)):
        print(f"x_{j + 1}^{l}   {s:22.15f}{v:22.15f}")
        worst = max(worst, abs(s - v))

worst = max(worst, (network(x0) - vectors[-1]).abs().max().item())
count = sum(p.numel() for p in network.parameters())
print(f"\nlargest difference of the three ways: {worst:.1e}")
print(f"parameters: {count} = 3·4 + 4 + 4·2 + 2")
assert worst <= 1e-12
assert count == 3 * 4 + 4 + 4 * 2 + 2
