"""Modules inside modules, to any depth: one tree of names for parameters, states and errors."""

import clearprop as cp
from clearprop import nn
from clearprop.data import toy


class Residual(nn.Module):
    """x + W_2 tanh(W_1 x + b_1) + b_2"""

    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))

    def forward(self, x):
        return x + self.inner(x)


class Encoder(nn.Module):
    def __init__(self, n_in, width, depth):
        super().__init__()
        self.lift = nn.Linear(n_in, width)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(depth))

    def forward(self, x):
        x = self.lift(x)
        for block in self.blocks:
            x = block(x)
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Encoder(2, 8, depth=2)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


cp.manual_seed(0)
net = Net()
print(net, "\n")
for name, p in net.named_parameters():
    print(f"{name:32}{tuple(p.shape)!s:>10}{p.numel():6}")
total = sum(p.numel() for p in net.parameters())
print(f"{'sum':42}{total:6}")
assert total == (2 * 8 + 8) + 4 * (8 * 8 + 8) + (8 * 2 + 2)

# Every op on the tape knows the module that it ran in, and every error says it.
net.encoder.blocks[1].inner[2] = nn.Linear(9, 8)
x, y = toy.spiral(200, seed=0)
message = "no error"
try:
    net(x)
except cp.errors.ShapeError as error:
    message = str(error)
print(f"\nA layer of the wrong size:\n{message}\n")
assert "Net.encoder.blocks.1.inner.2" in message
net.encoder.blocks[1].inner[2] = nn.Linear(8, 8)

# Freeze one part: its parameters get no gradient and no step.
net.encoder.lift.requires_grad_(False)
before = net.encoder.lift.weight.tolist()
optimizer = cp.optim.Adam((p for p in net.parameters() if p.requires_grad), lr=0.01)
for _ in range(300):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
accuracy = (net(x).argmax(dim=1) == y).double().mean().item()
print(f"spirals, all but encoder.lift trained: accuracy {accuracy:.3f}")
assert net.encoder.lift.weight.tolist() == before and accuracy > 0.95

again = Net()
again.load_state_dict(net.state_dict())  # the same names, so the state finds its place
assert again(x).equal(net(x))
print(f"the {len(net.state_dict())} tensors of its state in a new Net: the same outputs")
