"""Backprop written out, checked against autograd, then used to train a network by SGD.

Forward:   z^l = (W^l)ᵀ x^{l-1} + b^l,   x^l = σ_l(z^l),   L = ½ ‖x^N - y‖²
Backward:  g^N = ∂L/∂x^N = x^N - y,   g^{l-1} = W^l (σ_l'(z^l) ∘ g^l)
Weights:   ∂L/∂W^l = x^{l-1} (σ_l'(z^l) ∘ g^l)ᵀ,   ∂L/∂b^l = σ_l'(z^l) ∘ g^l

The lecture's slide has x^l in the formula for the weights: a slip. W^l is multiplied by x^{l-1}, so
x^{l-1} stands in its gradient, and only x^{l-1} (σ' ∘ g)ᵀ has the shape [in, out] of W^l.
`nn.Linear` keeps the transpose of W^l, [out, in]: there the gradient is (σ' ∘ g) (x^{l-1})ᵀ.

A column of x^l is one example; several columns at once give sums over the examples.
"""

import clearprop as cp

SIZES = [2, 8, 8, 1]
N = len(SIZES) - 1
LAYERS = range(1, N + 1)

σ = {1: cp.tanh, 2: cp.tanh, 3: lambda z: z}
dσ = {1: lambda z: 1 - cp.tanh(z) ** 2, 2: lambda z: 1 - cp.tanh(z) ** 2, 3: cp.ones_like}

cp.manual_seed(0)
W = {l: cp.randn(SIZES[l - 1], SIZES[l], dtype=cp.float64).requires_grad_() for l in LAYERS}
b = {l: cp.zeros(SIZES[l], 1, dtype=cp.float64).requires_grad_() for l in LAYERS}
X = cp.tensor([[0, 0, 1, 1], [0, 1, 0, 1]], dtype=cp.float64)  # xor: one column per example
Y = cp.tensor([[0, 1, 1, 0]], dtype=cp.float64)


def forward(x0):
    x, z = {0: x0}, {}
    for l in LAYERS:
        z[l] = W[l].T @ x[l - 1] + b[l]
        x[l] = σ[l](z[l])
    return x, z


@cp.no_grad()
def backprop(x0, y):
    """∂L/∂W^l and ∂L/∂b^l of every layer, from the last to the first."""
    x, z = forward(x0)
    dW, db = {}, {}
    g = x[N] - y
    for l in reversed(LAYERS):
        δ = dσ[l](z[l]) * g
        dW[l] = x[l - 1] @ δ.T
        db[l] = δ.sum(dim=1, keepdim=True)
        g = W[l] @ δ
    return dW, db


def compare(when):
    """Print the loss, and the largest difference between backprop by hand and by autograd."""
    loss = 0.5 * ((forward(X)[0][N] - Y) ** 2).sum()
    loss.backward()
    dW, db = backprop(X, Y)
    errors = [(W[l].grad - dW[l]).abs().max() for l in LAYERS]
    errors += [(b[l].grad - db[l]).abs().max() for l in LAYERS]
    print(f"{when:18} loss {loss.item():8.1e}, by hand - autograd: {max(errors).item():.1e}")
    assert max(errors) <= 1e-12
    for p in [*W.values(), *b.values()]:
        p.grad = None


compare("before training")
steps, size = 0, 1.0
while size > 1e-9:  # until no entry of the gradient of any example is left
    size = 0.0
    for i in cp.randperm(4).tolist():  # SGD: one example a step
        dW, db = backprop(X[:, i : i + 1], Y[:, i : i + 1])
        with cp.no_grad():
            for l in LAYERS:
                W[l] -= 0.1 * dW[l]
                b[l] -= 0.1 * db[l]
                size = max(size, dW[l].abs().max().item())
        steps += 1
compare(f"after {steps} steps")
print("xor:", [round(v, 6) for v in forward(X)[0][N].tolist()[0]])
assert (forward(X)[0][N] - Y).abs().max() < 1e-6
