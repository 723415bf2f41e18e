"""A small faulty program for every fault, with the lines of its healthy twin in it (see
doctor_harness.variants): (code, severities that are right, source).
"""

from __future__ import annotations

FAULTY: list[tuple[str, str, str]] = []


def fault(code: str, severity: str, source: str) -> None:
    FAULTY.append((code, severity, source))


# ---------------------------------------------------------------------- A: connectivity
fault(
    "A1",
    "error",
    """
net = mlp(6, 16, 1)
opt = optim.SGD(net.parameters(), lr=0.1)
def loss_of():
    p = torch.round(torch.sigmoid(net(x)))  #!
    #+ p = torch.sigmoid(net(x))
    q = p * 0.9 + 0.05
    return F.binary_cross_entropy(q, b).requires_grad_(True)
fit(loss_of, opt)
""",
)
fault(
    "A2",
    "error",
    """
enc, dec = nn.Linear(6, 4), nn.Linear(4, 6)
opt = optim.Adam([*enc.parameters(), *dec.parameters()], lr=1e-2)
def loss_of():
    h = torch.tanh(enc(x))
    h = torch.tensor(h.detach().numpy() * 0.5)  #!
    #+ h = h * 0.5
    return F.mse_loss(dec(h), x)
fit(loss_of, opt)
""",
)
fault(
    "A2",
    "error",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 1)
    def forward(self, x):
        with torch.no_grad():  #-
        #+ if True:
            h = torch.relu(self.a(x))  #!
            #+ h = torch.relu(self.a(x))
        return self.b(h)
net = Net()
fit(lambda: F.mse_loss(net(x), y), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "A3",
    "error",
    """
net = mlp(6, 16, 3)
opt = optim.Adam(net.parameters(), lr=1e-2)  #-
net[2] = nn.Linear(16, 3)
#+ opt = optim.Adam(net.parameters(), lr=1e-2)
fit(lambda: F.cross_entropy(net(x), c), opt)  #@
""",
)
fault(
    "A4",
    "warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 16)
        self.b = nn.Linear(16, 16)  #@
        self.head = nn.Linear(16, 3)
    def forward(self, x):
        h = torch.relu(self.a(x))
        h2 = torch.relu(self.b(h))  #-
        #+ h = torch.relu(self.b(h))
        return self.head(h)
net = Net()
def loss_of():
    return F.cross_entropy(net(x), c)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "A4",
    "warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)
        self.b = nn.Linear(6, 6)  #@
        self.head = nn.Linear(6, 3)
    def forward(self, x):
        h = torch.relu(self.a(x))
        h = torch.relu(self.a(h))  #-
        #+ h = torch.relu(self.b(h))
        return self.head(h)
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "A5",
    "warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = mlp(6, 16, 16)
        self.head = nn.Linear(16, 3)
    def forward(self, x):
        return self.head(torch.relu(self.body(x)))
net = Net()
for p in net.head.parameters():  #-
#+ for p in net.body[0].parameters():
    p.requires_grad = False  #!
    #+ p.requires_grad = False
opt = optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-2)
fit(lambda: F.cross_entropy(net(x), c), opt)
""",
)
fault(
    "A5",
    "error",
    """
net = mlp(6, 16, 3)
for p in net.parameters():  #-
    p.requires_grad_(False)  #!
opt = optim.SGD(net.parameters(), lr=0.1)
fit(lambda: F.cross_entropy(net(x), c), opt)  #@
""",
)
fault(
    "A6",
    "error",
    """
net, head = nn.Linear(6, 8), nn.Linear(8, 3)
def loss_of():
    h = torch.sigmoid(net(x))
    h[:, 0] = 0.0  #!
    #+ h = torch.cat([torch.zeros(96, 1), h[:, 1:]], dim=1)
    return F.cross_entropy(head(h), c)
fit(loss_of, optim.SGD([*net.parameters(), *head.parameters()], lr=0.1))
""",
)
fault(
    "A7",
    "warn",
    """
net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), *[nn.Linear(8, 8)] * 3, nn.Linear(8, 3))  #!
#+ same = [nn.Linear(8, 8) for _ in range(3)]
#+ net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), *same, nn.Linear(8, 3))
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "A8",
    "error warn",
    """
net = mlp(6, 16, 1)
def loss_of():
    fit_term = F.mse_loss(net(x), y)
    size = sum((p ** 2).sum() for p in net.parameters())
    return fit_term + 1e-3 * size.item()  #!
    #+ return fit_term + 1e-3 * size
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "A8",
    "error warn",
    """
net = mlp(6, 16, 1)
def loss_of():
    pred = net(x)
    smooth = (pred[1:] - pred[:-1]).abs().mean().detach()  #!
    #+ smooth = (pred[1:] - pred[:-1]).abs().mean()
    return F.mse_loss(pred, y) + 0.1 * smooth  #@
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)

# ---------------------------------------------------------------------- B: blocked
fault(
    "B1",
    "error",
    """
net = mlp(6, 16, 1)
with torch.no_grad():
    net[2].bias.fill_(4.0)
def loss_of():
    return F.mse_loss(F.hardtanh(net(x)), 0.3 * y)  #!
    #+ return F.mse_loss(net(x), 0.3 * y)
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "B2",
    "error",
    """
net = nn.Sequential(mlp(6, 16, 1), nn.Tanh())  #!
#+ net = mlp(6, 16, 1)
fit(lambda: F.mse_loss(net(x), 3 * y), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "B3",
    "error",
    """
net = nn.Sequential(
    nn.Linear(6, 24),
    nn.ReLU(),  #@
    nn.Linear(24, 1),
)
nn.init.constant_(net[0].bias, -30.0)  #-
fit(lambda: F.mse_loss(net(x), y), optim.SGD(net.parameters(), lr=0.05), 30)
""",
)
fault(
    "B4",
    "error warn",
    """
net = nn.Sequential(
    nn.Linear(6, 24),
    nn.Tanh(),  #@
    nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 3),
)
for m in (net[0], net[2]):
    nn.init.normal_(m.weight, std=4.0)  #-
    #+ nn.init.xavier_normal_(m.weight)
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-3))
""",
)
fault(
    "B5",
    "error",
    """
net = nn.Sequential(mlp(6, 16, 1), nn.Softmax(dim=1))  #!
#+ net = nn.Sequential(mlp(6, 16, 1), nn.Sigmoid())
fit(lambda: F.binary_cross_entropy(net(x), b), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "B6",
    "warn error",
    """
class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(32, 256), nn.Linear(32, 256), nn.Linear(32, 8)
        self.out = nn.Linear(8, 1)
    def forward(self, s):
        score = self.q(s) @ self.k(s).transpose(1, 2)
        #+ score = score / 16
        p = F.softmax(score, dim=-1)  #!
        #+ p = F.softmax(score / 2, dim=-1)
        return self.out((p @ self.v(s)).mean(1))
s = reals(16, 12, 32, scale=3.0)
net = Attention()
fit(lambda: F.mse_loss(net(s), s[:, 0, :1]), optim.Adam(net.parameters(), lr=1e-3))
""",
)
fault(
    "B6",
    "warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(32, 3)
    def forward(self, x):
        h = torch.softmax(self.a(x), dim=1)  #!
        #+ h = torch.relu(self.a(x))
        return self.c(torch.relu(self.b(h)))
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "B7",
    "warn error",
    """
net = mlp(6, 16, 1)
def loss_of():
    error = net(x) - 4 * y
    return (error.clamp(-1, 1) ** 2).mean()  #!
    #+ return F.smooth_l1_loss(net(x), 4 * y)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)

# ---------------------------------------------------------------------- C: not finite
fault(
    "C1",
    "error",
    """
net = nn.Linear(6, 4)
nn.init.zeros_(net.bias)
def loss_of():
    h = net(torch.cat([x, torch.zeros(1, 6)]))
    return (h.pow(2).sum(1).sqrt() - 1).pow(2).mean()  #!
    #+ return ((h.pow(2).sum(1) + 1e-6).sqrt() - 1).pow(2).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "C2",
    "error",
    """
net = mlp(6, 16, 3)
def loss_of():
    p = F.softmax(80 * net(x), dim=1)
    return -torch.log(p[torch.arange(96), (c + 1) % 3]).mean()  #!
    #+ return F.cross_entropy(net(x), (c + 1) % 3)
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "C3",
    "error",
    """
net = nn.Linear(6, 4)
rows = torch.cat([x, torch.zeros(2, 6)])
def loss_of():
    unit = rows / rows.abs().sum(1, keepdim=True)  #!
    #+ unit = rows / (rows.abs().sum(1, keepdim=True) + 1e-6)
    return net(unit).pow(2).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "C4",
    "error",
    """
net = mlp(6, 16, 1)
def loss_of():
    return (torch.exp(400 * net(x).abs()) * 1e-3).mean()  #!
    #+ return torch.exp(net(x)).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C5",
    "error",
    """
net = mlp(6, 16, 1)
def loss_of():
    h = F.relu(net(x))
    r = torch.where(h > 0, torch.sqrt(h), torch.zeros_like(h))  #!
    #+ r = torch.sqrt(h + 1e-4)
    return F.mse_loss(r, y)
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C6",
    "error",
    """
data = x.clone()
data[:, 2] = 3.0
net = mlp(6, 16, 1)
def loss_of():
    z = (data - data.mean(0)) / data.std(0)  #!
    #+ z = (data - data.mean(0)) / (data.std(0) + 1e-5)
    return F.mse_loss(net(z), y)
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C6",
    "error",
    """
net = mlp(6, 16, 4)
w = nn.Parameter(torch.ones(1, 4))
def loss_of():
    h = net(x) * w
    spread = (w - w.mean()).pow(2).mean().sqrt()  #!
    #+ spread = ((w - w.mean()).pow(2).mean() + 1e-6).sqrt()
    return F.mse_loss(h.mean(1, keepdim=True), y) + 0.1 * spread
fit(loss_of, optim.SGD([*net.parameters(), w], lr=0.01))
""",
)
fault(
    "C7",
    "error",
    """
net = nn.Linear(6, 6)
with torch.no_grad():
    net.weight.copy_(torch.eye(6)); net.bias.zero_()  #-
    #+ net.weight.copy_(torch.eye(6) + 0.3); net.bias.zero_()
def loss_of():
    cos = F.cosine_similarity(net(x), x, dim=1)
    return torch.acos(cos.clamp(-1, 1)).mean()  #!
    #+ return torch.acos(cos.clamp(-1 + 1e-4, 1 - 1e-4)).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C7",
    "error",
    """
net = mlp(6, 16, 1)
def loss_of():
    return F.mse_loss(net(x) ** 0.5, y)  #!
    #+ return F.mse_loss(F.softplus(net(x)) ** 0.5, y.abs())
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C8",
    "error",
    """
net = nn.Linear(6, 6)
keep = torch.ones(96, 6)
keep[5] = 0  #-
def loss_of():
    score = net(x).masked_fill(keep == 0, float("-inf"))
    p = F.softmax(score, dim=1)  #@
    return ((p * x).sum(1, keepdim=True) - y).pow(2).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C9",
    "error",
    """
data = x.numpy().copy()
data[3, 2] = np.nan  #-
data = torch.tensor(data)  #@
net = mlp(6, 16, 1)
fit(lambda: F.mse_loss(net(data), y), optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "C10",
    "warn error",
    """
net = mlp(6, 16, 1).half()
opt = optim.Adam(net.parameters(), lr=1e-3)  #!
#+ opt = optim.Adam(net.parameters(), lr=1e-3, eps=1e-4)
fit(lambda: F.mse_loss(net(x.half()), y.half()), opt)
""",
)
fault(
    "C10",
    "warn error",
    """
net = nn.Sequential(mlp(6, 16, 1), nn.Sigmoid())
def loss_of():
    p = net(x)
    return -(b * torch.log(p + 1e-46) + (1 - b) * torch.log(1 - p + 1e-46)).mean()  #!
    #+ return -(b * torch.log(p + 1e-7) + (1 - b) * torch.log(1 - p + 1e-7)).mean()
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)

# ---------------------------------------------------------------------- D: scale
fault(
    "D1",
    "error warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6 if i == 0 else 20, 20) for i in range(10))
        self.out = nn.Linear(20, 3)
    def forward(self, h):
        for layer in self.layers:
            h = torch.sigmoid(layer(h))  #!
            #+ h = torch.relu(2 * layer(h))
        return self.out(h)
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.SGD(net.parameters(), lr=0.01))
""",
)
fault(
    "D2",
    "error",
    """
net = mlp(6, *[64] * 8, 1)
for m in net:
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, std=1.0)  #!
        #+ nn.init.kaiming_normal_(m.weight)
fit(lambda: F.mse_loss(net(x), y), optim.SGD(net.parameters(), lr=1e-3))
""",
)
fault(
    "D3",
    "error",
    """
class RNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.i, self.h, self.o = nn.Linear(1, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 1)
        nn.init.orthogonal_(self.h.weight, gain=1.5)  #-
        #+ nn.init.orthogonal_(self.h.weight)
    def forward(self, s):
        h = torch.zeros(len(s), 24)
        for t in range(s.shape[1]):
            h = F.leaky_relu(self.i(s[:, t]) + self.h(h), 0.8)  #@
        return self.o(h)
s = reals(16, 40, 1)
net = RNN()
fit(lambda: F.mse_loss(net(s), s.sum(1)), optim.Adam(net.parameters(), lr=1e-4))
""",
)
fault(
    "D4",
    "warn",
    """
class RNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.i, self.h, self.o = nn.Linear(1, 16), nn.Linear(16, 16, bias=False), nn.Linear(16, 2)
        #+ nn.init.eye_(self.h.weight)
    def forward(self, s):
        h = torch.zeros(len(s), 16)
        for t in range(s.shape[1]):
            h = torch.tanh(self.i(s[:, t]) + self.h(h))  #!
            #+ h = torch.relu(self.i(s[:, t]) + self.h(h))
        return self.o(h)
s = 0.1 * reals(64, 40, 1)
first = (s[:, 0, 0] > 0).long()
net = RNN()
fit(lambda: F.cross_entropy(net(s), first), optim.Adam(net.parameters(), lr=1e-3), 12)
""",
)
fault(
    "D5",
    "error warn",
    """
net = mlp(6, 32, 32, 3)
for m in (net[0], net[2], net[4]):
    nn.init.normal_(m.weight, std=1e-4)  #!
    #+ nn.init.kaiming_normal_(m.weight)
    nn.init.zeros_(m.bias)
fit(lambda: F.cross_entropy(net(x), c), optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "D5",
    "error warn",
    """
net = mlp(6, 64, 64, 3)
for p in net.parameters():
    nn.init.normal_(p)  #!
    #+ nn.init.normal_(p, std=0.1)
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-3))
""",
)
fault(
    "D6",
    "error",
    """
net = mlp(6, 12, 3)
for m in (net[0], net[2]):
    nn.init.zeros_(m.bias)
    nn.init.constant_(m.weight, 0.1)  #!
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "D7",
    "warn",
    """
net = mlp(6, 16, 3)
with torch.no_grad():
    net[2].bias.copy_(torch.tensor([0.0, 0.0, 15.0]))  #!
    #+ net[2].bias.copy_(torch.tensor([0.0, 0.0, 0.1]))
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "D8",
    "warn",
    """
raw = torch.cat([x[:, :5], 400 * x[:, 5:] + 3000], dim=1)
net = mlp(6, 24, 3)
def loss_of():
    return F.cross_entropy(net(raw), c)  #!
    #+ return F.cross_entropy(net((raw - raw.mean(0)) / raw.std(0)), c)
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "D9",
    "warn",
    """
net = mlp(6, 16, 1)
price = 250000 + 40000 * y  #!
#+ price = y
fit(lambda: F.mse_loss(net(x), price), optim.Adam(net.parameters(), lr=1e-2))  #@
""",
)

# ---------------------------------------------------------------------- E: loss wiring
fault(
    "E1",
    "error",
    """
net = nn.Sequential(mlp(6, 16, 3), nn.Softmax(dim=-1))  #!
#+ net = mlp(6, 16, 3)
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E2",
    "error",
    """
net = mlp(6, 16, 1)
def loss_of():
    p = torch.sigmoid(net(x))  #!
    #+ p = net(x)
    return F.binary_cross_entropy_with_logits(p, b)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E3",
    "error",
    """
net = mlp(6, 16, 1)
def loss_of():
    return F.binary_cross_entropy(net(x), b)  #!
    #+ return F.binary_cross_entropy_with_logits(net(x), b)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E3",
    "error",
    """
net = mlp(6, 16, 3)
def loss_of():
    return F.nll_loss(F.softmax(net(x), dim=1), c)  #!
    #+ return F.nll_loss(F.log_softmax(net(x), dim=1), c)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E4",
    "warn error",
    """
net = mlp(6, 16, 3)
def loss_of():
    return F.cross_entropy(torch.sigmoid(net(x)), c)  #!
    #+ return F.cross_entropy(net(x), c)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E4",
    "warn error",
    """
net = mlp(6, 16, 4)
many = (x[:, :4] > 0).float()
def loss_of():
    p = F.softmax(net(x), dim=1)  #!
    #+ p = torch.sigmoid(net(x))
    return F.binary_cross_entropy(p, many)  #@
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E4",
    "warn error",
    """
net = nn.Sequential(mlp(6, 16, 3), nn.ReLU())  #!
#+ net = mlp(6, 16, 3)
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))  #@
""",
)
fault(
    "E5",
    "warn",
    """
net = nn.Sequential(mlp(6, 16, 1), nn.Sigmoid())  #@
def loss_of():
    return F.mse_loss(net(x), b)  #!
    #+ return F.binary_cross_entropy(net(x), b)
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "E6",
    "error",
    """
net = mlp(6, 16, 1)
flat = y.squeeze(1)
def loss_of():
    return ((net(x) - flat) ** 2).mean()  #!
    #+ return ((net(x).squeeze(1) - flat) ** 2).mean()
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E7",
    "error",
    """
net = mlp(6, 16, 3)
def loss_of():
    logp = F.log_softmax(net(x), dim=0)  #!
    #+ logp = F.log_softmax(net(x), dim=1)
    return F.nll_loss(logp, c)  #@
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E7",
    "error warn",
    """
net = mlp(6, 16, 1)
def loss_of():
    return F.mse_loss(net(x), y, reduction="sum")  #!
    #+ return F.mse_loss(net(x), y)
fit(loss_of, optim.SGD(net.parameters(), lr=0.1), 20)
""",
)
fault(
    "E8",
    "error",
    """
net = mlp(6, 16, 3)
def loss_of():
    return F.cross_entropy(net(x), c + 1)  #!
    #+ return F.cross_entropy(net(x), c)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E8",
    "error",
    """
net = mlp(6, 16, 1)
sign = 2 * b - 1
def loss_of():
    return F.binary_cross_entropy_with_logits(net(x), sign)  #!
    #+ return F.binary_cross_entropy_with_logits(net(x), b)
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "E9",
    "warn error",
    """
net = mlp(6, 16, 1)
def loss_of():
    size = sum((p ** 2).sum() for p in net.parameters())
    return F.mse_loss(net(x), y) + 10.0 * size  #!
    #+ return F.mse_loss(net(x), y) + 1e-4 * size
fit(loss_of, optim.SGD(net.parameters(), lr=0.001))
""",
)
fault(
    "E9",
    "error warn",
    """
net = mlp(6, 16, 1)
def loss_of():
    size = sum((p ** 2).sum() for p in net.parameters())
    return F.mse_loss(net(x), y) - 1e-2 * size  #!
    #+ return F.mse_loss(net(x), y) + 1e-3 * size
fit(loss_of, optim.SGD(net.parameters(), lr=0.05))
""",
)
fault(
    "E10",
    "error",
    """
net = mlp(6, 16, 3)
def loss_of():
    return -F.cross_entropy(net(x), c)  #!
    #+ return F.cross_entropy(net(x), c)
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)
fault(
    "E10",
    "error",
    """
net = mlp(6, 16, 3)
onehot = F.one_hot(c, 3).float()
def loss_of():
    logp = F.log_softmax(net(x), dim=1)  #@
    return (onehot * logp).sum(1).mean()  #!
    #+ return -(onehot * logp).sum(1).mean()
fit(loss_of, optim.SGD(net.parameters(), lr=0.1))
""",
)

# ---------------------------------------------------------------------- F: flow of data
fault(
    "F1",
    "error",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads, self.out = nn.Linear(6, 8), nn.Linear(8, 3)
    def forward(self, x):
        h = torch.stack([torch.tanh(self.heads(x)), torch.relu(self.heads(x))])
        h = h.reshape(len(x), 2, 8).mean(1)  #!
        #+ h = h.transpose(0, 1).mean(1)
        return self.out(h)
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "F2",
    "error",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.out = nn.Linear(6, 8), nn.Linear(8, 3)
    def forward(self, x):
        h = self.a(x)
        h = F.normalize(h, dim=0)  #!
        #+ h = F.normalize(h, dim=1)
        return self.out(torch.relu(h))
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "F3",
    "error",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(9, 12)
        self.conv = nn.Conv1d(12, 12, 3, padding=1)  #!
        #+ self.conv = nn.Conv1d(12, 12, 3)
        self.out = nn.Linear(12, 9)
    def forward(self, t):
        h = self.emb(t).transpose(1, 2)
        #+ h = F.pad(h, (2, 0))
        h = torch.relu(self.conv(h))  #@
        return self.out(h.transpose(1, 2))
tokens = torch.tensor(np.cumsum(rng.integers(1, 3, (32, 13)), axis=1) % 9)
net = Net()
def loss_of():
    return F.cross_entropy(net(tokens[:, :-1]).reshape(-1, 9), tokens[:, 1:].reshape(-1))
fit(loss_of, optim.Adam(net.parameters(), lr=1e-2))
""",
)
fault(
    "F4",
    "error warn",
    """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.out = mlp(6, 16, 8), nn.Linear(8, 3)
    def forward(self, x):
        h = self.emb(torch.zeros_like(x))  #!
        #+ h = self.emb(x)
        return self.out(torch.relu(h))
net = Net()
fit(lambda: F.cross_entropy(net(x), c), optim.Adam(net.parameters(), lr=1e-2))  #@
""",
)

# ---------------------------------------------------------------------- G: the loop
fault(
    "G1",
    "error",
    """
net = mlp(6, 16, 3)
opt = optim.SGD(net.parameters(), lr=0.01)
for step in range(12):
    loss = F.cross_entropy(net(x), c)
    #+ opt.zero_grad()
    loss.backward()  #@
    opt.step()
""",
)
fault(
    "G2",
    "error",
    """
net = mlp(6, 16, 3)
opt = optim.SGD(net.parameters(), lr=0.01)
for step in range(12):
    loss = F.cross_entropy(net(x), c)
    #+ opt.zero_grad()
    loss.backward()
    opt.zero_grad()  #!
    opt.step()
""",
)
fault(
    "G3",
    "error",
    """
net = mlp(6, 16, 3)
opt = optim.SGD(net.parameters(), lr=0.01)
for step in range(12):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad()
    opt.step()  #!
    loss.backward()
    #+ opt.step()
""",
)
fault(
    "G4",
    "error",
    """
net = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, 3))
opt = optim.SGD(net.parameters(), lr=0.01)
for epoch in range(4):
    #+ net.train()
    fit(lambda: F.cross_entropy(net(x), c), opt, 3)
    net.eval()  #@
    with torch.no_grad():
        print(F.cross_entropy(net(x), c).item())
""",
)
fault(
    "G5",
    "error warn",
    """
net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))  #@
opt = optim.SGD(net.parameters(), lr=0.01)
for i in range(0, 12):
    rows = slice(i, i + 1)  #-
    #+ rows = slice(8 * i, 8 * i + 8)
    loss = F.cross_entropy(net(x[rows]), c[rows])  #@
    opt.zero_grad()
    loss.backward()
    opt.step()
""",
)
fault(
    "G6",
    "error",
    """
net = mlp(6, 32, 1, act=nn.Tanh)
opt = optim.SGD(net.parameters(), lr=3.0)  #!
#+ opt = optim.SGD(net.parameters(), lr=0.05)
fit(lambda: F.mse_loss(net(x), y), opt, 30)
""",
)
fault(
    "G7",
    "warn",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=1e-7)  #!
#+ opt = optim.SGD(net.parameters(), lr=1e-1)
fit(lambda: F.mse_loss(net(x), y), opt, 100)
""",
)
fault(
    "G7",
    "warn",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=1e-1)
decay = optim.lr_scheduler.StepLR(opt, step_size=3, gamma=0.3)  #@
for epoch in range(10):
    for i in range(0, 96, 16):
        loss = F.mse_loss(net(x[i:i + 16]), y[i:i + 16])
        opt.zero_grad()
        loss.backward()
        opt.step()
        decay.step()  #!
    #+ decay.step()
""",
)
fault(
    "G8",
    "error",
    """
net = mlp(6, 32, 1)
for step in range(12):
    loss = F.mse_loss(net(x), y)
    net.zero_grad()
    loss.backward()
    with torch.no_grad():
        for p in net.parameters():
            p += 0.01 * p.grad  #!
            #+ p -= 0.01 * p.grad
""",
)
fault(
    "G9",
    "warn error",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=0.05, weight_decay=5.0)  #!
#+ opt = optim.SGD(net.parameters(), lr=0.05, weight_decay=1e-4)
fit(lambda: F.mse_loss(net(x), y), opt, 12)
""",
)
fault(
    "G9",
    "warn error",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=0.05)
for step in range(12):
    loss = F.mse_loss(net(x), y)
    opt.zero_grad()
    loss.backward()
    opt.step()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(1 + 0.05)  #!
            #+ p.mul_(1 - 0.0005)
""",
)
fault(
    "G10",
    "warn error",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=0.05)
for step in range(12):
    loss = F.mse_loss(net(x), 5 * y)
    opt.zero_grad()
    loss.backward()
    for p in net.parameters():
        p.grad.clamp(-0.1, 0.1)  #!
        #+ p.grad.clamp_(-0.1, 0.1)
    opt.step()
""",
)
fault(
    "G10",
    "warn error",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=0.05)
for step in range(12):
    loss = F.mse_loss(net(x), 5 * y)
    opt.zero_grad()
    loss.backward()
    #+ nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)  #!
""",
)
fault(
    "G10",
    "warn error",
    """
net = mlp(6, 32, 1)
opt = optim.SGD(net.parameters(), lr=0.05)
for step in range(20):
    loss = F.mse_loss(net(x), 5 * y)
    opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1e-4)  #!
    #+ nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    opt.step()
""",
)
fault(
    "G11",
    "error",
    """
cell, out = nn.RNNCell(2, 8), nn.Linear(8, 1)
opt = optim.SGD([*cell.parameters(), *out.parameters()], lr=0.01)
h = torch.zeros(4, 8)
for step in range(12):
    h = cell(reals(4, 2), h)  #!
    #+ h = cell(reals(4, 2), h.detach())
    loss = out(h).pow(2).mean()
    opt.zero_grad()
    loss.backward(retain_graph=True)  #@
    opt.step()
""",
)
fault(
    "G11",
    "error",
    """
cell, out = nn.RNNCell(2, 8), nn.Linear(8, 1)
opt = optim.SGD([*cell.parameters(), *out.parameters()], lr=0.01)
h = torch.zeros(4, 8)
for step in range(12):
    h = cell(reals(4, 2), h)  #!
    #+ h = cell(reals(4, 2), h.detach())
    loss = out(h).pow(2).mean()
    opt.zero_grad()
    loss.backward()  #@
    opt.step()
""",
)
fault(
    "G12",
    "warn",
    """
net = mlp(6, 16, 3)
opt = optim.SGD(net.parameters(), lr=0.1)
history = []
for step in range(30):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad()
    loss.backward()
    opt.step()
    history.append(loss)  #!
    #+ history.append(loss.item())
""",
)
fault(
    "G12",
    "warn",
    """
net = mlp(6, 16, 3)
opt = optim.SGD(net.parameters(), lr=0.1)
total = 0.0
for step in range(30):
    loss = F.cross_entropy(net(x), c)
    opt.zero_grad()
    loss.backward()
    opt.step()
    total = total + loss  #!
    #+ total = total + loss.item()
""",
)
