"""A linear model learns what is not linear in x, once x is replaced by features φ(x).

The model stays z = W φ(x) + b: linear in its parameters, one layer, no activation. Only φ changes.
"""

import math

import clearprop as cp
from clearprop import nn
from clearprop.data import toy
from clearprop.data.transforms import RBF, Compose, Fourier, Polynomial, Standardize


def train(features, y, loss_function, width, steps=300):
    """Fit z = W φ(x) + b to y by gradient descent with Adam, and give the outputs z."""
    cp.manual_seed(0)
    model = nn.Linear(features.shape[1], width)
    optimizer = cp.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_function(model(features), y).backward()
        optimizer.step()
    return model(features).detach()


def accuracy(z, y):
    return (z.argmax(dim=1) == y).double().mean().item()


def r_squared(z, y):
    """1 - (what is left) / (what there was): 1 is a perfect fit, 0 is as good as the mean."""
    return 1 - ((z - y) ** 2).sum().item() / ((y - y.mean()) ** 2).sum().item()


# ------------------------------------------------------------- points in the plane, two classes
TRANSFORMS = {
    "x1, x2": Polynomial(1),
    "products to degree 2": Polynomial(2),
    "products to degree 4": Polynomial(4),
    "40 bumps (RBF)": RBF(k=40),
}
SETS = {"circle": toy.circle, "xor": toy.xor, "moons": toy.moons}

print("accuracy of a linear model on φ(x)")
print(f"{'φ(x)':22}{'features':>9}" + "".join(f"{name:>9}" for name in SETS))
reached = {}
for name, transform in TRANSFORMS.items():
    for set_name, make in SETS.items():
        x, y = make(n=300, seed=1)
        phi = Compose([transform, Standardize()]).fit(x)
        z = train(phi(x), y, nn.CrossEntropyLoss(), width=2)
        reached[name, set_name] = accuracy(z, y)
    row = "".join(f"{reached[name, set_name]:9.3f}" for set_name in SETS)
    print(f"{name:22}{phi(x).shape[1]:9d}{row}")

# ------------------------------------------------------------- a curve: y = |sin(x)| on a line
x = cp.linspace(-math.pi, math.pi, 200).reshape(-1, 1)
y = x.sin().abs()
print("\nR² of a linear model on φ(x) for the curve |sin x|")
for name, phi in {"x": Polynomial(1), "waves sin kx, cos kx": Fourier(4)}.items():
    reached[name] = r_squared(train(phi(x), y, nn.MSELoss(), width=1), y)
    print(f"{name:22}{phi(x).shape[1]:9d}{reached[name]:9.3f}")

assert reached["x1, x2", "circle"] < 0.75 < 0.98 < reached["products to degree 2", "circle"]
assert reached["x1, x2", "xor"] < 0.75 < 0.98 < reached["products to degree 2", "xor"]
assert reached["40 bumps (RBF)", "moons"] > 0.99
assert reached["x"] < 0.1 < 0.98 < reached["waves sin kx, cos kx"]
print("\nThe circle needs x1² + x2², xor needs x1·x2: with the right φ, a straight line is enough.")
