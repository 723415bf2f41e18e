"""Backprop through any directed acyclic graph: skip connections, shared weights, two losses.

One rule covers all of it: where a value is used several times, its gradients add up.
"""

import clearprop as cp
from clearprop import nn

cp.manual_seed(0)

# ------------------------------------------------------------- 1. skip connections
# x^l = σ(z^l) + x^{l-1}: on the way back g^{l-1} = g^l + W^l (σ'(z^l) ∘ g^l), so that g^l
# also travels unchanged.
DEPTH, WIDTH = 30, 16
layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH))


def gradient_norms(skip):
    """‖g^0‖, ..., ‖g^N‖ for L = Σ x^N."""
    x = [cp.ones(WIDTH, requires_grad=True)]
    for layer in layers:
        x.append(cp.tanh(layer(x[-1])) + (x[-1] if skip else 0))
    g = cp.autograd.grad(x[-1].sum(), x)
    return [g_l.norm().item() for g_l in g]


plain, skipping = gradient_norms(skip=False), gradient_norms(skip=True)
print("‖g^l‖ in a chain of 30 layers")
print(f"{'layer l':>8}{'plain':>12}{'with skips':>12}")
for l in (30, 20, 10, 0):
    print(f"{l:8}{plain[l]:12.2e}{skipping[l]:12.2e}")
assert plain[0] < 1e-4 * plain[DEPTH]
assert skipping[0] > 0.1 * skipping[DEPTH]

# ------------------------------------------------------------- 2. shared weights
# x^l = tanh(x^{l-1} W) with one W for all steps. Copies of W, one per step, show what each step
# contributes; the gradient of the shared W is the sum.
STEPS = 4
W = (0.5 * cp.randn(3, 3, dtype=cp.float64)).requires_grad_()
copies = [W.detach().clone().requires_grad_() for _ in range(STEPS)]
x0 = cp.randn(5, 3, dtype=cp.float64)


def unrolled(weights):
    x = x0
    for W_l in weights:
        x = cp.tanh(x @ W_l)
    return (x**2).sum()


unrolled([W] * STEPS).backward()
unrolled(copies).backward()
print("\none W used four times: ‖∂L/∂W‖ of each use")
for l, copy in enumerate(copies, 1):
    print(f"step {l}: {copy.grad.norm().item():.6f}")
error = (W.grad - sum(copy.grad for copy in copies)).abs().max().item()
print(f"sum of the four - gradient of the shared W: {error:.1e}")
assert error <= 1e-12

# ------------------------------------------------------------- 3. two losses on one trunk
trunk, value, kind = nn.Linear(4, 8), nn.Linear(8, 1), nn.Linear(8, 3)
x = cp.randn(20, 4)
h = trunk(x).tanh()
losses = {
    "value": nn.functional.mse_loss(value(h), x.sum(dim=1, keepdim=True)),
    "kind": nn.functional.cross_entropy(kind(h), x[:, :3].argmax(dim=1)),
}
alone = {}
for name, loss in losses.items():
    (alone[name],) = cp.autograd.grad(loss, trunk.weight, retain_graph=True)
(losses["value"] + losses["kind"]).backward()
both = trunk.weight.grad
print("\ntwo heads on one trunk: ‖∂L/∂W‖ of the trunk")
for name, g in {**alone, "both": both}.items():
    print(f"{name:6}: {g.norm().item():.6f}")
error = (both - sum(alone.values())).abs().max().item()
print(f"gradient of both - sum of the two: {error:.1e}")
assert error < 1e-6
