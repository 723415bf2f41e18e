"""Two blocks that look harmless and stop or spoil the gradient: clamp to [0, 1], and square root.

clamp:  x = min(max(z, 0), 1)    ∂x/∂z = 1 inside, 0 outside: no gradient, so no way back
sqrt:   L = √E                   ∂L/∂θ = ∂E/∂θ / (2√E): never small near the minimum, nan in it
"""

import clearprop as cp
from clearprop import nn

# ------------------------------------------------------------- 1. clamp as the last layer
cp.manual_seed(0)
x = cp.linspace(-1, 1, 64).reshape(-1, 1)
y = (x > 0).float()  # wanted: 0 on the left, 1 on the right
START = {"weight": cp.tensor([[1.0]]), "bias": cp.tensor([4.0])}  # all z in [3, 5]: far above 1


def clamp01(z):
    return z.clamp(0, 1)


def straight_through(z):
    """Forward is the clamp; backward sees z alone, as if the clamp were the identity."""
    return z + (clamp01(z) - z).detach()


def train(output, loss_function=nn.functional.mse_loss):
    """‖gradient‖ at the start, and the share of right answers after 500 steps."""
    neuron = nn.Linear(1, 1)
    neuron.load_state_dict(START)
    optimizer = cp.optim.SGD(neuron.parameters(), lr=0.5)
    norms = []
    for _ in range(500):
        optimizer.zero_grad()
        loss_function(output(neuron(x)), y).backward()
        norms.append(nn.utils.get_total_norm([p.grad for p in neuron.parameters()]).item())
        optimizer.step()
    right = ((clamp01(output(neuron(x))) > 0.5) == (y > 0.5)).double().mean().item()
    return norms[0], right


cases = {
    "clamp in training": train(clamp01),
    "clamp only in use": train(lambda z: z),
    "straight through": train(straight_through),
    "sigmoid, cross-entropy": train(cp.sigmoid, nn.functional.binary_cross_entropy),
}
print("one neuron that starts above the clamp")
print(f"{'output layer':24}{'‖gradient‖ at first':>20}{'right after 500 steps':>23}")
for name, (norm, right) in cases.items():
    print(f"{name:24}{norm:20.4f}{right:23.2f}")
assert cases["clamp in training"] == (0.0, 0.5)
assert all(right > 0.95 for name, (_, right) in cases.items() if name != "clamp in training")

# ------------------------------------------------------------- 2. square root around the loss
LOSSES = {
    "E": lambda w: w**2,
    "√E": lambda w: cp.sqrt(w**2),
    "√(E + 0.01)": lambda w: cp.sqrt(w**2 + 0.01),
}
print("\ngradient of a loss of the error w (E = w²), and 100 steps of SGD, lr 0.1, from w = 0.55")
print(f"{'loss':14}{'w = 1':>9}{'w = 0.01':>10}{'w = 0':>9}{'last |w|':>12}")
seen = {}
for name, loss in LOSSES.items():
    w = cp.tensor([1.0, 0.01, 0.0], requires_grad=True)
    loss(w).sum().backward()
    v = nn.Parameter(cp.tensor(0.55))
    optimizer = cp.optim.SGD([v], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss(v).backward()
        optimizer.step()
    seen[name] = (*w.grad.tolist(), abs(v.item()))
    print(f"{name:14}{seen[name][0]:9.4f}{seen[name][1]:10.4f}{seen[name][2]:9.4f}"
          f"{seen[name][3]:12.6f}")  # fmt: skip
print("Minimise E, or √(E + ε); show √E to people, outside the gradient.")
assert seen["√E"][2] != seen["√E"][2] and seen["√E"][3] > 0.04  # nan at 0, and it never settles
assert seen["E"][3] < 1e-6 and seen["√(E + 0.01)"][3] < 1e-6
